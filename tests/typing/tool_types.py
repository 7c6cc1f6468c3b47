"""What a user's tools look like to a type checker. Checked by mypy and pyright (`nox -s types`), never run."""

from typing import Any, assert_type

import trio

from realtime_trio.tools import Tool, Toolbox, tool


@tool
async def get_weather(city: str, days: int = 1) -> dict[str, float]:
    await trio.sleep(days)
    return {city: days}


@tool(name="add", description="Add two numbers.")
def add_up(left: int, right: int) -> int:
    return left + right


class Account:
    @tool
    async def balance(self, currency: str) -> str:
        return currency

    @tool(name="pay")
    def pay_in(self, amount: float) -> None: ...


class Box:
    def plain(self, x: int) -> str:
        return str(x)


async def uses() -> None:
    assert_type(await get_weather("Lima", days=2), dict[str, float])
    assert_type(add_up(1, right=2), int)
    assert_type(await Account().balance("PEN"), str)
    Account().pay_in(2.5)
    assert_type(tool(Box().plain)(x=1), str)
    assert_type(add_up.name, str)
    toolbox = Toolbox([get_weather, add_up, Account().balance, Box().plain])
    assert_type(toolbox["add"], Tool[..., Any])
    outcome = await toolbox.run("add", "{}")
    assert_type(outcome.output, str)


async def refused() -> None:
    await get_weather(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add_up(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Account().balance()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Account().pay_in("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

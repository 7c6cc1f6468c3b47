"""What a user's tools look like to a type checker. Checked by mypy and pyright (`nox -s types`), never run."""

from typing import Any, assert_type

import trio

from realtime_trio import CallId, Injected, Session, ToolContext, ToolPolicy, open_session
from realtime_trio.events import FunctionTool, McpTool
from realtime_trio.tools import Tool, Toolbox, ToolOutcome, tool


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


class Database:
    def find(self, word: str) -> int:
        return len(word)


@tool(timeout=5.0, on_interrupt="detach", concurrency=2, filler="One moment.", filler_after=1, approve=False)
async def look_up(word: str, db: Injected[Database], call: CallId, context: ToolContext, session: Session) -> int:
    assert_type(db, Database)
    assert_type(call, str)
    context.progress(word)
    return db.find(word)


@tool(parameters={"type": "object"}, background=True)
def with_schema(city: str, **more: object) -> str:
    return f"{city} {more}"


def run(arguments: dict[str, Any]) -> list[int]:
    return [len(arguments)]


class Box:
    def plain(self, x: int) -> str:
        return str(x)


async def uses(context: ToolContext) -> None:
    assert_type(await get_weather("Lima", days=2), dict[str, float])
    assert_type(add_up(1, right=2), int)
    assert_type(await Account().balance("PEN"), str)
    Account().pay_in(2.5)
    assert_type(tool(Box().plain)(x=1), str)
    assert_type(add_up.name, str)
    assert_type(await look_up("x", Database(), "call_1", context=context, session=context.session), int)
    assert_type(with_schema("Lima", days=2), str)
    assert_type(tool(look_up, timeout=None).policy, ToolPolicy)
    by_hand = Tool.from_schema("size", "Tell how many.", {"type": "object"}, run, timeout=3)
    assert_type(by_hand({"x": 1}), list[int])
    docs = McpTool(server_label="docs", server_url="https://example.com/mcp")
    Toolbox([look_up, by_hand, docs], threads=2).check([Database()])
    toolbox = Toolbox([get_weather, add_up, Account().balance, Box().plain])
    assert_type(toolbox["add"], Tool[..., Any])
    outcome = await toolbox.run("add", "{}")
    assert_type(outcome.output, str)


class Runner:
    def definitions(self) -> list[FunctionTool | McpTool]:
        return []

    def policy(self, name: str) -> ToolPolicy:
        return ToolPolicy(filler=name)

    async def run(self, name: str, arguments: str, *, context: ToolContext) -> ToolOutcome:
        await trio.lowlevel.checkpoint()
        return ToolOutcome(f"{name} {arguments} {context.call_id}")


async def sessions() -> None:
    async with open_session(tools=[get_weather, Box().plain, McpTool(server_label="docs")], dependencies=[Database()]):
        pass
    async with open_session(tools=Toolbox([look_up], threads=2), tool_choice=look_up) as session:
        await session.ask("x", tools=Toolbox([get_weather]), tool_choice="get_weather")
    async with open_session(tools=Runner(), tool_choice="required"):
        pass


async def refused() -> None:
    await get_weather(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    add_up(1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await Account().balance()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    tool(add_up, timeout="5")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    tool(on_interrupt="stop")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    tool(timout=5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    Tool.from_schema("f", "", {}, run)("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    open_session(tools=[1])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    Account().pay_in("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

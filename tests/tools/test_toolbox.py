"""Declaring tools and running calls: what the model is told, what the program is told, what passes through."""

from __future__ import annotations

import datetime as dt
import decimal
import inspect
import logging
import threading
from typing import Any, Literal, Self

import attrs
import msgspec
import pytest
import trio

from realtime_trio.errors import ConfigurationError, ToolError
from realtime_trio.events import FunctionTool, McpTool
from realtime_trio.session import ToolContext, ToolPolicy
from realtime_trio.tools import DEFAULT_THREADS, Tool, Toolbox, ToolOutcome, tool

KEY = "sk-" + "proj-abcdefgh12345678"  # in two, so that nobody takes it for a real one
CONTEXT = ToolContext(None, "call_1", "f")


@attrs.frozen
class Weather:
    celsius: float
    at: dt.date


@tool
async def get_weather(city: str, days: int = 1) -> Weather:
    """Tell the weather.

    Args:
        city: Name of the city.
        days: How many days ahead.
    """
    await trio.lowlevel.checkpoint()
    return Weather(20.5 + days, dt.date(2026, 1, 2))


class Account:
    def __init__(self, owner: str) -> None:
        self.owner = owner

    @tool
    async def balance(self, currency: str) -> str:
        """Tell the balance."""
        await trio.lowlevel.checkpoint()
        return f"{self.owner}: 3 {currency}"

    @staticmethod
    @tool
    def rate(currency: str) -> float:
        return len(currency) / 2


async def run(function: Any, arguments: str = "{}") -> ToolOutcome:
    one = function if isinstance(function, Tool) else tool(function)
    return await Toolbox([one]).run(one.name, arguments, context=CONTEXT)


async def test_a_tool_is_still_the_function() -> None:
    """Called directly it is what it was, and says so to those who ask."""
    assert await get_weather("Lima", days=2) == Weather(22.5, dt.date(2026, 1, 2))
    assert get_weather.__name__ == "get_weather"
    assert get_weather.__doc__ is not None
    assert get_weather.__doc__.startswith("Tell the weather.")
    assert list(inspect.signature(get_weather).parameters) == ["city", "days"]
    assert repr(get_weather) == "<Tool get_weather>"


async def test_options_and_local_names() -> None:
    """Options rename it; a class that is defined beside it can be named in its annotations."""

    @attrs.frozen
    class Local:
        n: int

    class Inner:
        @attrs.frozen
        class Nested:
            n: int

        @tool(name="twice", description="Double it.")
        def double(self, x: Nested, y: Local) -> int:
            return 2 * x.n + y.n

    bound = Inner().double

    assert (bound.name, bound.description) == ("twice", "Double it.")
    assert await Toolbox([bound]).run("twice", '{"x":{"n":4},"y":{"n":1}}', context=CONTEXT) == ToolOutcome("9")


async def test_result_encodings() -> None:
    """Text goes as it is, nothing is `done` where nothing was promised, all else is JSON."""

    def text() -> str:
        return "plain \N{SNOWMAN}"

    def nothing() -> None: ...

    def not_found() -> str | None:
        return None

    def values() -> Any:
        return {"d": decimal.Decimal("1.50"), "t": dt.timedelta(seconds=1), "s": {1}, "b": True}

    assert await run(text) == ToolOutcome("plain \N{SNOWMAN}")
    assert await run(nothing) == ToolOutcome("done")
    assert await run(not_found) == ToolOutcome("null")
    assert await run(values) == ToolOutcome('{"d":"1.50","t":"PT1S","s":[1],"b":true}')
    weather = await run(get_weather, '{"city":"Lima"}')
    assert msgspec.json.decode(weather.output) == {"celsius": 21.5, "at": "2026-01-02"}


async def test_no_arguments_at_all() -> None:
    """An empty text is what some models write for a call without arguments."""

    def f(x: int = 7) -> int:
        return x

    assert await run(f, "") == ToolOutcome("7")
    assert await run(f, " \n") == ToolOutcome("7")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"city": 3}', "Expected `str`, got `int` - at `$.city`"),
        ('{"city": "Lima", "days": "3"}', "Expected `int`, got `str` - at `$.days`"),
        ('{"city": "Lima", "days": 1.5}', "Expected `int`, got `float`"),
        ('{"days": 3}', "missing required field `city`"),
        ('{"city": "Lima", "town": "x"}', "unknown field `town` (there is: city, days, note)"),
        ('{"city": "Lima", "city": "Oslo"}', "the key `city` stands twice in one object"),
        ('{"city": "Lima", "note": {"a": 1, "a": 1}}', "the key `a` stands twice in one object"),
        ('{"city": "Lima", "note": NaN}', "JSON is malformed"),
        ('{"city": "Lima", "note": -Infinity}', "JSON is malformed"),
        ('{"city": "Lima", "note": 1e400}', "Number out of range"),
        ('{"city": "Lima", "days": ' + "9" * 5000 + "}", "Integer value out of range - at `$.days`"),
        ('{"city": "Lima"} {"city": "Oslo"}', "trailing characters"),
        ('{"city": "a' + chr(0) + '"}', "invalid character"),
        ("null", "Expected `object`, got `null`"),
        (chr(0xFEFF) + '{"city": "Lima"}', "invalid character"),
        (chr(0xA0) + '{"city": "Lima"}', "invalid character"),
        ('{"city": "Lima", "' + "x" * 100_000 + '": 1}', "unknown field `" + "x" * 64 + "...`"),
        ('{"city": "Lima", "' + KEY + '": 1}', "unknown field `[redacted]`"),
        ('["Lima"]', "Expected `object`, got `array`"),
        ('{"city": "Li', "Input data was truncated"),
        ('{"city": "\\ud800"}', "half a surrogate pair"),
        ('{"city": "Lima", "note": ["\\ud800x"]}', "half a surrogate pair"),
        ('{"city": "\\udc00", "days": 1e999}', "half a surrogate pair"),
        ('{"\\ud800": "Lima"}', "half a surrogate pair"),
        ('{"city": "\\ud800', "Input data was truncated"),
        ('{"city": "Lima", "note": ' + "[" * 100_000, "nested too deeply"),
        ("\ud800", "half a surrogate pair"),
    ],
    ids=lambda one: one[:20].encode("ascii", "replace").decode(),
)
async def test_bad_arguments(arguments: str, words: str, caplog: pytest.LogCaptureFixture) -> None:
    """The function does not run; the model is told what does not fit; it is no crash."""
    ran = False

    def f(city: str, days: int = 1, note: Any = None) -> None:
        nonlocal ran
        ran = True

    outcome = await run(f, arguments)

    assert outcome.output.startswith("Error: the arguments of f do not fit: ")
    assert words in outcome.output
    assert outcome.failure is None
    assert not ran
    assert caplog.records == []


async def test_unknown_tool() -> None:
    """The model is told what there is."""
    outcome = await Toolbox([get_weather]).run("get_wether", "{}", context=CONTEXT)
    assert outcome == ToolOutcome("Error: there is no tool named 'get_wether'. There is: get_weather.")

    outcome = await Toolbox().run("\ud800", "{}", context=CONTEXT)
    assert outcome == ToolOutcome("Error: there is no tool named '\\ud800'. There are no tools.")


async def test_tool_error(caplog: pytest.LogCaptureFixture) -> None:
    """Its words are the output; a key in them is not; nothing is logged; a tool's own nursery changes nothing."""

    async def plain() -> None:
        await trio.lowlevel.checkpoint()
        raise ToolError(f"No such city. ({KEY})")

    async def in_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(plain)
            nursery.start_soon(trio.sleep_forever)

    def empty() -> None:
        raise ToolError

    assert await run(plain) == ToolOutcome("No such city. ([redacted])")
    assert await run(in_nursery) == ToolOutcome("No such city. ([redacted])")
    assert await run(empty) == ToolOutcome("Error")
    assert caplog.records == []


@pytest.mark.parametrize("kind", ["async", "thread", "nursery"])
async def test_crash(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """The model is told that it failed, the program gets the exception, the log the traceback; none the arguments."""

    def in_thread(word: str) -> None:
        raise ValueError(f"no connection with {KEY}")

    async def in_task(word: str) -> None:
        await trio.lowlevel.checkpoint()
        in_thread(word)

    async def in_nursery(word: str) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(in_task, word)
            nursery.start_soon(trio.sleep_forever)

    function: Any = {"async": in_task, "thread": in_thread, "nursery": in_nursery}[kind]

    outcome = await run(tool(function, name="f"), '{"word": "confidential"}')

    assert outcome.output == "Error: f failed: ValueError: no connection with [redacted]"
    assert type(outcome.failure) is (ExceptionGroup if kind == "nursery" else ValueError)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("realtime_trio.tools", logging.ERROR)
    assert record.exc_info is not None
    assert record.exc_info[1] is outcome.failure
    assert record.getMessage() == "tool f crashed (call call_1)"
    assert "confidential" not in caplog.text


async def test_an_exception_that_cannot_say_what_it_is() -> None:
    """Even then the model gets its one output."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise AttributeError("reason")

    def f() -> None:
        raise MuteError

    assert (await run(f)).output == "Error: f failed: MuteError"


async def test_result_that_json_cannot_hold(caplog: pytest.LogCaptureFixture) -> None:
    """It is a crash of the tool: the model still gets its one output."""

    def f() -> object:
        return object()

    def loop() -> list[Any]:
        endless: list[Any] = []
        endless.append(endless)
        return endless

    outcome = await run(f)
    assert outcome.output == "Error: f failed: TypeError: Encoding objects of type object is unsupported"
    assert isinstance(outcome.failure, TypeError)
    assert isinstance((await run(loop)).failure, RecursionError)
    assert len(caplog.records) == 2


async def test_lone_surrogates_become_sendable() -> None:
    """What no message can carry is replaced: a call without an output would leave the model waiting."""

    def f() -> str:
        return "a\ud800b"

    assert await run(f) == ToolOutcome("a?b")


async def test_sync_runs_in_a_thread_and_async_does_not() -> None:
    """A function that blocks does not block the loop."""

    def blocking() -> str:
        trio.from_thread.check_cancelled()
        return "same" if threading.current_thread() is threading.main_thread() else "other"

    async def waiting() -> str:
        await trio.lowlevel.checkpoint()
        return "same" if threading.current_thread() is threading.main_thread() else "other"

    class Disguised:
        async def __call__(self) -> str:
            return await waiting()

    assert (await run(blocking)).output == "other"
    assert (await run(waiting)).output == "same"
    assert (await run(tool(Disguised(), name="disguised"))).output == "same"


async def test_cancellation_passes_an_async_tool(autojump_clock: trio.testing.MockClock) -> None:
    """A cancelled call gives no outcome: its scope does."""
    with trio.move_on_after(1) as scope:
        await run(tool(trio.sleep_forever, name="sleep"))

    assert scope.cancelled_caught


async def test_cancellation_leaves_a_thread_alone() -> None:
    """A sync tool that blocks does not hold up the end of its call."""
    release, entered = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def blocking() -> None:
        token.run_sync_soon(entered.set)
        release.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, blocking)
        await entered.wait()
        nursery.cancel_scope.cancel()
    release.set()


async def test_a_crash_while_cancelled_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """The cancellation arrives alone where it belongs, and the crash is not lost."""

    async def crash_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in cleanup")

    async def f() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        await run(f)

    assert scope.cancelled_caught
    assert [record.getMessage() for record in caplog.records] == ["tool f crashed while it was cancelled (call call_1)"]


async def test_keyboard_interrupt_passes() -> None:
    """Ctrl-C is never a tool's failure, also when it comes out of a tool's nursery."""

    async def f() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyboardInterrupt

    async def in_nursery() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(f)
            nursery.start_soon(trio.sleep_forever)

    with pytest.raises(KeyboardInterrupt):
        await run(f)
    with pytest.RaisesGroup(KeyboardInterrupt):
        await run(in_nursery)


async def test_methods() -> None:
    """A tool in a class is bound by its object; without one it is refused with the cure."""
    account = Account("Ana")

    assert await account.balance("PEN") == "Ana: 3 PEN"
    assert await Account.balance(account, "PEN") == "Ana: 3 PEN"
    assert Account.rate("PEN") == 1.5
    toolbox = Toolbox([account.balance, account.rate])
    assert await toolbox.run("balance", '{"currency":"USD"}', context=CONTEXT) == ToolOutcome("Ana: 3 USD")
    assert await toolbox.run("rate", '{"currency":"USD"}', context=CONTEXT) == ToolOutcome("1.5")
    with pytest.raises(ConfigurationError, match=r"balance\(\) is a method: .*tools=\[my_object.balance\]"):
        Toolbox([Account.balance])


async def test_bound_method_made_a_tool_elsewhere() -> None:
    """A bound method of any class, also a class method, can be made a tool by a call."""

    class Plain:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        def times(self, x: int) -> int:
            return self.factor * x

        @classmethod
        def named(cls, x: Self | None = None) -> str:  # what it would be annotated with cannot be described
            return cls.__name__

    assert (await run(Plain(3).times, '{"x": 5}')).output == "15"
    with pytest.raises(ConfigurationError, match="Self"):
        tool(Plain.named)


def test_toolbox() -> None:
    """It is a mapping by name, in order; a plain function is taken; a name is taken once."""

    def plain(x: int) -> int:
        return x

    toolbox = Toolbox([get_weather, plain])

    assert list(toolbox) == ["get_weather", "plain"]
    assert toolbox["get_weather"] is get_weather
    assert len(toolbox) == 2
    with pytest.raises(
        ConfigurationError, match=r"two tools have the name 'plain': .*@tool\(name=.* open_mcp\(.*prefix="
    ):
        Toolbox([get_weather, plain, tool(plain)])


def test_tool_of_a_tool() -> None:
    """Renaming a tool leaves the first as it was."""
    renamed = tool(get_weather, name="weather")

    assert (renamed.name, get_weather.name) == ("weather", "get_weather")
    assert renamed.parameters == get_weather.parameters


def test_definitions() -> None:
    """They are what `session.update` takes: valid JSON, with the words of the docstring."""
    (definition,) = Toolbox([get_weather]).definitions()

    assert msgspec.to_builtins(definition)["type"] == "function"
    assert definition.name == "get_weather"
    assert definition.description == "Tell the weather."
    assert definition.parameters == get_weather.parameters
    assert msgspec.json.decode(msgspec.json.encode(definition.parameters)) == get_weather.parameters


def test_outcome_hides_the_output_in_its_repr() -> None:
    """An output may hold what a log must not."""
    assert repr(ToolOutcome("secret")) == "ToolOutcome(output=<6 characters>, failure=None)"


def test_policy() -> None:
    """It is that of the tool; a tool of a tool keeps what is not named; a method keeps it when it is bound."""

    class Shop:
        @tool(timeout=2, on_interrupt="cancel")
        def sell(self) -> None: ...

    careful = tool(Shop().sell, name="careful", timeout=None, approve=True)
    toolbox = Toolbox([Shop().sell, careful, get_weather])

    assert toolbox.policy("sell") == ToolPolicy(timeout=2, on_interrupt="cancel")
    assert toolbox.policy("careful") == ToolPolicy(on_interrupt="cancel", approve=True)
    assert toolbox.policy("get_weather") == toolbox.policy("unknown") == ToolPolicy()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"timeout": 0}, r"f\(\): timeout is a number of seconds above 0, or None, not 0"),
        ({"on_interrupt": "stop"}, r"f\(\): on_interrupt is 'finish', 'cancel' or 'detach', not 'stop'"),
        ({"concurrency": True}, r"f\(\): concurrency is how many calls"),
        ({"background": True, "filler": "One moment."}, r"f\(\): background=True and filler contradict each other"),
        ({"timout": 5}, r"f\(\): there is no option 'timout'; there are timeout, on_interrupt, "),
        ({"name": "f", "approve": "yes"}, r"f\(\): approve is True or False, not 'yes'"),
    ],
    ids=str,
)
def test_policies_that_are_refused(options: Any, problem: str) -> None:
    """At the decorator: the function, the keyword, the cure."""

    def f() -> None: ...

    with pytest.raises(ConfigurationError, match=problem):
        tool(**options)(f)
    with pytest.raises(ConfigurationError, match=problem):
        tool(tool(f), **options)


def test_a_slip_with_the_decorator() -> None:
    """Words where the function belongs."""
    wrong: Any = "Tell the weather."
    with pytest.raises(ConfigurationError, match=r"made of a function, not of 'Tell the weather.'; options have names"):
        tool(wrong)


def test_hosted_servers() -> None:
    """They are definitions among the others, in order; a label is taken once; there is no function of theirs here."""
    docs = McpTool(server_label="docs", server_url="https://example.com/mcp")
    toolbox = Toolbox([docs, get_weather, McpTool(server_label="mail", connector_id="connector_gmail")])

    assert [getattr(one, "name", None) or one.server_label for one in toolbox.definitions()] == [
        "docs",
        "get_weather",
        "mail",
    ]
    assert list(toolbox) == ["get_weather"]
    with pytest.raises(ConfigurationError, match="two MCP servers have the label 'docs'"):
        Toolbox([docs, docs])


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (FunctionTool(name="f"), r"f is a definition without a function: Tool.from_schema\("),
        ("get_weather", r"a tool is a function, not 'get_weather'"),
    ],
    ids=["definition", "name"],
)
def test_what_is_no_tool(given: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Toolbox([given])


async def test_threads_are_limited() -> None:
    """So many sync tools run, the next waits; async ones do not count. A thread that was left alone counts on."""
    release, entered = threading.Event(), trio.Semaphore(0)
    token = trio.lowlevel.current_trio_token()

    def blocking() -> str:
        token.run_sync_soon(entered.release)
        release.wait()
        return "done"

    async def other() -> str:
        await trio.lowlevel.checkpoint()
        return "other"

    toolbox = Toolbox([blocking, other], threads=2)
    outputs = []

    async def call() -> None:
        outputs.append((await toolbox.run("blocking", "{}")).output)

    async with trio.open_nursery() as left_alone:
        left_alone.start_soon(call)
        await entered.acquire()
        left_alone.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        await entered.acquire()
        nursery.start_soon(call)
        await trio.testing.wait_all_tasks_blocked()
        statistics = toolbox.threads.statistics()
        assert (statistics.borrowed_tokens, statistics.tasks_waiting) == (2, 1)
        assert (await toolbox.run("other", "{}")).output == "other"
        assert outputs == []
        release.set()

    assert outputs == ["done", "done"]


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "many", None])
def test_threads_that_are_no_number(threads: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"threads is how many tools may run in threads at once, 1 or more"):
        Toolbox([], threads=threads)


def test_a_limit_of_threads_may_be_shared() -> None:
    limiter = trio.CapacityLimiter(3)

    assert Toolbox(threads=limiter).threads is limiter
    assert Toolbox().threads.total_tokens == DEFAULT_THREADS
    assert repr(Toolbox([get_weather])) == "<Toolbox get_weather>"


@attrs.frozen
class Flat:
    rooms: int


class Tree(msgspec.Struct, forbid_unknown_fields=True):
    leaf: int = 0
    inside: list[Tree] = []


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    age: int


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ('{"unit": "kelvin"}', 'Invalid value, it is one of "celsius","fahrenheit" - at `$.unit`'),
        (
            '{"unit": "celsius", "pets": [{"type": "cow"}]}',
            'Invalid value, it is one of "cat","dog" - at `$.pets[0].type`',
        ),
        ('{"unit": "celsius", "flats": {"a": {"rooms": "2"}}}', "Expected `int`, got `str` - at `$.flats[...].rooms`"),
        (
            '{"unit": "celsius", "tree": {"inside": [{"leaf": 1, "x": 2}]}}',
            "Object contains unknown field `x` (there is: leaf, inside) - at `$.tree.inside[0]`",
        ),
        ('{"unit": "celsius", "tree": {"x": 2}}', "Object contains unknown field `x` (there is: leaf, inside)"),
        ('{"unit": "celsius", "pets": [{"type": "cat"}]}', "Object missing required field `lives` - at `$.pets[0]`"),
    ],
)
async def test_words_say_what_would_fit(arguments: str, words: str) -> None:
    """Wherever it is, and without the value."""

    def f(
        unit: Literal["celsius", "fahrenheit"],
        pets: list[Cat | Dog] | None = None,
        flats: dict[str, Flat] | None = None,
        tree: Tree | None = None,
    ) -> None:
        raise AssertionError

    assert (await run(f, arguments)).output.startswith(f"Error: the arguments of f do not fit: {words}")

"""Parameters that the session gives: known by annotation, unseen by the model, missing before anything is sent."""

from __future__ import annotations

import abc
import functools
import typing
from typing import Annotated, Any, Generic, Optional, Protocol, TypeVar, runtime_checkable

import pytest

from realtime_trio.errors import ConfigurationError
from realtime_trio.session import Session, ToolContext
from realtime_trio.tools import CallId, Injected, Tool, Toolbox, tool

T = TypeVar("T")


class Database:
    def __init__(self, name: str = "db") -> None:
        self.name = name


class Replica(Database):
    pass


class Copy(Replica):
    pass


class Clock:
    name = "clock"


class Cache(Generic[T]):
    name = "cache"


@runtime_checkable
class Named(Protocol):
    name: str


class Silent(Protocol):
    name: str


class Registered(abc.ABC):
    """Knows its children by a list only."""

    @abc.abstractmethod
    def now(self) -> float: ...


Registered.register(Clock)


def context(*dependencies: object, session: Any = None) -> ToolContext:
    return ToolContext(session, "call_7", "f", dependencies)


async def result(function: Any, arguments: str = "{}", *dependencies: object) -> str:
    """What the function gave, through the toolbox."""
    outcome = await Toolbox([function]).run("f", arguments, context=context(*dependencies))
    assert outcome.failure is None
    return outcome.output


async def test_what_is_given_is_not_in_the_schema() -> None:
    """The model sees what it has to write, and nothing else; the words of the docstring are for the rest only."""

    def f(
        city: str, context: ToolContext, session: Session, *, call: CallId, db: Injected[Database], days: int = 2
    ) -> Any:
        """Go.

        Args:
            city: Name of the city.
            context: Where it runs.
            session: The session.
            call: The call.
            db: The database.
            days: How many.
        """
        return [city, context.call_id, session, call, db.name, days]

    one = tool(f)

    assert list(one.parameters["properties"]) == ["city", "days"]
    assert one.parameters["required"] == ["city"]
    assert await result(f, '{"city": "x"}', Database()) == '["x","call_7",null,"call_7","db",2]'
    for forged in ("context", "session", "call", "db"):
        outcome = await Toolbox([one]).run("f", f'{{"city": "x", "{forged}": 1}}', context=context(Database()))
        assert f"unknown field `{forged}` (there is: city, days)" in outcome.output


async def test_called_as_a_function_it_takes_all() -> None:
    @tool
    async def f(city: str, db: Injected[Database]) -> str:
        return f"{city} {db.name}"

    assert await f("Lima", Database("mine")) == "Lima mine"
    assert await f("Lima", db=Database("mine")) == "Lima mine"


def _forms() -> list[Any]:
    def pep_604(x: Injected[Database] | None) -> Any:
        return x and x.name

    def optional(x: Optional[Injected[Database]]) -> Any:  # noqa: UP045
        return x and x.name

    def inside(x: Injected[Database | None]) -> Any:
        return x and x.name

    def default(x: Injected[Database] | None = None) -> Any:
        return x and x.name

    async def waiting(*, x: Injected[Database] | None) -> Any:
        return x and x.name

    def noted(x: Annotated[Injected[Database] | None, "words"] = None) -> Any:
        return x and x.name

    return [pep_604, optional, inside, default, waiting, noted]


@pytest.mark.parametrize("function", _forms(), ids=lambda one: one.__name__)
async def test_optional_forms(function: Any) -> None:
    """None is given where there is nothing, the object where there is one."""
    named = tool(function, name="f")
    Toolbox([named]).check([])

    assert await result(named) == "null"
    assert await result(named, "{}", Database()) == "db"
    assert named.parameters["properties"] == {}
    assert (await Toolbox([named]).run("f", "{}")).output == "null"


async def test_a_default_counts_where_there_is_none() -> None:
    """The function's own, not None; also without a session."""

    def f(db: Injected[Database] = Database("default"), context: ToolContext | None = None) -> Any:  # noqa: B008
        return db.name

    assert await result(f) == "default"
    assert await result(f, "{}", Database("given")) == "given"
    assert (await Toolbox([f]).run("f", "{}")).output == "default"


async def test_methods_and_partials() -> None:
    class Shop:
        @tool
        async def f(self, what: str, db: Injected[Database], call: CallId) -> Any:
            return [what, db.name, call]

    async def given(what: str, db: Injected[Database]) -> Any:
        return [what, db.name]

    assert await result(Shop().f, '{"what": "x"}', Database()) == '["x","db","call_7"]'
    bound = tool(functools.partial(given, db=Database("bound")), name="f")
    assert list(bound.parameters["properties"]) == ["what"]
    Toolbox([bound]).check([])
    assert await result(bound, '{"what": "x"}', Database("other")) == '["x","bound"]'


@pytest.mark.parametrize(
    ("wanted", "dependencies", "chosen"),
    [
        (Database, (Replica("child"), Database("itself")), "itself"),
        (Database, (Copy("grandchild"), Replica("child")), "child"),
        (Replica, (Copy("grandchild"), Database("parent")), "grandchild"),
        (Database, (Clock(), Database("only")), "only"),
        (Clock | Replica, (Copy("farther"), Clock()), "clock"),
        (Cache[str], (Clock(), Cache()), "cache"),
        (Registered, (Database(), Clock()), "clock"),
        (Named, (object(), Clock()), "clock"),
    ],
)
async def test_the_nearest_is_chosen(wanted: Any, dependencies: Any, chosen: str) -> None:
    def f(x: Any) -> Any:
        return x.name

    f.__annotations__["x"] = Injected[wanted]

    assert await result(f, "{}", *dependencies) == chosen


async def test_the_same_object_twice_is_one() -> None:
    def f(x: Injected[Database]) -> Any:
        return x.name

    one = Database("one")

    assert await result(f, "{}", one, one) == "one"


@pytest.mark.parametrize(
    ("dependencies", "problem"),
    [
        ((), r"f\(\): parameter 'db' wants a Database, and no dependency is one: .*dependencies=\[database\].*default"),
        ((Clock(),), r"no dependency is one"),
        ((Database,), r"the dependencies have only the class: give an object, Database\(...\)"),
        ((Database(), Database()), r"two dependencies fit equally \(a Database and a Database\): give only one"),
        ((Replica(), Replica()), r"two dependencies fit equally \(a Replica and a Replica\)"),
    ],
)
async def test_what_is_missing_or_ambiguous_is_refused(dependencies: Any, problem: str) -> None:
    """Before a model can call it; and if nobody checked, by the call, without the function being entered."""

    def f(db: Injected[Database], n: int = 1) -> None:
        raise AssertionError

    box = Toolbox([f])

    with pytest.raises(ConfigurationError, match=problem):
        box.check(dependencies)
    outcome = await box.run("f", "{}", context=context(*dependencies))
    assert isinstance(outcome.failure, ConfigurationError)


async def test_without_a_session_it_says_what_to_give() -> None:
    @tool
    async def f(context: ToolContext) -> None:
        raise AssertionError

    with pytest.raises(ConfigurationError, match=r"f\(\): 'context' comes from the session: .*context=ToolContext\("):
        await f.run("{}")


def _refused() -> list[tuple[Any, str]]:
    def bare(x: Injected) -> None: ...  # type: ignore[type-arg]
    def protocol(x: Injected[Silent]) -> None: ...
    def anything(x: Injected[Any]) -> None: ...
    def either(x: Injected[Database] | str) -> None: ...
    def session_or_id(x: Session | CallId) -> None: ...
    def positional(x: CallId, /) -> None: ...

    return [
        (bare, r"bare\(\): parameter 'x' is Injected.*Injected\[Database\]"),
        (protocol, r"protocol\(\): .* @runtime_checkable"),
        (anything, r"anything\(\): .*no class"),
        (either, r"either\(\): parameter 'x' is either given or asked for"),
        (session_or_id, r"session_or_id\(\): parameter 'x' is either given or asked for"),
        (positional, r"positional\(\): 'x' is positional-only"),
    ]


@pytest.mark.parametrize(("function", "problem"), _refused(), ids=lambda one: getattr(one, "__name__", ""))
def test_annotations_that_are_refused(function: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        tool(function)


def test_marks_survive_get_type_hints() -> None:
    """Other readers of the annotations see the plain class."""

    def f(db: Injected[Database], call: CallId) -> None: ...

    assert typing.get_type_hints(f) == {"db": Database, "call": str, "return": type(None)}
    assert isinstance(tool(f), Tool)

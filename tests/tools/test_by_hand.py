"""Tools whose JSON Schema was written by hand: what is refused at once, what the function gets, words for the model."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio

from realtime_trio.errors import ConfigurationError, ToolError
from realtime_trio.session import Session, ToolContext
from realtime_trio.tools import CallId, Injected, Tool, Toolbox, ToolOutcome, tool

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "sk-" + "proj-abcdefgh12345678"
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}
WORDS = "Error: the arguments of f do not fit: {}. Correct them."


def object_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def made(schema: Any, run: Any = None) -> Tool[..., Any]:
    return Tool.from_schema("f", "Do it.", schema, run or (lambda arguments: arguments))


async def words(schema: Any, arguments: str) -> str:
    """What the model is told of arguments; the function must not run then."""

    def never(arguments: Any) -> None:
        raise AssertionError(arguments)

    outcome = await Toolbox([made(schema, never)]).run("f", arguments)
    assert outcome.failure is None
    return outcome.output


async def test_a_tool_without_a_signature() -> None:
    """Async or not, it is given the decoded dict, and is what a session takes."""

    async def wait(arguments: dict[str, Any]) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        return {"got": arguments}

    one = Tool.from_schema("get-weather", "Tell the weather.", CITY, wait, timeout=3)
    box = Toolbox([one, made(CITY)])

    assert (one.name, one.description, one.parameters, one.policy.timeout) == (
        "get-weather",
        "Tell the weather.",
        CITY,
        3,
    )
    assert [(two.name, two.parameters) for two in box.definitions()] == [("get-weather", CITY), ("f", CITY)]
    assert await box.run("get-weather", '{"city": "Lima"}') == ToolOutcome('{"got":{"city":"Lima"}}')
    assert await box.run("f", '{"city": "Lima", "days": 2}') == ToolOutcome('{"city":"Lima","days":2}')
    assert await one({"city": "unchecked"}) == {"got": {"city": "unchecked"}}


async def test_run_is_given_what_it_asks_for() -> None:
    """By annotation, in any place."""
    context = ToolContext(None, "call_7", "f", (["a list"],))

    def run(
        call: CallId, arguments: dict[str, Any], context: ToolContext, lines: Injected[list[str]], n: int = 1
    ) -> Any:
        return [call, arguments, context.call_id, lines, n]

    def late(arguments: Mapping[str, Any], /, session: Session | None = None) -> Any:
        return [dict(arguments), session]

    box = Toolbox([made(CITY, run), Tool.from_schema("g", "", CITY, late)])

    assert await box.run("f", '{"city": "x"}', context=context) == ToolOutcome(
        '["call_7",{"city":"x"},"call_7",["a list"],1]'
    )
    assert await box.run("g", '{"city": "x"}', context=context) == ToolOutcome('[{"city":"x"},null]')


@pytest.mark.parametrize("keyword_only", [False, True])
async def test_a_function_with_one_parameter_takes_all(keyword_only: bool) -> None:
    def positional(arguments: Any) -> Any:
        return arguments

    def named(*, arguments: Any) -> Any:
        return arguments

    one = tool(named if keyword_only else positional, name="f", parameters=CITY)

    assert await Toolbox([one]).run("f", '{"city": "x"}') == ToolOutcome('{"city":"x"}')


async def test_arguments_by_name() -> None:
    """To the parameter of their name, else to the rest; types are not read, defaults are the function's."""

    @tool(parameters=CITY, description="Other words.")
    def named(city: complex, days: int = 5) -> Any:
        """Words."""
        return [city, days]

    @tool(parameters=object_of(**{"from": {"type": "string"}, "city": {}}))
    async def rest(call: CallId, city: str = "Lima", **arguments: Any) -> Any:
        """Go."""
        await trio.lowlevel.checkpoint()
        return [call, city, arguments]

    box = Toolbox([named, rest])

    assert [one.description for one in box.values()] == ["Other words.", "Go."]
    assert await box.run("named", '{"city": "x"}') == ToolOutcome('["x",5]')
    context = ToolContext(None, "call_7", "rest")
    assert await box.run("rest", '{"from": "here", "more": 1}', context=context) == ToolOutcome(
        '["call_7","Lima",{"from":"here","more":1}]'
    )
    refused = await box.run("rest", '{"call": "forged"}', context=context)
    assert (
        refused.output
        == "Error: the arguments of rest do not fit: unknown argument `call` (there is: none). Correct them."
    )


async def test_an_argument_that_only_the_schema_allows() -> None:
    """The function has no parameter for it, so the model is told before it could run."""

    @tool(parameters=object_of(city={}))
    def f(city: str = "") -> None: ...

    outcome = await Toolbox([f]).run("f", '{"town": 1}')

    assert outcome == ToolOutcome(WORDS.format("unknown argument `town` (there is: city)"))


async def test_methods_and_partials() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @tool(parameters=CITY)
        def sell(self, city: str, days: int = 1) -> str:
            return f"{self.name} {city} {days}"

        def call(self, name: str, arguments: dict[str, Any]) -> Any:
            return [self.name, name, arguments]

    run = functools.partial(Shop("A").call, "tool")
    box = Toolbox([Shop("B").sell, made(CITY, run)])

    assert await box.run("sell", '{"city": "x"}') == ToolOutcome("B x 1")
    assert await box.run("f", '{"city": "x"}') == ToolOutcome('["A","tool",{"city":"x"}]')


def test_the_schema_is_a_copy() -> None:
    """What happens to the original afterwards changes nothing; what it left out, as some servers do, is said."""
    schema: dict[str, Any] = {"properties": {"x": {"type": "string"}}}
    one = made(schema)
    schema["properties"]["x"]["type"] = "integer"

    assert one.parameters == {"properties": {"x": {"type": "string"}}, "type": "object"}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ([], r"f\(\): parameters is a JSON Schema.* not list"),
        ({"type": "string"}, r"f\(\): parameters describes 'string': arguments are always an object"),
        ({"type": ["object", "null"]}, r"arguments are always an object"),
        (object_of(x={"type": "strnig"}), r"no valid JSON Schema, at \$\.properties\.x\.type: 'strnig'"),
        (object_of(x={"pattern": "("}), r"no valid JSON Schema, at \$\.properties\.x\.pattern"),
        ({"type": "object", "patternProperties": {"(": {}}}, r"no valid JSON Schema, at"),
        (
            {
                "$id": "x",
                "items": {},
                "allOf": [{"$schema": "http://json-schema.org/draft-04/schema#", "items": False}],
            },
            r"parameters cannot be used \(TypeError: .*name one draft",
        ),
        ({"type": "object", "$schema": ["x"]}, r"no valid JSON Schema, at .*schema"),
        (functools.reduce(lambda inner, _: object_of(x=inner), range(150), {}), r"parameters is nested too deeply"),
        (object_of(x={"minimum": "1"}), r"no valid JSON Schema, at \$\.properties\.x\.minimum"),
        ({"type": "object", "required": "x"}, r"no valid JSON Schema, at \$\.required"),
        (object_of(x={"default": object()}), r"parameters is no JSON .*use dict, list, str"),
        (object_of(x={"$ref": "#/$defs/X"}), r"refers to '#/\$defs/X', which it does not contain"),
        (object_of(x={"$ref": "https://example.com/x.json"}), r"refers to 'https://example.com/x.json'"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "required": []}, r"at \$\.required"),
    ],
)
def test_schemas_that_are_refused(schema: Any, problem: str) -> None:
    """At the decorator: the tool, the place, the cure."""
    with pytest.raises(ConfigurationError, match=problem):
        made(schema)


def _misfits() -> list[tuple[Any, str]]:
    def no_parameter() -> None: ...
    def two(arguments: Any, other: Any) -> None: ...
    def fewer(city: str) -> None: ...
    def more(city: str, unit: str, days: int = 1) -> None: ...
    def optional(city: str, days: int) -> None: ...
    def positional(city: str, days: int = 1, /) -> None: ...
    def given(city: CallId, days: int) -> None: ...
    def star(*call: CallId) -> None: ...

    return [
        (functools.partial(made, CITY, no_parameter), r"f\(\): run takes the arguments as one dict: give it"),
        (functools.partial(made, CITY, two), r"f\(\): run takes .* and 'other' beside it.*annotation.*default"),
        (functools.partial(tool, fewer), r"fewer\(\): the schema has 'days' and .*\*\*arguments.*fewer\(arguments\)"),
        (functools.partial(tool, no_parameter), r"no_parameter\(\): the schema has 'city'"),
        (functools.partial(tool, more), r"more\(\): parameter 'unit' does not stand in the schema"),
        (
            functools.partial(tool, optional),
            r"optional\(\): the model may leave out 'days': give .* default, or .*required",
        ),
        (functools.partial(tool, positional), r"positional\(\): 'city' is positional-only: remove the /"),
        (functools.partial(tool, given), r"given\(\): 'city' is given by the session and stands in the schema too"),
        (functools.partial(tool, star), r"star\(\): 'call' is given by name: remove the / or \*"),
    ]


@pytest.mark.parametrize(("make", "problem"), _misfits(), ids=lambda one: one if isinstance(one, str) else "")
def test_functions_that_do_not_fit_the_schema(make: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        make() if make.func is made else make(parameters=CITY)


@pytest.mark.parametrize(
    ("schema", "arguments", "problem"),
    [
        (CITY, '{"days": 2}', "Object missing required field `city`"),
        (CITY, '{"city": 2}', "Expected `string`, got `integer` - at `$.city`"),
        (CITY, '{"city": "x", "days": 1.0}', "Expected `integer`, got `number` - at `$.days`"),
        (CITY, '{"city": "x", "days": true}', "Expected `integer`, got `boolean` - at `$.days`"),
        (CITY, '{"city": "x", "days": 0}', "Expected a number >= 1 - at `$.days`"),
        (CITY, '{"city": "x", "town": 0}', "Object contains unknown field `town` (there is: city, days)"),
        (CITY, '["x"]', "Expected `object`, got `array`"),
        (CITY, '{"city": "x", "city": "y"}', "the key `city` stands twice in one object"),
        (CITY, '{"city": NaN}', "JSON is malformed: invalid character (byte 9)"),
        (object_of(x={"enum": ["a", "b"]}), '{"x": "c"}', 'Invalid value, it is one of "a","b" - at `$.x`'),
        (object_of(x={"enum": [1]}), '{"x": true}', "Invalid value, it is one of 1 - at `$.x`"),
        (object_of(x={"const": 1}), '{"x": 2}', "Invalid value, it is 1 - at `$.x`"),
        (object_of(x={"type": ["string", "null"]}), '{"x": []}', "Expected `string` or `null`, got `array` - at `$.x`"),
        (object_of(x={"pattern": "^a"}), '{"x": "b"}', 'Expected a string that matches "^a" - at `$.x`'),
        (object_of(x={"format": "date"}), '{"x": "b"}', 'Expected a string of the format "date" - at `$.x`'),
        (object_of(x={"minItems": 2}), '{"x": [1]}', 'It does not satisfy {"minItems":2} - at `$.x`'),
        (object_of(x={"not": {}}), '{"x": 1}', 'It does not satisfy {"not":{}} - at `$.x`'),
        (object_of(x={"items": {"type": "null"}}), '{"x": [null, 1]}', "Expected `null`, got `integer` - at `$.x[1]`"),
        (
            {"type": "object", "unevaluatedProperties": False},
            '{"x": 1}',
            "Object contains a field that nothing in the schema describes",
        ),
        (
            {"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False},
            '{"y": 1, "x-1": 1}',
            "Object contains unknown field `y` (there is: none)",
        ),
        (object_of(x={"multipleOf": 0.1}), '{"x": ' + "9" * 309 + "}", None),
    ],
)
async def test_words_for_the_model(schema: Any, arguments: str, problem: str | None) -> None:
    """Which argument, what is wrong, what would fit."""
    told = await words(schema, arguments)

    assert told == WORDS.format(problem) if problem else told.startswith("Error: the arguments of f do not fit: ")


async def test_words_repeat_no_value_and_no_key() -> None:
    """Neither a secret nor a megabyte of the model's own writing comes back."""
    for schema in (CITY, object_of(city={"enum": ["x"]}), object_of(city={"pattern": "^x$"})):
        told = await words(schema, f'{{"city": ["{KEY}"]}}' if schema is CITY else '{"city": "secret value"}')
        assert "secret value" not in told
        assert KEY not in told

    told = await words(CITY, '{"city": "x", "' + KEY + '": 1}')
    assert "unknown field `[redacted]`" in told

    told = await words(CITY, '{"city": "x", "' + "y" * 100_000 + '": 1}')
    assert len(told) < 300


async def test_recursive_schemas() -> None:
    """References inside of a schema count; how deep arguments go is bounded."""
    tree: dict[str, Any] = {
        "type": "object",
        "properties": {"child": {"$ref": "#/$defs/tree"}},
        "additionalProperties": False,
    }
    schema = {"type": "object", "properties": {"tree": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": tree}}

    assert await Toolbox([made(schema)]).run("f", '{"tree":{"child":{}}}') == ToolOutcome('{"tree":{"child":{}}}')
    assert "unknown field `x`" in await words(schema, '{"tree": {"child": {"x": 1}}}')
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    for arguments, problem in (("{}", "nested too deeply"), ('{"x": 1e999}', "out of range")):
        assert problem in await words(loop, arguments)
    deep = '{"tree": ' + '{"child": ' * 400 + "{}" + "}" * 401
    assert "nested too deeply" in await words(schema, deep)


async def test_formats_that_nobody_checks_only_tell_the_model() -> None:
    schema = object_of(x={"format": "uri"}, at={"format": "date-time"})

    outcome = await Toolbox([made(schema)]).run("f", '{"x": "no uri", "at": "2026-01-02T03:04:05Z"}')

    assert outcome == ToolOutcome('{"x":"no uri","at":"2026-01-02T03:04:05Z"}')


def test_a_tool_error_of_it_is_a_tool_error() -> None:
    """Used without a toolbox, the same words are an exception."""
    with pytest.raises(ToolError, match="missing required field `city`"):
        trio.run(made(CITY).run, "{}")


async def test_a_tool_of_it_keeps_its_schema() -> None:
    """Renaming, and another policy, leave the rest as it was."""
    renamed = tool(made(CITY), name="weather", approve=True)

    assert (renamed.name, renamed.description, renamed.parameters) == ("weather", "Do it.", CITY)
    assert renamed.policy.approve
    other = tool(renamed, parameters=object_of(town={"type": "string"}))
    assert (other.name, other.policy, list(other.parameters["properties"])) == ("weather", renamed.policy, ["town"])
    assert await Toolbox([other]).run("weather", '{"town": "x"}') == ToolOutcome('{"town":"x"}')
    assert await Toolbox([renamed]).run("weather", '{"city": "x"}') == ToolOutcome('{"city":"x"}')


def test_jsonschema_loads_with_the_first_such_tool() -> None:
    """Nobody else waits for it."""
    code = """
import sys
import trio
from realtime_trio import open_session, tool
from realtime_trio.testing import open_scripted_peer
from realtime_trio.tools import Tool

@tool
def f(x: int) -> int:
    return x

async def main():
    async with open_scripted_peer(greet=True) as peer, open_session(connect=peer.connect, url=peer.url, tools=[f]):
        assert "jsonschema" not in sys.modules

trio.run(main)
Tool.from_schema("g", "", {"type": "object"}, lambda arguments: arguments)
assert "jsonschema" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

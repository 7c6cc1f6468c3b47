"""What a model is told of a function: schema, words, and refusals that name the cure."""

import dataclasses
import enum
import functools
import typing
from typing import Annotated, Any, Literal, TypedDict

import attrs
import msgspec
import pytest
import trio

from realtime_trio.errors import ConfigurationError
from realtime_trio.tools.signature import read_signature


class Unit(enum.Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@attrs.frozen
class Place:
    """Where it is."""

    city: str
    country: str = "PE"


@dataclasses.dataclass
class Span:
    days: int


class Stop(msgspec.Struct, tag="stop"):
    reason: str


class Go(msgspec.Struct, tag="go"):
    speed: int


class Options(TypedDict):
    loud: bool


@attrs.define
class Tree:
    label: str
    children: "list[Tree]" = attrs.field(factory=list)


def parameters_of(function: Any) -> dict[str, Any]:
    return read_signature(function).parameters


def property_of(annotation: Any) -> Any:
    def function(x: int) -> None: ...

    function.__annotations__["x"] = annotation
    return parameters_of(function)["properties"]["x"]


def test_plain_function() -> None:
    """Types, defaults and required parameters are those of the signature."""

    def get_weather(city: str, days: int = 3, note: str | None = None) -> str: ...

    expected = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "default": 3},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert expected == parameters_of(get_weather)


def test_no_parameters() -> None:
    """A function without parameters takes an empty object, and nothing in it."""

    def now() -> str: ...

    expected = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert expected == parameters_of(now)


@pytest.mark.parametrize(
    "docstring",
    [
        """Tell the weather.

        It is made up.

        Args:
            city: Name of the city.
            days: How many.

        Returns:
            Words.
        """,
        """Tell the weather.

        It is made up.

        Parameters
        ----------
        city : str
            Name of the city.
        days
            How many.
        """,
        """Tell the weather.

        It is made up.

        :param city: Name of the city.
        :param days: How many.
        :returns: Words.
        """,
    ],
    ids=["google", "numpy", "reST"],
)
def test_docstring(docstring: str) -> None:
    """The three usual manners of docstrings say the same to the model."""

    def get_weather(city: str, days: int) -> str: ...

    get_weather.__doc__ = docstring
    signature = read_signature(get_weather)

    assert signature.description == "Tell the weather.\n\nIt is made up."
    words = {name: told["description"] for name, told in signature.parameters["properties"].items()}
    assert words == {"city": "Name of the city.", "days": "How many."}


def test_annotation_wins_over_docstring() -> None:
    """What stands beside the type is nearer than the docstring."""

    def pick(
        color: Annotated[str, "A colour word"], count: Annotated[int, msgspec.Meta(ge=1, description="How many")]
    ) -> None:
        """Pick.

        Args:
            color: Something else.
            count: Something else.
        """

    assert parameters_of(pick)["properties"] == {
        "color": {"type": "string", "description": "A colour word"},
        "count": {"type": "integer", "minimum": 1, "description": "How many"},
    }


def test_name_and_description_can_be_given() -> None:
    """Given words replace the docstring's; the parameters' words stay."""

    def f(x: int) -> None:
        """Do it.

        Args:
            x: The number.
        """

    signature = read_signature(f, name="do-it", description="Really.")

    assert (signature.name, signature.description) == ("do-it", "Really.")
    assert signature.parameters["properties"]["x"]["description"] == "The number."


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Literal["red", "blue"], {"enum": ["blue", "red"]}),
        (Unit, {"title": "Unit", "enum": ["celsius", "fahrenheit"]}),
        (Span, {"title": "Span", "type": "object", "properties": {"days": {"type": "integer"}}, "required": ["days"]}),
        (
            Place,
            {
                "title": "Place",
                "description": "Where it is.",
                "type": "object",
                "properties": {"city": {"type": "string"}, "country": {"type": "string", "default": "PE"}},
                "required": ["city"],
            },
        ),
        (
            Options,
            {"title": "Options", "type": "object", "properties": {"loud": {"type": "boolean"}}, "required": ["loud"]},
        ),
        (list[Unit], {"type": "array", "items": {"title": "Unit", "enum": ["celsius", "fahrenheit"]}}),
        (Any, {}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    ],
    ids=str,
)
def test_types(annotation: Any, expected: Any) -> None:
    """Every type is told where it is used: nothing points elsewhere."""
    assert expected == property_of(annotation)


def test_tagged_union() -> None:
    """The choices of a union stand in it; nothing of OpenAPI's own is left."""
    told = property_of(Stop | Go)

    assert set(told) == {"anyOf"}
    assert [choice["properties"]["type"] for choice in told["anyOf"]] == [{"enum": ["stop"]}, {"enum": ["go"]}]


def test_recursive_type() -> None:
    """A type that contains itself stays under `$defs`, and every reference has its target."""

    def plant(tree: Tree, beside: Tree | None = None, unit: Unit = Unit.CELSIUS) -> None: ...

    schema = parameters_of(plant)

    assert schema["properties"]["tree"] == {"$ref": "#/$defs/Tree"}
    assert set(schema["$defs"]) == {"Tree"}
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert schema["properties"]["unit"]["default"] == "celsius"


def test_property_names_are_not_keywords() -> None:
    """Fields that are named like keywords of JSON Schema survive the inlining."""

    class Odd(TypedDict):
        discriminator: int
        default: int
        title: int

    def f(title: str, default: int, odd: Odd) -> None: ...

    schema = read_signature(f, names=locals()).parameters

    assert set(schema["properties"]) == {"title", "default", "odd"}
    assert set(schema["properties"]["odd"]["properties"]) == {"discriminator", "default", "title"}


def test_default_that_is_no_json() -> None:
    """A default that the model could not have written is not told, but the parameter stays optional."""
    marker: Any = object()

    def f(x: str = marker, y: str = None, z: float = float("nan")) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert parameters_of(f) == {
        "type": "object",
        "properties": {"x": {"type": "string"}, "y": {"type": "string"}, "z": {"type": "number"}},
        "required": [],
        "additionalProperties": False,
    }


def test_string_annotations() -> None:
    """Annotations that are strings are looked up in the module and in what the function encloses."""

    class Local(enum.Enum):
        A = "a"

    def f(x: "Local", place: "Place | None", y: "list[Annotated[int, 'n']]") -> "Unknown":  # type: ignore[name-defined]  # noqa: F821
        ...

    told = read_signature(f, names={"Local": Local}).parameters["properties"]

    assert told["x"] == {"title": "Local", "enum": ["a"]}
    assert told["place"]["anyOf"][0]["title"] == "Place"
    assert told["y"] == {"type": "array", "items": {"type": "integer"}}


def test_enclosed_names() -> None:
    """A string annotation may name what the function encloses, wherever it is made a tool."""

    class Local(enum.Enum):
        A = "a"

    def f(x: "Local") -> type:
        return Local

    assert parameters_of(f)["properties"]["x"]["enum"] == ["a"]


def test_wrapped_partial_and_bound() -> None:
    """Through wrappers, partials and bound methods the function's own words and types are found."""

    class Shop:
        def sell(self, what: "Unit", count: int) -> None:
            """Sell it."""

        def __call__(self, what: str) -> None:
            """Ask for it."""

    @functools.wraps(Shop.sell)
    def wrapper(*args: Any, **kwargs: Any) -> None: ...

    bound = read_signature(functools.partial(Shop().sell, count=3), name="sell")
    assert bound.description == "Sell it."
    assert bound.parameters["properties"]["what"]["title"] == "Unit"
    assert bound.parameters["properties"]["count"] == {"type": "integer", "default": 3}
    assert read_signature(Shop(), name="ask").description == "Ask for it."
    assert read_signature(wrapper).is_method


def _all_refused() -> list[tuple[Any, str]]:  # noqa: C901  (a list of small functions)
    def star(*cities: str) -> None: ...
    def stars(**options: str) -> None: ...
    def positional(x: int, /) -> None: ...
    def untyped(x) -> None: ...  # type: ignore[no-untyped-def]
    def unsupported(x: complex) -> None: ...
    def two_classes(x: Place | Span) -> None: ...
    def unknown(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def broken(x: "list[") -> None: ...  # type: ignore[valid-type]  # noqa: F722
    def generator(x: int) -> typing.Iterator[int]:
        yield x

    async def async_generator(x: int) -> typing.AsyncIterator[int]:
        await trio.lowlevel.checkpoint()
        yield x

    return [
        (star, r"star\(\): \*cities .*cities: list"),
        (stars, r"stars\(\): \*\*options .*dict\[str"),
        (positional, r"positional\(\): 'x' is positional-only.*remove the /"),
        (untyped, r"untyped\(\): parameter 'x' has no type: annotate it"),
        (unsupported, r"unsupported\(\): parameter 'x' of type complex cannot be described.*Use str"),
        (two_classes, r"two_classes\(\): parameter 'x' of type .*Place \| .*more than one"),
        (unknown, r"unknown\(\): the type of parameter 'x'.*Nowhere.*TYPE_CHECKING"),
        (broken, r"broken\(\): the type of parameter 'x' cannot be resolved"),
        (generator, r"generator\(\) is a generator"),
        (async_generator, r"async_generator\(\) is a generator"),
        (lambda: None, r"'<lambda>' is no name for a tool.*name='get_weather'"),
        (functools.partial(star), r"has no name"),
    ]


@pytest.mark.parametrize(("function", "words"), _all_refused(), ids=lambda one: one if isinstance(one, str) else "")
def test_refused(function: Any, words: str) -> None:
    """What cannot be described is refused when it is declared: the function, the parameter, the cure."""
    with pytest.raises(ConfigurationError, match=words):
        read_signature(function)


@pytest.mark.parametrize("name", ["", "with space", "x" * 65, "get.weather", "naïve"])
def test_names_that_the_api_refuses(name: str) -> None:
    """A name that the server would refuse is refused here."""

    def f() -> None: ...

    with pytest.raises(ConfigurationError, match="name"):
        read_signature(f, name=name)


def test_a_callable_without_a_signature() -> None:
    """Some builtins do not say what they take."""

    def f() -> None: ...

    f.__signature__ = "none"  # type: ignore[attr-defined]

    with pytest.raises(ConfigurationError, match=r"f\(\) has no signature .* wrap it"):
        read_signature(f)


def test_a_docstring_that_no_manner_allows() -> None:
    """Then all of it is the description."""

    def f(x: int) -> None: ...

    f.__doc__ = ":param: what"

    signature = read_signature(f)
    assert signature.description == ":param: what"
    assert signature.parameters["properties"] == {"x": {"type": "integer"}}


def test_annotations_that_are_no_words() -> None:
    """Notes for other readers are passed over; what the function encloses but has not assigned yet, too."""

    def outer() -> Any:
        def f(x: "Annotated[int, 5, 'words']", y: Annotated[int, None]) -> Any:
            return later

        told = parameters_of(f)["properties"]
        later = None
        return told

    assert outer() == {"x": {"type": "integer", "description": "words"}, "y": {"type": "integer"}}

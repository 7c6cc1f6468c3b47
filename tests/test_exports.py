"""What can be imported is listed, is there, and says what it does, and what a cancellation does to it."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import realtime_trio

HOME = Path(realtime_trio.__file__).parent


PATHS = {
    ".".join(path.parts[:-1] if path.name == "__init__" else path.parts): HOME.parent / path.with_suffix(".py")
    for path in (path.relative_to(HOME.parent).with_suffix("") for path in sorted(HOME.rglob("*.py")))
}
PUBLIC = [name for name in PATHS if not any(part.startswith("_") for part in name.split("."))]
FACES = [name for name in PUBLIC if name.count(".") <= 1]  # where users import from: not the files inside a package


def exported(module_name: str) -> Iterator[tuple[str, Any]]:
    """Yield the classes and functions of ours that a module lists in `__all__`, by dotted name."""
    module = importlib.import_module(module_name)
    for name in module.__all__:
        value = getattr(module, name)
        ours = getattr(value, "__module__", "").partition(".")[0] == "realtime_trio"
        if ours and (inspect.isclass(value) or inspect.isfunction(value)):
            yield f"{module_name}.{name}", value


def methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class itself defines."""
    for name, value in vars(cls).items():
        if name.startswith("_"):
            continue
        function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if inspect.isfunction(function) or isinstance(function, property):
            yield name, function


def waits(function: Any) -> bool:
    """Tell whether a caller awaits, or enters with `async with`, what this function returns."""
    return (
        inspect.iscoroutinefunction(function)
        or inspect.isasyncgenfunction(function)
        or inspect.isasyncgenfunction(getattr(function, "__wrapped__", None))
    )


@pytest.mark.parametrize("module_name", PUBLIC)
def test_all_lists_what_is_there_and_nothing_twice(module_name):
    """`__all__` is the list of what we promise."""
    names = importlib.import_module(module_name).__all__

    assert [name for name in names if not hasattr(importlib.import_module(module_name), name)] == []
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_module_says_its_job(path):
    """All of them, also those that only ever run as a program (so they are read here, not imported)."""
    assert (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()


@pytest.mark.parametrize("module_name", PUBLIC)
def test_what_is_exported_is_described(module_name):
    """Each class, function, method and property, with the class's own words, not those of a base class."""
    silent = []
    for name, value in exported(module_name):
        if not (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__):
            silent.append(name)
        if inspect.isclass(value):
            silent += [f"{name}.{method}" for method, _ in methods(value) if not inspect.getdoc(getattr(value, method))]

    assert silent == []


@pytest.mark.parametrize("module_name", FACES)
def test_what_waits_says_what_cancelling_does(module_name):
    """A caller of a Trio library has to know whether a cancelled call consumed or changed anything."""
    silent = []
    for name, value in exported(module_name):
        if inspect.isclass(value):
            waiting = [(f"{name}.{method}", each) for method, each in methods(value) if waits(each)]
        else:
            waiting = [(name, value)] if waits(value) else []
        silent += [each for each, function in waiting if "Cancellation:" not in (inspect.getdoc(function) or "")]

    assert silent == []

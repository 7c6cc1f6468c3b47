"""What `import realtime_trio` gives: every name, from where type checkers think it comes, and only when asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import realtime_trio


def typed_imports() -> dict[str, str]:
    """The names that type checkers see, with the module of each."""
    tree = ast.parse(Path(realtime_trio.__file__).read_text())
    return {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
        if alias.name != "__version__"
    }


def test_the_lazy_names_are_those_that_type_checkers_see():
    """The three lists in the face agree."""
    assert realtime_trio._HOME == typed_imports()
    assert {*realtime_trio._HOME, "__version__"} == set(realtime_trio.__all__)


@pytest.mark.parametrize("name", realtime_trio.__all__)
def test_every_name_is_there(name):
    """Also in dir(), for whoever explores it."""
    assert getattr(realtime_trio, name) is not None
    assert name in dir(realtime_trio)


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="open_sesion"):
        realtime_trio.open_sesion  # noqa: B018


@pytest.mark.parametrize(
    ("what", "absent"),
    [
        ("import realtime_trio", ("trio", "msgspec", "attrs", "numpy")),
        ("import realtime_trio.events", ("trio", "numpy")),
        (
            "from realtime_trio import open_session, tool",
            ("numpy", "soxr", "sounddevice", "docstring_parser", "jsonschema"),
        ),
    ],
)
def test_what_is_not_needed_is_not_loaded(what, absent):
    """Importing is quick because it does little."""
    code = f"import sys; {what}; sys.exit(', '.join(sorted(set({absent!r}) & set(sys.modules))) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")

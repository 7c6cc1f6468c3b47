"""What was packed: all of the package, nothing else, and what a user's pip gets to know. (Under nox: of the wheel.)"""

import itertools
import re
import tomllib
from importlib import metadata
from pathlib import Path

import realtime_trio

HOME = Path(realtime_trio.__file__).parent
CHECKOUT = Path(__file__).parent.parent


def files(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_no_file_was_left_behind():
    """A flat layout hides a missing file until somebody installs: the checkout has it anyway."""
    assert files(CHECKOUT / "realtime_trio") == files(HOME)


def test_type_checkers_see_our_types():
    assert "py.typed" in files(HOME)


def test_the_distribution_brings_nothing_but_the_package():
    tops = {path.parts[0] for path in metadata.files("realtime_trio") or [] if not path.parts[0].startswith("..")}

    strangers = {top for top in tops if not re.match(r"_?_?(editable|realtime_trio)", top)}
    assert strangers - {"__pycache__"} == set()


def test_a_plain_installation_needs_no_speech_and_no_test_tools():
    required = {
        re.split(r"[^A-Za-z0-9_-]", line)[0]
        for line in metadata.requires("realtime_trio") or []
        if "extra ==" not in line
    }

    assert {"trio", "trio-websocket", "msgspec", "attrs"} <= required
    assert required & {"pytest", "openai", "pocketsphinx", "espeakng-loader", "pydantic"} == set()


def test_dependencies_are_bounded():
    """Each from below, and those whose version 0.x may change anything from above; Trio announces what it removes."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    for line in (*project["dependencies"], *itertools.chain.from_iterable(project["optional-dependencies"].values())):
        name, bounds = re.match(r"([A-Za-z0-9._-]+)(?:\[.*?\])?([^;]*)", line).groups()
        assert ">=" in bounds, line
        if re.search(r">=0\.", bounds) and name != "trio":
            assert "<" in bounds, line


def test_the_version_is_the_one_that_was_packed():
    assert realtime_trio.__version__ == metadata.version("realtime_trio")

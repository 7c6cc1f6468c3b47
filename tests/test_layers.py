"""Who may import whom: the table of layers in docs/design.md, held against every import statement of the package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import realtime_trio

HOME = Path(realtime_trio.__file__).parent

# From the bottom up. A module may import its own group and every layer above it in this list, but not the other groups
# of its own layer. A new module of the package's root needs a place here: that is a decision, not a default.
LAYERS: list[list[set[str]]] = [
    [{"errors", "events", "_version"}],
    [{"core"}],
    [
        {
            "config",
            "hiding",
            "transport",
            "connection",
            "connection_statistics",
            "log_words",
            "nursery",
            "outgoing",
            "send_queue",
        }
    ],
    [{"device", "session", "response"}],
    [{"audio"}, {"tools", "mcp"}, {"http"}],
    [{"recording"}, {"telemetry"}],
    [{"opening"}],
    [{""}],  # realtime_trio/__init__.py
    [{"server"}],
    [{"testing"}],
    [{"demo"}, {"replay"}],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for group in layer for module in group}
GROUP = {module: group for layer in LAYERS for group in layer for module in group}
# open_server can be imported from the package itself, but loads when it is asked for (the last test here proves it)
DOORS = {("", "server")}
OUTSIDE = {"server", "testing", "demo", "replay"}
WEBSOCKET_USERS = {"transport.client", "transport.serving", "transport.websocket"}
# what a pure layer may not know: clocks, tasks, threads, sockets
IMPURE = {
    "trio",
    "anyio",
    "asyncio",
    "time",
    "datetime",
    "threading",
    "socket",
    "ssl",
    "select",
    "subprocess",
    "logging",
}
HEAVY = {"mcp", "sounddevice", "numpy", "soxr", "pocketsphinx", "espeakng_loader", "pywebrtc_audio"}


def modules() -> dict[str, Path]:
    """Find every module of the package under its dotted name without the package's own: `core.playout`."""
    found = {}
    for path in sorted(HOME.rglob("*.py")):
        parts = path.relative_to(HOME).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(module: str) -> Iterator[tuple[int, str, str | None]]:
    """Yield (line, absolute module, imported name) for every import, also those inside functions."""
    path = MODULES[module]
    package = ["realtime_trio", *filter(None, module.split("."))]
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, target, alias.name


def ours(target: str, name: str | None) -> tuple[str, str | None] | None:
    """Name the module of ours that is imported, and the name taken from it; None for somebody else's."""
    top, _, rest = target.partition(".")
    if top != "realtime_trio":
        return None
    inside = f"{rest}.{name}" if rest else name
    if name is not None and inside in MODULES:
        return inside, None
    return rest, name


def top(module: str) -> str:
    return module.partition(".")[0]


def public_names(module: str) -> set[str]:
    for node in ast.parse(MODULES[module].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def test_the_modules_are_found():
    assert {"", "errors", "events", "core"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_in_a_layer(module):
    """A module that nobody put into a layer would be free to import anything."""
    assert top(module) in RANK, f"add {top(module)!r} to LAYERS, in docs/design.md too"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    """A layer imports itself and what is below it; devices and tools do not know each other."""
    wrong = []
    for line, target, name in imports(module):
        found = ours(target, name)
        if found is None:
            continue
        other = top(found[0])
        upward = RANK[other] >= RANK[top(module)] and other not in GROUP[top(module)]
        if upward and (module, other) not in DOORS:
            wrong.append(f"line {line}: {module or '__init__'} imports {found[0] or 'the package itself'}")

    assert wrong == []


@pytest.mark.parametrize("module", [module for module in MODULES if top(module) in OUTSIDE])
def test_the_outside_uses_public_names_only(module):
    """The server, the test kit and the demo get nothing that a user does not get."""
    wrong = []
    for line, target, name in imports(module):
        found = ours(target, name)
        if found is None or top(found[0]) == top(module):
            continue
        other, taken = found
        private = any(part.startswith("_") for part in other.split("."))
        if private or (taken is not None and taken not in public_names(other)):
            wrong.append(f"line {line}: {other}.{taken}")

    assert wrong == []


@pytest.mark.parametrize("module", [module for module in MODULES if top(module) in {"core", "events", "errors"}])
def test_pure_layers_know_no_clock_and_no_task(module):
    assert [] == [(line, target) for line, target, _ in imports(module) if target.partition(".")[0] in IMPURE]


def test_the_transport_alone_speaks_websocket():
    """A second transport can only come if nobody but the transport knows the first."""
    users = {
        module
        for module in MODULES
        for _, target, _ in imports(module)
        if target.partition(".")[0] in {"trio_websocket", "wsproto"}
    }

    assert users == WEBSOCKET_USERS


def test_importing_the_package_loads_no_device_and_no_speech():
    """It has to work, and quickly, on a machine without a sound card."""
    script = "import realtime_trio, sys; print('\\n'.join(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    loaded = set(answer.stdout.split())

    assert "realtime_trio._version" in loaded
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith(("realtime_trio.server", "realtime_trio.demo"))} == set()

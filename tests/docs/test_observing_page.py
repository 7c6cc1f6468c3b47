"""The programs in docs/observing.md run, one after the other, against the offline server; its tables are the code's."""

import ast
import inspect
import logging
import re
from pathlib import Path

import attrs
import pytest
import trio

import realtime_trio
from realtime_trio import SessionStatistics, open_server

PAGE = (Path(__file__).parents[2] / "docs" / "observing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
LIMIT = 60  # seconds


@pytest.fixture
def _logging_as_before():
    """Undo what the page configures."""
    before = {name: logging.getLogger(name).level for name in (None, "realtime_trio")}
    handlers = logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.usefixtures("_logging_as_before")
async def test_the_page_runs(monkeypatch, capsys, caplog):
    names = {}
    with trio.fail_after(LIMIT):
        async with open_server(recogniser="none") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            for block in BLOCKS:
                code = compile(block, "docs/observing.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                coroutine = eval(code, names)  # noqa: S307 - our own documentation
                if inspect.iscoroutine(coroutine):
                    await coroutine
    said = capsys.readouterr().out.splitlines()

    assert re.fullmatch(r"1 responses, 0 tool calls, \d+ tokens", said[0])
    assert re.fullmatch(r"link: \d+ s old, \d+ events in, 0 wait to go out", said[1])
    told = names["telemetry"].statistics()
    assert told.done > 5
    assert told.failed == told.dropped == 0
    assert any("is open: " in record.getMessage() for record in caplog.records)


def test_every_figure_is_on_the_page():
    table = PAGE.partition("## Statistics")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?:`(\w+)` )?\| (.*?) \| .*?\|$", table, flags=re.MULTILINE)
    told, group = {}, ""
    for name, figures in rows:
        group = name or group
        told.setdefault(group, []).extend(re.findall(r"`(\w+)`", figures))
    kinds = {field.name: field.type for field in attrs.fields(SessionStatistics)}
    usage = kinds.pop("usage")

    assert usage.__name__ == "SessionUsage"
    assert told.pop("usage", None) is not None
    told["tools"].remove("open")  # which is reckoned
    assert told == {name: [field.name for field in attrs.fields(kind)] for name, kind in kinds.items()}


def test_every_name_of_telemetry_is_on_the_page():
    """Nothing is measured, and no span has an attribute, that the page does not name."""
    home = Path(realtime_trio.__file__).parent / "telemetry"
    text = "".join(path.read_text(encoding="utf-8") for path in home.glob("*.py"))
    names = set(re.findall(r'"((?:realtime_trio|gen_ai)(?:\.\w+)+)"', text))
    table = PAGE.partition("## OpenTelemetry")[2]
    shown = set(re.findall(r"`([\w.{} ]+)`", table))
    for row in re.findall(r"^\|.*\|$", table, flags=re.MULTILINE):  # `a.b`, `.c` stands for a.c
        stem = ""
        for name in re.findall(r"`([\w.]+)`", row):
            if name.startswith("."):
                shown.add(stem + name)
            elif "." in name:
                stem = name.rpartition(".")[0]
    in_all = {"gen_ai.provider.name", "gen_ai.operation.name", "gen_ai.request.model", "gen_ai.request.stream"}
    not_names = {"realtime_trio.telemetry", "realtime_trio.session.opened"}
    missing = {name for name in names - shown - in_all - not_names if not name.startswith("gen_ai.usage.")}

    assert len(names) > 30
    assert missing == set()

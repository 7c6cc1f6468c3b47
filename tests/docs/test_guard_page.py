"""What docs/guard.md shows: the program runs against the offline server, and the defaults are those of the code."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import trio

from realtime_trio import open_server, open_session

PAGE = (Path(__file__).parents[2] / "docs" / "guard.md").read_text(encoding="utf-8")
LIMIT = 60  # seconds


@pytest.mark.slow
async def test_the_page_runs(monkeypatch, capsys):
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    names = {}
    with trio.fail_after(LIMIT):
        async with open_server(recogniser="none") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            code = compile(block, "docs/guard.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, names)  # noqa: S307 - our own documentation
            assert inspect.iscoroutine(running)
            await running

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("One, two, ")
    assert "thirteen" not in shown[0]
    assert shown[1] == "Stop(reason='an unlucky number', instead='I would rather stop here.')"


def test_the_defaults_on_the_page_are_those_of_open_session():
    defaults = inspect.signature(open_session).parameters
    assert f"`guard_lead_ms`: {defaults['guard_lead_ms'].default}." in PAGE
    assert f"`guard_timeout` ({defaults['guard_timeout'].default:g} s)" in PAGE

"""The programs in docs/tools.md run, one after the other, against the offline server; the page itself is what runs."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import trio

from realtime_trio import ToolPolicy, open_server

PAGE = (Path(__file__).parents[2] / "docs" / "tools.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
LIMIT = 60  # seconds


async def run(block, names):
    """Run a piece of the page as a notebook would, where `await` needs no function around it."""
    code = compile(block, "docs/tools.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    coroutine = eval(code, names)  # noqa: S307 - our own documentation
    if inspect.iscoroutine(coroutine):
        await coroutine


@pytest.mark.slow
async def test_the_page_runs(monkeypatch):
    names = {}
    said = []
    with trio.fail_after(LIMIT):
        async with open_server(recogniser="none") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            for block in BLOCKS:
                await run(block, names)
                if "session.ask" in block:
                    said.append([(call.name, call.output) for call in names["reply"].tool_calls])

    assert said[:4] == [
        [("get_weather", '{"celsius":21.5}')],
        [("find", '["lunch at noon"]')],
        [("book_train", "Rome to Pisa: booked")],
        [("read_meter", "42")],
    ]
    assert names["play_music"].policy == ToolPolicy(timeout=10)


def test_every_policy_stands_in_the_table():
    """With its default."""
    for field in ToolPolicy.__attrs_attrs__:
        assert re.search(rf"^\| `{field.name}={re.escape(repr(field.default))}`", PAGE.replace('"', "'"), re.MULTILINE)

"""The programs in docs/mcp.md run against the offline server; the page itself is what runs."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import trio

from realtime_trio import open_server

PAGE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
SERVER, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
LIMIT = 60  # seconds


async def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word} is three"


@pytest.mark.slow
async def test_the_page_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weather_server.py").write_text(SERVER, encoding="utf-8")
    names, outputs = {}, []
    with trio.fail_after(LIMIT):
        async with open_server(recogniser="none", mcp={"docs": [look_up]}) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            for block in BLOCKS:
                coroutine = eval(compile(block, "docs/mcp.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)  # noqa: S307 our own page
                assert inspect.iscoroutine(coroutine)
                await coroutine
                outputs.append([(call.name, call.output) for call in names["reply"].tool_calls])

    assert outputs == [[("get_weather", '{"celsius":21.5}')], [("look_up", "trio is three")]]

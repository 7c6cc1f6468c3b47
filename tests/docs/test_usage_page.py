"""The programs in docs/usage.md run, one after the other, against the offline server; its tables are the code's."""

import ast
import inspect
import re
from pathlib import Path

import pytest
import trio

from realtime_trio import open_server
from realtime_trio.core.failures import CLASSES

PAGE = (Path(__file__).parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
LIMIT = 60  # seconds


async def test_the_page_runs(monkeypatch, capsys):
    names = {}
    with trio.fail_after(LIMIT):
        async with open_server(recogniser="none") as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            for block in BLOCKS:
                code = compile(block, "docs/usage.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                coroutine = eval(code, names)  # noqa: S307 - our own documentation
                if inspect.iscoroutine(coroutine):
                    await coroutine
    said = capsys.readouterr().out.splitlines()

    assert len(BLOCKS) == 4
    assert re.fullmatch(r"\d+ \d+ 0 0 0", said[0])
    assert re.fullmatch(r"0\.\d+ of 0\.\d+ EUR", said[2])
    assert said[3:] == ["12 times 3 is 36.", "12 times 3 is 36.", "turns: 2 of 2", "None"]


@pytest.mark.parametrize("made", sorted({made.__name__ for made in CLASSES.values()}))
def test_the_table_of_failures_is_the_codes(made):
    (row,) = re.findall(rf"^\| `{made}` \| (.*?) \| (.*?) \|$", PAGE, flags=re.MULTILINE)

    assert re.findall(r"`(\w+)`", row[0]) == [code for code, kind in CLASSES.items() if kind.__name__ == made]
    assert (row[1] == "no") == next(kind.is_final for kind in CLASSES.values() if kind.__name__ == made)

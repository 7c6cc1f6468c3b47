"""The programs in docs/reconnecting.md run, one after the other, on the offline server; its tables are the code's."""

import ast
import inspect
import re
from pathlib import Path

import attrs
import pytest
import trio

from realtime_trio import LinkLost, Reconnected, ReconnectPolicy, open_session
from realtime_trio.core.reconnect import Fatal, Retry, verdict
from realtime_trio.errors import ConnectionClosed, Refused
from realtime_trio.server import open_server

PAGE = (Path(__file__).parents[2] / "docs" / "reconnecting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
LIMIT = 60  # seconds


async def test_the_page_runs(capsys):
    names = {}
    with trio.fail_after(LIMIT):
        for block in BLOCKS:
            code = compile(block, "docs/reconnecting.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            coroutine = eval(code, names)  # noqa: S307 - our own documentation
            if inspect.iscoroutine(coroutine):
                await coroutine
    said = capsys.readouterr().out.splitlines()

    assert len(BLOCKS) == 2
    assert said == [
        "12 times 3 is 36.",
        "lost: 1006",
        "lost: back at attempt 1, 2 items restored",
        "6 times 7 is 42.",
    ]
    assert names["patient"].attempts == 20


def test_the_table_of_the_policy_is_the_policys():
    rows = re.findall(r"^\| `([a-z_]+)` \| (\S+) \| ", PAGE, flags=re.MULTILINE)

    assert rows == [(field.name, str(field.default)) for field in attrs.fields(ReconnectPolicy)]


def row(words):
    """Give both sides of the one row that begins like this."""
    ((what, becomes),) = re.findall(rf"^\| ({words}.*?) \| (.*?) \|$", PAGE, flags=re.MULTILINE)
    return what, becomes


def numbers(text):
    """Give the numbers that a text names, ranges with all that is in them."""
    found = set()
    for first, last in re.findall(r"\b(\d{3,4})(?: to (\d{3,4}))?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize(("words", "outcome"), [("the link is gone", Retry()), ("close 1000", Fatal())])
def test_the_close_codes_are_judged_as_the_page_says(words, outcome):
    codes = numbers(row(words)[0])

    assert len(codes) > 6
    assert {code for code in codes if verdict(ConnectionClosed(code)) != outcome} == set()


def test_every_close_code_that_can_come_is_on_the_page():
    possible = {*range(1000, 1004), *range(1005, 1016), *range(3000, 5000)}

    assert numbers(row("the link is gone")[0]) | numbers(row("close 1000")[0]) == possible


def test_the_http_statuses_are_judged_as_the_page_says():
    again = numbers(row("no name")[0])
    final = numbers(row("HTTP 400")[0].partition(";")[0])

    assert {408, 425, 429} == again
    assert {status for status in (*again, 500, 503) if verdict(Refused("", status=status)) != Retry()} == set()
    assert {status for status in (*final, 499) if verdict(Refused("", status=status)) != Fatal()} == set()
    assert verdict(Refused("", status=429, body="insufficient_quota")) == Fatal()


@pytest.mark.parametrize("notice", [LinkLost, Reconnected])
def test_every_word_of_a_notice_on_the_page_is_one(notice):
    told = set(re.findall(rf"`{notice.__name__}[.(](\w+)", PAGE))

    assert told <= {field.name for field in attrs.fields(notice)}


async def test_an_hour_of_twenty_seconds_goes_over(autojump_clock):
    """As the page's last words have it."""
    async with (
        open_server(listen=False, session_seconds=20) as server,
        open_session(connect=server.connect) as session,
        session.events(LinkLost, Reconnected) as notices,
    ):
        await session.ask("2+2")
        begun = trio.current_time()
        reports = [await anext(notices) for _ in range(3)]

        assert 3 * 17 < trio.current_time() - begun < 3 * 20
        assert [(report.reason, report.gap_ms, report.restored) for report in reports] == [("age", 0, 2)] * 3

"""Recordings of sessions that went over several links: one was lost, one was replaced in time."""

from contextlib import asynccontextmanager

import pytest

from realtime_trio import ConnectError, Reconnected, open_server, open_session
from realtime_trio.recording import read_recording
from realtime_trio.replay import check, tell, timeline
from realtime_trio.testing import session_from_recording

from .talks import talk_over_links

PARIS, LIMA = (f'"What is the weather in {city}?"' for city in ("Paris", "Lima"))


async def test_the_story_is_one(folder, autojump_clock):
    """Whoever was told of it anew is not told of it twice; what the user said stands where it was said."""
    await talk_over_links(folder)

    story = tell(read_recording(folder))
    said = [turn.text for turn in story.turns if turn.who == "user" and turn.text]
    assert said == [
        "What is the weather in Paris?",
        "count to twenty",
        "what is twelve times three",
        "What is the weather in Lima?",
    ]
    assert [(run.name, run.output is not None) for run in story.tools] == [("get_weather", True)] * 2
    spoken = [turn for turn in story.turns if turn.who == "user" and turn.spoken and turn.text]
    assert [turn.until - turn.at for turn in spoken] == pytest.approx([1.0, 1.0], abs=0.15)


async def test_the_links_are_told_of(folder, autojump_clock):
    await talk_over_links(folder)

    lines = [moment for moment in timeline(tell(read_recording(folder))) if moment.who.startswith(("link", "Re", "Li"))]
    words = [(line.who, line.words, line.wrong) for line in lines]
    new = [(index, words) for index, (who, words, _) in enumerate(words) if who == "Reconnected"]
    # the first attempt waits up to 125 ms
    assert [line.split(",")[0].replace("0.1 s", "0.0 s") for _, line in new] == [
        "a new link after 0.0 s",
        "a new link in the place of one that was old",
    ]
    assert [who for who, _, wrong in words if wrong] == ["link 1"]
    connected = [words.index((f"link {number}", "connected", False)) for number in (1, 2, 3)]
    assert connected[1] < new[0][0] < connected[2] < new[1][0] < words.index(("link 2", "closed by this side", False))


async def test_an_attempt_that_failed_is_told_of(folder, autojump_clock):
    """In words of its own: there was no link that could have been closed."""
    failures = []

    @asynccontextmanager
    async def connect(target):
        if len(failures) < 2 and server_dropped:
            failures.append(ConnectError("no connection to anywhere"))
            raise failures[-1]
        async with server.connect(target) as stream:
            yield stream

    server_dropped = False
    async with (
        open_server(listen=False) as server,
        open_session(connect=connect, url=server.url, record=folder) as session,
        session.events(Reconnected) as reconnected,
    ):
        server_dropped = True
        server.drop_sessions()
        await reconnected.receive()

    words = [f"{one.what} {one.words}" for one in tell(read_recording(folder)).troubles]
    assert [line for line in words if "opened" in line] == [
        "link 2 not opened: no connection to anywhere",
        "link 3 not opened: no connection to anywhere",
    ]
    assert "link 1 closed: 1006 the link was lost" in words
    assert "link 4 closed by this side" in words


async def test_a_check_finds_the_loss_and_nothing_else(folder, autojump_clock):
    await talk_over_links(folder)

    found = [(finding.kind, finding.words) for finding in check(read_recording(folder))]
    assert [words.split(":")[0] for _, words in found] == ["link 1"]


async def test_it_happens_again(folder, tmp_path, autojump_clock):
    """Each link's part is played on a link of its own, also while two are open."""
    await talk_over_links(folder)
    async with session_from_recording(folder, record=tmp_path / "again") as replayed:
        await replayed.finished()

    then, now = (tell(read_recording(path)) for path in (folder, tmp_path / "again"))
    assert len(replayed.peers) == 3
    assert [(turn.who, turn.text) for turn in now.turns] == [(turn.who, turn.text) for turn in then.turns]
    assert [part.samples for part in now.parts] == [part.samples for part in then.parts]

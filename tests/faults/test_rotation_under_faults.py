"""Links that are replaced because of their age, while one of the two fails: nothing is lost with either."""

import attrs
import pytest
import trio

from realtime_trio import ReconnectPolicy
from realtime_trio.testing import Cut, Fault, Reset, Stall

from .conversations import CONVERSATIONS, Talk
from .faults import Trouble
from .judging import complaints
from .playing import Outcome, play

SOON = ReconnectPolicy(max_age=5)
NOW_AND_THEN = ReconnectPolicy(max_age=7)


def play_against(name: str, trouble: Trouble) -> Outcome:
    outcome = play(CONVERSATIONS[name], trouble, seed=name)
    assert complaints(outcome, play(CONVERSATIONS[name], seed=name)) == []
    return outcome


def test_what_is_said_while_nothing_gets_through_is_not_lost_with_a_swap() -> None:
    """The old link is dead, and nobody knows it yet when its time has come: the new one is told what was said."""
    outcome = play_against("barging_in", Trouble({1: (Stall(direction="up", after=2715),)}, SOON))
    assert outcome.lost == []
    assert outcome.reconnected[0].reason == "age"


@pytest.mark.parametrize("fault", [Cut, Reset, Stall])
@pytest.mark.parametrize("after", [0, 1500, 3900])
def test_a_link_that_fails_before_it_carries_the_session_is_replaced(fault: type[Fault], after: int) -> None:
    outcome = play_against("by_voice", Trouble({2: (fault(after=after),)}, NOW_AND_THEN))
    assert "age" in [one.reason for one in outcome.reconnected]


@pytest.mark.parametrize("kilobytes", range(410, 470, 12))
def test_the_old_link_fails_while_the_next_is_prepared(kilobytes: int) -> None:
    """It is opened half a second or so before it is wanted."""
    outcome = play_against("by_voice", Trouble({1: (Cut(direction="up", after=kilobytes * 1000),)}, NOW_AND_THEN))
    assert outcome.reconnected


def test_the_server_ends_each_session_itself() -> None:
    """It says how old one may become, and so none does."""
    outcome = play_against("by_voice", Trouble({}, session_seconds=5))
    assert {one.reason for one in outcome.reconnected} == {"age"}
    assert outcome.lost == []


def test_a_quiet_session_takes_little_along_from_link_to_link() -> None:
    """Nobody speaks for a minute, and each link is told a second or two of that, not all that is kept."""

    async def wait(talk: Talk) -> None:
        await talk.say("what is six times seven")
        await trio.sleep(60)

    outcome = play(attrs.evolve(CONVERSATIONS["by_voice"], body=wait), Trouble({}, SOON), seed="quiet")
    assert len(outcome.reconnected) > 10
    assert {one.dropped_audio_ms for one in outcome.reconnected} == {0}
    second = 64_000 + 2000  # bytes on the wire, and what is around them
    assert max(up for up, _ in outcome.totals[1:]) < 8 * second

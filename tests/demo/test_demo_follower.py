"""What goes on in a session becomes lines and a record, also when it is odd."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
import trio

from realtime_trio import events
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.interruption import Interrupted as CutPart
from realtime_trio.core.seeds import LeftOut
from realtime_trio.demo.follower import Follower
from realtime_trio.demo.lines import Lines
from realtime_trio.demo.record import Record, Turn
from realtime_trio.demo.summary import summary
from realtime_trio.errors import ConnectionClosed, NotAcknowledged, RemoteProtocolError, ResponseFailed, ServerError
from realtime_trio.session import (
    AudioDropped,
    BudgetSpent,
    BudgetWarning,
    Interrupted,
    Interruption,
    Lagged,
    LinkLost,
    NotAnEvent,
    Reconnected,
    ReplyLost,
    Response,
    ResponseNotCompleted,
    SessionUsage,
    Tokens,
    ToolFailed,
    ToolFinished,
    ToolStarted,
    TranscriptionTotal,
)
from realtime_trio.session.latency import Stages


class NoSession:
    """A session in which nothing happens: the tests say what does."""

    def __init__(self):
        self.conversation = Conversation()

    def events(self, *, size):
        return None

    def responses(self):
        return None


class Watched:
    def __init__(self):
        self.text = ""
        self.record = Record()
        self.lines = Lines(self._write, now=lambda: 0.0)
        self.follower = Follower(NoSession(), self.lines, self.record)

    def _write(self, text):
        self.text += text

    def tell(self, *happened):
        for event in happened:
            self.follower.handle(event)

    @property
    def said(self):
        self.lines.flush()
        return [" ".join(line.split()[2:]) for line in self.text.splitlines()]


@pytest.fixture
async def watched() -> Watched:
    return Watched()


def words(delta, *, response="resp_1", item="item_1"):
    return events.ResponseOutputAudioTranscriptDelta(
        event_id="", response_id=response, item_id=item, output_index=0, content_index=0, delta=delta
    )


def sound(ms, *, response="resp_1", item="item_1"):
    return events.ResponseOutputAudioDelta(
        event_id="", response_id=response, item_id=item, output_index=0, content_index=0, delta=bytes(48 * ms)
    )


def done(status="completed", *, response="resp_1", error=events.UNSET):
    details = events.StatusDetails(type=status, error=error)
    return events.ResponseDone(
        event_id="", response=events.Response(id=response, status=status, status_details=details)
    )


def interrupted(*, cut_ms, received_ms, reason="speech_started", generated="", heard=""):
    part = CutPart("resp_1", "item_1", 0, cut_ms, cut_ms, received_ms, generated, heard)
    return Interrupted(Interruption(reason, ("resp_1",), (part,)))


async def test_a_late_transcript_stands_before_its_answer(watched):
    watched.tell(
        events.InputAudioBufferSpeechStarted(event_id="", item_id="u", audio_start_ms=0),
        events.InputAudioBufferSpeechStopped(event_id="", item_id="u", audio_end_ms=900),
        events.InputAudioBufferCommitted(event_id="", item_id="u"),
        words("Half past two."),
        events.ConversationItemInputAudioTranscriptionCompleted(
            event_id="",
            item_id="u",
            content_index=0,
            transcript="what time is it",
            usage=events.DurationUsage(seconds=1),
        ),
        done(),
    )

    assert watched.said == ["user what time is it", "assistant Half past two."]
    assert [turn.said for turn in watched.record.turns] == ["what time is it"]


async def test_an_interruption_says_what_was_heard_and_what_was_not(watched):
    watched.tell(words("One, "), sound(300), words("two, "), sound(300), words("three."), sound(300))
    watched.tell(
        interrupted(cut_ms=450, received_ms=900, generated="One, two, three.", heard="One, two,"),
        words("four."),  # a straggler: nobody will hear it
        done("cancelled"),
    )

    assert watched.said == [
        "assistant One, two, three.",
        'interrupted the user spoke; heard 0.45 s of 0.90 s generated, about "One, two,"; cut off: 1 word',
    ]


async def test_words_that_were_never_sound_are_no_interruption(watched):
    watched.tell(Interrupted(Interruption("speech_started", ("resp_1",), ())))

    assert watched.said == []
    assert watched.record.interruptions == []


LOST_LINK = LinkLost(ConnectionClosed(1006, ""))


async def test_what_nobody_heard_when_the_link_was_lost_is_asked_for_again(watched):
    """Its words end where they are, and nothing waits behind them."""
    watched.tell(
        words("One, "),
        interrupted(cut_ms=0, received_ms=300, reason="link_lost", generated="One, "),
        LOST_LINK,
        Reconnected(reason="lost", attempts=2, gap_ms=1240, restored=14, asked_again=("resp_1",)),
        words("One, two.", response="resp_2"),
    )

    assert watched.said == [
        "assistant One,",
        "link connection lost, trying again...",
        "link back after 1.2 s: 14 items restored, the answer is asked for again",
        "assistant One, two.",
    ]
    assert watched.record.interruptions == []
    assert watched.record.problems == []


async def test_what_was_being_heard_when_the_link_was_lost_ends_there(watched):
    watched.tell(
        events.InputAudioBufferSpeechStarted(event_id="", item_id="item_2", audio_start_ms=0),
        words("One, two, "),
        LOST_LINK,
    )
    assert "connection lost" in watched.text, "at once, though nobody has said where the answer ends"
    assert watched.follower.disconnected
    assert not watched.follower.user_speaks
    watched.tell(
        Reconnected(reason="lost", attempts=1, gap_ms=90, restored=1, cut_off=("resp_1",)),
        interrupted(cut_ms=600, received_ms=600, reason="link_lost", generated="One, two,", heard="One, two,"),
    )

    assert not watched.follower.disconnected
    assert watched.said == [
        "assistant One, two,",
        "link connection lost, trying again...",
        "link back after 0.1 s: 1 item restored, what was being said ends there",
        'interrupted the connection was lost; heard 0.60 s of 0.60 s generated, about "One, two,"; cut off: 0 words',
    ]


@pytest.mark.parametrize(
    ("back", "line"),
    [
        (
            Reconnected(reason="age", attempts=1, gap_ms=0, restored=200),
            "connection renewed: 200 items restored",
        ),
        (
            Reconnected(
                reason="lost",
                attempts=3,
                gap_ms=9000,
                restored=7,
                left_out=(LeftOut("item_1", "mcp"),),
                asked_again=("", ""),
            ),
            "back after 9.0 s: 7 items restored, 1 left out, the answers are asked for again",
        ),
        (
            Reconnected(reason="lost", attempts=3, gap_ms=9000, restored=7, dropped_audio_ms=1000),
            "back after 9.0 s: 7 items restored, 1.0 s of your speech lost",
        ),
    ],
)
async def test_the_way_back_is_one_line(watched, back, line):
    watched.tell(back)

    assert watched.said == [f"link {line}"]
    assert watched.record.gaps_ms == ([9000] if back.reason == "lost" else [])


async def test_nobody_is_quiet_without_a_connection(autojump_clock):
    """The simulated user waits, and then for the answer that is asked for again."""
    watched = Watched()
    watched.tell(LOST_LINK)
    with trio.move_on_after(60) as waited:
        await watched.follower.quiet(0.5)
    watched.tell(Reconnected(reason="lost", attempts=5, gap_ms=60_000, restored=1, asked_again=("",)))
    began = trio.current_time()
    await watched.follower.quiet(0.5)

    assert waited.cancelled_caught
    assert trio.current_time() - began >= 5


def test_the_summary_counts_the_gaps():
    record = Record(gaps_ms=[1240, 300])

    assert "  connection     lost 2 times, 1.5 s without one" in summary(record, recording="talk.wav", seconds=1)
    assert not [row for row in summary(Record(), recording="talk.wav", seconds=1) if "connection" in row]


async def test_a_tool_has_one_line_however_it_ends(watched):
    watched.tell(
        ToolStarted("call_1", "look", "{}"),
        ToolStarted("call_2", "leap", '{"far": true}'),
        ToolFinished("call_1", "look", "clear"),
        ToolFailed("call_2", "leap", ValueError("too far")),
        ToolFinished("call_2", "leap", "error: leap failed"),
    )

    assert watched.said == ["tool look({}) -> clear", """tool leap({"far": true}) failed: ValueError('too far')"""]
    assert watched.record.tools == [("look", True), ("leap", False)]


@pytest.mark.parametrize(
    ("happened", "problem"),
    [
        (AudioDropped(120), "120 ms of the user's sound were dropped: the link is too slow"),
        (NotAnEvent(RemoteProtocolError("not JSON")), "not JSON"),
        (Lagged(7), "7 events were missed here"),
        (events.Error(event_id="", error=events.ErrorDetails(type="server_error", message="sorry")), "sorry"),
        (
            ResponseNotCompleted("r1", "failed", "x", ResponseFailed("response r1 failed: x", response_id="r1")),
            "response r1 failed: x",
        ),
        (
            ResponseNotCompleted("r1", "incomplete", "content_filter", None),
            "an answer was cut short: content_filter",
        ),
        (ResponseNotCompleted("r1", "incomplete", None, None), "an answer was cut short: no reason given"),
    ],
)
async def test_what_goes_wrong_is_seen_and_counted(watched, happened, problem):
    watched.tell(happened)

    assert watched.said == [f"error {problem}"]
    assert watched.record.problems == [problem]


async def test_a_budget_is_a_line_and_no_problem(watched):
    watched.tell(BudgetWarning("money", Decimal("0.41"), Decimal("0.5")), BudgetSpent("turns", 3, 3))

    assert watched.said == ["budget 0.41 of 0.5 money are spent", "budget 3 of 3 turns are spent"]
    assert watched.record.problems == []


async def test_speech_without_a_transcript_is_a_line_all_the_same(watched):
    failed = events.ConversationItemInputAudioTranscriptionFailed(
        event_id="", item_id="u", content_index=0, error=events.TranscriptionError(message="no ears")
    )
    watched.tell(events.InputAudioBufferCommitted(event_id="", item_id="u"), failed)

    assert watched.said == ["user (speech, no transcript: no ears)"]


async def test_events_of_tomorrow_change_nothing(watched):
    watched.tell(events.UnknownEvent(type="response.smell.delta", data={"smell": "rose"}))

    assert watched.said == []


def times(response, *, ended=None, sounded=None):
    response.speech_ended_at, response.first_sound_at = ended, sounded
    return response


@pytest.mark.parametrize(
    ("turn", "latency"),
    [
        (Turn(), None),
        (Turn(responses=[times(Response("a"), ended=1.0)]), None),
        (Turn(responses=[times(Response("a"), ended=1.0, sounded=1.64)]), 640),
        # a tool call answers without a sound; the sound is that of the response after it
        (Turn(responses=[times(Response("a"), ended=1.0), times(Response("b"), sounded=2.5)]), 1500),
    ],
)
def test_a_turns_latency_goes_to_its_first_sound(turn, latency):
    assert turn.latency_ms == latency


def rows(record) -> dict[str, list[str]]:
    """Take a summary apart: the texts by the name that stands before them."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lines_below_the_title(summary(record, recording="talk.wav", seconds=12.34)):
        name = line[2:17].strip() or name
        found.setdefault(name, []).append(line[17:])
    return found


def lines_below_the_title(lines: Iterator[str]) -> Iterator[str]:
    assert next(lines) == "Summary"
    yield from lines


def test_the_summary_of_nothing():
    found = rows(Record())

    assert found["tool calls"] == found["interruptions"] == ["none"]
    assert found["turns"][0] == "0 of the user (0 spoken, 0 typed)"
    assert found["recording"] == ["talk.wav, 12.3 s (left: user, right: assistant)"]
    assert "problems" not in found


def test_the_summary_adds_up():
    spoken, silent = Response("a"), Response("b")
    spoken.transcript_deltas.append("words")
    spoken.stages = Stages(turn_over_at=1.31, audio_at=1.43, round_trip=0.01)
    spoken.finish(events.Response())
    silent.finish(events.Response())
    record = Record(
        turns=[
            Turn(said="hello", responses=[times(spoken, ended=1.0, sounded=1.5), silent]),
            Turn(said="you", typed=True),
        ],
        responses=[silent, spoken],
        tools=[("look", True), ("leap", True), ("look", False)],
        interruptions=[interrupted(cut_ms=450, received_ms=900).interruption],
        told_ms={"item_1": 450},
        usage=SessionUsage(
            input=Tokens(text=6, audio=14),
            cached=Tokens(audio=8),
            output=Tokens(text=2, audio=8, unknown=1),
            transcription=TranscriptionTotal(seconds=Decimal("4.5"), output=3),
        ),
        problems=["one", "two"],
    )

    found = rows(record)

    assert found["turns"] == ["2 of the user (1 spoken, 1 typed)", "1 of the assistant, in 2 responses"]
    assert found["tool calls"] == ["2 x look, 1 failed", "1 x leap"]
    assert found["interruptions"] == ["heard 0.45 s of 0.90 s generated, the server confirms 0.45 s"]
    assert found["usage"] == [
        "input 20 tokens (6 text, 14 audio; 8 of them cached), output 11 tokens (2 text, 8 audio, 1 unknown)",
        "transcription apart: 4.5 s of speech, 3 tokens",
    ]
    header, spoken_turn, typed_turn, _ = found["latency"]
    assert header == "turn  total = detection + server + network + buffer, in ms"
    assert spoken_turn.split() == ["1", "500", "=", "300", "+", "120", "+", "10", "+", "70", "hello"]
    assert typed_turn.split() == ["2", "-", "(no", "sound)", "you"]
    assert found["problems"] == ["one", "two"]


def test_where_the_time_went_is_not_known_when_a_tool_came_between():
    called, spoken = times(Response("a"), ended=1.0), times(Response("b"), sounded=2.5)
    record = Record(turns=[Turn(said="weather", responses=[called, spoken])])

    row = rows(record)["latency"][1]
    assert row.split()[:2] == ["1", "1500"]
    assert "(a tool was called on the way)" in row


async def test_it_is_quiet_when_nothing_is_to_come(autojump_clock):
    """A typed turn is followed by an answer, or after a while by nothing."""
    watched = Watched()
    began = trio.current_time()

    await watched.follower.quiet(1.0)
    nothing = trio.current_time() - began
    watched.follower.typed("hello")
    await watched.follower.quiet(1.0)

    assert 1.0 <= nothing < 1.2
    assert trio.current_time() - began >= 1.0 + 5.0 + 1.0


async def test_a_reply_that_cannot_be_had_is_told_once(watched, autojump_clock):
    """And not waited for. What the server said about it came before, as an event of its own."""
    watched.follower.typed("hello")
    watched.tell(
        ReplyLost(ServerError("told before")),
        ReplyLost(NotAcknowledged("no answer within 30 s")),
    )

    assert watched.record.problems == ["no answer within 30 s"]
    with trio.fail_after(1):
        await watched.follower.quiet(0.3)


def test_the_table_of_latencies_stays_a_table_in_a_narrow_terminal():
    turn = Turn(said="what is the weather in Paris today", responses=[times(Response("a"), ended=1.0, sounded=1.5)])

    lines = list(summary(Record(turns=[turn]), recording="talk.wav", seconds=1, width=80))

    (row,) = [line for line in lines if "what is" in line]
    assert len(row) <= 80
    assert row.endswith("...")

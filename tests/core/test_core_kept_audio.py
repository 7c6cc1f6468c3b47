"""The sound that is kept: exactly what the server made items of, exactly what it is owed, and never too much."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio import events as wire
from realtime_trio.core.kept_audio import KeptAudio, KeptBlock
from realtime_trio.events import UNSET

USAGE = wire.TokenUsage(input_tokens=0, output_tokens=0, total_tokens=0)
RATE = 24_000
BLOCK = 480  # samples: 20 ms


def sound(*numbers: int) -> bytes:
    """20 ms for each number, all samples the same."""
    return b"".join(number.to_bytes(2, "little") * BLOCK for number in numbers)


def fed(*numbers: int, kept=None, at=0.0) -> KeptAudio:
    """Blocks of 20 ms, captured one after the other."""
    kept = KeptAudio(60) if kept is None else kept
    for n, number in enumerate(numbers):
        kept.append(sound(number), BLOCK, at + n * 0.02)
    return kept


def started(item_id, ms):
    return wire.InputAudioBufferSpeechStarted(event_id="e", item_id=item_id, audio_start_ms=ms)


def stopped(item_id, ms):
    return wire.InputAudioBufferSpeechStopped(event_id="e", item_id=item_id, audio_end_ms=ms)


def committed(item_id):
    return wire.InputAudioBufferCommitted(event_id="e", item_id=item_id, previous_item_id=UNSET)


def cleared():
    return wire.InputAudioBufferCleared(event_id="e")


def configured(**fields):
    session = wire.RealtimeSession(audio=wire.SessionAudio(input=wire.AudioInput(**fields)))
    return wire.SessionUpdated(event_id="e", session=session)


def manual(kept: KeptAudio) -> KeptAudio:
    kept.handle(configured(turn_detection=None))
    return kept


def told(kept: KeptAudio) -> bytes:
    return b"".join(block.audio for block in kept.uncommitted())


def problem_with(event_id):
    return wire.ErrorDetails(type="invalid_request_error", message="too short", event_id=event_id)


COMMIT = wire.InputAudioBufferCommit(event_id="evt_commit")
CLEAR = wire.InputAudioBufferClear(event_id="evt_clear")


def test_a_turn_is_the_stretch_that_the_server_names():
    """To the sample; what was sent while the server thought about it belongs to the next one."""
    kept = fed(*range(10))
    kept.handle(started("u", 30))
    kept.handle(stopped("u", 110))
    fed(10, 11, kept=kept, at=0.2)
    kept.handle(committed("u"))

    assert kept.of_item("u") == sound(*range(10))[30 * 48 : 110 * 48]
    assert kept.of_item("v") is None

    kept.handle(started("v", 100))  # its padding reaches back into the turn before
    kept.handle(stopped("v", 10**9))
    kept.handle(committed("v"))

    assert kept.of_item("v") == sound(*range(12))[110 * 48 :]


def test_silence_that_was_answered_is_a_turn():
    kept = fed(*range(10))
    kept.handle(wire.InputAudioBufferTimeoutTriggered(event_id="e", item_id="u", audio_start_ms=20, audio_end_ms=60))
    kept.handle(committed("u"))

    assert kept.of_item("u") == sound(1, 2)


def test_a_manual_turn_is_everything_since_the_last():
    """Up to where the program committed, however late the server says so."""
    kept = manual(fed(1, 2))
    kept.sent(COMMIT)
    fed(3, kept=kept)
    kept.handle(committed("a"))
    fed(4, kept=kept)
    kept.sent(COMMIT)
    kept.handle(committed("b"))

    assert kept.of_item("a") == sound(1, 2)
    assert kept.of_item("b") == sound(3, 4)
    assert kept.uncommitted() == []


def test_what_was_cleared_is_in_no_turn():
    """What was sent behind it is, also before the server said so; a lost link changes nothing in that."""
    kept = manual(fed(1, 2))
    kept.sent(CLEAR)
    fed(3, kept=kept)

    assert told(kept) == sound(3)

    kept.handle(cleared())
    kept.handle(committed("a"))  # nobody said where it was committed

    assert kept.of_item("a") == sound(3)


def test_a_commit_that_is_refused_ends_nothing():
    kept = manual(fed(1))
    kept.sent(COMMIT)
    kept.handle(wire.Error(event_id="e", error=problem_with("another")))
    kept.handle(wire.Error(event_id="e", error=problem_with(UNSET)))

    kept.handle(wire.Error(event_id="e", error=problem_with("evt_commit")))
    fed(2, kept=kept)

    assert [block.ends_turn for block in kept.uncommitted()] == [False, False]

    kept.handle(committed("a"))

    assert kept.of_item("a") == sound(1, 2)


def test_an_error_that_names_nothing_is_about_no_commit():
    kept = manual(fed(1))
    kept.sent(wire.InputAudioBufferCommit())
    kept.handle(wire.Error(event_id="e", error=problem_with(UNSET)))

    assert [block.ends_turn for block in kept.uncommitted()] == [True]


def test_a_commit_under_turn_detection_ends_the_turn_where_it_was_made():
    """Nobody says there that the speech stopped."""
    kept = fed(1, 2, 3)
    kept.handle(started("u", 20))
    kept.sent(COMMIT)
    fed(4, kept=kept)
    kept.handle(committed("u"))

    assert kept.of_item("u") == sound(2, 3)


def test_a_turn_whose_beginning_nobody_told():
    """It begins where the last one ended."""
    kept = fed(1, 2, 3)
    kept.handle(stopped("u", 40))
    kept.handle(committed("u"))

    assert kept.of_item("u") == sound(1, 2)


@pytest.mark.parametrize("over", [True, False])
def test_a_turn_that_is_under_way_is_owed_from_its_beginning(over):
    """Also if it was over, but not committed."""
    kept = fed(*range(100))
    kept.handle(started("u", 20))
    if over:
        kept.handle(stopped("u", 1500))

    assert told(kept) == sound(*range(1, 100))


def test_of_silence_the_last_second_is_owed():
    """The server may not have noticed yet that somebody speaks; what was committed is not sent twice."""
    kept = fed(*range(90))
    kept.append(sound(90)[:480], 240, 90 * 0.02)

    (first, *_) = blocks = kept.uncommitted()
    assert told(kept) == (sound(*range(90)) + sound(90)[:480])[-48_000:]
    assert first.samples == 240
    assert first.captured_at == pytest.approx(0.81)
    assert sum(block.samples for block in blocks) == RATE

    kept.handle(stopped("u", 1600))
    kept.handle(committed("u"))

    assert told(kept) == sound(*range(80, 90)) + sound(90)[:480]


def test_all_that_was_captured_without_a_link_is_owed():
    """And the last second before, because nobody answered any more."""
    kept = fed(*range(100))
    kept.lose_link()
    fed(*range(100, 300), kept=kept, at=2.0)
    kept.lose_link()  # another attempt came to nothing

    assert told(kept) == sound(*range(50, 300))


def test_all_that_a_dead_link_may_have_swallowed_is_owed():
    """Nothing was heard from the server for a while before anybody noticed."""
    kept = fed(*range(500))  # ten seconds
    kept.lose_link(heard_from=4.0)

    assert told(kept) == sound(*range(149, 500))


def test_what_is_sent_first_on_a_new_link_is_the_beginning_of_its_timeline():
    kept = fed(*range(100))
    kept.handle(started("u", 1000))
    kept.lose_link()
    kept.begin_link()

    assert told(kept) == sound(*range(50, 100))

    fed(100, 101, kept=kept, at=3.0)
    kept.handle(started("v", 20))
    kept.handle(stopped("v", 1040))
    kept.handle(committed("v"))

    assert kept.of_item("v") == sound(*range(51, 102))


def test_what_has_just_been_sent_again_is_still_owed():
    """Until the server had the time to say what it makes of it."""
    kept = fed(*range(200))
    kept.lose_link(heard_from=1.0)
    kept.begin_link()
    kept.handle(configured())
    fed(*range(200, 210), kept=kept, at=4.0)
    kept.lose_link()

    assert told(kept) == sound(*range(210))

    kept.begin_link()
    kept.handle(configured())
    fed(*range(210, 300), kept=kept, at=4.2)

    assert told(kept) == sound(*range(250, 300))


def test_what_is_captured_while_a_new_link_begins_is_part_of_its_beginning():
    """However long that takes; the blocks stay the same, so that one can tell how far one has come."""
    kept = fed(*range(10))
    kept.lose_link()
    kept.begin_link()
    before = kept.uncommitted()
    fed(*range(10, 200), kept=kept, at=0.2)
    after = kept.uncommitted()

    assert told(kept) == sound(*range(200))
    assert all(one is other for one, other in zip(before, after, strict=False))

    kept.lose_link()  # before anything was heard on it
    fed(*range(200, 900), kept=kept, at=4.0)

    assert told(kept) == sound(*range(900))

    kept.begin_link()
    fed(*range(900, 1000), kept=kept, at=18.0)
    kept.handle(configured())

    assert told(kept) == sound(*range(1000))  # it can hardly have heard it yet

    fed(*range(1000, 1050), kept=kept, at=20.0)

    assert told(kept) == sound(*range(1000, 1050))


def test_a_new_link_of_which_nothing_is_heard_is_a_link_all_the_same():
    """Nobody speaks, so the server has nothing to say; and no silence is told as lost."""
    kept = KeptAudio(12)
    kept.begin_link()
    fed(*range(1000), kept=kept)

    assert told(kept) == sound(*range(950, 1000))
    assert kept.take_dropped() == 0


def test_items_keep_their_sound_on_the_next_link():
    kept = fed(1, 2)
    kept.handle(stopped("u", 40))
    kept.handle(committed("u"))
    kept.lose_link()
    kept.begin_link()

    assert kept.of_item("u") == sound(1, 2)


def test_a_commit_that_nobody_answered_is_made_again_in_its_place():
    """Exactly behind the sound that it was made behind, and answered on the new link."""
    kept = manual(KeptAudio(60))
    kept.append(sound(1, 2), 2 * BLOCK, 0.0)
    kept.sent(COMMIT)
    kept.append(sound(3), BLOCK, 0.04)
    kept.lose_link()

    assert [(block.audio, block.ends_turn) for block in kept.uncommitted()] == [(sound(1, 2), True), (sound(3), False)]

    kept.begin_link()
    kept.handle(committed("u"))

    assert kept.of_item("u") == sound(1, 2)
    assert told(kept) == sound(3)


def test_a_commit_that_is_refused_on_the_next_link_ends_nothing():
    """It has the name that it had."""
    kept = manual(fed(1))
    kept.sent(COMMIT)
    kept.begin_link()
    kept.handle(wire.Error(event_id="e", error=problem_with("evt_commit")))

    assert [block.ends_turn for block in kept.uncommitted()] == [False]


def test_a_link_that_comes_to_nothing_costs_no_sound():
    """What it was sent is sent again, also where the server would have had the time to hear that nobody speaks."""
    kept = KeptAudio(60)
    kept.handle(configured(turn_detection=wire.ServerVad()))
    fed(*range(1, 101), kept=kept)
    kept.lose_link()
    owed = told(kept)
    kept.begin_link()
    fed(*range(200, 300), kept=kept, at=2.0)
    kept.fail_link()
    assert told(kept) == owed + sound(*range(200, 300))
    fed(1000, kept=kept, at=4.0)
    assert told(kept) == owed + sound(*range(200, 300), 1000)


@pytest.mark.parametrize("proved", [True, False])
def test_a_link_on_which_nobody_speaks_may_be_known_to_live(proved):
    """Else a quiet session would send all that is kept to each new link."""
    kept = KeptAudio(60)
    kept.handle(configured(turn_detection=wire.ServerVad()))
    fed(*range(1, 101), kept=kept)
    kept.lose_link()
    kept.begin_link()
    fed(*range(200, 500), kept=kept, at=2.0)
    kept.lose_link(7.0 if proved else None)
    assert told(kept) == (sound(*range(399, 500)) if proved else sound(*range(51, 101), *range(200, 500)))


def test_what_a_dying_link_was_not_sent_after_all_is_sent_to_the_next():
    """A link that stands still is given up after seconds; its queue holds two of them, and the rest is still known."""
    kept = KeptAudio(60)
    kept.handle(configured(turn_detection=wire.ServerVad()))
    fed(*range(1, 301), kept=kept)
    kept.give_up(BLOCK * 50, BLOCK * 100)
    kept.give_up(BLOCK * 25, BLOCK * 75)
    kept.lose_link(2.0)
    assert told(kept) == sound(*range(50, 301))
    kept.begin_link()
    assert told(kept) == sound(*range(50, 301))


def test_what_a_slow_link_was_not_sent_after_all_is_forgotten_with_the_turn():
    kept = KeptAudio(2.0)
    manual(kept)
    fed(*range(1, 51), kept=kept)
    kept.give_up(BLOCK * 10, BLOCK * 20)
    fed(*range(51, 101), kept=kept, at=1.0)
    assert kept.seconds == 2.0
    fed(101, kept=kept, at=2.0)
    assert kept.seconds <= 2.0
    kept.sent(wire.InputAudioBufferCommit(event_id="e"))
    kept.handle(committed("a"))
    kept.lose_link()
    assert told(kept) == b""


def test_silence_before_a_turn_is_not_kept():
    """It makes room for what may be needed."""
    kept = fed(*range(100))
    kept.handle(started("u", 1500))

    assert kept.seconds == 0.5


def test_words_make_the_sound_needless():
    """They are what is restored; and nobody restores what was deleted."""
    kept = fed(1, 2, 3)
    for n, item_id in enumerate("ab", 1):
        kept.handle(stopped(item_id, 20 * n))
        kept.handle(committed(item_id))
    before = kept.seconds
    kept.handle(
        wire.ConversationItemInputAudioTranscriptionCompleted(
            event_id="e", item_id="a", content_index=0, transcript="x", usage=USAGE
        )
    )
    kept.handle(wire.ConversationItemDeleted(event_id="e", item_id="b"))

    assert kept.of_item("a") is kept.of_item("b") is None
    assert (before, kept.seconds) == (pytest.approx(0.06), pytest.approx(0.02))


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_telephone_sound_has_other_bytes_for_the_same_time(kind):
    """8 a millisecond; the blocks count what was captured."""
    kept = KeptAudio(1)
    kept.handle(configured(format=wire.AudioFormat(type=kind)))
    for n in range(100):
        kept.append(bytes([n]) * 160, BLOCK, n * 0.02)

    assert kept.seconds == 1
    assert [block.samples for block in kept.uncommitted()] == [BLOCK] * 50

    kept.handle(started("u", 1010))
    kept.handle(stopped("u", 1030))
    kept.handle(committed("u"))

    assert kept.of_item("u") == bytes([50]) * 80 + bytes([51]) * 80
    assert KeptAudio(1, rate=8000, width=1).seconds == 0


def test_sound_in_another_format_is_of_no_use():
    """The timeline goes on in milliseconds; a turn that is half in one and half in the other is nowhere."""
    kept = fed(*range(50))
    kept.handle(stopped("a", 500))
    kept.handle(committed("a"))
    kept.handle(started("u", 800))
    kept.handle(configured(format=wire.PCMU))
    kept.append(b"u" * 160, BLOCK, 1.0)
    kept.handle(stopped("u", 1020))
    kept.handle(committed("u"))

    assert kept.of_item("a") is kept.of_item("u") is None
    assert kept.take_dropped() == 10 * BLOCK

    kept.append(b"v" * 160, BLOCK, 1.0)
    kept.handle(started("v", 1030))
    kept.handle(stopped("v", 1040))
    kept.handle(committed("v"))

    assert kept.of_item("v") == b"v" * 80


def test_sound_without_a_link_may_be_in_another_format():
    """What was in the old one is of no use, what comes in the new one is owed."""
    kept = fed(*range(100))
    kept.lose_link()
    kept.handle(configured(format=wire.PCMU))
    for n in range(100):
        kept.append(bytes([n]) * 160, BLOCK, 2 + n * 0.02)

    assert told(kept) == b"".join(bytes([n]) * 160 for n in range(100))
    assert kept.take_dropped() == RATE


def test_a_key_in_place_of_turn_detection():
    """What was silence until then is not part of what is said with it, but for its last second."""
    kept = manual(fed(*range(100)))

    assert told(kept) == sound(*range(50, 100))

    talking = fed(*range(100))
    talking.handle(started("u", 20))
    manual(talking)

    assert told(talking) == sound(*range(1, 100))


def test_more_than_is_to_be_kept_goes_oldest_first_and_is_counted():
    """The sound of items before what is owed to the server; only that is a loss that has to be told."""
    kept = fed(*range(10), kept=KeptAudio(0.2))
    kept.handle(stopped("u", 60))
    kept.handle(committed("u"))

    assert kept.seconds == pytest.approx(0.2)
    assert kept.of_item("u") == sound(0, 1, 2)

    fed(10, 11, 12, 13, kept=kept, at=0.2)

    assert kept.of_item("u") is None
    assert kept.take_dropped() == 0

    kept.lose_link()
    fed(*range(14, 24), kept=kept, at=0.28)

    assert told(kept) == sound(*range(14, 24))
    assert kept.take_dropped() == 10 * BLOCK
    assert kept.take_dropped() == 0


def test_long_silence_does_not_cost_the_sound_of_items():
    """Of it ten seconds are kept at the most when there is no room."""
    kept = fed(*range(50), kept=KeptAudio(12))
    kept.handle(stopped("u", 1000))
    kept.handle(committed("u"))
    fed(*range(2000), kept=kept, at=1.0)

    assert len(kept.of_item("u")) == 48_000
    assert kept.seconds == 12
    assert kept.take_dropped() == 0


def test_a_turn_of_which_something_is_lost_has_no_sound():
    """Half of what somebody said may mean the opposite."""
    kept = fed(*range(5), kept=KeptAudio(0.2))
    kept.handle(started("u", 0))
    fed(*range(5, 11), kept=kept, at=0.1)
    kept.handle(stopped("u", 220))
    kept.handle(committed("u"))

    assert kept.of_item("u") is None
    assert kept.take_dropped() == 0  # the server has it


@pytest.mark.parametrize("seconds", [0, 0.00001])
def test_nothing_is_kept_where_nothing_is_to_be(seconds):
    kept = fed(1, 2, kept=KeptAudio(seconds))
    kept.handle(committed("u"))
    kept.append(b"", BLOCK, 1.0)

    assert kept.of_item("u") is None
    assert kept.uncommitted() == []
    assert kept.seconds == 0


def test_a_block_shows_no_sound():
    """Not in a log, not in a traceback."""
    assert repr(KeptBlock(sound(1), BLOCK, 1.0)) == (
        "KeptBlock(audio=<960 bytes>, samples=480, captured_at=1.0, ends_turn=False)"
    )


@attrs.define
class Model:
    """A server that remembers all of its input, and everything that it was ever told; in samples."""

    detects: bool
    input: list[int] = attrs.Factory(list)
    open_from: int = 0
    speech: tuple[str, int] | None = None
    ended: int | None = None
    items: dict[str, list[int]] = attrs.Factory(dict)
    resent: int = 0
    lost_at: int | None = None
    begins: bool = False

    @property
    def is_linked(self) -> bool:
        return self.lost_at is None or self.begins

    def owed(self) -> list[int]:
        if not self.detects:
            return self.input[self.open_from :]
        if self.speech:
            return self.input[max(self.open_from, self.speech[1]) :]
        until = len(self.input) if self.lost_at is None else self.lost_at
        certain = until - RATE if until - self.resent >= RATE else 0
        return self.input[max(self.open_from, certain) :]


class Run:
    """The same things happen to both."""

    def __init__(self, seconds, *, detects):
        self.kept = KeptAudio(seconds)
        self.model = Model(detects)
        self.seconds = seconds
        self.next = 0
        self.names = iter(f"item_{n}" for n in range(1000))
        self.dropped = 0
        if not detects:
            manual(self.kept)

    def speak(self, blocks, size):
        for _ in range(blocks):
            numbers = range(self.next, self.next + size)
            self.next += size
            audio = b"".join((number % 65536).to_bytes(2, "little") for number in numbers)
            self.kept.append(audio, size, numbers[0] / RATE)
            self.model.input += numbers
            assert self.kept.seconds <= self.seconds

    def start(self, back):
        model = self.model
        if model.detects and model.speech is None and model.is_linked:
            ms = max(0, len(model.input) - back) * 1000 // RATE
            model.speech = (next(self.names), ms * 24)
            self.tell(started(model.speech[0], ms))

    def stop(self, back):
        model = self.model
        if model.speech and model.is_linked and model.ended is None:
            ms = max(model.speech[1], len(model.input) - back) // 24
            model.ended = ms * 24
            self.tell(stopped(model.speech[0], ms))

    def commit(self):
        model = self.model
        if not model.is_linked or (model.detects and model.ended is None):
            return
        name, begin = model.speech or (next(self.names), 0)
        end = len(model.input) if model.ended is None else model.ended
        model.items[name] = model.input[max(begin, model.open_from) : end]
        model.open_from, model.speech, model.ended = max(model.open_from, end), None, None
        self.tell(committed(name))

    def clear(self):
        if self.model.is_linked:
            self.model.open_from, self.model.speech, self.model.ended = len(self.model.input), None, None
            self.kept.sent(CLEAR)
            self.tell(cleared())

    def tell(self, event):
        self.kept.handle(event)
        if self.model.begins:
            self.model.begins, self.model.lost_at, self.model.resent = False, None, len(self.model.input)

    def lose(self):
        if self.model.is_linked:
            self.model.lost_at = 0 if self.model.begins else len(self.model.input)
            self.model.begins = False
            self.kept.lose_link()

    def regain(self):
        self.check()
        self.model.input = [
            sample for block in self.kept.uncommitted() for sample in samples_of(block.audio, self.next)
        ]
        self.kept.begin_link()
        self.model.open_from, self.model.resent, self.model.lost_at = 0, len(self.model.input), 0
        self.model.begins = True
        self.model.speech = self.model.ended = None

    def check(self):
        """What is kept is what the server had, or the newest of what it is owed."""
        blocks = self.kept.uncommitted()
        kept = [sample for block in blocks for sample in samples_of(block.audio, self.next)]
        owed = self.model.owed()
        assert kept == owed[len(owed) - len(kept) :]
        assert [block.samples for block in blocks] == [len(block.audio) // 2 for block in blocks]
        for block in blocks:
            (first,) = samples_of(block.audio[:2], self.next)
            assert block.captured_at == pytest.approx(first / RATE)
        self.dropped += self.kept.take_dropped()
        for item_id, samples in self.model.items.items():
            found = self.kept.of_item(item_id)
            assert found is None or samples_of(found, self.next) == samples
        return len(owed) - len(kept)


def samples_of(audio: bytes, near: int) -> list[int]:
    """Read the numbers again; 16 bits of each are there."""
    low = [int.from_bytes(audio[n : n + 2], "little") for n in range(0, len(audio), 2)]
    return [near - 1 - (near - 1 - number) % 65536 for number in low]


RUNS = st.lists(
    st.one_of(
        st.tuples(st.just("speak"), st.integers(1, 12), st.sampled_from([240, 480, 1000])),
        st.tuples(st.just("speak"), st.integers(1, 12), st.sampled_from([480])),
        st.tuples(st.just("start"), st.integers(0, 9000)),
        st.tuples(st.just("stop"), st.integers(0, 3000)),
        st.tuples(st.just("commit")),
        st.tuples(st.just("clear")),
        st.tuples(st.just("lose")),
        st.tuples(st.just("regain")),
    ),
    max_size=25,
)


def play(run, steps):
    for name, *arguments in steps:
        getattr(run, name)(*arguments)
        run.check()
    return run


@settings(max_examples=300)
@given(RUNS, st.booleans())
def test_with_room_enough_nothing_is_lost(steps, detects):
    """Every item has its sound, and everything that is owed is there."""
    run = play(Run(1000, detects=detects), steps)

    assert run.check() == 0
    assert run.dropped == 0
    for item_id, samples in run.model.items.items():
        assert (run.kept.of_item(item_id) or b"") == b"".join((n % 65536).to_bytes(2, "little") for n in samples)


@settings(max_examples=300)
@given(RUNS, st.booleans(), st.sampled_from([0.05, 0.1, 0.31]))
def test_with_too_little_room_only_the_oldest_is_lost(steps, detects, seconds):
    """There is never more than the bound, and a gap is never in the middle."""
    play(Run(seconds, detects=detects), steps)


@given(st.integers(1, 60), st.sampled_from([0.05, 0.1, 0.31]), st.booleans())
def test_what_is_lost_without_a_link_is_counted_to_the_sample(blocks, seconds, detects):
    run = Run(seconds, detects=detects)
    run.lose()
    run.speak(blocks, 480)
    missing = run.check()

    assert run.dropped == missing == max(0, blocks * 480 - round(seconds * RATE))


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=4),
)
def test_what_a_slow_link_was_not_sent_is_not_in_its_timeline(lengths, gaps):
    """Against a plain row of bytes."""
    kept, row = KeptAudio(30), b""
    for value, length in enumerate(lengths, 1):
        block = bytes([value]) * (length * 2)
        kept.append(block, length, value / 10)
        row += block
    for samples, behind in gaps:
        end = max(0, len(row) - behind * 2)
        begin = max(0, end - samples * 2)
        row = row[:begin] + row[end:]
        kept.give_up(samples, behind)
    kept.sent(wire.InputAudioBufferCommit(event_id="e"))
    kept.handle(wire.InputAudioBufferCommitted(event_id="", item_id="item"))
    assert (kept.of_item("item") or b"") == row


def test_what_was_committed_after_all_is_not_lost():
    kept = KeptAudio(1)
    for number in range(200):
        kept.append(bytes(960), 480, number / 50)
    kept.sent(wire.InputAudioBufferCommit(event_id="e"))
    kept.handle(wire.InputAudioBufferCommitted(event_id="", item_id="item"))
    kept.append(bytes(960), 480, 4.0)
    kept.lose_link()
    kept.begin_link()
    assert kept.take_dropped() == 0

"""Echo control: what is played is taken out, what is said is not, nothing is lost, and it is known how well it goes."""

import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import EchoCancellation, HalfDuplex, make_echo
from realtime_trio.audio.echo_cancellers import FRAME_BYTES, FRAME_SAMPLES, LivekitCanceller, PywebrtcCanceller
from realtime_trio.audio.pcm import SAMPLE_RATE
from realtime_trio.device import EchoControl

from .echo_signals import echo_of, joined, level, other_voice, pcm, room_noise, run, samples, shifted, voice

BACKENDS = {"pywebrtc-audio": PywebrtcCanceller, "livekit": LivekitCanceller}


class NoCanceller:
    """Cancels nothing: what `EchoCancellation` does around it can be seen."""

    made = 0

    def __init__(self) -> None:
        type(self).made += 1

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        assert len(captured) == len(played)
        assert len(captured) % FRAME_BYTES == 0
        return captured


class PerfectCanceller:
    """Leaves nothing but the noise of a good room."""

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        return pcm(room_noise(len(captured) // 2, dbfs=-75))


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def echo(backend) -> EchoCancellation:
    return EchoCancellation(BACKENDS[backend], backend=backend)


def uncancelled() -> EchoCancellation:
    return EchoCancellation(NoCanceller, backend="none")


# ---- what it is for ----


@pytest.mark.slow
def test_an_echo_is_gone_within_two_seconds(echo, backend):
    played = voice(10)
    captured = echo_of(played) + room_noise(len(played))

    cleaned = joined(list(run(echo, captured, played)))

    late = slice(2 * SAMPLE_RATE, None)
    assert level(captured[late]) - level(cleaned[late]) > 20
    state = echo.state()
    assert state.backend == backend
    assert state.path is True
    assert state.delay_ms == pytest.approx(120, abs=1)
    assert state.return_loss_db > 20


@pytest.mark.slow
def test_the_user_is_unchanged_where_there_is_no_echo(echo):
    """With headphones on."""
    played, said = voice(10), other_voice(10)

    blocks = list(run(echo, said + room_noise(len(said)), played))

    late = slice(5 * SAMPLE_RATE, None)
    assert level(joined(blocks)[late]) == pytest.approx(level(said[late]), abs=1)
    assert echo.state().path is False
    assert echo.state().return_loss_db is None
    assert not blocks[-1].playing


@pytest.mark.slow
def test_the_user_is_heard_over_the_assistant(echo):
    played, said = voice(10), other_voice(10) * (np.arange(10 * SAMPLE_RATE) > 6 * SAMPLE_RATE)
    captured = echo_of(played, gain=0.3) + said + room_noise(len(played))

    cleaned = joined(list(run(echo, captured, played)))

    alone, over = slice(3 * SAMPLE_RATE, 6 * SAMPLE_RATE), slice(int(6.2 * SAMPLE_RATE), None)
    assert level(cleaned[over]) == pytest.approx(level(said[over]), abs=4)
    assert level(cleaned[over]) - level(cleaned[alone]) > 20


@pytest.mark.slow
def test_a_reference_that_comes_late_is_of_no_use(echo):
    """Why `played` is taken where samples are handed over, and not where they are queued. 20 ms are enough."""
    played = voice(8)
    late_reference = shifted(played, 20)

    list(run(echo, echo_of(played, delay_ms=0) + room_noise(len(played)), late_reference))

    assert echo.state().return_loss_db is None or echo.state().return_loss_db < 10


@pytest.mark.slow
def test_nothing_is_unlearnt_while_nothing_is_played(echo):
    played = voice(12) * np.repeat([1.0, 0.0, 1.0], 4 * SAMPLE_RATE)
    captured = echo_of(played) + room_noise(len(played))

    cleaned = joined(list(run(echo, captured, played)))

    again = slice(int(8.2 * SAMPLE_RATE), int(9.2 * SAMPLE_RATE))
    assert level(captured[again]) - level(cleaned[again]) > 20


def test_an_echo_that_the_canceller_lets_through_is_turned_down():
    """As when a device's delay has jumped: it is the echo that is heard then, and can be known as such."""
    played = voice(4)
    echo = uncancelled()

    cleaned = joined(list(run(echo, echo_of(played) + room_noise(len(played)), played)))

    assert level(echo_of(played)[2 * SAMPLE_RATE :]) - level(cleaned[2 * SAMPLE_RATE :]) > 20


def test_a_voice_that_the_canceller_lets_through_is_not_turned_down():
    played, said = voice(4), other_voice(4)

    cleaned = joined(list(run(uncancelled(), said + room_noise(len(said)), played)))

    assert level(cleaned) == pytest.approx(level(said), abs=0.5)


# ---- blocks of any length ----


@given(st.lists(st.integers(0, 1_100), max_size=30))
def test_blocks_of_any_length_lose_nothing(lengths):
    echo = uncancelled()
    heard = np.arange(1, sum(lengths) + 1) % 30_000 + 1
    given_out = b""
    at = 0

    for length in lengths:
        block = echo.process(pcm(heard[at : at + length]), bytes(2 * length))
        assert len(block.pcm) == 2 * length
        given_out += block.pcm
        at += length

    out = samples(given_out)
    delay = int(np.argmax(out > 0)) if out.any() else len(out)
    rest = out[delay:]
    gaps = rest == 0
    assert (rest[~gaps] == heard[: len(rest) - gaps.sum()]).all(), "in order, none left out"
    assert delay + gaps.sum() < FRAME_SAMPLES or not out.any()


@pytest.mark.parametrize("block_ms", [10, 20, 40])
def test_whole_frames_wait_for_nothing(block_ms):
    heard = np.arange(1, 2_881)

    assert (joined(list(run(uncancelled(), heard, 0 * heard, block_ms=block_ms))) == heard).all()


@pytest.mark.slow
def test_odd_blocks_are_cancelled_as_well_as_even_ones(echo):
    played = voice(6)
    captured = echo_of(played) + room_noise(len(played))

    cleaned = joined(list(run(echo, captured, played, block_ms=512 / 24)))

    assert level(captured[3 * SAMPLE_RATE :]) - level(cleaned[3 * SAMPLE_RATE :]) > 20


def test_one_channel_of_a_stereo_buffer_is_not_misread():
    """The binding below ignores strides, so a view of every other sample would be read as its neighbours."""
    left, right = voice(1)[:4_800], other_voice(1)[:4_800]
    stereo = np.column_stack([left, right]).round().astype("<i2")
    flat, strided = PywebrtcCanceller(), PywebrtcCanceller()

    expected = flat.cancel(pcm(left), pcm(right))
    cleaned = strided.cancel(memoryview(stereo[:, 0]).tobytes(), memoryview(stereo[:, 1]).tobytes())

    assert cleaned == expected


@pytest.mark.parametrize("make", [uncancelled, HalfDuplex])
def test_a_pair_of_unequal_blocks_is_refused(make):
    with pytest.raises(ValueError, match="equally long"):
        make().process(bytes(960), bytes(480))
    with pytest.raises(ValueError, match="odd byte"):
        make().process(bytes(961), bytes(961))


@pytest.mark.parametrize("make", [uncancelled, HalfDuplex])
def test_no_reference_is_a_silent_one(make):
    block = make().process(pcm(np.full(480, 1_000.0)), b"")

    assert not block.playing
    assert block.level_dbfs == pytest.approx(level(np.full(480, 1_000.0)), abs=0.01)


# ---- what it says about itself ----


@pytest.mark.parametrize("make", [uncancelled, HalfDuplex])
def test_it_is_playing_until_the_echo_has_died_away(make):
    """300 ms after the last sound, and as long as the sound takes to the microphone."""
    played = room_noise(6 * SAMPLE_RATE, dbfs=-30) * (np.arange(6 * SAMPLE_RATE) < 4 * SAMPLE_RATE)

    blocks = list(run(make(), echo_of(played, delay_ms=200) + room_noise(len(played)), played))

    playing = [block.playing for block in blocks]
    assert playing == sorted(playing, reverse=True), "without a break"
    assert sum(playing) * 0.02 == pytest.approx(4 + 0.3 + 0.2, abs=0.03)


@pytest.mark.parametrize("make", [uncancelled, HalfDuplex])
def test_headphones_are_noticed_and_so_is_taking_them_off(make):
    echo = make()
    played, said = voice(8), other_voice(8)
    assert echo.state().path is None

    with_headphones = list(run(echo, said * 0.3 + room_noise(len(said)), played))
    assert any(block.playing for block in with_headphones), "while it was not known yet"
    assert echo.state().path is False
    assert not with_headphones[-1].playing

    without = list(run(echo, echo_of(played) + room_noise(len(played)), played))
    assert echo.state().path is True
    assert all(block.playing for block in without[100:]), "at the latest after two seconds"


def test_the_return_loss_is_what_was_gained_and_noise_counts_against_it():
    played = voice(5)
    loud, quiet = (EchoCancellation(PerfectCanceller, backend="perfect") for _ in range(2))
    assert loud.state().return_loss_db is None

    list(run(loud, echo_of(played, gain=1.0), played))
    list(run(quiet, echo_of(played, gain=0.1), played))

    assert loud.state().return_loss_db - quiet.state().return_loss_db == pytest.approx(20, abs=3)


def test_a_user_who_talks_a_third_of_the_time_does_not_spoil_the_return_loss():
    played = voice(6)
    said = other_voice(6) * (np.arange(len(played)) % (3 * SAMPLE_RATE) < SAMPLE_RATE)

    class LeavesTheUser:
        def __init__(self) -> None:
            self.rest = pcm(said + room_noise(len(said)))

        def cancel(self, captured: bytes, played: bytes) -> bytes:
            cleaned, self.rest = self.rest[: len(captured)], self.rest[len(captured) :]
            return cleaned

    echo = EchoCancellation(LeavesTheUser, backend="test")
    list(run(echo, echo_of(played) + said, played))

    assert echo.state().return_loss_db > 20


def test_silence_says_nothing_of_the_room():
    echo = uncancelled()

    list(run(echo, np.zeros(5 * SAMPLE_RATE), np.zeros(5 * SAMPLE_RATE)))

    assert (echo.state().path, echo.state().return_loss_db, echo.state().delay_ms) == (None, None, None)


@pytest.mark.parametrize("heard", [0.0, 0.3], ids=["a silent microphone", "headphones"])
def test_without_an_echo_there_is_no_return_loss_from_the_first_second_on(echo, heard):
    """A canceller leaves a little noise where it got digital silence; a user is no echo that was left."""
    captured = other_voice(8) * heard

    for block in range(0, len(captured), 480):
        echo.process(pcm(captured[block : block + 480]), pcm(voice(8)[block : block + 480]))
        assert echo.state().return_loss_db is None


def test_a_microphone_that_is_switched_off_later_does_not_count_as_a_loss():
    played = voice(4)
    echo = EchoCancellation(PerfectCanceller, backend="perfect")
    list(run(echo, echo_of(played), played))
    before = echo.state().return_loss_db

    list(run(echo, 0 * played, played))

    assert before > 20
    assert echo.state().return_loss_db == pytest.approx(before, abs=2)


class BreaksDown(NoCanceller):
    """Fails for good after five blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 5

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("native error 7")
        return super().cancel(captured, played)


class GivesTooLittle(BreaksDown):
    """Gives half of what it should after five blocks."""

    def cancel(self, captured: bytes, played: bytes) -> bytes:
        self.left -= 1
        return captured if self.left >= 0 else captured[:480]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (BreaksDown, "native 1 failed while it ran: RuntimeError: native error 7"),
        (GivesTooLittle, "native 1 failed while it ran: ValueError: 480 bytes came out for 960"),
    ],
)
def test_a_canceller_that_fails_in_mid_session_leaves_half_duplex(make, words, caplog):
    """The session goes on, and can close the microphone; nothing that is said in silence is lost."""
    echo = EchoCancellation(make, backend="native 1")
    heard, played = np.arange(24_000) % 90, np.r_[voice(2)[24_000:36_000], np.zeros(12_000)]

    blocks = list(run(echo, heard, played))

    assert (joined(blocks) == heard).all()
    assert isinstance(echo, EchoControl)
    assert echo.half_duplex
    assert blocks[10].playing
    state = echo.state()
    assert (state.backend, state.return_loss_db, state.problem) == ("half duplex", None, words)
    assert [record.getMessage() for record in caplog.records] == [
        f"{words}; from now on the microphone is closed while something is played"
    ], "told once"


def test_a_canceller_that_failed_gets_another_chance_when_the_device_is_opened_again():
    echo = EchoCancellation(BreaksDown, backend="native")
    list(run(echo, np.zeros(4_800), np.zeros(4_800)))
    assert echo.half_duplex

    echo.reset()

    assert not echo.half_duplex
    assert (echo.state().backend, echo.state().problem) == ("native", "")


def test_a_canceller_that_cannot_be_made_again_leaves_half_duplex(caplog):
    made = []

    def make() -> NoCanceller:
        if made:
            raise MemoryError
        made.append(NoCanceller())
        return made[0]

    echo = EchoCancellation(make, backend="native")
    list(run(echo, np.zeros(4_800), np.zeros(4_800)))

    echo.reset()
    (block,) = run(echo, np.arange(480), np.zeros(480))

    assert samples(block.pcm).tolist() == list(range(480))
    assert echo.half_duplex
    assert echo.state().problem == "native failed while it ran: MemoryError"


def test_a_reopened_device_is_learnt_anew():
    echo = uncancelled()
    list(run(echo, echo_of(voice(4)), voice(4)))
    made = NoCanceller.made
    assert echo.state().path is True

    echo.reset()

    assert NoCanceller.made == made + 1
    assert echo.state().path is None
    assert not echo.process(bytes(960), bytes(960)).playing


# ---- choosing ----


@pytest.fixture
def without(monkeypatch):
    """Make packages unimportable."""

    def hide(*names: str) -> None:
        for name in names:
            monkeypatch.setitem(sys.modules, name, None)

    return hide


def test_auto_takes_what_the_library_depends_on():
    echo = make_echo("auto")

    assert isinstance(echo, EchoControl)
    assert not echo.half_duplex
    assert echo.state().backend == "pywebrtc-audio"


def test_without_it_livekit_is_taken(without):
    without("pywebrtc_audio")

    assert make_echo().state().backend == "livekit"


def test_without_any_it_is_half_duplex_and_says_why(without):
    without("pywebrtc_audio", "livekit")

    echo = make_echo()

    assert isinstance(echo, EchoControl)
    assert echo.half_duplex
    assert echo.state().backend == "half duplex"
    assert "pywebrtc-audio: " in echo.state().problem
    assert "livekit: " in echo.state().problem


@pytest.mark.parametrize("failure", [OSError("wrong glibc"), RuntimeError(), SystemError("ABI")])
def test_a_package_that_breaks_in_its_own_way_is_passed_over(without, monkeypatch, failure):
    def broken(**_: object) -> None:
        raise failure

    monkeypatch.setitem(sys.modules, "pywebrtc_audio", types.SimpleNamespace(AudioProcessor=broken))
    without("livekit")

    assert str(failure) in make_echo().state().problem


def test_half_duplex_can_be_asked_for():
    echo = make_echo("half_duplex")

    assert echo.half_duplex
    assert echo.state().problem == ""


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match='"auto" and "half_duplex"'):
        make_echo("loud")


def test_half_duplex_changes_nothing_in_the_sound():
    said = other_voice(1)

    assert (joined(list(run(HalfDuplex(), said, voice(1)))) == np.rint(said)).all()

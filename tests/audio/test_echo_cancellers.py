"""The cancellers: what they are given, however it was asked for, is what the native packages can take."""

import subprocess
import sys
import types

import numpy as np
import pytest

from realtime_trio.audio.echo_cancellers import FRAME_BYTES, FRAME_SAMPLES, LivekitCanceller, PywebrtcCanceller
from realtime_trio.audio.pcm import SAMPLE_RATE

from .echo_signals import pcm, samples, voice


class Spy:
    """Stands for the native processor, and keeps what it is given."""

    def __init__(self, **options: object) -> None:
        self.options = options
        self.references: list[np.ndarray] = []

    def process(self, near: np.ndarray, far: np.ndarray) -> np.ndarray:
        for array in (near, far):
            assert array.ndim == 1
            assert array.dtype == np.int16
            assert array.flags.c_contiguous
            assert len(array) % FRAME_SAMPLES == 0
        self.references.append(far.copy())
        return near


@pytest.fixture
def spied(monkeypatch) -> PywebrtcCanceller:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", types.SimpleNamespace(AudioProcessor=Spy))
    return PywebrtcCanceller()


def references(canceller: PywebrtcCanceller) -> np.ndarray:
    return np.concatenate(canceller._processor.references)


def test_it_runs_at_24_khz_and_is_told_no_delay(spied):
    assert spied._processor.options == {"sample_rate": SAMPLE_RATE, "echo_cancellation": True}


def test_silence_is_dithered(spied):
    """Else its filters run into denormal numbers, at six times the cost."""
    for _ in range(250):
        spied.cancel(bytes(2 * FRAME_BYTES), bytes(2 * FRAME_BYTES))

    given = references(spied)
    assert set(np.unique(given)) == {-1, 0, 1}
    frames = given.reshape(-1, FRAME_SAMPLES)
    assert frames.any(axis=1).all(), "no frame is silent"


def test_dither_is_one_step_and_turns_no_sample_over(spied):
    played = np.tile([-32768.0, 32767.0, 0.0, 100.0], 12_000)

    spied.cancel(bytes(2 * len(played)), pcm(played))

    assert np.abs(references(spied) - played).max() <= 2


def test_a_long_piece_is_the_same_as_short_ones(spied, monkeypatch):
    played = voice(3)
    other = PywebrtcCanceller()

    whole = spied.cancel(pcm(played), pcm(played))
    pieces = b"".join(
        other.cancel(pcm(played[at : at + 480]), pcm(played[at : at + 480])) for at in range(0, len(played), 480)
    )

    assert whole == pieces == pcm(played)
    assert (references(spied) == references(other)).all()


def test_livekit_gets_what_is_played_before_what_is_captured(monkeypatch):
    """Frame by frame: the other way round, the reference is late for an echo that is quick."""
    given = []

    class Module:
        def __init__(self, **options: object) -> None:
            given.append(options)

        def process_reverse_stream(self, frame: types.SimpleNamespace) -> None:
            given.append(("played", frame.data[0]))

        def process_stream(self, frame: types.SimpleNamespace) -> None:
            given.append(("captured", frame.data[0]))
            frame.data[:] = bytes([frame.data[0] + 10]) * FRAME_BYTES

    def frame(data: bytearray, rate: int, channels: int, count: int) -> types.SimpleNamespace:
        assert (len(data), rate, channels, count) == (FRAME_BYTES, SAMPLE_RATE, 1, FRAME_SAMPLES)
        return types.SimpleNamespace(data=data)

    rtc = types.SimpleNamespace(AudioProcessingModule=Module, AudioFrame=frame)
    monkeypatch.setitem(sys.modules, "livekit", types.SimpleNamespace(rtc=rtc))
    captured, played = (b"".join(bytes([first + n]) * FRAME_BYTES for n in range(2)) for first in (1, 3))

    cleaned = LivekitCanceller().cancel(captured, played)

    assert given == [{"echo_cancellation": True}, ("played", 3), ("captured", 1), ("played", 4), ("captured", 2)]
    assert cleaned == b"\x0b" * FRAME_BYTES + b"\x0c" * FRAME_BYTES


@pytest.mark.parametrize("make", [PywebrtcCanceller, LivekitCanceller])
@pytest.mark.parametrize(("captured", "played"), [(512, 512), (480, 960), (960, 0), (481, 481)])
def test_what_is_no_whole_frame_is_refused(make, captured, played):
    with pytest.raises(ValueError, match="whole frames of 480 bytes"):
        make().cancel(bytes(captured), bytes(played))


@pytest.mark.parametrize("make", [PywebrtcCanceller, LivekitCanceller])
@pytest.mark.parametrize("frames", [0, 1, 2, 10])
def test_out_comes_as_much_as_went_in(make, frames):
    sound = pcm(voice(1)[: frames * FRAME_SAMPLES])

    assert len(make().cancel(sound, bytes(len(sound)))) == len(sound)


@pytest.mark.parametrize("make", [PywebrtcCanceller, LivekitCanceller])
def test_its_delay_is_about_ten_milliseconds(make):
    """So a block's `captured_at` stays true for what comes out, to within a frame or so."""
    said = voice(4)

    cleaned = samples(make().cancel(pcm(said), bytes(2 * len(said))))

    product = np.fft.irfft(np.conj(np.fft.rfft(said)) * np.fft.rfft(cleaned))
    assert 0 <= int(product[: SAMPLE_RATE // 10].argmax()) * 1000 / SAMPLE_RATE <= 15


def test_the_native_packages_load_on_first_use():
    program = "import realtime_trio.audio, sys; print(sorted({'pywebrtc_audio', 'livekit'} & sys.modules.keys()))"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"

"""WAV files in, whatever they hold; recordings out, whatever happens."""

import math
import os
import signal
import struct
import subprocess
import sys
import textwrap
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import StereoRecorder, WavWriter, read_wav
from realtime_trio.audio.pcm import level_dbfs
from realtime_trio.errors import AudioError

RATES = [8_000, 16_000, 22_050, 24_000, 44_100, 48_000]


def sine(rate: int, seconds: float, hertz: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def wav(
    data: bytes, *, rate: int = 24_000, channels: int = 1, bits: int = 16, codec: int = 1, tail: bytes = b""
) -> bytes:
    """Make a WAV file by hand, with a chunk before and after the sound that nobody asked for."""
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", codec, channels, rate, rate * frame, frame, bits) + tail
    body = b"WAVE" + chunk(b"LIST", b"odd") + chunk(b"fmt ", form) + chunk(b"data", data) + chunk(b"id3 ", b"x")
    return chunk(b"RIFF", body)


def encoded(sound: np.ndarray, bits: int) -> bytes:
    match bits:
        case 8:
            return np.rint(sound * 127 + 128).astype(np.uint8).tobytes()
        case 24:
            wide = np.rint(sound * (2**23 - 1)).astype("<i4")
            return wide.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        case _:
            return np.rint(sound * (2 ** (bits - 1) - 1)).astype(f"<i{bits // 8}").tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sound.wav"


@given(st.binary(min_size=2, max_size=200).map(lambda data: data[: len(data) // 2 * 2]))
def test_our_own_format_comes_back_sample_for_sample(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing is computed where nothing has to be."""
    path = tmp_path_factory.mktemp("round") / "trip.wav"
    with WavWriter(path) as writer:
        writer.write(data)

    assert read_wav(path) == data


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_any_format(path: Path, bits: int, channels: int, rate: int) -> None:
    """A tone keeps its length, pitch and loudness through every width, rate and number of channels."""
    sound = sine(rate, 0.5)
    path.write_bytes(wav(encoded(np.repeat(sound, channels), bits), rate=rate, channels=channels, bits=bits))

    read = np.frombuffer(read_wav(path), dtype="<i2")

    assert abs(len(read) - 12_000) <= 1
    error = read[1000:-1000] / 32768 - sine(24_000, 0.5)[1000 : len(read) - 1000]
    assert 20 * math.log10(np.sqrt(np.mean(error**2)) / 0.354) < (-38 if bits == 8 else -60)


def test_floats_and_the_longer_header(path: Path) -> None:
    """32-bit float is read; what is beyond full scale is limited, what is no number is silence."""
    values = np.array([0, 0.5, -1, 2, -2, math.nan], dtype="<f4")
    path.write_bytes(wav(values.tobytes(), bits=32, codec=3))
    assert np.frombuffer(read_wav(path), dtype="<i2").tolist() == [0, 16384, -32768, 32767, -32768, 0]

    tail = struct.pack("<HHI", 22, 16, 4) + b"\x01\0" + b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    path.write_bytes(wav(b"\x01\0\x02\0", codec=0xFFFE, tail=tail))
    assert read_wav(path) == b"\x01\0\x02\0"


def test_stereo_is_averaged(path: Path) -> None:
    path.write_bytes(wav(struct.pack("<4h", 1000, 3000, -5, -5), channels=2))

    assert read_wav(path) == struct.pack("<2h", 2000, -5)


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_streamed_file_goes_to_its_end(path: Path, size: int) -> None:
    """Recorders that write to a pipe cannot know the length, and say so by an absurd one."""
    content = wav(b"\x01\0\x02\0\x03").split(b"data")[0] + b"data" + struct.pack("<I", size) + b"\x01\0\x02\0\x03"
    path.write_bytes(content)

    assert read_wav(path) == b"\x01\0\x02\0"


@pytest.mark.parametrize("size", [0, 36])
def test_a_recorder_that_was_killed_has_left_its_sound(path: Path, size: int) -> None:
    """Many write sizes only at the end: until then they are 0, or what they are for a file without sound."""
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 24_000, 48_000, 2, 16))
    header = b"RIFF" + struct.pack("<I", size) + b"WAVE" + form + b"data" + bytes(4)
    path.write_bytes(header + b"\x01\0\x02\0\x03")

    assert read_wav(path) == b"\x01\0\x02\0"


def test_what_follows_an_empty_recording_is_not_taken_for_sound(path: Path) -> None:
    path.write_bytes(wav(b""))  # a chunk of words follows

    with pytest.raises(AudioError, match="without sound"):
        read_wav(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"OggS and so on", "is no WAV file.*ffmpeg -i sound.wav"),
        (b"", "is no WAV file"),
        (wav(b"\0" * 8, codec=0x55), "is compressed .MP3.*ffmpeg"),
        (wav(b"\0" * 8, codec=0x1234), "is compressed .codec 0x1234"),
        (wav(b"\0" * 8, codec=0xFFFE), "is compressed"),
        (wav(b""), "without sound in it: record it again"),
        (wav(b"\0" * 1000)[:-300], "is cut short: 1000 bytes of sound are announced, 710 are there"),
        (wav(b"")[:40], "is cut short within its header"),
        (wav(b"\0" * 8, rate=0), "cannot be read .1 channels, 0 Hz"),
        (wav(b"\0" * 8, channels=0), "cannot be read .0 channels"),
        (wav(b"\0" * 12, bits=48), "6 bytes a frame"),
        (chunk(b"RIFF", b"WAVE" + chunk(b"data", b"\0\0")), "does not say its format"),
    ],
)
def test_what_cannot_be_read(path: Path, content: bytes, words: str) -> None:
    """The words name the file and a way out."""
    path.write_bytes(content)

    with pytest.raises(AudioError, match=words) as caught:
        read_wav(path)
    assert str(path) in str(caught.value)


@given(st.data())
def test_any_damage_ends_in_sound_or_an_audio_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is overwritten or cut off, no foreign exception comes out."""
    content = bytearray(wav(bytes(range(64)), channels=2))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "sound.wav"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])

    try:
        sound = read_wav(path)
    except AudioError:
        return
    assert len(sound) % 2 == 0
    assert sound


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"missing.wav cannot be read: No such file"):
        read_wav(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match=r"out.wav cannot be written: No such file"):
        WavWriter(tmp_path / "nowhere" / "out.wav")


def test_the_recorded_person(request: pytest.FixtureRequest) -> None:
    """A real recording is read: five seconds or so of speech."""
    sound = read_wav(request.config.rootpath / "tests" / "data" / "toronto.wav")

    assert len(sound) > 48_000
    assert level_dbfs(sound) > -50


def test_the_recording_is_stereo(path: Path) -> None:
    """The user is left, the assistant right; the shorter of two pieces ends in silence."""
    with StereoRecorder(path) as recorder:
        recorder.flush()
        recorder.flush()
        recorder.write(struct.pack("<2h", 1, 2), struct.pack("<2h", -1, -2))
        recorder.write(b"", struct.pack("<h", 5))
        assert recorder.seconds == pytest.approx(3 / 24_000)
        assert recorder.path == path

    with wave.open(os.fspath(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 24_000, 2)
        assert file.readframes(10) == struct.pack("<6h", 1, -1, 2, -2, 0, 5)


@given(st.lists(st.integers(0, 30_000), max_size=12))
def test_the_file_is_whole_at_any_time(tmp_path_factory: pytest.TempPathFactory, pieces: list[int]) -> None:
    """Another program that reads it while it grows finds a valid file that lacks at most a second."""
    path = tmp_path_factory.mktemp("growing") / "sound.wav"
    written = 0
    with WavWriter(path) as writer:
        for frames in pieces:
            writer.write(b"\x01\x02" * frames)
            written += frames
            with wave.open(os.fspath(path)) as file:
                found = file.readframes(file.getnframes())
            assert found == b"\x01\x02" * (len(found) // 2)
            assert len(found) == file.getnframes() * 2
            assert written - file.getnframes() < 24_000
    with wave.open(os.fspath(path)) as file:
        assert file.getnframes() == written


@pytest.mark.slow
def test_a_killed_program_leaves_a_file(path: Path) -> None:
    """Killed without a chance to say goodbye: what was written up to a second before is there."""
    program = f"""
        from realtime_trio.audio import StereoRecorder
        recorder = StereoRecorder({os.fspath(path)!r})
        for n in range(125):
            recorder.write(bytes([n, 0]) * 480, bytes([n, 1]) * 480)
        print("written", flush=True)
        input()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"written"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()

    with wave.open(os.fspath(path)) as file:
        assert file.getnframes() >= 1.5 * 24_000
        assert file.readframes(1) == bytes([0, 0, 0, 1])


def test_closing_twice_and_writing_after(path: Path) -> None:
    writer = WavWriter(path, channels=2)
    with pytest.raises(ValueError, match="whole number of frames"):
        writer.write(b"\0\0")
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(bytes(4))


def test_a_full_disk() -> None:
    """The words name the file; closing does not leave it open."""
    if not Path("/dev/full").exists():
        pytest.skip("only Linux has /dev/full, a disk that is always full")
    with pytest.raises(AudioError, match=r"/dev/full cannot be written any further: No space left"):
        WavWriter("/dev/full")


def test_a_disk_that_fills_up(path: Path) -> None:
    """Who writes is told, and the file can still be closed, and read."""
    resource = pytest.importorskip("resource")
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = WavWriter(path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(AudioError, match="cannot be written any further: File too large"):
            writer.write(bytes(60_000))
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    with pytest.raises(ValueError, match="closed"):
        writer.flush()
    with wave.open(os.fspath(path)) as file:
        assert file.getnframes() == 0

"""WAV files: any of them in as what the API speaks, and recordings out that a crash cannot spoil.

The device that plays and records them stands in `realtime_trio.audio.wav_device`. Nothing here is asynchronous: reading
a long file belongs in `trio.to_thread.run_sync`; writing goes to the operating system's cache and costs microseconds.
"""

import os
import struct
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import attrs
import numpy as np

from realtime_trio.errors import AudioError

from .pcm import SAMPLE_BYTES, SAMPLE_RATE, samples_in

__all__ = ["StereoRecorder", "WavWriter", "read_wav"]

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_CODECS = {2: "ADPCM", 6: "A-law", 7: "mu-law", 0x11: "IMA ADPCM", 0x31: "GSM 6.10", 0x50: "MPEG", 0x55: "MP3"}
_ENDLESS = 0x7FFF_0000  # what recorders write as a size when they stream; the sound then goes to the end of the file
_HEADER_BYTES = 44
_RATES = range(1_000, 768_001)
_FORMAT = struct.Struct("<HHIIHH")  # codec, channels, rate, bytes a second, bytes a frame, bits a sample
_SUBFORMAT = slice(24, 26)  # in the longer form that names its codec in a GUID: the GUID's beginning

Samples = np.ndarray[Any, np.dtype[Any]]


@attrs.frozen
class _Format:
    codec: int
    channels: int
    rate: int
    frame_bytes: int
    sample_bytes: int


def read_wav(path: str | os.PathLike[str]) -> bytes:
    """Read a WAV file, whatever its rate, width and number of channels, as 24 kHz mono PCM16.

    Uncompressed files of 8, 16, 24 or 32 bit and of 32- or 64-bit float are read. Channels are averaged. A file that is
    24 kHz mono 16 bit comes back sample for sample.

    Args:
        path: The file.

    Returns:
        Its sound, never empty.

    Raises:
        AudioError: It cannot be read, is no WAV file, is compressed, empty or cut short. The words name the file and a
            way out.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AudioError(f"{path} cannot be read: {error.strerror or error}") from error
    form, data = _parsed(path, content)
    if form.codec == _PCM and (form.channels, form.rate, form.sample_bytes) == (1, SAMPLE_RATE, SAMPLE_BYTES):
        return data
    sound: Samples = np.nan_to_num(_floats(form, data)).reshape(-1, form.channels).mean(axis=1, dtype=np.float32)
    if form.rate != SAMPLE_RATE:
        import soxr  # type: ignore[import-untyped]  # here, not above: most files of ours need no resampling

        sound = soxr.resample(sound, form.rate, SAMPLE_RATE)
    samples: Samples = np.rint(sound * 32768).clip(-32768, 32767).astype("<i2")
    return samples.tobytes()


def _parsed(path: Path, content: bytes) -> tuple[_Format, bytes]:
    """Find the format and the sound. Chunks that hold anything else are passed over."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise AudioError(f"{path} is no WAV file. {_way_out(path)}")
    announced = 8 + int.from_bytes(content[4:8], "little")
    form, at = None, 12
    while at + 8 <= len(content):
        name, declared = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"data" and declared == 0 and announced <= at + 8:
            declared = _ENDLESS  # a recorder was killed before it could say how long the sound is
        body = content[at + 8 : at + 8 + declared]
        if name == b"fmt ":
            form = _format(path, body)
        elif name == b"data" and form is not None:
            if declared > len(body) and declared < _ENDLESS:
                raise AudioError(
                    f"{path} is cut short: {declared} bytes of sound are announced, {len(body)} are there. "
                    f"Copy it again, or keep what there is. {_way_out(path)}"
                )
            if len(body) < form.frame_bytes:
                break
            return form, body[: len(body) // form.frame_bytes * form.frame_bytes]
        at += 8 + declared + declared % 2
    if form is None and at <= len(content):
        raise AudioError(f"{path} is a WAV file that does not say its format. {_way_out(path)}")
    raise AudioError(f"{path} is a WAV file without sound in it: record it again.")


def _format(path: Path, body: bytes) -> _Format:
    if len(body) < _FORMAT.size:
        raise AudioError(f"{path} is cut short within its header: copy it again.")
    codec, channels, rate, _, frame_bytes, _ = _FORMAT.unpack_from(body)
    if codec == _EXTENSIBLE:
        codec = int.from_bytes(body[_SUBFORMAT], "little")
    if codec not in {_PCM, _FLOAT}:
        known = _CODECS.get(codec, f"codec 0x{codec:04x}")
        raise AudioError(f"{path} is compressed ({known}), and only PCM can be read. {_way_out(path)}")
    widths = {1, 2, 3, 4} if codec == _PCM else {4, 8}
    if not channels or frame_bytes % channels or frame_bytes // channels not in widths or rate not in _RATES:
        raise AudioError(
            f"{path} has a format that cannot be read ({channels} channels, {rate} Hz, {frame_bytes} bytes a frame). "
            + _way_out(path)
        )
    return _Format(codec, channels, rate, frame_bytes, frame_bytes // channels)


def _way_out(path: Path) -> str:
    return f"Convert it, for example: ffmpeg -i {path.name} -ar {SAMPLE_RATE} -ac 1 -c:a pcm_s16le converted.wav"


def _floats(form: _Format, data: bytes) -> Samples:
    """Convert to floats between -1 and 1, channels still interleaved."""
    sound: Samples
    match form.codec, form.sample_bytes:
        case (codec, width) if codec == _FLOAT:
            sound = np.frombuffer(data, dtype=f"<f{width}")
        case (_, 1):  # the only unsigned one
            sound = np.frombuffer(data, dtype=np.uint8) / 128 - 1
        case (_, 3):  # no type of numpy's: the upper three bytes of 32 bits
            wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
            wide[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
            sound = wide.reshape(-1).view("<i4") / 2**31
        case (_, width):
            sound = np.frombuffer(data, dtype=f"<i{width}") / 2 ** (8 * width - 1)
    return sound.astype(np.float32)


class WavWriter:
    """A WAV file that grows, and that can be read at any time: also when the program was killed while it grew.

    About once a second of sound, and at every `flush`, what was written goes to the operating system, and then the
    header is brought up to date; so the header never promises more than is there.

    Args:
        path: The file; one that exists is replaced.
        channels: 1, or 2 with interleaved samples.

    Raises:
        AudioError: The file cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str], *, channels: int = 1) -> None:
        self.path = Path(path)
        self._frame_bytes = channels * SAMPLE_BYTES
        self._channels = channels
        self._bytes = 0
        self._flushed = 0
        try:
            self._file: BinaryIO = self.path.open("wb")
        except OSError as error:
            raise AudioError(f"{self.path} cannot be written: {error.strerror or error}") from error
        try:
            self.flush()
        except AudioError:
            self._abandon()
            raise

    @property
    def seconds(self) -> float:
        """Length of what was written."""
        return self._bytes / self._frame_bytes / SAMPLE_RATE

    def write(self, pcm: bytes) -> None:
        """Add sound at the end.

        Args:
            pcm: PCM16, 24 kHz, whole frames.

        Raises:
            AudioError: The disk refuses it.
            ValueError: It ends within a frame, or the file was closed.
        """
        if len(pcm) % self._frame_bytes:
            raise ValueError(f"{len(pcm)} bytes are no whole number of frames of {self._frame_bytes}")
        try:
            self._file.write(pcm)
        except OSError as error:
            raise self._refused(error) from error
        self._bytes += len(pcm)
        if self._bytes - self._flushed >= self._frame_bytes * SAMPLE_RATE:
            self.flush()

    def flush(self) -> None:
        """Bring the file up to date, sound first, header then.

        Raises:
            AudioError: The disk refuses it.
            ValueError: The file was closed.
        """
        try:
            self._file.flush()
            self._file.seek(0)
            self._file.write(self._header())
            self._file.flush()
            self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._refused(error) from error
        self._flushed = self._bytes

    def close(self) -> None:
        """Bring the file up to date and close it. A second call does nothing.

        Raises:
            AudioError: The disk refuses the rest.
        """
        if self._file.closed:
            return
        try:
            self.flush()
        finally:
            self._abandon()

    def _abandon(self) -> None:
        with suppress(OSError):  # what is still unwritten after a flush was refused before, and reported then
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _header(self) -> bytes:
        sound = min(self._bytes, 0xFFFF_FFFF - _HEADER_BYTES)  # 12 hours of stereo: then it goes on to the file's end
        return struct.pack(
            "<4sI4s4sIHHIIHH4sI",
            *(b"RIFF", sound + _HEADER_BYTES - 8, b"WAVE"),
            *(b"fmt ", 16, _PCM, self._channels, SAMPLE_RATE, SAMPLE_RATE * self._frame_bytes, self._frame_bytes),
            *(8 * SAMPLE_BYTES, b"data", sound),
        )

    def _refused(self, error: OSError) -> AudioError:
        return AudioError(f"{self.path} cannot be written any further: {error.strerror or error}")


class StereoRecorder:
    """A recording of a conversation: the user on the left, the assistant on the right.

    Give it to a device; whoever made it closes it (`with StereoRecorder(path) as recorder:`). It is a `WavWriter`, so a
    crash or Ctrl-C leaves a file that can be played.

    Args:
        path: The file; one that exists is replaced.

    Raises:
        AudioError: The file cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._writer = WavWriter(path, channels=2)

    @property
    def path(self) -> Path:
        """The file."""
        return self._writer.path

    @property
    def seconds(self) -> float:
        """Length of what was recorded."""
        return self._writer.seconds

    def write(self, captured: bytes, played: bytes) -> None:
        """Add what was captured and what was heard from the speaker in the same stretch of time.

        Args:
            captured: PCM16 mono 24 kHz.
            played: The same, of the same length; of a different one, the shorter ends in silence.

        Raises:
            AudioError: The disk refuses it.
            ValueError: One ends within a sample, or the file was closed.
        """
        frames = np.zeros((max(samples_in(captured), samples_in(played)), 2), dtype="<i2")
        for channel, sound in enumerate((captured, played)):
            frames[: samples_in(sound), channel] = np.frombuffer(sound, dtype="<i2")
        self._writer.write(frames.tobytes())

    def flush(self) -> None:
        """Bring the file up to date.

        Raises:
            AudioError: The disk refuses it.
            ValueError: The file was closed.
        """
        self._writer.flush()

    def close(self) -> None:
        """Bring the file up to date and close it. A second call does nothing.

        Raises:
            AudioError: The disk refuses the rest.
        """
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

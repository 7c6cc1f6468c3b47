"""What a recording consists of: the names of its files, and where and how one is to be made."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs

from realtime_trio.errors import ConfigurationError

__all__ = ["AUDIO", "DEVICE_WAV", "EVENTS", "FORMAT", "RECEIVED_AUDIO", "SENT_AUDIO", "Recording", "recording_of"]

FORMAT: Final = 1
"""The number of the folder's format; it grows when an older reader would misunderstand it."""

EVENTS: Final = "events.jsonl"
"""One JSON object a line, in the order in which things happened."""

SENT_AUDIO: Final = "sent.raw"
"""The audio that was sent, end to end, as the wire has it."""

RECEIVED_AUDIO: Final = "received.raw"
"""The audio that was received, likewise."""

DEVICE_WAV: Final = "device.wav"
"""With a device: the user on the left and the assistant on the right, on the device's clock."""

AUDIO: Final = "$audio"
"""In an event, stands for base64: where its bytes are (`file`, `offset`, `length`)."""


@attrs.frozen
class Recording:
    """Where a session is recorded, and what is left out of it: for `open_session(record=...)`."""

    path: Path = attrs.field(converter=Path)
    """The folder; it is made. One that exists has to be empty: no recording is ever replaced."""

    redact: bool | Callable[[str], str] = True
    """Whether keys, client secrets, bearer tokens and the credentials of MCP servers are left out. A function of your
    own is given every text after that, transcripts for example, and returns what may be kept; it runs in a thread."""


def recording_of(record: str | os.PathLike[str] | Recording) -> Recording:
    """Check what `record=` was given.

    Raises:
        ConfigurationError: It is no path, or its redaction is neither a yes or no nor a function.
    """
    if isinstance(record, str | os.PathLike) and not os.fspath(record):
        raise ConfigurationError("record= is empty: name a folder, for example record='recordings/today'")
    if isinstance(record, str | os.PathLike):
        return Recording(Path(record))
    if not isinstance(record, Recording):
        raise ConfigurationError(f"record is a path or a Recording(...), not {type(record).__name__}")
    if not (isinstance(record.redact, bool) or callable(record.redact)):
        raise ConfigurationError(f"Recording.redact is True, False or a function, not {record.redact!r}")
    return record

"""A session kept in a folder: both directions of the wire, what the device played, and the sound of both sides.

Written by `open_session(record=...)`, read by `read_recording` and `python -m realtime_trio.replay`. The folder's files
are described in docs/recording.md.
"""

from .layout import FORMAT, Recording
from .links import LinkFollower
from .reading import AudioReference, Entry, RecordedSession, find_recordings, read_recording
from .recorder import Recorder, open_recording

__all__ = [
    "FORMAT",
    "AudioReference",
    "Entry",
    "LinkFollower",
    "RecordedSession",
    "Recorder",
    "Recording",
    "find_recordings",
    "open_recording",
    "read_recording",
]

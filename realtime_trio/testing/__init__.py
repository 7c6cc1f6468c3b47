"""What makes tests of a Realtime program fast and exact: a server that follows a script, and a person who does.

The stand-in that talks by itself is `realtime_trio.server`; pytest's fixtures are in `realtime_trio.testing.fixtures`.
"""

from .devices import FakeDevice
from .faults import Cut, Delay, Fault, FaultPlan, HalfClose, Merge, Reset, Split, Stall
from .faulty_link import FaultyConnection
from .faulty_proxy import FaultyProxy, TakesStreams, open_faulty_proxy
from .known_voice import KnownVoice
from .memory_pipe import MemoryEnd, memory_pipe
from .peer import ScriptedPeer, open_scripted_peer
from .recorded import Replayed, session_from_recording
from .script import Line, Script, Silence, Talk, Turn
from .talker import Talker, open_talker

__all__ = [
    "Cut",
    "Delay",
    "FakeDevice",
    "Fault",
    "FaultPlan",
    "FaultyConnection",
    "FaultyProxy",
    "HalfClose",
    "KnownVoice",
    "Line",
    "MemoryEnd",
    "Merge",
    "Replayed",
    "Reset",
    "Script",
    "ScriptedPeer",
    "Silence",
    "Split",
    "Stall",
    "TakesStreams",
    "Talk",
    "Talker",
    "Turn",
    "memory_pipe",
    "open_faulty_proxy",
    "open_scripted_peer",
    "open_talker",
    "session_from_recording",
]

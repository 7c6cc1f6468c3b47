"""What makes tests of a Realtime program fast and exact: a server that follows a script, on the wire.

The stand-in that talks by itself is `realtime_trio.server`.
"""

from .devices import FakeDevice
from .faults import Cut, Delay, Fault, FaultPlan, HalfClose, Merge, Reset, Split, Stall
from .faulty_link import FaultyConnection
from .faulty_proxy import FaultyProxy, TakesStreams, open_faulty_proxy
from .memory_pipe import MemoryEnd, memory_pipe
from .peer import ScriptedPeer, open_scripted_peer
from .recorded import Replayed, session_from_recording

__all__ = [
    "Cut",
    "Delay",
    "FakeDevice",
    "Fault",
    "FaultPlan",
    "FaultyConnection",
    "FaultyProxy",
    "HalfClose",
    "MemoryEnd",
    "Merge",
    "Replayed",
    "Reset",
    "ScriptedPeer",
    "Split",
    "Stall",
    "TakesStreams",
    "memory_pipe",
    "open_faulty_proxy",
    "open_scripted_peer",
    "session_from_recording",
]

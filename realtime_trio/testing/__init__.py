"""What makes tests of a Realtime program fast and exact: a server that follows a script, on the wire.

The stand-in that talks by itself is `realtime_trio.server`.
"""

from .devices import FakeDevice
from .peer import ScriptedPeer, open_scripted_peer
from .recorded import Replayed, session_from_recording

__all__ = ["FakeDevice", "Replayed", "ScriptedPeer", "open_scripted_peer", "session_from_recording"]

"""What makes tests of a Realtime program fast and exact: a server that follows a script, on the wire.

The stand-in that talks by itself is `realtime_trio.server`.
"""

from .devices import FakeDevice
from .peer import ScriptedPeer, open_scripted_peer

__all__ = ["FakeDevice", "ScriptedPeer", "open_scripted_peer"]

"""Sound: arithmetic on PCM, files, and the devices that a session can be given.

The protocols that these devices fulfil stand in `realtime_trio.device`; nothing in the session imports this package.
"""

from .bridge import BridgeDevice, memory_pair
from .clocked import ClockedDevice
from .clocked_stream import DeviceStatistics, Recorder
from .duplex import Utterance
from .echo import EchoCancellation, HalfDuplex, make_echo
from .playout import Played, Playout
from .portaudio import DeviceInfo, list_devices
from .room import Room
from .soundcard import SoundCard
from .wav import StereoRecorder, WavWriter, read_wav
from .wav_device import WavDevice

__all__ = [
    "BridgeDevice",
    "ClockedDevice",
    "DeviceInfo",
    "DeviceStatistics",
    "EchoCancellation",
    "HalfDuplex",
    "Played",
    "Playout",
    "Recorder",
    "Room",
    "SoundCard",
    "StereoRecorder",
    "Utterance",
    "WavDevice",
    "WavWriter",
    "list_devices",
    "make_echo",
    "memory_pair",
    "read_wav",
]

"""What the sound of a device needs beside the device, given by whoever knows how to make it.

The session itself knows neither echo cancellers nor codecs; `realtime_trio.opening` does.
"""

from collections.abc import Callable
from typing import Protocol

import attrs

from realtime_trio.device import EchoControl

__all__ = ["Decoder", "Fittings", "WireCodec"]


class Decoder(Protocol):
    """Turns one content part from the wire's format into PCM16 at 24 kHz."""

    def decode(self, data: bytes, /) -> bytes:
        """Convert the next piece."""
        ...

    def finish(self) -> bytes:
        """Give what was held back: the part is complete."""
        ...


class WireCodec(Protocol):
    """One audio format of the wire, for devices, which know only PCM16 at 24 kHz."""

    def encode(self, pcm: bytes, /) -> bytes:
        """Convert the next piece of the microphone's sound."""
        ...

    def finish(self) -> bytes:
        """Give what was held back of the microphone's sound: a turn ends here."""
        ...

    def decoder(self) -> Decoder:
        """Make the decoder of one content part."""
        ...


@attrs.frozen
class Fittings:
    """What is made when it is needed.

    Attributes:
        make_echo: Makes what takes the echo out; None to leave it in.
        echo_is_chosen: Whether the user asked for this very control, instead of leaving it to us.
        make_codec: Makes what speaks a format of the wire other than PCM16, by its name.
    """

    make_echo: Callable[[], EchoControl] | None = None
    echo_is_chosen: bool = False
    make_codec: Callable[[str], WireCodec] | None = None

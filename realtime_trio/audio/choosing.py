"""Which of a machine's devices is meant, and what to do when PortAudio says no.

Everything here is words and lists; PortAudio itself is spoken to in `realtime_trio.audio.portaudio` only.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from realtime_trio.errors import DeviceUnavailable

__all__ = ["REFUSED_CHANNELS", "REFUSED_RATE", "DeviceInfo", "choose", "code_of", "explained", "names_of"]

Kind = Literal["input", "output"]

_NOUNS: dict[str, str] = {"input": "microphone", "output": "speaker"}


@attrs.frozen
class DeviceInfo:
    """A sound device, as PortAudio tells of it."""

    index: int
    """Its number. It holds until devices are plugged in or out."""

    name: str
    """Its name."""

    host: str
    """The system's interface through which it is reached, for example `"ALSA"` or `"Windows WASAPI"`."""

    inputs: int
    """Channels that it captures; 0: it is no microphone."""

    outputs: int
    """Channels that it plays; 0: it is no speaker."""

    rate: float
    """Its own sample rate."""

    default_input: bool = False
    """Whether it is the microphone that is taken when none is named."""

    default_output: bool = False
    """Whether it is the speaker that is taken when none is named."""

    def channels(self, kind: Kind) -> int:
        """Tell how many channels it captures or plays."""
        return self.inputs if kind == "input" else self.outputs


def choose(
    devices: Sequence[DeviceInfo], wanted: int | str | None, kind: Kind, before: DeviceInfo | None = None
) -> DeviceInfo:
    """Find the device that is meant.

    Args:
        devices: What there is.
        wanted: An index; a part of a name, or of name and host (`"usb, wasapi"`), in any case; None for the default.
        kind: What it is for.
        before: What was found for it when it was first opened. Unless the default is wanted, it is found again by its
            name and host: when something is plugged in or out, indices move.

    Returns:
        The device.

    Raises:
        DeviceUnavailable: There is none, or several fit; the words list what there is.
    """
    able = [device for device in devices if device.channels(kind)]
    noun = _NOUNS[kind]
    if not able:
        raise DeviceUnavailable(
            f"there is no {noun}: plug one in, or start the sound server (PulseAudio, PipeWire) that gives one"
        )
    if wanted is None:
        defaults = [device for device in able if (device.default_input if kind == "input" else device.default_output)]
        if not defaults:
            raise DeviceUnavailable(f"no {noun} is the default one: choose {_listed(able)}")
        return defaults[0]
    found = _again(able, before) if before is not None else []
    if before is not None and not found and isinstance(wanted, int):
        raise DeviceUnavailable(f"the {noun} {before.name!r} is not there: plug it in again")
    if not found:
        found = _named(able, wanted) if isinstance(wanted, str) else [d for d in able if d.index == wanted]
    if not found:
        raise DeviceUnavailable(f"there is no {noun} {_quoted(wanted)}: choose {_listed(able)}")
    if len(found) > 1:
        raise DeviceUnavailable(f"several devices fit the {noun} {_quoted(wanted)}: choose {_listed(found)}")
    return found[0]


def _again(devices: Sequence[DeviceInfo], before: DeviceInfo) -> list[DeviceInfo]:
    """Find the device that was there before. Where several are called the same, it is the nearest."""
    same = [device for device in devices if (device.name, device.host) == (before.name, before.host)]
    return sorted(same, key=lambda device: abs(device.index - before.index))[:1]


def names_of(devices: Sequence[DeviceInfo]) -> str:
    """Name devices that belong together, each once: "the sound device 'USB Headset'"."""
    names = dict.fromkeys(repr(device.name) for device in devices)
    return ("the sound device " if len(names) == 1 else "the sound devices ") + " and ".join(names)


def _quoted(wanted: int | str) -> str:
    return f"with the index {wanted}" if isinstance(wanted, int) else f"named {wanted!r}"


def _named(devices: Sequence[DeviceInfo], name: str) -> list[DeviceInfo]:
    """Find what has the words of a name in it, in their order; one that is called exactly so goes before all others."""
    wanted = name.casefold().strip()
    exact = [device for device in devices if wanted in {device.name.casefold(), _full(device).casefold()}]
    if len(exact) == 1:
        return exact
    return [device for device in devices if _contains(_full(device).casefold(), wanted.replace(",", " ").split())]


def _contains(text: str, words: Iterable[str]) -> bool:
    at = 0
    for word in words:
        at = text.find(word, at)
        if at < 0:
            return False
        at += len(word)
    return True


def _full(device: DeviceInfo) -> str:
    return f"{device.name}, {device.host}"


def _listed(devices: Sequence[DeviceInfo]) -> str:
    one = "" if len(devices) == 1 else "one of "
    return one + "; ".join(f"{device.index}: {_full(device)!r}" for device in devices)


_CFFI = {"cffi", "_cffi_backend"}
_NOT_FOUND = "PortAudio library not found"  # so says sounddevice
_NOT_LOADED = "cannot load library"  # so says cffi
_INSTALL = (
    "`apt install libportaudio2` on Debian and Ubuntu, `dnf install portaudio` on Fedora, "
    "`brew install portaudio` on macOS"
)

REFUSED_RATE = -9997
REFUSED_CHANNELS = -9998
_CODES = {
    REFUSED_RATE: "it refuses the sample rates that were tried: choose another device, or one that converts",
    REFUSED_CHANNELS: "it refuses one channel and two: choose another device",
    -9996: "it is not there any more: look at the list of devices again",
    -9993: "the microphone and the speaker cannot be used together, or one of them is gone: choose others",
    -9987: "it did not answer in time: plug it in again, or restart the sound server",
    -9985: "it is busy: close the program that uses it, or choose another device",
}


def code_of(error: BaseException) -> int | None:
    """Tell PortAudio's number of an error; None where it has none."""
    return error.args[1] if len(error.args) > 1 and isinstance(error.args[1], int) else None


def explained(error: BaseException, doing: str) -> DeviceUnavailable:
    """Say in our words what went wrong with PortAudio, and what to do.

    Args:
        error: What it raised, or what importing sounddevice raised.
        doing: What was tried, for example `"open the microphone 'USB Audio'"`.

    Returns:
        The error to raise from it.
    """
    if isinstance(error, DeviceUnavailable):
        return error
    words = _cure(error)
    own = code_of(error) is not None  # PortAudio's own have a number behind the words
    said = str(error.args[0] if own else error) or type(error).__name__
    speaker = "PortAudio" if type(error).__name__ == "PortAudioError" else type(error).__name__
    words = f"{words} ({said})" if words else f"{speaker} says {said!r}{_host_words(error)}"
    return DeviceUnavailable(f"cannot {doing}: {words}")


def _cure(error: BaseException) -> str:
    """Say what is wrong and what to do; nothing when that is not known."""
    if isinstance(error, ImportError):
        if error.name == "sounddevice" and isinstance(error, ModuleNotFoundError):
            return "the package sounddevice is not installed: `pip install sounddevice`"
        if error.name in _CFFI:
            return (
                "the package cffi that sounddevice needs is missing or is not whole: "
                "`pip install --force-reinstall cffi`"
            )
        return "the package sounddevice cannot be imported: `pip install --force-reinstall sounddevice`"
    if isinstance(error, OSError):
        said = str(error)
        if said.startswith(_NOT_FOUND):
            return f"the PortAudio library is not installed: {_INSTALL}"
        return f"the PortAudio library cannot be loaded: install it again, {_INSTALL}" if _NOT_LOADED in said else ""
    return _CODES.get(code_of(error) or 0, "")


def _host_words(error: BaseException) -> str:
    """Give what the system below PortAudio says, if it says anything."""
    host = error.args[2] if len(error.args) > 2 else None  # noqa: PLR2004  message, code, and this
    return f", the system {host[2]!r}" if isinstance(host, tuple) and len(host) > 2 and host[2] else ""  # noqa: PLR2004

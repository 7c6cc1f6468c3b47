"""Which sound devices the demo can use, and what to say when there are none."""

from collections.abc import Iterator, Sequence

from realtime_trio.audio.choosing import choose
from realtime_trio.audio.portaudio import DeviceInfo, list_devices

from .arguments import Options
from .stderr_log import StderrLog

__all__ = ["device_table", "find_devices", "wanted_devices"]


async def find_devices() -> tuple[DeviceInfo, ...]:
    """Look for sound devices, without the noise that the sound system makes about those that do not work.

    Raises:
        DeviceUnavailable: It cannot be known: PortAudio is missing, or does not answer.

    Cancellation:
        Safe.
    """
    with StderrLog().aside():
        return await list_devices()


async def wanted_devices(options: Options) -> tuple[DeviceInfo, DeviceInfo]:
    """Find the microphone and the speaker that are asked for.

    Args:
        options: They may name them.

    Returns:
        The microphone, and the speaker.

    Raises:
        DeviceUnavailable: There is no such device; the words say what to do.

    Cancellation:
        Safe.
    """
    devices = await find_devices()
    return choose(devices, options.input_device, "input"), choose(devices, options.output_device, "output")


def device_table(devices: Sequence[DeviceInfo]) -> Iterator[str]:
    """Put the devices into a table.

    Args:
        devices: What there is.

    Yields:
        Lines, without line ends. `>` marks the default microphone, `<` the default speaker.
    """
    widest = max([len("name"), *(len(device.name) for device in devices)])
    yield f"      no.  {'name':<{widest}}  in  out  rate      interface"
    for device in devices:
        marks = (">" if device.default_input else " ") + ("<" if device.default_output else " ")
        yield (
            f"  {marks}  {device.index:>3}  {device.name:<{widest}}  {device.inputs:>2}  {device.outputs:>3}  "
            f"{device.rate:>5.0f} Hz  {device.host}"
        )
    yield "> default microphone, < default speaker. Choose with --input-device and --output-device: number, or name."

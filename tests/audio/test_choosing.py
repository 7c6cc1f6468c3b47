"""Which device is meant, and words that say what to do when there is none."""

import pytest

from realtime_trio.audio.choosing import DeviceInfo, choose, code_of, explained
from realtime_trio.errors import DeviceUnavailable

LAPTOP = DeviceInfo(0, "Built-in Audio", "ALSA", 2, 2, 44_100.0, default_input=True, default_output=True)
HEADSET = DeviceInfo(1, "USB Headset", "ALSA", 1, 2, 48_000.0)
SPEAKERS = DeviceInfo(2, "USB Speakers", "ALSA", 0, 2, 48_000.0)
CAMERA = DeviceInfo(3, "Camera", "ALSA", 1, 0, 16_000.0)
WINDOWS = [
    DeviceInfo(4, "Headset (Jabra)", "MME", 1, 1, 44_100.0),
    DeviceInfo(5, "Headset (Jabra)", "Windows WASAPI", 1, 1, 48_000.0),
]
ALL = [LAPTOP, HEADSET, SPEAKERS, CAMERA, *WINDOWS]


@pytest.mark.parametrize(
    ("wanted", "kind", "found"),
    [
        (None, "input", LAPTOP),
        (None, "output", LAPTOP),
        (1, "input", HEADSET),
        (2, "output", SPEAKERS),
        ("usb", "input", HEADSET),  # the speakers are no microphone
        ("CAMERA", "input", CAMERA),
        ("usb speak", "output", SPEAKERS),
        ("jabra, windows wasapi", "output", WINDOWS[1]),
        ("jabra mme", "input", WINDOWS[0]),
        ("built-in audio, ALSA", "input", LAPTOP),
    ],
)
def test_a_device_is_found(wanted, kind, found):
    assert choose(ALL, wanted, kind) == found


@pytest.mark.parametrize(
    ("devices", "wanted", "kind", "words"),
    [
        ([], None, "input", "there is no microphone: plug one in, or start the sound server"),
        ([CAMERA], None, "output", "there is no speaker"),
        ([HEADSET], None, "input", "no microphone is the default one: choose 1: 'USB Headset, ALSA'"),
        (ALL, 9, "input", "there is no microphone with the index 9: choose one of 0: 'Built-in Audio, ALSA'; 1: "),
        (ALL, 3, "output", "there is no speaker with the index 3"),
        (ALL, "piano", "output", "there is no speaker named 'piano': choose one of 0: "),
        (ALL, "usb", "output", "several devices fit the speaker named 'usb': choose one of 1: .*Headset.*; 2: "),
        (ALL, "jabra", "input", "several devices fit .* 4: 'Headset .Jabra., MME'; 5: 'Headset .Jabra., Windows"),
    ],
)
def test_words_for_what_is_not_there(devices, wanted, kind, words):
    with pytest.raises(DeviceUnavailable, match=words):
        choose(devices, wanted, kind)


def test_an_exact_name_goes_before_longer_ones():
    longer = DeviceInfo(7, "USB Headset Pro", "ALSA", 1, 1, 48_000.0)

    assert choose([longer, HEADSET], "usb headset", "input") == HEADSET


class TestAgain:
    """What was open before is found again, although indices have moved."""

    def test_by_name_when_an_index_was_given(self):
        moved = DeviceInfo(6, HEADSET.name, HEADSET.host, 1, 2, 48_000.0)

        assert choose([LAPTOP, CAMERA, moved], 1, "input", HEADSET) == moved

    def test_another_device_that_has_the_index_now_is_not_taken(self):
        with pytest.raises(DeviceUnavailable, match="'USB Headset' is not there: plug it in again"):
            choose([LAPTOP, SPEAKERS], 1, "output", HEADSET)

    def test_of_the_same_name_at_two_hosts_the_one_of_before(self):
        """Windows lists each device once for every host, and they are not equally good."""
        mme, wasapi = WINDOWS

        assert choose([mme, wasapi], 5, "input", wasapi) == wasapi
        assert choose([wasapi, mme], 5, "input", wasapi) == wasapi
        with pytest.raises(DeviceUnavailable, match="plug it in again"):
            choose([LAPTOP, mme], 5, "input", wasapi)

    def test_the_one_that_was_found_by_a_name_or_another_that_fits(self):
        other = DeviceInfo(8, "USB Microphone", "ALSA", 1, 0, 48_000.0)

        assert choose([other, HEADSET], "usb", "input", HEADSET) == HEADSET
        assert choose([other, LAPTOP], "usb", "input", HEADSET) == other

    def test_of_two_that_are_called_the_same_the_nearer(self):
        twin = DeviceInfo(9, HEADSET.name, HEADSET.host, 1, 2, 48_000.0)

        assert choose([HEADSET, twin], 8, "input", twin) == twin

    def test_the_default_is_whatever_is_the_default_now(self):
        assert choose(ALL, None, "input", HEADSET) == LAPTOP


class PortAudioError(Exception):
    """As sounddevice raises it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ModuleNotFoundError("No module named 'sounddevice'", name="sounddevice"),
            r"sounddevice is not installed: `pip install sounddevice` \(No module named 'sounddevice'\)$",
        ),
        (
            ModuleNotFoundError("No module named '_cffi_backend'", name="_cffi_backend"),
            r": the package cffi .*: `pip install --force-reinstall cffi` \(No module named '_cffi_backend'\)$",
        ),
        (
            ImportError("DLL load failed while importing _cffi_backend", name="_cffi_backend"),
            r"`pip install --force-reinstall cffi` \(DLL load failed while importing _cffi_backend\)$",
        ),
        (
            ModuleNotFoundError("No module named '_sounddevice'", name="_sounddevice"),
            r"cannot be imported: `pip install --force-reinstall sounddevice` \(No module named '_sounddevice'\)$",
        ),
        (ImportError("odd"), r"cannot be imported: `pip install --force-reinstall sounddevice` \(odd\)$"),
        (
            OSError("PortAudio library not found"),
            r"is not installed: `apt install libportaudio2.*brew install portaudio` on macOS \(PortAudio library not ",
        ),
        (
            OSError("cannot load library 'libportaudio.so.2': libjack.so.0: cannot open shared object file"),
            r"PortAudio library cannot be loaded: install it again, .*libportaudio2.* \(cannot load library .*libjack",
        ),
        (OSError(24, "Too many open files"), r"microphone: OSError says '\[Errno 24\] Too many open files'$"),
        (PermissionError(13, "Permission denied"), r"PermissionError says '\[Errno 13\] Permission denied'$"),
        (PortAudioError("Error opening RawStream: Device unavailable", -9985), "busy: close the program.*RawStream"),
        (PortAudioError("Error opening: Invalid sample rate", -9997), "refuses the sample rates"),
        (PortAudioError("Error opening: Invalid number of channels", -9998), "refuses one channel and two"),
        (
            PortAudioError("Illegal combination of I/O devices", -9993),
            "cannot be used together, or one of them is gone",
        ),
        (PortAudioError("Invalid device", -9996), "look at the list of devices again"),
        (PortAudioError("Wait timed out", -9987), "restart the sound server"),
        (
            PortAudioError("Error initializing PortAudio", -9999, (0, -5, "no such thing")),
            "PortAudio says 'Error initializing PortAudio', the system 'no such thing'",
        ),
        (
            PortAudioError("Error initializing PortAudio", -9999, (-10000, 0, "")),
            "says 'Error initializing PortAudio'$",
        ),
        (PortAudioError(), "says 'PortAudioError'"),
        (ValueError("odd"), "ValueError says 'odd'"),
    ],
)
def test_every_error_says_what_to_do(error, words):
    explanation = explained(error, "open the microphone")

    assert isinstance(explanation, DeviceUnavailable)
    assert str(explanation).startswith("cannot open the microphone: ")
    with pytest.raises(DeviceUnavailable, match=words):
        raise explanation


def test_what_is_explained_stays_as_it_is():
    error = DeviceUnavailable("there is no microphone")

    assert explained(error, "open") is error


def test_codes():
    assert code_of(PortAudioError("no", -9997)) == -9997
    assert code_of(PortAudioError("no", "odd")) is None
    assert code_of(OSError("no")) is None

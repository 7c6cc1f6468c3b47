"""Which devices the demo takes, and what it says when there are none: in words that help."""

import signal
import subprocess
import sys

import pytest
import trio

from realtime_trio.audio import DeviceInfo
from realtime_trio.demo import devices as devices_module
from realtime_trio.demo import running
from realtime_trio.demo.arguments import Options
from realtime_trio.demo.devices import device_table, wanted_devices
from realtime_trio.demo.stage import Terminal
from realtime_trio.errors import ConfigurationError, DeviceUnavailable

HEADSET = DeviceInfo(0, "USB Headset", "ALSA", 1, 2, 48000.0)
LAPTOP = DeviceInfo(1, "Built-in Microphone", "ALSA", 2, 0, 44100.0, default_input=True)
SPEAKER = DeviceInfo(2, "Built-in", "ALSA", 0, 2, 44100.0, default_output=True)


@pytest.fixture
def machine(monkeypatch):
    """Give the machine some devices, or a reason why there are none."""

    def equip(*devices, problem=None):
        async def list_devices():
            if problem is not None:
                raise DeviceUnavailable(problem)
            return devices

        monkeypatch.setattr(devices_module, "list_devices", list_devices)

    return equip


async def test_the_default_devices_are_taken(machine):
    machine(HEADSET, LAPTOP, SPEAKER)

    assert await wanted_devices(Options()) == (LAPTOP, SPEAKER)


async def test_devices_are_chosen_by_name_and_by_number(machine):
    machine(HEADSET, LAPTOP, SPEAKER)

    assert await wanted_devices(Options(input_device="headset", output_device=2)) == (HEADSET, SPEAKER)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(input_device="Webcam"), "'Webcam'"),
        (Options(output_device=1), "no speaker"),
        (Options(output_device=7), "the index 7"),
    ],
)
async def test_a_device_that_is_not_there_names_those_that_are(machine, options, words):
    machine(HEADSET, LAPTOP, SPEAKER)

    with pytest.raises(DeviceUnavailable) as refused:
        await wanted_devices(options)

    assert words in str(refused.value)
    assert "USB Headset" in str(refused.value)


def test_the_table_marks_the_defaults():
    assert list(device_table([HEADSET, LAPTOP, SPEAKER])) == [
        "      no.  name                 in  out  rate      interface",
        "        0  USB Headset           1    2  48000 Hz  ALSA",
        "  >     1  Built-in Microphone   2    0  44100 Hz  ALSA",
        "   <    2  Built-in              0    2  44100 Hz  ALSA",
        "> default microphone, < default speaker. Choose with --input-device and --output-device: number, or name.",
    ]


@pytest.mark.parametrize(("devices", "code", "words"), [((LAPTOP,), 0, "Built-in"), ((), 1, "There are no sound dev")])
async def test_listing_them_is_all_that_it_does(machine, devices, code, words, tmp_path):
    machine(*devices)
    shown = []

    options = Options(list_devices=True, record=tmp_path / "talk.wav")
    assert await running.run(options, Terminal(write=shown.append)) == code

    assert words in "".join(shown)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fallback(monkeypatch, tmp_path):
    """Run the demo where there is no sound; tell what took the place of the sound card, and what was shown."""
    reasons, shown = [], []

    class Headless:
        def __init__(self, stage, recording, why):
            reasons.append(why)

        async def run(self):
            pass

    monkeypatch.setattr(running, "HeadlessTalk", Headless)

    async def run(**options):
        terminal = Terminal(write=shown.append, signals=())
        code = await running.run(Options(record=tmp_path / "talk.wav", **options), terminal)
        return code, reasons

    return run


async def test_no_device_means_the_scripted_talk_and_why(machine, fallback):
    machine(SPEAKER)

    code, (why,) = await fallback()

    assert code == 0
    assert why.startswith("there is no microphone: plug one in")
    assert "--list-devices" in why


async def test_who_asks_for_no_hardware_is_told_no_reason(machine, fallback):
    machine(problem="not to be asked")

    assert await fallback(headless=True) == (0, [""])


@pytest.mark.parametrize("options", [{"input_device": "Webcam"}, {"push_to_talk": True}, {"output_device": 3}])
async def test_a_device_that_was_asked_for_is_not_replaced(machine, fallback, options):
    machine(SPEAKER)

    with pytest.raises(DeviceUnavailable):
        await fallback(**options)


async def test_no_simulated_user_talks_for_money_unasked(machine, fallback, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    machine(problem="the PortAudio library is not installed: `apt install libportaudio2`")

    with pytest.raises(ConfigurationError, match=r"apt install libportaudio2.*--list-devices.*--headless"):
        await fallback(live=True)


async def test_ctrl_c_while_devices_are_looked_for_ends_it(monkeypatch, tmp_path):
    """Some machines take seconds for it."""

    async def list_devices():
        signal.raise_signal(signal.SIGINT)
        await trio.sleep_forever()

    monkeypatch.setattr(devices_module, "list_devices", list_devices)
    with trio.fail_after(5):
        code = await running.run(Options(record=tmp_path / "talk.wav"), Terminal(write=lambda _: None))

    assert code == 130
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_without_portaudio_the_list_says_what_to_install(tmp_path):
    script = """
import runpy, sys
sys.modules["sounddevice"] = None
runpy.run_module("realtime_trio.demo", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "--list-devices"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: cannot list the sound devices: ")
    assert "pip install sounddevice" in done.stderr

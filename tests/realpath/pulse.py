"""A sound server of one test's own: a loudspeaker and a microphone that exist only in PulseAudio, and a room's echo.

The sinks keep time as a sound card does. What a program plays into `speaker` is recorded from its monitor; what a test
plays into `miccable` is what a program hears from the source `mic`. Programs under test run in processes of their own
(`program.py`), because PortAudio looks for its devices once in a process.
"""

import ctypes.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import numpy as np
import trio

from realtime_trio.nursery import open_services

from .signals import RATE, sound_begins, sound_ends

LIMIT = 60.0  # seconds that anything may take which takes none: for machines that have much else to do

# norewinds: else a null sink works in blocks of two seconds, which no sound card does
_CONFIGURATION = """\
load-module module-native-protocol-unix auth-anonymous=1 socket={home}/native
load-module module-null-sink sink_name=speaker rate=48000 channels=1 format=s16le norewinds=1
load-module module-null-sink sink_name=miccable rate=48000 channels=1 format=s16le norewinds=1
load-module module-remap-source source_name=mic master=miccable.monitor
set-default-sink speaker
set-default-source mic
"""

# The whole world as PortAudio is to see it: nobody's real loudspeaker is part of it.
_ALSA = """\
pcm.default { type pulse }
ctl.default { type pulse }
"""


def missing() -> list[str]:
    """Name the Debian packages of which something is not here."""
    plugins = [*Path("/usr/lib").glob("alsa-lib"), *Path("/usr/lib").glob("*/alsa-lib"), Path("/usr/lib64/alsa-lib")]
    found = {
        "libportaudio2": ctypes.util.find_library("portaudio") is not None,
        "pulseaudio": shutil.which("pulseaudio") is not None,
        "pulseaudio-utils": all(map(shutil.which, ("pactl", "paplay", "parec"))),
        "libasound2-plugins": any((folder / "libasound_module_pcm_pulse.so").exists() for folder in plugins),
    }
    return [package for package, is_here in found.items() if not is_here]


class Recording:
    """What was recorded so far: mono PCM16 at 24 kHz, growing."""

    def __init__(self) -> None:
        self._pcm = bytearray()
        self._grown = trio.Event()

    @property
    def samples(self) -> np.ndarray:
        return np.frombuffer(bytes(self._pcm[: len(self._pcm) // 2 * 2]), dtype="<i2")

    @property
    def length(self) -> int:
        return len(self._pcm) // 2

    def add(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._grown.set()
        self._grown = trio.Event()

    async def until(self, holds: Callable[[np.ndarray], bool], what: str, *, limit: float = LIMIT) -> np.ndarray:
        """Wait until something can be said of what was recorded; that it never can is a failure with these words."""
        with trio.move_on_after(limit):
            while not holds(self.samples):
                await self._grown.wait()
            return self.samples
        raise AssertionError(f"{what}: not within {limit:g} s, {self.length / RATE:.1f} s of them recorded")

    async def sound(self, *, since: int = 0, seconds: float = 0.1) -> None:
        """Wait until something has sounded for so long since a sample; its pauses count."""

        def has_sounded(samples: np.ndarray) -> bool:
            end = sound_ends(samples[since:])
            return end > 0 and end - sound_begins(samples[since:]) >= seconds * RATE

        await self.until(has_sounded, f"nothing was to be heard for {seconds:g} s")

    async def silence(self, seconds: float, *, since: int = 0, limit: float = LIMIT) -> None:
        """Wait until nothing has sounded for so long, since a sample."""
        await self.until(
            lambda samples: len(samples) - since - sound_ends(samples[since:]) >= seconds * RATE,
            f"there was no silence of {seconds:g} s",
            limit=limit,
        )


@attrs.define(eq=False)
class PulseServer:
    """A running sound server."""

    home: Path
    _process: trio.Process | None = attrs.field(default=None, init=False)

    @property
    def environment(self) -> dict[str, str]:
        """What a program is to be started with, to hear and to be heard here and nowhere else."""
        return environment(self.home, server=f"unix:{self.home}/native")

    async def start(self) -> None:
        """Start it (again), and wait until it answers. Everything but a room's echo is then as it was at first."""
        (self.home / "default.pa").write_text(_CONFIGURATION.format(home=self.home), encoding="utf-8")
        (self.home / "native").unlink(missing_ok=True)  # of one that was killed
        with (self.home / "pulseaudio.log").open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                # no configuration but ours, no shared memory (a container may have little), no rights; and without
                # clients for two minutes it ends by itself, also when nobody is left to end it
                [
                    *("pulseaudio", "-n", "-F", str(self.home / "default.pa"), "--daemonize=no", "--use-pid-file=no"),
                    *("--realtime=no", "--high-priority=no", "--disable-shm=yes", "--exit-idle-time=120"),
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        with trio.move_on_after(LIMIT):
            while self._process.poll() is None:
                asked = await trio.run_process(
                    ["pactl", "info"], env=self.environment, check=False, capture_stdout=True, capture_stderr=True
                )
                if asked.returncode == 0:
                    return
                await trio.sleep(0.05)
        raise AssertionError("PulseAudio did not start")

    def obituary(self) -> str:
        """Tell whether it lives, and what it wrote."""
        code = None if self._process is None else self._process.poll()
        fate = "lives" if code is None else f"ended with {code}"
        log = (self.home / "pulseaudio.log").read_text(encoding="utf-8", errors="replace")
        return f"PulseAudio {fate}; it wrote:\n{log}"

    async def kill(self) -> None:
        """Let it die as it does when it crashes. Nothing happens when it is dead."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def control(self, *words: str) -> str:
        """Run `pactl`."""
        done = await trio.run_process(["pactl", *words], env=self.environment, capture_stdout=True)
        return done.stdout.decode().strip()

    async def add_echo(self, gain: float) -> None:
        """Let the microphone hear the loudspeaker, as loud as `gain` times what is played, until the server ends.

        The loudspeaker now plays into the microphone's cable, so both have one clock, as in a laptop. (module-loopback
        has two, and on a busy machine that room falls silent for seconds, or its delay jumps.)
        """
        modules = (await self.control("list", "short", "modules")).splitlines()
        (number,) = [line.split("\t")[0] for line in modules if "sink_name=speaker" in line]
        await self.control("unload-module", number)
        await self.control("load-module", "module-remap-sink", "sink_name=speaker", "master=miccable", "remix=no")
        await self.control("set-default-sink", "speaker")
        streams = (await self.control("list", "short", "sink-inputs")).splitlines()
        (number,) = [line.split("\t")[0] for line in streams if "module-remap-sink" in line]
        await self.control("set-sink-input-volume", number, str(round(65536 * gain ** (1 / 3))))  # it is cubic

    async def play(self, wav: Path, *, sink: str = "miccable") -> None:
        """Say a WAV file into the microphone (or, to `speaker`, as other programs do); return when it was said."""
        command = ["paplay", f"--device={sink}", "--latency-msec=100", os.fspath(wav)]
        with trio.fail_after(LIMIT):
            await trio.run_process(command, env=self.environment)

    @asynccontextmanager
    async def record(self, source: str = "speaker.monitor") -> AsyncIterator[Recording]:
        """Record what is played (or, from `mic`, what is heard) until the block is left."""
        recording = Recording()
        async with open_services("a recording") as services:
            services.start_soon(_record, source, self.environment, recording)
            await recording.until(lambda samples: len(samples) > 0, f"{source} cannot be recorded")
            yield recording


async def _record(source: str, env: Mapping[str, str], recording: Recording) -> None:
    process = await trio.lowlevel.open_process(
        ["parec", f"--device={source}", f"--rate={RATE}", "--channels=1", "--format=s16le", "--latency-msec=20"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # that its server was killed is what some tests are about
    )
    assert process.stdout is not None
    try:
        async for pcm in process.stdout:
            recording.add(pcm)
    finally:
        process.kill()
        with trio.move_on_after(LIMIT, shield=True):
            await process.wait()


@asynccontextmanager
async def open_pulse() -> AsyncIterator[PulseServer]:
    """Run a sound server as long as the block lasts."""
    # not pytest's folder: the path of a socket has room for 107 characters
    with tempfile.TemporaryDirectory(prefix="pulse-") as home:
        pulse = PulseServer(Path(home))
        try:
            await pulse.start()
            yield pulse
        except Exception as error:
            error.add_note(pulse.obituary())
            raise
        finally:
            with trio.move_on_after(LIMIT, shield=True):
                await pulse.kill()


def environment(home: Path, *, server: str) -> dict[str, str]:
    """Give the environment of a program whose whole world of sound is one sound server.

    Args:
        home: Where PulseAudio's and ALSA's files are looked for.
        server: PulseAudio's address; where nobody listens, the program is on a machine without any device.
    """
    (home / "alsa.conf").write_text(_ALSA, encoding="utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PULSE_", "ALSA_", "XDG_", "DBUS_", "PIPEWIRE_", "JACK_")) and name != "DISPLAY"
    }
    return kept | {
        "HOME": os.fspath(home),
        "PULSE_SERVER": server,
        "PULSE_RUNTIME_PATH": os.fspath(home),
        "ALSA_CONFIG_PATH": os.fspath(home / "alsa.conf"),
    }

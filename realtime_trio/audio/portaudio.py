"""The one owner of PortAudio in the process: everything that calls it, but for the streams' callbacks, runs here.

PortAudio is one per process, is not made for several threads at once, may block for ever in a driver, and has to be
begun anew to see what was plugged in, which ends every open stream. So one thread makes all the calls, one after the
other, and everybody waits for it with a time limit. The thread is a daemon: a driver that hangs keeps nobody from
leaving.

The program may use sounddevice beside us, and open streams of its own at any time. Beginning anew would end those
without a word, so it is looked first, each time, whether there is one; as long as there is, nothing is begun anew.

sounddevice is imported in that thread, when it is first needed: the import itself starts PortAudio, and may raise
anything, or hang. On Windows the thread that started PortAudio is also the one that may open streams.
"""

import atexit
import contextlib
import gc
import importlib
import logging
import math
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import attrs
import trio

from realtime_trio.errors import DeviceUnavailable

from .choosing import DeviceInfo, explained

_log = logging.getLogger("realtime_trio.audio")

__all__ = ["DeviceInfo", "OpenStreams", "PortAudio", "list_devices", "portaudio"]

_FRESH = 2.0  # seconds for which what PortAudio has seen is taken for what there is

T = TypeVar("T")


class OpenStreams(Protocol):
    """Streams of PortAudio's that belong together: one duplex stream, or an input and an output."""

    @property
    def streams(self) -> Sequence[Any]:
        """The streams, as sounddevice gave them."""
        ...

    def close(self) -> None:
        """Close them, quickly, whatever their state. In the owner's thread; calling it again does nothing."""
        ...

    def taken_away(self) -> None:
        """Hear that the owner closed them, because PortAudio is begun anew. In the owner's thread."""
        ...


def _import_sounddevice() -> Any:
    return importlib.import_module("sounddevice")


S = TypeVar("S", bound=OpenStreams)


@attrs.define(eq=False)
class _Job(Generic[T]):
    """Something to do in the owner's thread, and who waits for it."""

    work: Callable[[], T]
    discard: Callable[[T], object]
    token: trio.lowlevel.TrioToken
    over: trio.Event = attrs.field(factory=trio.Event)
    wanted: bool = True
    outcome: "_Result[T] | BaseException | None" = None

    def run(self) -> None:
        """Do it, unless nobody wants it any more."""
        if not self.wanted:
            return
        try:
            self.outcome = _Result(self.work())
        except BaseException as error:  # noqa: ASYNC103, BLE001  an import may raise anything; the waiter hears it
            self.outcome = error
        with contextlib.suppress(trio.RunFinishedError):
            self.token.run_sync_soon(self.over.set)

    def throw_away(self) -> None:
        """Undo what came too late."""
        if isinstance(self.outcome, _Result):
            self.discard(self.outcome.value)


@attrs.frozen
class _Result(Generic[T]):
    value: T


class PortAudio:
    """PortAudio, and the thread that speaks to it.

    Args:
        load: Gives the module sounddevice, or one like it. Called once, in the owner's thread.
    """

    def __init__(self, load: Callable[[], Any] = _import_sounddevice) -> None:
        self._load = load
        self._sd: Any = None
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._streams: list[OpenStreams] = []
        self._warned = False
        self._looked_at = -math.inf  # when PortAudio last looked what devices there are
        self._exit: Callable[[], object] | None = None  # what sounddevice does at exit, while a driver hangs
        self.renewals = 0
        """Times that PortAudio was begun anew. What is known of devices holds for one number."""

    async def run(
        self,
        work: Callable[[Any], T],
        *,
        doing: str,
        within: float,
        discard: Callable[[T], object] = lambda _: None,
        binding: bool = False,
    ) -> T:
        """Do something with PortAudio, in its thread.

        Args:
            work: Called with the module sounddevice.
            doing: What it is, for errors: `"list the devices"`.
            within: Seconds to wait. What takes longer goes on in its thread and is thrown away.
            discard: Given the result if nobody waits for it any more; called in the thread.
            binding: It is done also when nobody waits for it any more, and it was not begun.

        Returns:
            What `work` returned.

        Raises:
            DeviceUnavailable: It raised, or took too long.

        Cancellation:
            At once; what was begun goes on in its thread and is thrown away.
        """
        job = _Job(lambda: work(self._loaded()), discard, trio.lowlevel.current_trio_token())
        self._put(job.run)
        try:
            with trio.move_on_after(within):
                await job.over.wait()
        finally:
            if not job.over.is_set():
                job.wanted = binding
                self._put(job.throw_away)  # it comes after the work, in the same thread
        if not job.over.is_set():
            self._let_exit()
            raise DeviceUnavailable(
                f"cannot {doing}: PortAudio did not answer within {within:g} s, a driver hangs: "
                "plug the device in again, or restart the sound server or this program"
            )
        if isinstance(job.outcome, _Result):
            return job.outcome.value
        assert job.outcome is not None  # noqa: S101  it is over
        raise explained(job.outcome, doing) from job.outcome

    async def devices(self, within: float = 5.0) -> tuple[DeviceInfo, ...]:
        """List the devices; see `list_devices`."""

        def work(sd: Any) -> tuple[DeviceInfo, ...]:
            self._look(sd)
            return devices_of(sd)

        return await self.run(work, doing="list the sound devices", within=within)

    async def open(
        self,
        build: Callable[[Any, tuple[DeviceInfo, ...]], S],
        *,
        doing: str,
        within: float,
        anew: int | None = None,
    ) -> S:
        """Open streams, and own them from then on.

        Args:
            build: Called with sounddevice and the devices there are; opens and starts.
            doing: What it is, for errors.
            within: Seconds to wait.
            anew: Begin PortAudio anew before, so that devices are seen that were plugged in since, if `renewals` is
                still this number. All other streams that were opened here are closed by that, and told so. It is not
                done while the program has a stream that it opened with sounddevice itself.

        Returns:
            What `build` returned. Give it to `close`.

        Raises:
            DeviceUnavailable: It raised, or took too long.

        Cancellation:
            At once; streams that are opened nevertheless are closed again.
        """

        def work(sd: Any) -> S:
            if anew == self.renewals and not self._kept_from_beginning_anew(sd):
                self._begin_anew(sd)
            self._look(sd)
            streams = build(sd, devices_of(sd))
            self._streams.append(streams)
            return streams

        return await self.run(work, doing=doing, within=within, discard=self._close)

    async def close(self, streams: OpenStreams, *, within: float = 0.5) -> None:
        """Close streams. It waits for a bounded time, and raises nothing: what hangs is left to its thread.

        Cancellation:
            Deferred for as long as the time limit.
        """
        with trio.CancelScope(shield=True), contextlib.suppress(DeviceUnavailable):
            await self.run(lambda _: self._close(streams), doing="close the sound device", within=within, binding=True)

    @property
    def in_use(self) -> bool:
        """Whether streams are open, which beginning anew would interrupt."""
        return bool(self._streams)

    def _close(self, streams: OpenStreams) -> None:
        if streams in self._streams:
            self._streams.remove(streams)
        streams.close()

    def _look(self, sd: Any) -> None:
        """See what was plugged in meanwhile, if that costs nobody anything."""
        if not self._streams and time.monotonic() - self._looked_at > _FRESH and not self._strangers(sd):
            self._begin_anew(sd)

    def _strangers(self, sd: Any) -> bool:
        """Tell whether a stream is open, active or not, that was not opened here.

        sounddevice keeps no list of its streams, but whoever has one open has the object: its callback would be gone
        with it. If sounddevice should have changed so much that this cannot be known, it is taken for granted.
        """
        base = getattr(sd, "_StreamBase", None)
        if base is None:
            return True
        ours = {id(stream) for streams in self._streams for stream in streams.streams}
        found = _open_streams(base, ours)
        if found and not any(hasattr(stream, "latency") for stream in found):
            # None of them was ever opened: they are being opened now, or were refused, and an exception holds them.
            del found
            gc.collect()
            found = _open_streams(base, ours)
        return bool(found)

    def _kept_from_beginning_anew(self, sd: Any) -> bool:
        """Look for strangers; say once what they are in the way of."""
        kept = self._strangers(sd)
        if kept and not self._warned:
            self._warned = True
            _log.warning(
                "A stream that this program opened with sounddevice itself is open: until it is closed, sound devices "
                "that are plugged in are not seen, for PortAudio would have to end it"
            )
        return kept

    def _begin_anew(self, sd: Any) -> None:
        """Let PortAudio look for devices again. It forgets all streams, so they are closed properly before."""
        taken, self._streams = self._streams, []
        for streams in taken:
            streams.close()
        try:
            with contextlib.suppress(Exception):  # it was not running: an earlier beginning failed
                sd._terminate()  # noqa: SLF001  sounddevice has no other door
            sd._initialize()  # noqa: SLF001
            self._looked_at = time.monotonic()
        finally:
            self.renewals += 1
            for streams in taken:
                streams.taken_away()

    def _loaded(self) -> Any:
        if self._sd is None:
            self._sd = self._load()
            self._looked_at = time.monotonic()
        return self._sd

    def _put(self, job: Callable[[], None]) -> None:
        with self._starting:
            if self._thread is None or not self._thread.is_alive():  # not alive: in the child of a fork
                self._thread = threading.Thread(target=self._work, name="PortAudio", daemon=True)
                self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            self._jobs.get()()
            if self._exit is not None:
                atexit.register(self._exit)
                self._exit = None

    def _let_exit(self) -> None:
        """Keep a driver that hangs from hanging the end of the program too, where sounddevice ends PortAudio."""
        module = self._sd or sys.modules.get("sounddevice")
        handler = getattr(module, "_exit_handler", None)
        if handler is not None and self._exit is None:
            atexit.unregister(handler)
            self._exit = handler


def _open_streams(base: type, ours: set[int]) -> list[Any]:
    """Find streams in this process's memory that were not closed, but for those with the given ids."""
    # type(), because isinstance() asks the object, and proxies of all kinds are among them
    found: list[Any] = [one for one in gc.get_objects() if issubclass(type(one), base)]
    return [stream for stream in found if not stream.closed and id(stream) not in ours]


def devices_of(sd: Any) -> tuple[DeviceInfo, ...]:
    """Ask PortAudio what there is. In the owner's thread."""
    hosts = [str(host["name"]) for host in sd.query_hostapis()]
    defaults = {kind: _default(sd, kind) for kind in ("input", "output")}
    return tuple(
        DeviceInfo(
            index=index,
            name=str(device["name"]),
            host=hosts[device["hostapi"]],
            inputs=int(device["max_input_channels"]),
            outputs=int(device["max_output_channels"]),
            rate=float(device["default_samplerate"]),
            default_input=index == defaults["input"],
            default_output=index == defaults["output"],
        )
        for index, device in enumerate(sd.query_devices())
    )


def _default(sd: Any, kind: str) -> int | None:
    try:
        return int(sd.query_devices(kind=kind)["index"])
    except Exception:  # noqa: BLE001  none, or `sounddevice.default` names what is not there
        return None


portaudio = PortAudio()
"""The owner. There is no second one in a process."""


async def list_devices(*, timeout: float = 5.0) -> tuple[DeviceInfo, ...]:  # noqa: ASYNC109  a driver knows no scopes
    """List the sound devices of this machine.

    What was plugged in a moment ago is seen too, unless a stream of this process is open, also one that it opened with
    sounddevice itself: then it is the list as it was, because looking again would end that stream.

    Args:
        timeout: Seconds that PortAudio gets. On some machines a driver blocks it for ever.

    Returns:
        The devices. None at all is no error.

    Raises:
        DeviceUnavailable: PortAudio cannot be used; the words say what to install or to do.

    Cancellation:
        At once.
    """
    return await portaudio.devices(timeout)

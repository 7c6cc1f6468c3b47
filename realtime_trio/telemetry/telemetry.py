"""Where spans and measurements go: one `Telemetry` for as many sessions as one likes.

What a session's spans are is in `observer.py`; who sends them, in `outbox.py`.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from realtime_trio._version import __version__
from realtime_trio.errors import ConfigurationError

from .outbox import Counts, Outbox

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from .observer import Observer

__all__ = ["Telemetry", "TelemetryStatistics", "observed"]

_CURE = "install it with: pip install 'realtime_trio[otel]'"
_NAME = "realtime_trio"


@attrs.frozen(kw_only=True)
class TelemetryStatistics:
    """What became of spans and measurements, of all sessions together.

    Attributes:
        done: Handed to OpenTelemetry.
        dropped: Dropped, because 4,096 of a session waited for a slow exporter already.
        failed: OpenTelemetry, or its exporter, raised.
    """

    done: int
    dropped: int
    failed: int


class Telemetry:
    """Makes spans and metrics of sessions with OpenTelemetry, for `open_session(telemetry=...)`.

    What is made is listed in docs/observing.md. Names, counts and times only: never what was said, nor sound, nor a
    credential. A session never waits for it, however slow an exporter is, but half a second at its end; nothing that
    goes wrong with it reaches the session.

    Args:
        tracer_provider: Where spans go; OpenTelemetry's global one by default, which does nothing until the program
            has configured the SDK.
        meter_provider: Where measurements go; likewise.

    Raises:
        ConfigurationError: The package opentelemetry-api is not installed, or too old.
    """

    def __init__(
        self, *, tracer_provider: "TracerProvider | None" = None, meter_provider: "MeterProvider | None" = None
    ) -> None:
        try:
            from opentelemetry import metrics, trace

            from .instruments import Instruments
        except ImportError as error:
            raise ConfigurationError(
                f"telemetry needs the package opentelemetry-api, 1.30 or newer ({error}): {_CURE}"
            ) from error
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._instruments = Instruments(metrics.get_meter(_NAME, __version__, meter_provider))
        self._counts = Counts()

    def __repr__(self) -> str:
        return f"<Telemetry {self.statistics()}>"

    def statistics(self) -> TelemetryStatistics:
        """Return counts of this moment, of all sessions together."""
        counts = self._counts
        return TelemetryStatistics(done=counts.done, dropped=counts.dropped, failed=counts.failed)

    @asynccontextmanager
    async def _observed(self) -> AsyncGenerator["Observer"]:
        from .observer import Observer

        outbox = Outbox(self._counts)
        observer = Observer(self._tracer, self._instruments, outbox, self._counts)
        try:
            with observer.session():
                yield observer
        finally:
            await outbox.aclose()


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def observed(telemetry: Any) -> AsyncGenerator["Observer"]:
    """Observe one session, which is opened inside the block; for `open_session`.

    Args:
        telemetry: A `Telemetry`.

    Yields:
        What is to be told of the session.

    Raises:
        ConfigurationError: It is no `Telemetry`.

    Cancellation:
        What waits for the exporter is given up after half a second.

    Tasks:
        None; a thread, which is gone when the block has ended, or the exporter hangs.
    """
    if not isinstance(telemetry, Telemetry):
        raise ConfigurationError(f"telemetry is a Telemetry(...), not {type(telemetry).__name__}")
    async with telemetry._observed() as observer:  # noqa: SLF001  its own module
        yield observer

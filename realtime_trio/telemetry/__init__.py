"""OpenTelemetry of sessions: spans and metrics, as `open_session(telemetry=Telemetry())` makes them.

Needs the extra `[otel]`, and nothing here loads the package before a `Telemetry` is made.
"""

from .telemetry import Telemetry as Telemetry
from .telemetry import TelemetryStatistics as TelemetryStatistics
from .telemetry import observed as observed

__all__ = ["Telemetry", "TelemetryStatistics", "observed"]

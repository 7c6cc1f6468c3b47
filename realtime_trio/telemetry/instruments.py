"""The metrics: names and units. The names that begin with `gen_ai.` are OpenTelemetry's conventions for GenAI."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram, Meter

__all__ = ["Instruments"]

# as the conventions want them
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = tuple(4**power for power in range(14))
_LONG_SECONDS: Final = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 21600, 86400)


class Instruments:
    """What is measured, made once for each `Telemetry`."""

    def __init__(self, meter: "Meter") -> None:
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of a response, read or made",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.response = _seconds(
            meter, "gen_ai.client.operation.duration", "From asking for a response until it is generated"
        )
        self.first_chunk = _seconds(
            meter,
            "gen_ai.client.operation.time_to_first_chunk",
            "From asking for a response until the first of it arrives",
        )
        self.tool = _seconds(
            meter, "gen_ai.execute_tool.duration", "From a tool call's beginning until the model is told"
        )
        self.first_sound = _seconds(
            meter,
            "realtime_trio.time_to_first_sound",
            "From the end of the user's turn to the first sound at the loudspeaker",
        )
        self.session = _seconds(meter, "realtime_trio.session.duration", "How long sessions last", _LONG_SECONDS)
        self.active = meter.create_up_down_counter(
            "realtime_trio.session.active", unit="{session}", description="Sessions that are open"
        )
        self.reconnects = meter.create_counter(
            "realtime_trio.reconnects", unit="{reconnect}", description="Links that were replaced"
        )
        self.interruptions = meter.create_counter(
            "realtime_trio.interruptions", unit="{interruption}", description="Answers that were interrupted"
        )


def _seconds(meter: "Meter", name: str, description: str, bounds: tuple[float, ...] = _SECONDS) -> "Histogram":
    return meter.create_histogram(name, unit="s", description=description, explicit_bucket_boundaries_advisory=bounds)

"""The one tool of the demo."""

import zlib

import trio

from realtime_trio.tools import tool

__all__ = ["get_weather"]

_SKIES = ("clear", "cloudy", "light rain", "windy")


@tool
async def get_weather(city: str) -> dict[str, str | float]:
    """Tell the current weather in a city.

    Args:
        city: Name of the city.

    Cancellation:
        Safe: it looks nothing up.
    """
    await trio.sleep(0.2)  # about what a weather service would take; the figures are invented, the same for each city
    number = zlib.crc32(city.strip().lower().encode())
    return {"celsius": number // 7 % 300 / 10, "sky": _SKIES[number % len(_SKIES)]}

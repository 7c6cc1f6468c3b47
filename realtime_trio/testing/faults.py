"""What can go wrong with a link, as values: where it is cut, stands still, or has its bytes come late or in pieces.

What makes it go wrong is in `faulty_proxy`. Places are counted in bytes of one direction of one connection, from its
very first, so with the WebSocket handshake; `"up"` is from the client to the server, `"down"` the way back.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from realtime_trio.errors import ConfigurationError

__all__ = ["Cut", "Delay", "Direction", "Fault", "FaultPlan", "HalfClose", "Merge", "Reset", "Split", "Stall", "plans"]

Direction: TypeAlias = Literal["up", "down"]


def _is_direction(_fault: object, _field: object, value: object) -> None:
    if value not in ("up", "down"):
        raise ConfigurationError(f"a direction is 'up' or 'down', not {value!r}")


def _is_place(_fault: object, _field: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"after is a number of bytes, 0 or more, not {value!r}")


def _is_time(_fault: object, _field: object, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ConfigurationError(f"seconds is a time, 0 or more, not {value!r}")


def _is_size(_fault: object, _field: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"size is a number of bytes, 1 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class _Placed:
    """What happens at a place of a connection.

    Attributes:
        direction: Whose bytes are counted, and, where it is about one direction, which one it is.
        after: How many bytes pass before.
    """

    direction: Direction = attrs.field(default="down", validator=_is_direction)
    after: int = attrs.field(default=0, validator=_is_place)


@attrs.frozen(kw_only=True)
class Cut(_Placed):
    """The link ends, both ways: who reads gets what was on the way, and then an end without a CLOSE."""


@attrs.frozen(kw_only=True)
class Reset(_Placed):
    """The link is reset, both ways (TCP's RST): what was on the way is gone, and reading raises."""


@attrs.frozen(kw_only=True)
class HalfClose(_Placed):
    """One direction ends (TCP's FIN), the other goes on. What is still sent in the one goes nowhere."""


@attrs.frozen(kw_only=True)
class Stall(_Placed):
    """Nothing is read any more, so that the sender's buffer fills.

    Attributes:
        seconds: For how long; `math.inf` is for ever.
        both: Whether the other direction stands still as well, as in a network that is gone.
    """

    seconds: float = attrs.field(default=math.inf, validator=_is_time)
    both: bool = False


@attrs.frozen(kw_only=True)
class Delay(_Placed):
    """Every byte comes so much later than it would. It can only be planned, not done to a link that goes on.

    Attributes:
        seconds: How much.
    """

    seconds: float = attrs.field(validator=_is_time)


@attrs.frozen(kw_only=True)
class Split(_Placed):
    """What is written comes in pieces.

    Attributes:
        size: The largest, in bytes.
    """

    size: int = attrs.field(default=1, validator=_is_size)


@attrs.frozen(kw_only=True)
class Merge(_Placed):
    """What is written in several pieces comes in one.

    Attributes:
        size: How many bytes are waited for.
        seconds: How long they are waited for.
    """

    size: int = attrs.field(default=64 * 1024, validator=_is_size)
    seconds: float = attrs.field(default=0.02, validator=_is_time)


Fault: TypeAlias = Cut | Reset | HalfClose | Stall | Delay | Split | Merge

FaultPlan: TypeAlias = Fault | Sequence[Fault] | Mapping[int, Fault | Sequence[Fault]]
"""The faults of the first connection, or those of the n-th one by its number, the first being 1. Others are clean."""


def plans(plan: FaultPlan) -> dict[int, tuple[Fault, ...]]:
    """Bring a plan to one form.

    Args:
        plan: In any of its forms.

    Returns:
        The faults by the number of the connection.

    Raises:
        ConfigurationError: It is none.
    """
    by_number: Mapping[Any, Any] = plan if isinstance(plan, Mapping) else {1: plan}
    found: dict[int, tuple[Fault, ...]] = {}
    for number, faults in by_number.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ConfigurationError(f"connections are numbered from 1; {number!r} is none")
        found[number] = tuple(faults) if isinstance(faults, Sequence) else (faults,)
        for fault in found[number]:
            if not isinstance(fault, Fault):
                raise ConfigurationError(f"a fault is Cut(...), Stall(...) or the like, not {fault!r}")
    return found

"""How the calls of one tool are to be run: for how long, how many at once, and what an interruption does to them.

What becomes of a call under its policy is `core.tool_call`'s table; carrying it out is `tool_calls.py`'s.
"""

import math
from typing import Any, Literal, TypeAlias, get_args

import attrs

from realtime_trio.errors import ConfigurationError

__all__ = ["OnInterrupt", "ToolPolicy"]

OnInterrupt: TypeAlias = Literal["finish", "cancel", "detach"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_timeout(_policy: object, _field: object, value: Any) -> None:
    if value is not None and not (_is_number(value) and value > 0):
        raise ConfigurationError(f"timeout is a number of seconds above 0, or None, not {value!r}")


def _check_on_interrupt(_policy: object, _field: object, value: object) -> None:
    if value not in get_args(OnInterrupt):
        raise ConfigurationError(f"on_interrupt is 'finish', 'cancel' or 'detach', not {value!r}")


def _check_concurrency(_policy: object, _field: object, value: Any) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError(f"concurrency is how many calls may run at once, 1 or more, or None, not {value!r}")


def _check_flag(_policy: object, field: "attrs.Attribute[bool]", value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{field.name} is True or False, not {value!r}")


def _check_filler(_policy: object, _field: object, value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.strip()):
        raise ConfigurationError(f"filler is a line to say, or None, not {value!r}")


def _check_filler_after(_policy: object, _field: object, value: Any) -> None:
    if not (_is_number(value) and value >= 0):
        raise ConfigurationError(f"filler_after is a number of seconds, 0 or more, not {value!r}")


@attrs.frozen(kw_only=True)
class ToolPolicy:
    """How the calls of one tool are run.

    Attributes:
        timeout: Seconds that a call may run; beyond that it is cancelled and the model is told. Waiting for an approval
            or for its turn does not count. None for no limit.
        on_interrupt: What becomes of a call when the user takes the floor, or the program calls `Session.interrupt`.
            `"finish"`: nothing; its output is answered when the floor is free. `"cancel"`: it is cancelled, the model
            is told so and need not reply. `"detach"`: it goes on in the background.
        concurrency: How many calls of the tool may run at once in a session; the others wait, first in, first out.
            None for no limit.
        background: Whether the model is told at once that the call goes on. The result comes into the conversation when
            both sides are quiet.
        filler: What is said when the call takes longer than `filler_after`, if nobody speaks.
        filler_after: Seconds until the filler.
        approve: Whether somebody has to agree before the call runs.

    Raises:
        ConfigurationError: A value does not fit, or two contradict each other.
    """

    timeout: float | None = attrs.field(default=None, validator=_check_timeout)
    on_interrupt: OnInterrupt = attrs.field(default="finish", validator=_check_on_interrupt)
    concurrency: int | None = attrs.field(default=None, validator=_check_concurrency)
    background: bool = attrs.field(default=False, validator=_check_flag)
    filler: str | None = attrs.field(default=None, validator=_check_filler)
    filler_after: float = attrs.field(default=2.0, validator=_check_filler_after)
    approve: bool = attrs.field(default=False, validator=_check_flag)

    def __attrs_post_init__(self) -> None:
        if self.background and self.on_interrupt != "finish":
            raise ConfigurationError(
                f"background=True and on_interrupt={self.on_interrupt!r} contradict each other: a call in the "
                "background is not what an interruption is about. Leave one of them out"
            )
        if self.background and self.filler is not None:
            raise ConfigurationError(
                "background=True and filler contradict each other: nobody waits for a call in the background. "
                "Leave one of them out"
            )

"""What a program may subscribe to: classes of events and of notices, and the one that is meant by something else."""

from collections.abc import Iterable
from typing import get_args

from realtime_trio import events
from realtime_trio.errors import ConfigurationError

from .notices import Notice

__all__ = ["check_kinds"]


def check_kinds(kinds: Iterable[object]) -> None:
    """Refuse what is no class. Several in one, `A | B` or `(A, B)`, are as good as one.

    Raises:
        ConfigurationError: Something is none; where it is the name or the wire type of an event, the words say which.
    """
    for kind in kinds:
        try:
            isinstance(kind, kind)  # type: ignore[arg-type]  # this is the question
        except TypeError:
            raise ConfigurationError(f"events() takes classes, not {_shown(kind)}: {_meant(kind)}") from None


def _shown(kind: object) -> str:
    return repr(kind[:64]) if isinstance(kind, str) else f"a value of {type(kind).__name__}"


def _meant(kind: object) -> str:
    """Name the class that was meant, as a program writes it."""
    if not isinstance(kind, str):
        classes = [type(kind)]
    else:
        classes = [one for one in (*_EVENTS, *get_args(Notice)) if kind in (one.__name__, _WIRE_TYPES.get(one))]
    told = [f"session.events({_written(one)})" for one in classes if one in _KNOWN]
    return told[0] if told else "for example session.events(events.ResponseDone, ToolFinished), one or several"


def _written(kind: type) -> str:
    return f"events.{kind.__name__}" if kind in _EVENTS else kind.__name__


_EVENTS: tuple[type, ...] = get_args(events.ServerEvent)
_KNOWN = frozenset((*_EVENTS, *get_args(Notice)))
_WIRE_TYPES = {one: events.wire_type(one) for kinds in events.SERVER_EVENTS.values() for one in kinds}

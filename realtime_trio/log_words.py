"""What may stand in a log: names and sizes. Never what was said or written, no sound, and no credential.

Who logs what is each layer's own business; docs/observing.md lists it.
"""

import re
import weakref
from typing import Final, Protocol

from .errors import redact

__all__ = ["learn", "name_of", "problem_of"]

_NAME: Final = re.compile(r"[\w.:/-]{1,64}", re.ASCII)


class _Redacts(Protocol):
    def redact(self, text: str) -> str: ...


_in_use: "weakref.WeakSet[_Redacts]" = weakref.WeakSet()


def learn(connection: _Redacts) -> None:
    """Know the credentials of a connection as long as it is there: a log is one for the whole process."""
    _in_use.add(connection)


def name_of(text: object, unnamed: str = "(unnamed)") -> str:
    """Show an id, a type or a tool's name that came from outside; not what is none, for it may be anything.

    Args:
        text: What is to be named.
        unnamed: What stands in the log instead.
    """
    shown = redact(text) if isinstance(text, str) else ""
    for connection in list(_in_use):
        shown = connection.redact(shown)
    return shown if _NAME.fullmatch(shown) else unnamed


def problem_of(error: BaseException) -> str:
    """Name an exception by its class and its code, or HTTP status.

    Its words, which may quote anything, go to whoever it is raised to.

    Args:
        error: The exception.
    """
    code = getattr(error, "code", getattr(error, "status", None))
    shown = name_of(str(code)) if isinstance(code, str | int) and code != "" else ""
    return f"{type(error).__name__} ({shown})" if shown else type(error).__name__

"""What may stand in a log: names and sizes. Never what was said or written, no sound, and no credential.

Who logs what is each layer's own business; docs/observing.md lists it.
"""

import re
from typing import Final

from .errors import redact

__all__ = ["name_of", "problem_of"]

_NAME: Final = re.compile(r"[\w.:/-]{1,64}", re.ASCII)


def name_of(text: object, unnamed: str = "(unnamed)") -> str:
    """Show an id, a type or a tool's name that came from outside; not what is none, for it may be anything.

    Args:
        text: What is to be named.
        unnamed: What stands in the log instead.
    """
    shown = redact(text) if isinstance(text, str) else ""
    return shown if _NAME.fullmatch(shown) else unnamed


def problem_of(error: BaseException) -> str:
    """Name an exception by its class and its code. Its words, which may quote anything, go to whoever it is raised to.

    Args:
        error: The exception.
    """
    code = getattr(error, "code", None)
    shown = name_of(str(code)) if isinstance(code, str | int) and code != "" else ""
    return f"{type(error).__name__} ({shown})" if shown else type(error).__name__

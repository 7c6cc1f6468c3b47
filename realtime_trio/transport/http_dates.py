"""Dates as HTTP's headers write them, in Unix seconds.

What is concluded from them is elsewhere: in `problems` how long a refusal lasts, in `core.rotation` how old a session
may become.
"""

import datetime as dt
import email.utils
from collections.abc import Iterable

__all__ = ["date_in", "unix_time"]


def unix_time(value: str) -> float | None:
    """Read one date; None if it is none."""
    try:
        date = email.utils.parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def date_in(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Find what a server's clock said when it answered: its `Date`, where it gave a proper one."""
    written = next((value for name, value in headers if name.lower() == b"date"), None)
    return None if written is None else unix_time(written.decode("latin-1"))

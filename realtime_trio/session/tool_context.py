"""What a running tool is given of its session."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from .session import Session

__all__ = ["ToolContext"]


def _token() -> trio.lowlevel.TrioToken | None:
    try:
        return trio.lowlevel.current_trio_token()
    except RuntimeError:  # outside of Trio, or in a worker thread
        return None


def _leave(text: str, speak: bool) -> None:  # noqa: FBT001 the shape of what takes the reports
    """Take a report that nobody wants: the context was made outside of a session."""


@attrs.frozen(eq=False)
class ToolContext:
    """One call of a tool, as the tool sees it. A parameter with this annotation is given it, unseen by the model.

    Attributes:
        session: The session in which it runs.
        call_id: The call, as the server names it.
        name: The tool.
        dependencies: What `open_session(dependencies=...)` was given.
    """

    session: "Session" = attrs.field(repr=False)
    call_id: str
    name: str
    dependencies: tuple[object, ...] = attrs.field(default=(), repr=False)
    _report: Callable[[str, bool], object] = attrs.field(default=_leave, repr=False, alias="report")
    _home: trio.lowlevel.TrioToken | None = attrs.field(factory=_token, init=False, repr=False)

    def progress(self, text: str, *, speak: bool = False) -> None:
        """Tell how far the call is: `ToolProgress` comes through `Session.events`.

        It may be called from an async tool and from any thread, and never waits. When the call is over it does nothing.

        Args:
            text: How far it is, in words.
            speak: Whether it is also said, when the floor is free. It is not if the call is over by then; newer
                progress takes the place of what was not said yet.

        Raises:
            TypeError: The text is none.
        """
        if not isinstance(text, str):
            raise TypeError(f"progress is a text, not {type(text).__name__}")
        if self._home is None or _token() is self._home:
            self._report(text, speak)
            return
        with suppress(trio.RunFinishedError):  # a thread that was abandoned, longer ago than that
            self._home.run_sync_soon(self._report, text, speak)

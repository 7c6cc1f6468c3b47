"""Which of a recording's links carries the session: one follows the other, and for a while there may be two."""

from .reading import Entry

__all__ = ["LinkFollower"]


class LinkFollower:
    """Reads a recording's lines in their order, and tells what of the wire is the session's life.

    The rest is how a new link is told what the session was: its configuration, the items of its conversation, the
    user's sound that the old link did not take.

    Attributes:
        carrying: The number of the link that carries the session.
    """

    def __init__(self) -> None:
        self.carrying: int | None = None
        self._newest: int | None = None

    def follow(self, entry: Entry) -> bool:
        """Read a line.

        Returns:
            Whether it is part of the session's life: all that is no message is, and all that came in.
        """
        link = entry.data.get("link")
        if entry.kind == "connected" and isinstance(link, int):
            self._newest = link
            if self.carrying is None:
                self.carrying = link
        elif entry.kind == "notice" and entry.data.get("name") == "Reconnected":
            self.carrying = self._newest
        return entry.kind != "sent" or link is None or self.carrying is None or link == self.carrying

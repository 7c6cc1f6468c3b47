"""What the parts of a session have in common: each refers to others, and so does the repr that attrs would give it."""

from collections.abc import Iterator

__all__ = ["Inside"]


class Inside:
    """A part of a session. Its repr is its name.

    Else it would be all other parts, each as often as there are ways to it: more than a million characters, and minutes
    for tools that show a traceback with its locals, as crash reports do.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> Iterator[object]:
        """Show no more to `rich`, which would look at attrs' fields."""
        return iter(())

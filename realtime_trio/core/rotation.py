"""When a link that works is replaced by a new one, because the server would end it for its age.

The new link is opened beside the old one well before, and the session changes over when nothing is lost by it. What is
done after a link was lost is in `core.reconnect`.
"""

import math
from typing import Literal, TypeAlias

__all__ = ["Rotation", "Step"]

Step: TypeAlias = Literal["wait", "open", "swap"]

# Before the limit: seconds at most, and the share of the link's lifetime, of which the smaller counts.
_OPENING = (120.0, 0.1)
_IMPATIENCE = (30.0, 0.025)
_HASTE = (5.0, 0.005)


class Rotation:
    """The plan for one link.

    Args:
        max_age: Seconds after which it is replaced, by the session's policy.
        created_at: When it was created, in seconds of the session's clock.
        expires_at: When the server says that it ends, in Unix seconds of the server's clock.
        server_time: What that clock said when the link was created.

    Attributes:
        limit: When it has to be replaced, in seconds of the session's clock; `math.inf` for never.
        opens_at: From when on a new link is wanted beside it.
        impatient_at: From when on not even silence is waited for, only the end of what is being generated.
        hasty_at: From when on nothing is waited for.
    """

    def __init__(
        self, max_age: float, created_at: float, expires_at: float | None = None, server_time: float | None = None
    ) -> None:
        lifetime = max_age
        if expires_at is not None and server_time is not None and expires_at > server_time:
            lifetime = min(lifetime, expires_at - server_time)
        self.limit = created_at + lifetime
        self.opens_at, self.impatient_at, self.hasty_at = (
            self.limit - min(seconds, share * lifetime) for seconds, share in (_OPENING, _IMPATIENCE, _HASTE)
        )

    def step(self, now: float, *, quiet: bool, generating: bool, ready: bool) -> Step:
        """Tell what is to be done now.

        Args:
            now: Seconds of the session's clock.
            quiet: Nobody speaks, nothing is played, owed, asked for or on its way.
            generating: A response is being generated.
            ready: A new link stands beside this one and knows all that it has to know.

        Returns:
            `"swap"`: let the new link carry the session. `"open"`: see that there is one. `"wait"`: nothing.
        """
        if not ready:
            return "open" if now >= self.opens_at else "wait"
        if quiet or now >= self.hasty_at or (now >= self.impatient_at and not generating):
            return "swap"
        return "wait"

    def deadline(self, now: float) -> float:
        """Tell when `step` has to be asked again at the latest, if nothing happens; `math.inf` for not at all."""
        return min(
            (moment for moment in (self.opens_at, self.impatient_at, self.hasty_at) if moment > now), default=math.inf
        )

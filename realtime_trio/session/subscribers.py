"""Who is told what happens in a session: the registered subscriptions, by kind."""

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from realtime_trio import events

from .notices import Notice
from .responses import Response
from .subscription import Lagged, Subscription

__all__ = ["SubscriberStatistics", "Subscribers"]


@attrs.frozen
class SubscriberStatistics:
    """The subscriptions at one moment.

    Attributes:
        number: How many are open.
        lag: Values that the slowest of them holds.
        dropped: Values that were dropped, those of closed ones included.
    """

    number: int
    lag: int
    dropped: int


class Subscribers:
    """The subscriptions of one session. Once the session is over, new ones are closed from the beginning."""

    def __init__(self) -> None:
        self._events: list[tuple[tuple[type, ...], Subscription[Any]]] = []
        self._responses: list[Subscription[Response]] = []
        self._witnesses: list[Callable[[object], object]] = []
        self._dropped = 0  # by those that are closed
        self._ended = False
        self._reason: Exception | None = None

    def witness(self, witness: Callable[[object], object]) -> None:
        """Have somebody told everything that any subscriber could be told, at once; it must not raise."""
        self._witnesses.append(witness)

    def to_events(self, kinds: Sequence[type], size: int) -> Subscription[Any]:
        """Register for events and notices of these kinds; none means all."""

        def forget(subscription: Subscription[Any]) -> None:
            left = [entry for entry in self._events if entry[1] is not subscription]
            self._dropped += subscription.dropped if len(left) < len(self._events) else 0  # it may be closed twice
            self._events = left

        subscription = Subscription[Any](size, forget, Lagged)
        self._events.append((tuple(kinds), subscription))
        self._end_if_over(subscription)
        return subscription

    def to_responses(self, size: int) -> Subscription[Response]:
        """Register for the responses of the conversation."""

        def forget(subscription: Subscription[Response]) -> None:
            left = [one for one in self._responses if one is not subscription]
            self._dropped += subscription.dropped if len(left) < len(self._responses) else 0
            self._responses = left

        subscription = Subscription[Response](size, forget)
        self._responses.append(subscription)
        self._end_if_over(subscription)
        return subscription

    def publish(self, value: events.ServerEvent | Notice) -> None:
        """Give an event or a notice to those who want its kind."""
        for witness in self._witnesses:
            witness(value)
        for kinds, subscription in self._events:
            if not kinds or isinstance(value, kinds):
                subscription.offer(value)

    def publish_response(self, response: Response) -> None:
        """Give a new response to those who follow the conversation."""
        for witness in self._witnesses:
            witness(response)
        for subscription in self._responses:
            subscription.offer(response)

    def statistics(self) -> SubscriberStatistics:
        """Return counts of this moment."""
        all_of_them = [*(subscription for _, subscription in self._events), *self._responses]
        return SubscriberStatistics(
            number=len(all_of_them),
            lag=max((one.held for one in all_of_them), default=0),
            dropped=self._dropped + sum(one.dropped for one in all_of_them),
        )

    def end(self, reason: Exception | None) -> None:
        """The session is over: quietly, or for a reason that each subscriber is to raise."""
        self._ended, self._reason = True, reason
        for _, subscription in self._events:
            subscription.end(reason)
        for responses in self._responses:
            responses.end(reason)

    def _end_if_over(self, subscription: Subscription[Any]) -> None:
        if self._ended:
            subscription.end(self._reason)

"""Which hosted MCP servers have told their tools: the listings that OpenAI's server makes for a configuration."""

from collections.abc import Iterable
from typing import Any

import attrs

from realtime_trio.events import (
    UNSET,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    McpTool,
    McpToolDefinition,
    RealtimeSession,
    ServerEvent,
    SessionCreated,
    SessionUpdated,
)

from .mcp import McpHappening, McpListed, McpListingFailed, McpServer, items_of

__all__ = ["Listings"]

_MOST_LISTINGS = 256
_PROBLEM = "its tools could not be listed: check server_url, authorization, headers and allowed_tools"


@attrs.define(eq=False)
class _Listing:
    """One `mcp_list_tools` item, with what was said of it."""

    label: str = ""  # empty until the item itself was seen
    tools: tuple[McpToolDefinition, ...] = ()
    final: bool = False
    completed: bool = False
    failed: bool = False
    guessed: bool = False  # the label was found by elimination
    told: bool = False  # that it failed, without a label

    @property
    def outcome(self) -> str:
        """What it came to.

        A final item without tools is none by itself: that is also how a listing that failed may look. And
        `completed` may come before the item that has the tools.
        """
        if self.failed:
            return "failed"
        return "ready" if self.final and (self.tools or self.completed) else "listing"


class Listings:
    """The MCP servers of one session, by label.

    Attributes:
        servers: Those of the configuration in effect, and those that a single response brought with it.
    """

    def __init__(self) -> None:
        self.servers: dict[str, McpServer] = {}
        self._configured: dict[str, None] = {}
        self._listings: dict[str, _Listing] = {}  # by item, in the order in which they were first heard of

    def handle(self, event: ServerEvent) -> list[McpHappening]:
        """Follow one server event.

        Returns:
            What it tells that was not known: `McpListed` and `McpListingFailed`.
        """
        match event:
            case SessionCreated(session=session) | SessionUpdated(session=session):
                self._configure(session)
            case McpListToolsInProgress(item_id=item_id):
                self._listing(item_id)
            case McpListToolsCompleted(item_id=item_id):
                self._listing(item_id).completed = True
            case McpListToolsFailed(item_id=item_id):
                self._listing(item_id).failed = True
            case _:
                listed = [(item, final) for item, final, _ in items_of(event) if isinstance(item, McpListTools)]
                if not listed:
                    return []
                for item, final in listed:
                    self._take(item, final=final)
        return self._judge()

    def lose_link(self) -> None:
        """Note that the link is lost: the next one lists the tools anew."""
        self._listings.clear()
        self.servers = {label: McpServer(label) for label in self._configured}

    def _configure(self, session: Any) -> None:
        if not isinstance(session, RealtimeSession) or session.tools is UNSET:
            return  # it is not told: as before
        tools: Iterable[Any] = session.tools or ()
        now = dict.fromkeys(tool.server_label for tool in tools if isinstance(tool, McpTool))
        gone = self._configured.keys() - now.keys()
        # should one of these come back, it is listed anew
        self._listings = {item_id: one for item_id, one in self._listings.items() if one.label not in gone}
        self._configured = now

    def _listing(self, item_id: str) -> _Listing:
        if item_id not in self._listings and len(self._listings) >= _MOST_LISTINGS:
            self._listings.pop(next(iter(self._listings)))
        return self._listings.setdefault(item_id, _Listing())

    def _take(self, item: McpListTools, *, final: bool) -> None:
        listing = self._listing(item.id if isinstance(item.id, str) else f"of {item.server_label}")
        listing.label, listing.guessed = item.server_label, False
        if final or not listing.final:
            listing.tools = tuple(item.tools)
        listing.final = listing.final or final

    def _judge(self) -> list[McpHappening]:
        """Compare what is known with what was told of it before."""
        self._name_failures()
        before, self.servers = self.servers, {label: McpServer(label) for label in self._configured}
        for listing in self._listings.values():
            if listing.label:
                known = self.servers.get(listing.label) or McpServer(listing.label)
                self.servers[listing.label] = _after(known, listing)
        news: list[McpHappening] = []
        for label, server in self.servers.items():
            if server == before.get(label):
                continue
            if server.status == "ready":
                news.append(McpListed(server))
            elif server.status == "failed":
                news.append(McpListingFailed(label, server.problem or _PROBLEM))
        for listing in self._listings.values():
            if listing.failed and not (listing.label or listing.told):
                listing.told = True
                news.append(McpListingFailed(None, _PROBLEM))
        return news

    def _name_failures(self) -> None:
        """Find out by elimination which servers the failures are about whose items were never seen."""
        for listing in self._listings.values():
            if listing.guessed:
                listing.label, listing.guessed = "", False
        seen = {listing.label for listing in self._listings.values()}
        unlisted = [label for label in self._configured if label not in seen]
        unnamed = [listing for listing in self._listings.values() if not listing.label]
        if len(unlisted) == len(unnamed) and all(listing.failed for listing in unnamed):
            for listing, label in zip(unnamed, unlisted, strict=True):
                listing.label, listing.guessed = label, True


def _after(server: McpServer, listing: _Listing) -> McpServer:
    """Tell what is known of a server after one more listing."""
    match listing.outcome:
        case "ready":
            return McpServer(server.label, "ready", listing.tools)
        case "failed":
            return McpServer(server.label, "failed", problem=_PROBLEM)
        case _:  # meanwhile the tools of an earlier one can be called
            return server if server.status == "ready" else McpServer(server.label)

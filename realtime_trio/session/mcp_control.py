"""The calls of a session that are about hosted MCP servers, whose tools OpenAI's server calls by itself."""

from collections.abc import Mapping
from types import MappingProxyType

import trio

from realtime_trio.core.mcp import McpServer
from realtime_trio.errors import ConfigurationError, McpUnavailable, NotAcknowledged

from .acknowledged import AcknowledgedCalls

__all__ = ["McpControl"]


class McpControl(AcknowledgedCalls):
    """The part of `Session` that is about hosted MCP servers."""

    @property
    def mcp_servers(self) -> Mapping[str, McpServer]:
        """The hosted MCP servers of the configuration, by label, with their tools as far as they are listed."""
        return MappingProxyType(self._engine.mcp.servers)

    async def mcp_ready(self, *labels: str, within: float = 30.0) -> tuple[McpServer, ...]:
        """Wait until the tools of hosted MCP servers are listed: a response that begins before that has them not.

        Args:
            labels: Which, by their `server_label`; none for all that there are.
            within: How long they may take, in seconds.

        Returns:
            The servers, with their tools, in the order of the labels.

        Raises:
            ConfigurationError: There is no such server in the configuration.
            McpUnavailable: OpenAI's server could not get the tools of one of them.
            NotAcknowledged: They were not listed in time.
            ConnectionClosed: The link was lost.

        Cancellation:
            Safe: waiting changes nothing.
        """
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(within):
            while True:
                self._engine.check_open()
                servers = [self._find_mcp_server(label) for label in labels or self.mcp_servers]
                for server in servers:
                    if server.status == "failed":
                        raise McpUnavailable(f"the MCP server {server.label!r}: {server.problem}")
                if all(server.status == "ready" for server in servers):
                    return tuple(servers)
                await self._engine.mcp.changed()
        late = [label for label, server in self.mcp_servers.items() if server.status == "listing"]
        raise NotAcknowledged(f"the tools of {', '.join(late)} were not listed within {within:g} s")

    def _find_mcp_server(self, label: str) -> McpServer:
        servers = self.mcp_servers
        if label not in servers:
            known = f"there is {', '.join(map(repr, servers))}" if servers else "there is none"
            raise ConfigurationError(f"no MCP server of this session has the label {label!r}: {known}")
        return servers[label]

"""What MCP servers look like to a type checker. Checked by mypy and pyright (`nox -s types`), never run."""

from collections.abc import Mapping
from typing import assert_type

from realtime_trio import (
    HttpServer,
    Lagged,
    McpCallFailed,
    McpCallFinished,
    McpServer,
    McpToolset,
    Session,
    StdioServer,
    Tool,
    open_mcp,
    open_session,
    tool,
)
from realtime_trio.events import McpTool


async def local() -> None:
    async with (
        open_mcp(StdioServer("python", "server.py", env={"KEY": "x"}), prefix="a_", timeout=5, approve=True) as first,
        open_mcp(HttpServer("https://mcp.example", headers={"Authorization": "x"}), exclude=["drop"]) as second,
        open_session(tools=[*first, *second, tool(next(iter(first)), name="other")]) as session,
    ):
        assert_type(first, McpToolset)
        for one in first:
            assert isinstance(one, Tool)
        await first.changed()
        await session.update(tools=second)


async def hosted(session: Session) -> None:
    await session.add_tools(McpTool(server_label="docs", server_url="https://docs.example"))
    assert_type(await session.mcp_ready("docs", within=5), tuple[McpServer, ...])
    assert_type(session.mcp_servers, Mapping[str, McpServer])
    async with session.events(McpCallFinished) as finished, session.events(McpCallFailed) as failed:
        assert_type(await finished.receive(), McpCallFinished | Lagged)
        failure = await failed.receive()
        if isinstance(failure, McpCallFailed):
            assert_type(failure.problem, str)

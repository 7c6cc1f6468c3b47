"""MCP: the tools of a local MCP server, which this program starts. Needs `pip install 'realtime_trio[mcp]'`.

    python demos/mcp_tools.py [a question]

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import ConfigurationError, StdioServer, open_mcp, open_server, open_session
from realtime_trio.config import resolve, shown_url


def serve() -> None:
    """Be the MCP server; any other program that is one would do."""
    from mcp.server import MCPServer

    server = MCPServer("weather", log_level="ERROR")

    @server.tool()
    def get_weather(city: str) -> dict[str, float | str]:
        """Tell the current weather in a city."""
        return {"city": city, "celsius": 21.5, "wind": "calm"}

    server.run()


@asynccontextmanager
async def find_server() -> AsyncIterator[str | None]:
    """Give a URL; None stands for that of the environment or `.env`, by default OpenAI's."""
    try:
        print("Talking to", shown_url(resolve().url))
    except ConfigurationError as error:
        print(f"Talking to the offline stand-in (rules, not the real model): {str(error).partition('. ')[0]}.")
    else:
        yield None
        return
    async with open_server() as server:
        yield server.url


async def main(*words: str) -> None:
    here = StdioServer(sys.executable, __file__, "--serve")
    async with find_server() as url, open_mcp(here) as weather, open_session(url=url, tools=weather) as session:
        print("tools:    ", ", ".join(tool.name for tool in weather))
        reply = await session.ask(" ".join(words) or "What is the weather in Lima?")
        for call in reply.tool_calls:
            print(f"tool:      {call.name}({call.arguments}) -> {call.output}")
        print("assistant:", reply.text)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else trio.run(main, *sys.argv[1:])

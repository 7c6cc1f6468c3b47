"""A real MCP server for the tests, made with the official package.

`shop.py stdio|http [pages|odd|unlisted|relisted|silent|deaf]`
"""

import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path

import anyio
import uvicorn
from mcp import MCPError, types
from mcp.server import MCPServer, Server
from mcp.server.mcpserver import Audio, Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.stdio import stdio_server

logging.disable()
shop = MCPServer("shop", instructions="Things are sold here.")
calls = []
cancelled = []


@shop.tool(title="Add")
def add(a: int, b: int) -> int:
    """Add two numbers."""
    calls.append("add")
    return a + b


@shop.tool()
def price(item: str) -> dict[str, float | str]:
    """Tell a price."""
    return {"item": item, "euros": 3.5}


@shop.tool()
def seen() -> list[str]:
    """Tell which calls came, and which were cancelled."""
    return [*calls, *(f"{one} cancelled" for one in cancelled)]


@shop.tool()
async def slow(context: Context, seconds: float = 60) -> str:
    """Take a while."""
    try:
        await context.report_progress(1, 4)
        await context.report_progress(2, None, "half of it")
        await anyio.sleep(seconds)
    except BaseException:
        cancelled.append("slow")
        raise
    return "done at last"


@shop.tool()
def refuse() -> str:
    """Refuse."""
    raise ToolError("the shop is closed")


@shop.tool()
def picture() -> Image:
    """Show a picture."""
    return Image(data=bytes(12_000), format="png")


@shop.tool()
def jingle() -> Audio:
    """Play a jingle."""
    return Audio(data=bytes(300), format="wav")


@shop.tool(structured_output=False)
def shelf() -> types.CallToolResult:
    """Give what is no text."""
    return types.CallToolResult(
        content=[
            types.TextContent(text="Three things:"),
            types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///list.txt", text="tea, coffee")),
            types.EmbeddedResource(
                resource=types.BlobResourceContents(uri="file:///a.bin?key=hush", blob="AAAA", mime_type="image/png")
            ),
            types.ResourceLink(name="catalogue", uri="https://shop.example/all", description="all that there is"),
        ],
        structured_content={"count": 3},
    )


@shop.tool()
def whoami(context: Context) -> str:
    """Tell who asks."""
    return dict(context.headers or {}).get("authorization", "nobody")


@shop.tool()
def process() -> int:
    """Tell the process id."""
    return os.getpid()


@shop.tool()
def environment(name: str) -> str:
    """Tell a variable, and the working directory."""
    return f"{os.environ.get(name)} {Path.cwd()}"


@shop.tool()
def die() -> str:
    """Crash."""
    os._exit(3)


@shop.tool()
async def restock(context: Context) -> str:
    """Have one tool more."""

    def sell() -> str:
        """Sell."""
        return "sold"

    shop.add_tool(sell)
    await context.notify_tools_changed()
    return "done"


async def serve_pages() -> None:
    """Serve a hundred tools, ten a page, over the older protocol, which does not tell when they change."""

    async def list_tools(_context, params):
        start = int(params.cursor or 0) if params else 0
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        tools = [types.Tool(name=f"tool.{number}", input_schema=schema) for number in range(start, start + 10)]
        return types.ListToolsResult(tools=tools, next_cursor=str(start + 10) if start < 90 else None)

    async def call_tool(_context, params):
        return types.CallToolResult(content=[types.TextContent(text=f"{params.name} {params.arguments}")])

    await serve_low(Server("pages", on_list_tools=list_tools, on_call_tool=call_tool))


async def serve_odd() -> None:
    """Serve tools that cannot be told to a model, and one that breaks its own word."""

    async def list_tools(_context, _params):
        right = {"type": "object"}
        return types.ListToolsResult(
            tools=[
                types.Tool(name="twisted", input_schema={"type": "object", "properties": {"a": {"$ref": "#/no"}}}),
                types.Tool(name="a.b", input_schema=right),
                types.Tool(name="a/b", input_schema=right),
                types.Tool(name="liar", input_schema=right, output_schema={**right, "required": ["truth"]}),
                types.Tool(name="broken", input_schema=right),
            ]
        )

    async def call_tool(_context, params):
        if params.name == "liar":
            return types.CallToolResult(content=[], structured_content={"lie": "sk-abcdefgh"})
        raise MCPError(-32603, "out of order, said Bearer abcdef")

    await serve_low(Server("odd", on_list_tools=list_tools, on_call_tool=call_tool))


def serve_badly(good: int) -> None:
    """List tools as MCP has it so many times, then not; without the package, which would not send that."""
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {"error": {"code": -32601, "message": "no such method"}}
        if asked["method"] == "initialize":
            capabilities = {"tools": {"listChanged": True}}
            about = {"name": "bad", "version": "1"}
            answer = {"result": {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": about}}
        elif asked["method"] == "tools/list":
            tools = [{"name": "restock", "inputSchema": {"type": "object"}}] if good > 0 else [{"name": {"hush": 5}}]
            answer = {"result": {"tools": tools}}
            good -= 1
        elif asked["method"] == "tools/call":
            say({"method": "notifications/tools/list_changed"})
            answer = {"result": {"content": [{"type": "text", "text": "here"}]}}
        if "id" in asked:
            say({"id": asked["id"], **answer})


def say(message) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


async def serve_low(server) -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def serve_http(port: int) -> None:
    """Serve on a port of this machine, and say which; who brings the wrong key is sent away."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    listening.listen()
    inner = shop.streamable_http_app()

    async def guarded(scope, receive, send):
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") == b"Bearer wrong":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"who is Bearer wrong?"})
            return
        await inner(scope, receive, send)

    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(guarded, log_level="critical", timeout_graceful_shutdown=1))
    anyio.run(server.serve, [listening])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["http", port]:
            serve_http(int(port))
        case ["stdio", "pages"]:
            anyio.run(serve_pages)
        case ["stdio", "odd"]:
            anyio.run(serve_odd)
        case ["stdio", "unlisted"]:
            serve_badly(0)
        case ["stdio", "relisted"]:
            serve_badly(1)
        case ["stdio", "silent"]:
            sys.stdin.read()  # takes what it is told, until it is told to end
        case ["stdio", "deaf"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        case _:
            shop.run()

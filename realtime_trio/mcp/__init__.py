"""MCP servers of one's own: programs on this machine, or servers that this machine can reach, as a set of tools.

The tools run here, like functions: the model calls them through this program. (Those of a server that OpenAI's server
can reach may also be called by it directly: see `events.McpTool`.) Needs `pip install 'realtime_trio[mcp]'`.

How a server is described is in `servers.py`, the connection to it in `link.py`, what its tools become here in
`toolset.py`, and what their results become for the model in `results.py`.
"""

from .opening import open_mcp as open_mcp
from .servers import HttpServer as HttpServer
from .servers import StdioServer as StdioServer
from .toolset import McpToolset as McpToolset

__all__ = ["HttpServer", "McpToolset", "StdioServer", "open_mcp"]

"""What an MCP tool's result becomes for the model."""

from mcp import types

from realtime_trio.mcp.results import told


def test_a_text_that_is_no_json_only_because_it_is_too_deep_is_a_text():
    deep = "[" * 200_000
    result = types.CallToolResult(content=[types.TextContent(text=deep)], structured_content={"count": 3})

    assert told(result) == deep + '\n{"count":3}'

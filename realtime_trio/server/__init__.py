"""The offline server: the Realtime API's protocol on this machine, with a simple brain.

It is a stand-in and says so; it is never the real model. It plays remote MCP servers (`open_server(mcp=...)`), and has
bad days when it is asked to (`Misbehaviour`). `docs/fidelity.md` in the project tells where it guesses. The
protocol itself, without I/O, is in `realtime_trio.server.protocol`.
"""

from realtime_trio.server.hosted_tools import McpCallError, McpTools, ReadOnly
from realtime_trio.server.misbehaviour import Misbehaviour
from realtime_trio.server.protocol import RealtimeProtocol
from realtime_trio.server.seams import (
    Brain,
    BrainRequest,
    Eavesdropper,
    Ending,
    Failed,
    HistoryItem,
    Incomplete,
    Recogniser,
    Said,
    Source,
    Speech,
    SpeechStarted,
    SpeechStopped,
    SpokenWord,
    ToolAnswered,
    ToolCall,
    ToolCalled,
    ToolSpec,
    Transcript,
    TurnDetector,
    Utterance,
    Voice,
)
from realtime_trio.server.serving import Server, open_server, serve_realtime

__all__ = [
    "Brain",
    "BrainRequest",
    "Eavesdropper",
    "Ending",
    "Failed",
    "HistoryItem",
    "Incomplete",
    "McpCallError",
    "McpTools",
    "Misbehaviour",
    "ReadOnly",
    "RealtimeProtocol",
    "Recogniser",
    "Said",
    "Server",
    "Source",
    "Speech",
    "SpeechStarted",
    "SpeechStopped",
    "SpokenWord",
    "ToolAnswered",
    "ToolCall",
    "ToolCalled",
    "ToolSpec",
    "Transcript",
    "TurnDetector",
    "Utterance",
    "Voice",
    "open_server",
    "serve_realtime",
]

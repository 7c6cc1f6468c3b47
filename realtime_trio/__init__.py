"""OpenAI's Realtime API on Trio, with structured concurrency from top to bottom.

The way in is `open_session`; `open_connection` is the typed connection below it, and `open_server` an offline stand-in
for the API. Events and the wire's shapes are in `realtime_trio.events`, devices in `realtime_trio.audio`, exceptions in
`realtime_trio.errors`, helpers for tests in `realtime_trio.testing`.
"""

import importlib
import logging
from typing import TYPE_CHECKING, Any

from ._version import __version__ as __version__

logging.getLogger(__name__).addHandler(logging.NullHandler())  # quiet, unless the program configures logging

if TYPE_CHECKING:
    from .connection import Connection as Connection
    from .connection import open_connection as open_connection
    from .errors import AccountRefused as AccountRefused
    from .errors import AudioError as AudioError
    from .errors import BudgetExceeded as BudgetExceeded
    from .errors import ConfigurationError as ConfigurationError
    from .errors import ConnectError as ConnectError
    from .errors import ConnectionClosed as ConnectionClosed
    from .errors import ContentFiltered as ContentFiltered
    from .errors import DeviceUnavailable as DeviceUnavailable
    from .errors import InternalError as InternalError
    from .errors import LocalProtocolError as LocalProtocolError
    from .errors import McpUnavailable as McpUnavailable
    from .errors import NotAcknowledged as NotAcknowledged
    from .errors import ProtocolError as ProtocolError
    from .errors import QuotaExceeded as QuotaExceeded
    from .errors import RateLimited as RateLimited
    from .errors import RealtimeError as RealtimeError
    from .errors import Refused as Refused
    from .errors import RemoteProtocolError as RemoteProtocolError
    from .errors import ResponseFailed as ResponseFailed
    from .errors import ServerError as ServerError
    from .errors import SessionExpired as SessionExpired
    from .errors import ToolError as ToolError
    from .errors import ToolTimeout as ToolTimeout
    from .events import UNSET as UNSET
    from .mcp import HttpServer as HttpServer
    from .mcp import McpToolset as McpToolset
    from .mcp import StdioServer as StdioServer
    from .mcp import open_mcp as open_mcp
    from .opening import open_session as open_session
    from .recording import Recording as Recording
    from .server import open_server as open_server
    from .session import Agent as Agent
    from .session import ApprovalHook as ApprovalHook
    from .session import ApprovalNeeded as ApprovalNeeded
    from .session import ApprovalRequest as ApprovalRequest
    from .session import AudioDropped as AudioDropped
    from .session import Budget as Budget
    from .session import BudgetSpent as BudgetSpent
    from .session import BudgetWarning as BudgetWarning
    from .session import DeviceChanged as DeviceChanged
    from .session import Difference as Difference
    from .session import EchoNotCancelled as EchoNotCancelled
    from .session import Guarded as Guarded
    from .session import GuardedText as GuardedText
    from .session import GuardFailed as GuardFailed
    from .session import HandedOver as HandedOver
    from .session import Handover as Handover
    from .session import Interrupted as Interrupted
    from .session import Interruption as Interruption
    from .session import Lagged as Lagged
    from .session import Latency as Latency
    from .session import LeftOut as LeftOut
    from .session import LinkLost as LinkLost
    from .session import McpCallFailed as McpCallFailed
    from .session import McpCallFinished as McpCallFinished
    from .session import McpCallStarted as McpCallStarted
    from .session import McpListed as McpListed
    from .session import McpListingFailed as McpListingFailed
    from .session import McpServer as McpServer
    from .session import NotAnEvent as NotAnEvent
    from .session import Paused as Paused
    from .session import Prices as Prices
    from .session import Reconnected as Reconnected
    from .session import ReconnectPolicy as ReconnectPolicy
    from .session import RecordingStopped as RecordingStopped
    from .session import Reply as Reply
    from .session import ReplyLost as ReplyLost
    from .session import Response as Response
    from .session import ResponseNotCompleted as ResponseNotCompleted
    from .session import Resumed as Resumed
    from .session import Session as Session
    from .session import SessionStatistics as SessionStatistics
    from .session import SessionUsage as SessionUsage
    from .session import Snapshot as Snapshot
    from .session import SoundState as SoundState
    from .session import Stop as Stop
    from .session import Subscription as Subscription
    from .session import Tokens as Tokens
    from .session import ToolCall as ToolCall
    from .session import ToolCancelled as ToolCancelled
    from .session import ToolContext as ToolContext
    from .session import ToolDetached as ToolDetached
    from .session import ToolFailed as ToolFailed
    from .session import ToolFinished as ToolFinished
    from .session import ToolPolicy as ToolPolicy
    from .session import ToolProgress as ToolProgress
    from .session import ToolStarted as ToolStarted
    from .session import TranscriptionTotal as TranscriptionTotal
    from .session import Utterance as Utterance
    from .session import VoiceKept as VoiceKept
    from .telemetry import Telemetry as Telemetry
    from .tools import CallId as CallId
    from .tools import Injected as Injected
    from .tools import Tool as Tool
    from .tools import Toolbox as Toolbox
    from .tools import tool as tool

__all__ = [
    "UNSET",
    "AccountRefused",
    "Agent",
    "ApprovalHook",
    "ApprovalNeeded",
    "ApprovalRequest",
    "AudioDropped",
    "AudioError",
    "Budget",
    "BudgetExceeded",
    "BudgetSpent",
    "BudgetWarning",
    "CallId",
    "ConfigurationError",
    "ConnectError",
    "Connection",
    "ConnectionClosed",
    "ContentFiltered",
    "DeviceChanged",
    "DeviceUnavailable",
    "Difference",
    "EchoNotCancelled",
    "GuardFailed",
    "Guarded",
    "GuardedText",
    "HandedOver",
    "Handover",
    "HttpServer",
    "Injected",
    "InternalError",
    "Interrupted",
    "Interruption",
    "Lagged",
    "Latency",
    "LeftOut",
    "LinkLost",
    "LocalProtocolError",
    "McpCallFailed",
    "McpCallFinished",
    "McpCallStarted",
    "McpListed",
    "McpListingFailed",
    "McpServer",
    "McpToolset",
    "McpUnavailable",
    "NotAcknowledged",
    "NotAnEvent",
    "Paused",
    "Prices",
    "ProtocolError",
    "QuotaExceeded",
    "RateLimited",
    "RealtimeError",
    "ReconnectPolicy",
    "Reconnected",
    "Recording",
    "RecordingStopped",
    "Refused",
    "RemoteProtocolError",
    "Reply",
    "ReplyLost",
    "Response",
    "ResponseFailed",
    "ResponseNotCompleted",
    "Resumed",
    "ServerError",
    "Session",
    "SessionExpired",
    "SessionStatistics",
    "SessionUsage",
    "Snapshot",
    "SoundState",
    "StdioServer",
    "Stop",
    "Subscription",
    "Telemetry",
    "Tokens",
    "Tool",
    "ToolCall",
    "ToolCancelled",
    "ToolContext",
    "ToolDetached",
    "ToolError",
    "ToolFailed",
    "ToolFinished",
    "ToolPolicy",
    "ToolProgress",
    "ToolStarted",
    "ToolTimeout",
    "Toolbox",
    "TranscriptionTotal",
    "Utterance",
    "VoiceKept",
    "__version__",
    "open_connection",
    "open_mcp",
    "open_server",
    "open_session",
    "tool",
]

# Where each name comes from. A module loads when one of its names is asked for, so that whoever wants the events only
# does not wait for Trio, and whoever wants a session not for the server. `import realtime_trio` itself costs nothing.
_HOMES = {
    "connection": ["Connection", "open_connection"],
    "errors": [
        "AccountRefused",
        "AudioError",
        "BudgetExceeded",
        "ConfigurationError",
        "ConnectError",
        "ConnectionClosed",
        "ContentFiltered",
        "DeviceUnavailable",
        "InternalError",
        "LocalProtocolError",
        "McpUnavailable",
        "NotAcknowledged",
        "ProtocolError",
        "QuotaExceeded",
        "RateLimited",
        "RealtimeError",
        "Refused",
        "RemoteProtocolError",
        "ResponseFailed",
        "ServerError",
        "SessionExpired",
        "ToolError",
        "ToolTimeout",
    ],
    "events": ["UNSET"],
    "mcp": ["HttpServer", "McpToolset", "StdioServer", "open_mcp"],
    "opening": ["open_session"],
    "recording": ["Recording"],
    "session": [
        "Agent",
        "ApprovalHook",
        "ApprovalNeeded",
        "ApprovalRequest",
        "AudioDropped",
        "Budget",
        "BudgetSpent",
        "BudgetWarning",
        "DeviceChanged",
        "Difference",
        "EchoNotCancelled",
        "GuardFailed",
        "Guarded",
        "GuardedText",
        "HandedOver",
        "Handover",
        "Interrupted",
        "Interruption",
        "Lagged",
        "Latency",
        "LeftOut",
        "LinkLost",
        "McpCallFailed",
        "McpCallFinished",
        "McpCallStarted",
        "McpListed",
        "McpListingFailed",
        "McpServer",
        "NotAnEvent",
        "Paused",
        "Prices",
        "ReconnectPolicy",
        "Reconnected",
        "RecordingStopped",
        "Reply",
        "ReplyLost",
        "Response",
        "ResponseNotCompleted",
        "Resumed",
        "Session",
        "SessionStatistics",
        "SessionUsage",
        "Snapshot",
        "SoundState",
        "Stop",
        "Subscription",
        "Tokens",
        "ToolCall",
        "ToolCancelled",
        "ToolContext",
        "ToolDetached",
        "ToolFailed",
        "ToolFinished",
        "ToolPolicy",
        "ToolProgress",
        "ToolStarted",
        "TranscriptionTotal",
        "Utterance",
        "VoiceKept",
    ],
    "telemetry": ["Telemetry"],
    "tools": ["CallId", "Injected", "Tool", "Toolbox", "tool"],
    "server": ["open_server"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker that saw this would take every misspelt name for something

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

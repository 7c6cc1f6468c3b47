"""The session layer: a nursery, its turns, and the calls that a program makes. See `session.py` for the way in."""

from realtime_trio.core.barge_in import InterruptionPolicy as InterruptionPolicy
from realtime_trio.core.budget import Budget as Budget
from realtime_trio.core.guard import Guard as Guard
from realtime_trio.core.guard import GuardedText as GuardedText
from realtime_trio.core.guard import Stop as Stop
from realtime_trio.core.interruption import Interruption as Interruption
from realtime_trio.core.mcp import McpServer as McpServer
from realtime_trio.core.prices import Prices as Prices
from realtime_trio.core.reconnect import ReconnectPolicy as ReconnectPolicy
from realtime_trio.core.seeds import LeftOut as LeftOut
from realtime_trio.core.seeds import LeftOutReason as LeftOutReason
from realtime_trio.core.snapshot import Snapshot as Snapshot
from realtime_trio.core.snapshot_items import SnapshotItem as SnapshotItem
from realtime_trio.core.snapshot_items import SnapshotPart as SnapshotPart
from realtime_trio.core.usage import SessionUsage as SessionUsage
from realtime_trio.core.usage import Tokens as Tokens
from realtime_trio.core.usage import TranscriptionTotal as TranscriptionTotal
from realtime_trio.core.utterance import Difference as Difference

from .agent import Agent as Agent
from .agent import Handover as Handover
from .approvals import ApprovalHook as ApprovalHook
from .approvals import ApprovalRequest as ApprovalRequest
from .fittings import Fittings as Fittings
from .interruptions import PendingInterruption as PendingInterruption
from .latency import Latency as Latency
from .notices import ApprovalNeeded as ApprovalNeeded
from .notices import AudioDropped as AudioDropped
from .notices import BudgetSpent as BudgetSpent
from .notices import BudgetWarning as BudgetWarning
from .notices import DeviceChanged as DeviceChanged
from .notices import EchoNotCancelled as EchoNotCancelled
from .notices import Guarded as Guarded
from .notices import GuardFailed as GuardFailed
from .notices import HandedOver as HandedOver
from .notices import Interrupted as Interrupted
from .notices import LinkLost as LinkLost
from .notices import McpCallFailed as McpCallFailed
from .notices import McpCallFinished as McpCallFinished
from .notices import McpCallStarted as McpCallStarted
from .notices import McpListed as McpListed
from .notices import McpListingFailed as McpListingFailed
from .notices import NotAnEvent as NotAnEvent
from .notices import Notice as Notice
from .notices import Paused as Paused
from .notices import Reconnected as Reconnected
from .notices import RecordingStopped as RecordingStopped
from .notices import ReplyLost as ReplyLost
from .notices import ResponseNotCompleted as ResponseNotCompleted
from .notices import Resumed as Resumed
from .notices import ToolCancelled as ToolCancelled
from .notices import ToolDetached as ToolDetached
from .notices import ToolFailed as ToolFailed
from .notices import ToolFinished as ToolFinished
from .notices import ToolProgress as ToolProgress
from .notices import ToolStarted as ToolStarted
from .notices import VoiceKept as VoiceKept
from .responses import Reply as Reply
from .responses import Response as Response
from .responses import ToolCall as ToolCall
from .session import Session as Session
from .settings import Modality as Modality
from .settings import TranscriptionSetting as TranscriptionSetting
from .settings import TurnDetection as TurnDetection
from .settings import check_device_formats as check_device_formats
from .settings import check_policy as check_policy
from .settings import session_settings as session_settings
from .settings import under_policy as under_policy
from .sound import SoundState as SoundState
from .speaking import GenerateInput as GenerateInput
from .speaking import Utterance as Utterance
from .speaking import When as When
from .statistics import InputStatistics as InputStatistics
from .statistics import LinkStatistics as LinkStatistics
from .statistics import PlayoutStatistics as PlayoutStatistics
from .statistics import QueueStatistics as QueueStatistics
from .statistics import ResponseStatistics as ResponseStatistics
from .statistics import SessionStatistics as SessionStatistics
from .statistics import ToolStatistics as ToolStatistics
from .subscription import Lagged as Lagged
from .subscription import Subscription as Subscription
from .tape import Tape as Tape
from .tool_calls import ToolErrors as ToolErrors
from .tool_choice import ToolChoiceSetting as ToolChoiceSetting
from .tool_context import ToolContext as ToolContext
from .tool_policy import OnInterrupt as OnInterrupt
from .tool_policy import ToolPolicy as ToolPolicy
from .tool_runner import ToolRunner as ToolRunner
from .tool_set import ToolSet as ToolSet

__all__ = [
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
    "Fittings",
    "GenerateInput",
    "Guard",
    "GuardFailed",
    "Guarded",
    "GuardedText",
    "HandedOver",
    "Handover",
    "InputStatistics",
    "Interrupted",
    "Interruption",
    "InterruptionPolicy",
    "Lagged",
    "Latency",
    "LeftOut",
    "LeftOutReason",
    "LinkLost",
    "LinkStatistics",
    "McpCallFailed",
    "McpCallFinished",
    "McpCallStarted",
    "McpListed",
    "McpListingFailed",
    "McpServer",
    "Modality",
    "NotAnEvent",
    "Notice",
    "OnInterrupt",
    "Paused",
    "PendingInterruption",
    "PlayoutStatistics",
    "Prices",
    "QueueStatistics",
    "ReconnectPolicy",
    "Reconnected",
    "RecordingStopped",
    "Reply",
    "ReplyLost",
    "Response",
    "ResponseNotCompleted",
    "ResponseStatistics",
    "Resumed",
    "Session",
    "SessionStatistics",
    "SessionUsage",
    "Snapshot",
    "SnapshotItem",
    "SnapshotPart",
    "SoundState",
    "Stop",
    "Subscription",
    "Tape",
    "Tokens",
    "ToolCall",
    "ToolCancelled",
    "ToolChoiceSetting",
    "ToolContext",
    "ToolDetached",
    "ToolErrors",
    "ToolFailed",
    "ToolFinished",
    "ToolPolicy",
    "ToolProgress",
    "ToolRunner",
    "ToolSet",
    "ToolStarted",
    "ToolStatistics",
    "TranscriptionSetting",
    "TranscriptionTotal",
    "TurnDetection",
    "Utterance",
    "VoiceKept",
    "When",
    "check_device_formats",
    "check_policy",
    "session_settings",
    "under_policy",
]

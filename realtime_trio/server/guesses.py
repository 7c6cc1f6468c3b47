"""What the documentation of the API does not settle: one constant for each guess, with the reason beside it.

`docs/fidelity.md` lists them for users. Nothing here is a setting: where a test needs the other order, or another place
for the words on an MCP call, `Misbehaviour` has it; the rest is scripted with `realtime_trio.testing.ScriptedPeer`.
"""

from typing import Literal

__all__ = [
    "AUDIO_MS_PER_TOKEN_ASSISTANT",
    "AUDIO_MS_PER_TOKEN_USER",
    "BUFFER_FULL_CODE",
    "CACHE_STEP_TOKENS",
    "CANCELLED_ITEM_STATUS",
    "CHARACTERS_PER_TOKEN",
    "CONVERSATION_CREATED",
    "DEFAULT_INSTRUCTIONS",
    "DEFAULT_NOISE_REDUCTION",
    "DEFAULT_SILENCE_MS",
    "DEFAULT_VOICE",
    "DELETE_ERROR_ECHOES_EVENT_ID",
    "DUPLICATE_ITEM_CODE",
    "DURATION_MODELS",
    "FAILED_AT_ONCE_IS_FREE",
    "FAILURES",
    "FAR_FIELD_REDUCTION",
    "IDLE_VAD_BUFFER_SECONDS",
    "IMAGE_TOKENS",
    "ITEM_DONE_FIRST",
    "LOCKED_PARAMETER_CODE",
    "MAXIMUM_ITEM_ID_LENGTH",
    "MCP_CONFLICT_CODE",
    "MCP_DUPLICATE_CODE",
    "MCP_ITEMS_ADDED",
    "MCP_LISTED_AFTER_ITEM",
    "MCP_NOWHERE_CODE",
    "MCP_REFUSED",
    "MCP_REPLY",
    "MCP_RESPONSE_WAITS",
    "MCP_SECRETS_TOLD",
    "MCP_UNNAMED_NEED_APPROVAL",
    "MERGE_TURN_DETECTION",
    "MINIMUM_COMMIT_MS",
    "NEAR_FIELD_REDUCTION",
    "NEAR_FIELD_VOICES_DB",
    "NO_RECOGNISER_CODE",
    "RATE_LIMITS_AFTER_DONE",
    "SEMANTIC_HEARD_SECONDS",
    "SEMANTIC_LONGEST_MS",
    "SEMANTIC_PAUSE_MS",
    "SEMANTIC_SCORES",
    "SEMANTIC_SHORTEST_MS",
    "SEMANTIC_UNFINISHED_WORDS",
    "SESSION_SECONDS",
    "TRUNCATE_TOO_FAR_CODE",
    "TRUNCATE_TWICE_CODE",
    "TRUNCATE_UNKNOWN_CODE",
    "UNKNOWN_APPROVAL_CODE",
    "UNKNOWN_CALL_CODE",
    "UNKNOWN_PREVIOUS_ITEM_CODE",
    "UNKNOWN_REFERENCE_CODE",
    "WRONG_KIND_CODE",
    "WRONG_TRANSPORT_CODE",
]

CONVERSATION_CREATED = False
"""Whether `conversation.created` follows `session.created`: it stands in the schemas, not in the published list."""

ITEM_DONE_FIRST = True
"""Whether `conversation.item.done` comes before `response.output_item.done`: the order is not documented."""

RATE_LIMITS_AFTER_DONE = True
"""Whether `rate_limits.updated` follows `response.done` (as the guides list it) or `response.created` (as its text)."""

CANCELLED_ITEM_STATUS = "incomplete"
"""Status of an output item that was cut off by a cancel; seen by others, not documented."""

DELETE_ERROR_ECHOES_EVENT_ID = False
"""Whether the error for an unknown item names the client's event: it was seen without."""

MCP_CONFLICT_CODE = "invalid_value"
"""Code for an MCP tool with two locations, or with two authorizations."""

MCP_DUPLICATE_CODE = "invalid_value"
"""Code for two MCP tools with the same `server_label`."""

MCP_NOWHERE_CODE = "missing_required_parameter"
"""Code for an MCP tool without a location whose label the session does not know."""

MCP_ITEMS_ADDED = True
"""Whether `conversation.item.added` precedes the `.done` of listings and of requests for approval."""

MCP_LISTED_AFTER_ITEM = True
"""Whether `mcp_list_tools.completed` comes after the item of the listing: the order is not documented."""

MCP_RESPONSE_WAITS = True
"""Whether a response waits for the listings that its own `tools` begin. Those of the session it does not wait for."""

MCP_REPLY: Literal["same_response", "new_response", "none"] = "same_response"
"""Where the model speaks on an MCP call: the guide shows it in the response that made the call. Reports tell of servers
that end the response first, and then wait to be asked."""

MCP_REFUSED = "The call was not approved."
"""The words of the error of a call that the client refused; a reason is put behind them."""

MCP_SECRETS_TOLD = False
"""Whether `session.updated` tells the `authorization` and `headers` of MCP tools again."""

MCP_UNNAMED_NEED_APPROVAL = True
"""Whether tools that no filter of `require_approval` names need approval."""

MERGE_TURN_DETECTION = True
"""Whether an update of turn detection with the same type keeps what it does not name; a new type starts afresh."""

DEFAULT_INSTRUCTIONS = "You are a helpful voice assistant. Be brief and friendly."
"""The instructions of a fresh session: the real server has a text of its own."""

DEFAULT_VOICE = "marin"
"""The voice of a fresh session."""

DEFAULT_SILENCE_MS = 500
"""`silence_duration_ms` when it is not given: the schema says 500, examples show 200."""

SEMANTIC_PAUSE_MS = 200
"""Silence after which `semantic_vad` looks at what was said so far."""

SEMANTIC_LONGEST_MS = {"low": 8000, "medium": 4000, "high": 2000, "auto": 4000}
"""Silence that ends the most unfinished turn, by eagerness; documented."""

SEMANTIC_SHORTEST_MS = {"low": 600, "medium": 300, "high": 200, "auto": 300}
"""Silence that ends the most finished turn, by eagerness. Between the two it is geometric in the score."""

SEMANTIC_SCORES = {
    "sentence": 0.95,  # whole, as far as the recogniser can tell
    "words": 0.65,  # that may be all or not
    "unfinished": 0.1,
    "melody": 0.8,  # no words, but a voice that falls, or rises to a question
    "unheard": 0.65,  # no words, no clear melody
    "drawn_out": 0.3,  # no words, one long unchanging sound
}
"""How finished a turn is, from 0 to 1. The real server has a model for this; here it is the last word, or the pitch."""

SEMANTIC_HEARD_SECONDS = 8
"""How much of a turn, up to the pause, the recogniser is asked about."""

_UNFINISHED = (
    "a an and or but because so if when while though that's the my your his her its our their these those "
    "is are was were i i'm i'd i'll you'd it's what's let's to of from at by for with without in about than as like "
    "plus minus times over divided multiplied point well very not new"
)
SEMANTIC_UNFINISHED_WORDS = frozenset(_UNFINISHED.split())
"""Words that no sentence ends with, or few do."""

DEFAULT_NOISE_REDUCTION = "far_field"
"""What `noise_reduction` means when a client switches it on without a type, which the schema allows."""

NEAR_FIELD_REDUCTION = (2.5, 20.0)
"""`noise_reduction` of type `near_field`: how many times the noise is subtracted, and dB that it is reduced at most."""

FAR_FIELD_REDUCTION = (1.8, 14.0)
"""The same for `far_field`, where a voice is little louder than the room. Strength multiplies all of these."""

NEAR_FIELD_VOICES_DB = 24.0
"""How far below the user's own voice somebody is whom `near_field` takes for background."""

IDLE_VAD_BUFFER_SECONDS = 10
"""How much sound the buffer keeps under VAD while nobody speaks; a commit by hand gets no more than this."""

MINIMUM_COMMIT_MS = 100
"""A shorter buffer cannot be committed; seen by others."""

SESSION_SECONDS = 3600
"""The maximum age of a session."""

CHARACTERS_PER_TOKEN = 4
"""How text is counted: there is no tokeniser here."""

AUDIO_MS_PER_TOKEN_USER = 100
"""How the user's sound is counted."""

AUDIO_MS_PER_TOKEN_ASSISTANT = 50
"""How the assistant's sound is counted."""

IMAGE_TOKENS = {"low": 85, "high": 765}
"""How a picture is counted, by its `detail`: its size does not matter here."""

CACHE_STEP_TOKENS = 64
"""Cached tokens come in multiples of this, for each kind: the published examples show such numbers."""

FAILED_AT_ONCE_IS_FREE = True
"""Whether the usage of a response that failed before it said anything is zero; seen by others."""

DURATION_MODELS = ("whisper-1", "gpt-realtime-whisper")
"""Transcription models whose usage is told in seconds; the others' is told in tokens."""

FAILURES = {
    "insufficient_quota": (
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    "rate_limit_exceeded": ("tokens", "Rate limit reached on tokens per min (TPM). Please try again in 1.5s."),
    "inference_rate_limit_exceeded": (
        "invalid_request_error",
        "Inference rate limit exceeded. Please try again later.",
    ),
    "server_error": ("server_error", "The server had an error while processing your request. Sorry about that!"),
}
"""Type and words of the error of a failed response, by its code; the codes were seen, not all of the rest was."""

MAXIMUM_ITEM_ID_LENGTH = 32
"""The longest item id that a client may choose; remembered, not documented."""

TRUNCATE_TOO_FAR_CODE = "invalid_value"
"""Code for a truncation beyond the item's end; the message was seen, the code was not."""

TRUNCATE_TWICE_CODE = "item_already_truncated"
"""Code for a second truncation of an item; known from the ignore lists of others."""

TRUNCATE_UNKNOWN_CODE = "item_truncate_invalid_item_id"
"""Code for the truncation of an item that does not exist; modelled on those for retrieve and delete."""

UNKNOWN_PREVIOUS_ITEM_CODE = "item_create_invalid_previous_item_id"
"""Code for a `previous_item_id` that does not exist."""

DUPLICATE_ITEM_CODE = "item_create_duplicate_item_id"
"""Code for an item whose id is taken."""

UNKNOWN_APPROVAL_CODE = "invalid_value"
"""Code for an `mcp_approval_response` to a request that does not exist, or was answered."""

UNKNOWN_CALL_CODE = "invalid_tool_call_id"
"""Code for a function call's output whose call is not in the conversation."""

UNKNOWN_REFERENCE_CODE = "invalid_value"
"""Code for an `item_reference` to an item that does not exist."""

LOCKED_PARAMETER_CODE = "invalid_value"
"""Code for a change of `model`, of `tracing` once on, and of `speed` during a response."""

WRONG_KIND_CODE = "invalid_value"
"""Code for an event or a session type that belongs to another kind of session."""

WRONG_TRANSPORT_CODE = "invalid_value"
"""Code for `output_audio_buffer.clear`, which is for WebRTC and SIP only."""

BUFFER_FULL_CODE = "input_audio_buffer_full"
"""Code for an append that the buffer has no room for."""

NO_RECOGNISER_CODE = "transcription_unavailable"
"""Code in `...transcription.failed` when this server has no recogniser: not a code of the real API."""

"""The errors that the server answers with: one function for each row of the error table, with its code and words.

What leads to them stands in the modules that raise them; codes that are guessed stand in `guesses`.
"""

from collections.abc import Iterable

from realtime_trio.server import guesses

__all__ = [
    "Problem",
    "active_response",
    "buffer_full",
    "buffer_too_small",
    "cannot_update_voice",
    "duplicate_item",
    "invalid_event",
    "invalid_type",
    "invalid_value",
    "locked",
    "mcp_conflict",
    "mcp_duplicate",
    "mcp_nowhere",
    "missing_parameter",
    "no_active_response",
    "not_truncatable",
    "out_of_range",
    "session_expired",
    "too_many_responses",
    "truncate_too_far",
    "truncated_twice",
    "unknown_approval",
    "unknown_call",
    "unknown_item",
    "unknown_parameter",
    "unknown_previous_item",
    "unknown_reference",
    "unsupported",
    "wrong_kind",
    "wrong_length",
    "wrong_transport",
]

_SHOWN = 80


class Problem(Exception):
    """What a client did cannot be done; becomes an `error` event. Nothing was changed.

    Attributes:
        message: Words for people.
        code: The code of the error table.
        param: The parameter at fault, if it is one.
        type: The kind of error.
        echo: Whether the answer names the client's event.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None,
        param: str | None = None,
        type: str = "invalid_request_error",
        echo: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param
        self.type = type
        self.echo = echo


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


# ---- the shape of an event ----


def invalid_event(message: str) -> Problem:
    """Not an event at all: no JSON object, or no `type`."""
    return Problem(message, code="invalid_event")


def missing_parameter(param: str) -> Problem:
    """A required field is absent."""
    return Problem(f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param)


def unknown_parameter(param: str) -> Problem:
    """A field that is not in the schema."""
    return Problem(f"Unknown parameter: '{_short(param)}'.", code="unknown_parameter", param=_short(param))


def invalid_type(param: str, expected: str, value: object) -> Problem:
    """A field of another JSON type."""
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal", list: "an array"}
    found = "null" if value is None else names.get(type(value), "an object")
    return Problem(
        f"Invalid type for '{param}': expected {expected}, but got {found} instead.", code="invalid_type", param=param
    )


def invalid_value(param: str, value: object, expected: str | Iterable[str]) -> Problem:
    """A field of the right type whose value is not allowed."""
    if not isinstance(expected, str):
        expected = "Supported values are: " + ", ".join(f"'{name}'" for name in expected) + "."
    return Problem(f"Invalid value: '{_short(value)}'. {expected}", code="invalid_value", param=param)


def out_of_range(param: str, kind: str, value: float, bound: float, *, below: bool) -> Problem:
    """An "integer" or a "decimal" that is too small or too large; the codes and words are those of the API."""
    side, sign = ("below minimum", ">=") if below else ("above maximum", "<=")
    return Problem(
        f"Invalid '{param}': {kind} {side} value. Expected a value {sign} {bound}, but got {_short(value)} instead.",
        code=f"{kind}_{'below_min' if below else 'above_max'}_value",
        param=param,
    )


def wrong_length(param: str, length: int, bound: int, *, below: bool) -> Problem:
    """Text that is too short or too long; the codes and words are those of the API."""
    trouble, side = ("short", "minimum") if below else ("long", "maximum")
    return Problem(
        f"Invalid '{param}': string too {trouble}. Expected a string with {side} length {bound}, "
        f"but got a string with length {length} instead.",
        code=f"string_{'below_min' if below else 'above_max'}_length",
        param=param,
    )


# ---- the session ----


def wrong_kind(param: str, message: str) -> Problem:
    """For another kind of session."""
    return Problem(message, code=guesses.WRONG_KIND_CODE, param=param)


def wrong_transport(event_type: str) -> Problem:
    """For another transport."""
    return Problem(
        f"'{event_type}' is for WebRTC and SIP connections only.", code=guesses.WRONG_TRANSPORT_CODE, param="type"
    )


def unsupported(param: str, what: str) -> Problem:
    """Part of the API, not of this stand-in."""
    return Problem(f"This offline server does not support {what}.", code="invalid_value", param=param)


def locked(param: str, why: str) -> Problem:
    """A setting that cannot be changed now."""
    return Problem(f"Cannot update '{param}' {why}.", code=guesses.LOCKED_PARAMETER_CODE, param=param)


def mcp_conflict(param: str, message: str) -> Problem:
    """Two fields of an MCP tool exclude each other."""
    return Problem(message, code=guesses.MCP_CONFLICT_CODE, param=param)


def mcp_duplicate(param: str, label: str) -> Problem:
    """Two MCP tools have the same label."""
    return Problem(
        f"Duplicate MCP server label: '{_short(label)}'. Each server label must be unique.",
        code=guesses.MCP_DUPLICATE_CODE,
        param=param,
    )


def mcp_nowhere(param: str) -> Problem:
    """An MCP tool does not say where its server is, and the session does not know it."""
    return Problem(
        f"Missing required parameter: '{param}'. One of server_url, connector_id, tunnel_id must be given.",
        code=guesses.MCP_NOWHERE_CODE,
        param=param,
    )


def unknown_approval(request_id: str) -> Problem:
    """Nobody waits for that approval."""
    return Problem(
        f"Approval request '{_short(request_id)}' was not found, or was answered before.",
        code=guesses.UNKNOWN_APPROVAL_CODE,
        param="item.approval_request_id",
    )


def cannot_update_voice(param: str) -> Problem:
    """The voice is locked by the first sound of the assistant."""
    return Problem(
        "Cannot update a conversation's voice if assistant audio is present.", code="cannot_update_voice", param=param
    )


def session_expired(seconds: float) -> Problem:
    """The session reached its maximum age; the connection is closed after it."""
    number, unit = (seconds / 60, "minute") if seconds >= 60 else (seconds, "second")  # noqa: PLR2004 as it says
    age = f"{number:g} {unit}{'' if number == 1 else 's'}"
    return Problem(f"Your session hit the maximum duration of {age}.", code="session_expired")


# ---- the input buffer ----


def buffer_too_small(ms: float) -> Problem:
    """A commit of less than the minimum."""
    least = guesses.MINIMUM_COMMIT_MS
    return Problem(
        f"Error committing input audio buffer: buffer too small. Expected at least {least}ms of audio, "
        f"but buffer only has {ms:.2f}ms of audio.",
        code="input_audio_buffer_commit_empty",
    )


def buffer_full(seconds: float) -> Problem:
    """An append beyond what the buffer holds."""
    return Problem(
        f"The input audio buffer holds at most {seconds:.0f} seconds of audio. Commit or clear it first.",
        code=guesses.BUFFER_FULL_CODE,
        param="audio",
    )


# ---- items ----


def unknown_item(action: str, item_id: str) -> Problem:
    """Retrieving, deleting or truncating what is not there."""
    code = guesses.TRUNCATE_UNKNOWN_CODE if action == "truncate" else f"item_{action}_invalid_item_id"
    doing = {"retrieve": "retrieving", "delete": "deleting", "truncate": "truncating"}[action]
    return Problem(
        f"Error {doing} item: the item with id '{_short(item_id)}' does not exist.",
        code=code,
        param="item_id",
        echo=action != "delete" or guesses.DELETE_ERROR_ECHOES_EVENT_ID,
    )


def unknown_previous_item(item_id: str) -> Problem:
    """A new item's predecessor is not there."""
    return Problem(
        f"Error adding item: the previous item with id '{_short(item_id)}' does not exist.",
        code=guesses.UNKNOWN_PREVIOUS_ITEM_CODE,
        param="previous_item_id",
    )


def duplicate_item(item_id: str) -> Problem:
    """A new item's id is taken."""
    return Problem(
        f"Error adding item: an item with id '{_short(item_id)}' already exists in the conversation.",
        code=guesses.DUPLICATE_ITEM_CODE,
        param="item.id",
    )


def unknown_call(param: str, call_id: str) -> Problem:
    """An output without its call."""
    return Problem(
        f"Tool call ID '{_short(call_id)}' not found in conversation.", code=guesses.UNKNOWN_CALL_CODE, param=param
    )


def unknown_reference(param: str, item_id: str) -> Problem:
    """A reference to what is not there."""
    return Problem(
        f"Item with id '{_short(item_id)}' not found in conversation.", code=guesses.UNKNOWN_REFERENCE_CODE, param=param
    )


def not_truncatable(param: str) -> Problem:
    """Only the assistant's sound can be truncated."""
    return Problem("Only model output audio messages can be truncated.", code="invalid_value", param=param)


def truncate_too_far(length_ms: int, wanted_ms: int) -> Problem:
    """A truncation beyond the end."""
    return Problem(
        f"Audio content of {length_ms}ms is already shorter than {wanted_ms}ms",
        code=guesses.TRUNCATE_TOO_FAR_CODE,
        param="audio_end_ms",
    )


def truncated_twice(item_id: str) -> Problem:
    """A second truncation."""
    return Problem(
        f"The item with id '{_short(item_id)}' was truncated already.",
        code=guesses.TRUNCATE_TWICE_CODE,
        param="item_id",
    )


# ---- responses ----


def active_response(response_id: str) -> Problem:
    """One response at a time writes to the conversation."""
    return Problem(
        f"Conversation already has an active response in progress: {response_id}. "
        "Wait until the response is finished before creating a new one.",
        code="conversation_already_has_active_response",
    )


def no_active_response(response_id: str | None) -> Problem:
    """A cancel that meets nothing."""
    return Problem(
        "Cancellation failed: no active response found",
        code="response_cancel_not_active",
        param=None if response_id is None else "response_id",
    )


def too_many_responses(limit: int) -> Problem:
    """This stand-in answers a bounded number at once."""
    return Problem(f"At most {limit} responses can be in progress at once.", code="rate_limit_exceeded")

"""Every exception of the library, and who can act on it.

```
RealtimeError
├─ ConfigurationError        you: a setting is missing or contradicts another; nothing was opened
├─ ConnectError              the world: no connection came about
│  └─ Refused                they: the server answered the handshake with an HTTP status (401, 403, 429, 5xx)
├─ ConnectionClosed          they or the world: an open connection ended (close code and reason)
│  └─ SessionExpired         they: the session reached its maximum age
├─ ProtocolError
│  ├─ LocalProtocolError     you: this cannot be sent; nothing was sent and nothing changed
│  └─ RemoteProtocolError    they: what arrived is not an event
├─ ServerError               they: an `error` event, with the client event that it answers
├─ NotAcknowledged           they: no answer to a call within `ack_timeout`
├─ ResponseFailed            they: a response ended with status `failed`, or could not be had
│  ├─ QuotaExceeded          you: the account's money, or the limit set for it, is used up
│  ├─ AccountRefused         you: the key does not count any more, or the account is closed
│  ├─ RateLimited            you: too much at once; `retry_after` says when it may work
│  └─ ContentFiltered        they: what was said, or was to be said, is not allowed
├─ BudgetExceeded            you: a limit that was set with `budget=` is reached
├─ AudioError
│  └─ DeviceUnavailable      the world: no such device, busy, gone, or a rate that it refuses
├─ McpUnavailable            the world: an MCP server does not start, is not reached, is gone, or lists no tools
├─ ToolError                 a tool's answer to the model that says what went wrong; it does not go up
├─ ToolTimeout               a tool took longer than its `timeout`; in the notice `ToolFailed`
└─ InternalError             us: please report it
```

Reused from Trio instead of invented again: `trio.ClosedResourceError` (you closed it), `trio.BusyResourceError` (two
tasks at one thing), `trio.EndOfChannel` (nothing more will come), `trio.WouldBlock`.

No message, attribute or repr here may carry an API key or audio: `redact` is applied to every text that a server sent.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

__all__ = [
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
    "redact",
]

_SECRET = re.compile(r"\b(sk|ek|sess|rk)[-_][A-Za-z0-9_\-*.…]{3,}|(?i:bearer)\s+\S+")
_MASK = re.compile(r"[*•…]+|\.{2,}|[xX]{3,}")
_LEAST = 6  # characters of a key's beginning or end that give something away
_LEAST_BESIDE_MASK = 4  # the same where a mask shows that it is a piece of a key
_HIDDEN = "\0"


def redact(text: str, *secrets: str) -> str:
    """Replace everything that looks like an API key, a client secret or a piece of one.

    Args:
        text: Words from outside, for example the body of a 401 answer (which may quote part of the key).
        *secrets: Credentials in use, which may look like anything: they, their beginnings and their ends are replaced
            too, from six characters on, or four beside a mask such as `***`.

    Returns:
        The text with each credential replaced by `[redacted]`.
    """
    for secret in secrets:
        if len(secret) >= _LEAST:
            text = _without(text, secret)
    return _SECRET.sub("[redacted]", text)


def _without(text: str, secret: str) -> str:
    """Replace a secret and its pieces: whole, begun, ended, or with a mask in its middle."""
    length, backwards = len(text), secret[::-1]
    spans = list(_beginnings(text, secret))
    spans += [(length - end, length - start) for start, end in _beginnings(text[::-1], backwards)]
    for mask in _MASK.finditer(text):
        start, end = mask.span()
        before = _overlap(text[max(0, start - len(secret)) : start], secret)
        after = _overlap(text[end : end + len(secret)][::-1], backwards)
        if before + after >= _LEAST_BESIDE_MASK:
            spans.append((start - before, end + after))
    characters = list(text)
    for start, end in spans:
        characters[start:end] = _HIDDEN * (end - start)
    return re.sub(f"{_HIDDEN}+", "[redacted]", "".join(characters))


def _beginnings(text: str, secret: str) -> Iterator[tuple[int, int]]:
    """Find where a secret stands, or enough of its beginning."""
    end = 0
    while (start := text.find(secret[:_LEAST], end)) >= 0:
        end = start + next(size for size in range(len(secret), 0, -1) if text.startswith(secret[:size], start))
        yield start, end


def _overlap(text: str, secret: str) -> int:
    """Tell how much of a secret's beginning is the end of a text."""
    return next((size for size in range(len(secret), 0, -1) if text.endswith(secret[:size])), 0)


class RealtimeError(Exception):
    """The root: everything that this library raises on purpose."""


class ConfigurationError(RealtimeError):
    """A setting is missing, or two of them contradict each other. Nothing was opened."""


class ConnectError(RealtimeError):
    """No connection came about: name resolution, TCP, TLS or the WebSocket handshake failed."""


class Refused(ConnectError):
    """The server answered the WebSocket handshake with an HTTP status instead of 101.

    Attributes:
        status: The HTTP status, for example 401.
        body: The server's own words, redacted.
        retry_after: Seconds to wait according to the server, when it said so.
    """

    def __init__(self, message: str, *, status: int, body: str = "", retry_after: float | None = None) -> None:
        super().__init__(redact(message))
        self.status = status
        self.body = redact(body)
        self.retry_after = retry_after


_CLOSED_HERE = {
    "stalled": "sending made no progress: the network is gone, or too slow for sound",
    "keepalive": "nothing came any more, not even the answer to a ping: the network is gone, or the server",
}
_CLOSES = {
    1000: "the server ended the session; for more, open a new one",
    1001: "the server goes away, or the session is too old: open a new one",
    1002: "what came is not the protocol: is it a proxy that answers?",
    1006: "nobody said goodbye: is the network up?",
    1008: "the server does not allow this, and will not the next time",
    1009: "a message was longer than one of the sides takes (here: open_connection(max_message_size=...))",
    1011: "the server failed, not this program: open a new session, and report it there if it goes on",
    1012: "the server restarts: open a new session in a moment",
    1013: "the server has too much to do: try again later",
    4000: "the server refuses what the session asked for",
}


class ConnectionClosed(RealtimeError):
    """An open connection ended, and not because this side closed it. The message says what may help.

    Attributes:
        code: The WebSocket close code; 1006 when the link was lost without a CLOSE, None when not even that is known.
        reason: The peer's words (redacted), or what was noticed here, for example `"stalled"`.
    """

    def __init__(self, code: int | None, reason: str = "") -> None:
        self.code = code
        self.reason = redact(reason)
        what = f"the connection is closed (code {code}{': ' + self.reason if self.reason else ''})"
        cure = _CLOSED_HERE.get(reason) or _CLOSES.get(code or 0)
        super().__init__(f"{what}; {cure}" if cure else what)


class SessionExpired(ConnectionClosed):
    """The session reached its maximum age (60 minutes at OpenAI). Open a new one."""


class ProtocolError(RealtimeError):
    """What was to be sent, or what arrived, is not the protocol."""


class LocalProtocolError(ProtocolError):
    """You asked for something that cannot be sent. Nothing was sent and nothing changed."""


class RemoteProtocolError(ProtocolError):
    """What arrived is not an event: not a JSON object with a string `type`."""


class ServerError(RealtimeError):
    """The server answered with an `error` event.

    Attributes:
        type: The kind of error, for example `"invalid_request_error"`.
        code: The code, for example `"item_delete_invalid_item_id"`, when there is one.
        param: The parameter that is at fault, when the server names it.
        event_id: The id of the client event that it answers, when the server names it.
    """

    def __init__(
        self,
        message: str,
        *,
        type: str = "",
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        message = redact(message)
        super().__init__(f"{message} ({code})" if code else message)
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.event_id = event_id


class NotAcknowledged(RealtimeError):
    """The server did not answer a call within `ack_timeout`. Whether it took effect is not known."""


class ResponseFailed(RealtimeError):
    """A response ended with status `failed`.

    Attributes:
        is_final: Whether asking again makes no sense; for other failures the session asks once more by itself.
        response_id: Which one; None when the server refused to begin it.
        code: The server's code, for example `"server_error"`, when there is one.
        response: The whole final value, as `realtime_trio.events.Response`, when it came to one.
    """

    is_final: ClassVar[bool] = False

    def __init__(self, message: str, *, response_id: str | None, code: str | None = None, response: Any = None) -> None:
        super().__init__(redact(message))
        self.response_id = response_id
        self.code = code
        self.response = response


class QuotaExceeded(ResponseFailed):
    """The account's money is used up, or the limit that was set for it. Until that changes nothing is answered.

    Codes: `insufficient_quota`, `billing_hard_limit_reached`.
    """

    is_final: ClassVar[bool] = True


class AccountRefused(ResponseFailed):
    """The key does not count any more, or the account is closed. Another key or another account is needed.

    Codes: `invalid_api_key`, `account_deactivated`.
    """

    is_final: ClassVar[bool] = True


class RateLimited(ResponseFailed):
    """Too many requests or tokens in a minute. The session has waited and asked once more, where the wait was short.

    Codes: `rate_limit_exceeded`, `inference_rate_limit_exceeded`.

    Attributes:
        retry_after: Seconds to wait according to the server, when it said so.
    """

    def __init__(
        self,
        message: str,
        *,
        response_id: str | None,
        code: str | None = None,
        response: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, response_id=response_id, code=code, response=response)
        self.retry_after = retry_after


class ContentFiltered(ResponseFailed):
    """The content filter let no response come about; one that it cut off is `incomplete`, and no failure.

    Codes: `content_filter`, `content_policy_violation`.
    """

    is_final: ClassVar[bool] = True


class BudgetExceeded(RealtimeError):
    """A limit of `open_session(budget=...)` is reached: nothing new is asked for, and the session ends.

    Attributes:
        kind: `"money"`, `"tokens"`, `"minutes"` or `"turns"`.
        spent: How much of it, so far.
        limit: How much there was to spend.
    """

    def __init__(self, message: str, *, kind: str, spent: Any, limit: Any) -> None:
        super().__init__(message)
        self.kind = kind
        self.spent = spent
        self.limit = limit


class AudioError(RealtimeError):
    """Something about sound: a device, a format, a file."""


class DeviceUnavailable(AudioError):
    """No such device, or it is busy, or gone, or it refuses what was asked of it."""


class McpUnavailable(RealtimeError):
    """An MCP server cannot be used: it does not start, cannot be reached, is gone, or its tools cannot be listed."""


class ToolError(RealtimeError):
    """Raise this in a tool to tell the model, in your words, what went wrong.

    It becomes the call's output. It does not reach the body of the session and is not logged as a crash.
    """


class ToolTimeout(RealtimeError):
    """A tool ran longer than its `timeout`, and was stopped.

    Attributes:
        seconds: The timeout.
    """

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class InternalError(RealtimeError):
    """A mistake of this library. Please report it, with the group that it was raised from."""

"""Who is let in: the checks on a handshake, before there is a session, and the HTTP answers to those who are not.

Accepting and rejecting are `transport`'s; the session behind it is `driver`'s.
"""

import hmac
import json
import math
import urllib.parse
from collections.abc import Collection, Mapping

import attrs

from realtime_trio.errors import ConfigurationError
from realtime_trio.server.session_config import Kind
from realtime_trio.transport import Handshake

__all__ = ["PATH", "Admission", "Refusal", "asked_refusal", "subprotocol", "too_many_sessions"]

PATH = "/v1/realtime"
"""The path of realtime and transcription sessions."""

_REFUSING = range(300, 600)
_KEY_PROTOCOL = "openai-insecure-api-key."
_BETA_PROTOCOL = "openai-beta.realtime-v1"


@attrs.frozen
class Refusal:
    """An HTTP answer that is not 101.

    Attributes:
        status: The HTTP status.
        body: The words, in the form of the API's errors unless a test wants others.
        headers: Names and values.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)


def _refusal(status: int, message: str, code: str | None, param: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Refusal(status, json.dumps({"error": error}, indent=2).encode())


def too_many_sessions() -> Refusal:
    """Turn a client away because there are so many already."""
    return _refusal(503, "This server has as many sessions as it takes. Try again later.", "too_many_sessions")


def asked_refusal(status: int, body: str | bytes | None, retry_after: float | str | None) -> Refusal:
    """Make the refusal that a test asks for.

    Raises:
        ConfigurationError: It refuses nobody, or says when to come again in a way that nobody understands.
    """
    if status not in _REFUSING:
        raise ConfigurationError(f"status={status!r}: a refusal has one from 300 to 599")
    refusal = _refusal(status, "This server refuses you because a test asked it to.", None)
    if body is not None:
        refusal = Refusal(status, body if isinstance(body, bytes) else body.encode(), ())
    if retry_after is None:
        return refusal
    if not isinstance(retry_after, str) and not 0 <= retry_after < math.inf:
        raise ConfigurationError(f"retry_after={retry_after!r}: it is seconds from 0, or a date")
    wait = retry_after if isinstance(retry_after, str) else f"{retry_after:.3f}".rstrip("0").rstrip(".")
    return attrs.evolve(refusal, headers=(*refusal.headers, ("retry-after", wait)))


def subprotocol(handshake: Handshake) -> str | None:
    """Choose the subprotocol of a browser, which sends its key in another one."""
    return "realtime" if "realtime" in handshake.subprotocols else None


@attrs.frozen(kw_only=True)
class Admission:
    """The rules at the door.

    Attributes:
        api_key: The key that clients must show; None lets everybody in.
        origins: Web origins whose pages may connect, `"*"` for all. Other programs send no origin and may always:
            without this rule any page in the user's browser could talk to a server on this machine.
    """

    api_key: str | None = attrs.field(default=None, repr=False)
    origins: Collection[str] = ()

    def refusal(self, handshake: Handshake) -> Refusal | None:
        """Say why this client is not let in; None when it is."""
        return (
            self._origin_refusal(handshake)
            or _path_refusal(handshake)
            or self._key_refusal(handshake)
            or (_query_refusal(handshake.query))
        )

    def _origin_refusal(self, handshake: Handshake) -> Refusal | None:
        origin = handshake.header("origin")
        if origin is None or "*" in self.origins or origin in self.origins:
            return None
        return _refusal(403, "This server takes no connections from web pages of other origins.", "origin_refused")

    def _key_refusal(self, handshake: Handshake) -> Refusal | None:
        if self.api_key is None:
            return None
        key = _key(handshake)
        if key is None:
            return _refusal(401, "No API key was provided.", None)
        if not hmac.compare_digest(key.encode(), self.api_key.encode()):
            return _refusal(401, "Incorrect API key provided.", "invalid_api_key")
        return None

    @staticmethod
    def kind(handshake: Handshake) -> Kind:
        """Tell what kind of session is wanted."""
        return "transcription" if handshake.query.get("intent") == "transcription" else "realtime"

    @staticmethod
    def wants_beta(handshake: Handshake) -> bool:
        """Tell whether the client speaks the beta's dialect, which is gone."""
        return handshake.header("openai-beta") == "realtime=v1" or _BETA_PROTOCOL in handshake.subprotocols


def _key(handshake: Handshake) -> str | None:
    scheme, _, key = (handshake.header("authorization") or "").partition(" ")
    if scheme.lower() == "bearer" and key:
        return key.strip()
    for name in handshake.subprotocols:
        if name.startswith(_KEY_PROTOCOL):
            return name.removeprefix(_KEY_PROTOCOL)
    return handshake.header("api-key")


def _path_refusal(handshake: Handshake) -> Refusal | None:
    if handshake.path.rstrip("/") == PATH:
        return None
    path = urllib.parse.quote(handshake.path[:100])
    return _refusal(404, f"Invalid URL (GET {path}). This server has {PATH}.", None)


def _query_refusal(query: Mapping[str, str]) -> Refusal | None:
    if "call_id" in query:
        return _refusal(400, "This offline server has no calls to attach to.", "invalid_value", "call_id")
    if query.get("intent") not in (None, "transcription"):
        return _refusal(400, "Invalid value: 'intent' must be 'transcription'.", "invalid_value", "intent")
    if not query.get("model") and "intent" not in query:
        return _refusal(400, "You must provide a model parameter.", "missing_model", "model")
    return None

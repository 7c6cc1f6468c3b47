"""Settings: arguments, then the environment, then `.env`; checked at the border, with the key out of sight.

Nothing is opened here, and nothing is known of the link: a resolved value says where to connect and what to send along.
"""

import ipaddress
import os
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_args

import attrs
from dotenv import dotenv_values

from ._version import __version__
from .errors import ConfigurationError
from .events import Kind
from .hiding import CREDENTIALS, Headers, HiddenHeaders, Secret, hide, secrets_in, shown_url

__all__ = [
    "DEFAULT_BASE_URL",
    "DEFAULT_MODEL",
    "DEFAULT_TRANSLATION_MODEL",
    "Headers",
    "HiddenHeaders",
    "Secret",
    "Settings",
    "hide",
    "is_loopback",
    "refuse_proxy",
    "resolve",
    "secrets_in",
    "shown_url",
]

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
DEFAULT_MODEL: Final = "gpt-realtime-2.1"
DEFAULT_TRANSLATION_MODEL: Final = "gpt-realtime-translate"

_SCHEMES: Final = {"https": "wss", "http": "ws", "wss": "wss", "ws": "ws"}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")
_OURS: Final = {"host", "connection", "upgrade", "content-length", "transfer-encoding"}
_INSTEAD_OF_KEY: Final = {"authorization", "api-key", "x-api-key"}
_LARGEST_PORT: Final = 65535


@attrs.frozen(kw_only=True)
class Settings:
    """Where to connect and what to send along: resolved, checked, ready."""

    url: str = attrs.field(repr=lambda url: repr(shown_url(url)))
    """The whole WebSocket URL, query included."""
    kind: Kind
    """What the session does."""
    model: str | None
    """The model in the URL; None where the URL names none (a transcription, a call that is joined, Azure)."""
    api_key: Secret | None
    """The key, when there is one to send."""
    headers: tuple[tuple[str, str], ...] = attrs.field(repr=lambda pairs: repr([name for name, _ in pairs]))
    """Every header of the handshake in order, the credentials too."""


def resolve(
    *,
    url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    model: str | None = None,
    kind: Kind = "realtime",
    headers: Headers = (),
    organization: str | None = None,
    project: str | None = None,
    allow_insecure: bool = False,
    own_link: bool = False,
    environ: Mapping[str, str] | None = None,
    env_file: Path | None = None,
) -> Settings:
    """Find every setting, in this order: argument, environment, `.env` in the working directory. Empty means unset.

    Args:
        url: A whole WebSocket URL, or a base such as `https://api.openai.com/v1`, which gets `/realtime` appended.
            Otherwise `OPENAI_BASE_URL`, otherwise OpenAI's.
        api_key: Otherwise `OPENAI_API_KEY`.
        model: Otherwise what the URL says, otherwise (for a realtime session) `OPENAI_REALTIME_MODEL`, otherwise the
            default of the kind.
        kind: What the session does.
        headers: Extra headers, as a mapping or as pairs. `Authorization` or `api-key` among them stands for a key from
            the environment.
        organization: Otherwise `OPENAI_ORG_ID`.
        project: Otherwise `OPENAI_PROJECT_ID`.
        allow_insecure: Send credentials over plain `ws://` to another machine all the same. What the URL's query says
            counts as one, but for the few names that are known to be harmless, such as `model`.
        own_link: The caller brings the link, so neither a key nor a URL is needed, and no proxy is in the way.
        environ: Instead of `os.environ`, which is only read.
        env_file: Instead of `.env` in the working directory.

    Returns:
        The settings.

    Raises:
        ConfigurationError: One is missing, malformed or contradicts another. The message names it and where it came
            from, never the key.
    """
    url, api_key, headers = hide(url), hide(api_key), HiddenHeaders(headers)
    try:
        return _resolve(
            look=_Lookup(os.environ if environ is None else environ, Path(".env") if env_file is None else env_file),
            url=url,
            api_key=api_key,
            model=model,
            kind=kind,
            headers=headers,
            organization=organization,
            project=project,
            allow_insecure=allow_insecure,
            own_link=own_link,
        )
    except ConfigurationError as error:
        error.__context__ = None
        raise error.with_traceback(None) from None  # the frames below hold what is not to be shown


def _resolve(
    *,
    look: "_Lookup",
    url: str | Secret | None,
    api_key: str | Secret | None,
    model: str | None,
    kind: Kind,
    headers: Headers,
    organization: str | None,
    project: str | None,
    allow_insecure: bool,
    own_link: bool,
) -> Settings:
    if kind not in get_args(Kind):
        raise ConfigurationError(f"kind={kind!r} is none of {', '.join(map(repr, get_args(Kind)))}")
    base, base_origin = look.find("url", url.reveal() if isinstance(url, Secret) else url, "OPENAI_BASE_URL")
    key = _resolve_key(look, api_key)
    extra = _check_headers(headers)
    credentials = {name.lower() for name, _ in extra} & CREDENTIALS
    if base is None and key is None and not credentials and not own_link:
        raise ConfigurationError(
            "there is no API key and no URL. Set OPENAI_API_KEY in the environment or in .env (or pass api_key=), "
            "or name a server with url= or OPENAI_BASE_URL; without a key there is the offline server: "
            "`async with realtime_trio.server.open_server() as server`, then url=server.url"
        )
    parts = _parse_url(base or DEFAULT_BASE_URL, base_origin)
    full, chosen_model = _complete_url(parts, kind, _given_model(look, model, kind), base_origin)
    host = parts.hostname or ""
    if credentials & _INSTEAD_OF_KEY:
        if api_key:
            raise ConfigurationError("api_key= and a header with credentials contradict each other: give one of them")
        key = None
    if key is None and not credentials and not own_link and (host == "openai.com" or host.endswith(".openai.com")):
        raise ConfigurationError(f"{host} wants an API key: set OPENAI_API_KEY, or pass api_key=")
    if not own_link:
        if full.startswith("ws:") and not (is_loopback(host) or allow_insecure):
            _refuse_plain_text(host, full, named=bool(key or credentials))
        refuse_proxy(full, look.environ)
    standard = _standard_headers(look, key, organization, project)
    named = {name.lower() for name, _ in extra}
    pairs = [(name, value) for name, value in standard if name.lower() not in named]
    return Settings(url=full, kind=kind, model=chosen_model, api_key=key, headers=(*pairs, *extra))


def _refuse_plain_text(host: str, url: str, *, named: bool) -> None:
    """Refuse to send a key or a header with credentials (`named`), or what in the query may be one, unencrypted."""
    if named or secrets_in(url, ()):
        where = "" if named else " (whatever the URL's query says may be one)"
        raise ConfigurationError(
            f"credentials would travel in plain text to {host}{where}: use wss://, or pass allow_insecure=True "
            "if the network between is yours"
        )


def _standard_headers(
    look: "_Lookup", key: Secret | None, organization: str | None, project: str | None
) -> list[tuple[str, str]]:
    pairs = [("User-Agent", f"realtime_trio/{__version__}")]
    if key is not None:
        pairs.append(("Authorization", f"Bearer {key.reveal()}"))
    for name, argument, variable, header in (
        ("organization", organization, "OPENAI_ORG_ID", "OpenAI-Organization"),
        ("project", project, "OPENAI_PROJECT_ID", "OpenAI-Project"),
    ):
        value, origin = look.find(name, argument, variable)
        if value is not None:
            pairs.append((header, _check_header(header, value, origin)))
    return pairs


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine."""
    host = host.strip("[]").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_proxy(url: str, environ: Mapping[str, str]) -> None:
    """Refuse to connect past a proxy that the environment names.

    Args:
        url: The WebSocket URL.
        environ: Where proxies are named. `NO_PROXY` is honoured; a loopback address needs no proxy.

    Raises:
        ConfigurationError: A proxy is set for this URL.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return
    secure = parts.scheme == "wss"
    names = ("https_proxy", "wss_proxy", "all_proxy") if secure else ("http_proxy", "ws_proxy", "all_proxy")
    found = {name.lower(): name for name, value in environ.items() if value}
    exempt = environ.get(found.get("no_proxy", ""), "")
    if _is_exempt(host, parts.port or (443 if secure else 80), exempt):
        return
    for name in names:
        if name in found:
            raise ConfigurationError(
                f"{found[name]} names a proxy for {host}, and proxies are not supported yet. "
                f"Unset it, or add {host} to NO_PROXY if it can be reached without"
            )


def _is_exempt(host: str, port: int, exempt: str) -> bool:
    """Apply NO_PROXY as everybody does: `*`, or names and their subdomains, with a port or without."""
    for entry in exempt.lower().split(","):
        name = entry.strip().lstrip(".")
        if (
            name == "*"
            or (name and f".{host}".endswith(f".{name}"))
            or (name and f".{host}:{port}".endswith(f".{name}"))
        ):
            return True
    return False


class _Lookup:
    """Arguments, the environment and `.env`, in this order; the file is read once, and only if it is asked for."""

    def __init__(self, environ: Mapping[str, str], env_file: Path) -> None:
        self.environ = environ
        self._env_file = env_file
        self._from_file: dict[str, str | None] | None = None

    def find(self, name: str, argument: str | None, variable: str) -> tuple[str | None, str]:
        """Return the first value that is not empty, and words for where it came from."""
        if argument is not None and not isinstance(argument, str):
            raise ConfigurationError(f"{name}= is a {type(argument).__name__}, not a string")
        if argument:
            return argument, f"{name}="
        if value := self.environ.get(variable):
            return value, f"{variable} in the environment"
        if self._from_file is None:
            self._from_file = self._read()
        if value := self._from_file.get(variable):
            return value, f"{variable} in {self._env_file}"
        return None, ""

    def _read(self) -> dict[str, str | None]:
        try:
            # -sig: an editor's byte order mark would otherwise become part of the first name
            return dotenv_values(self._env_file, encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{self._env_file} cannot be read: {type(error).__name__}") from None


def _resolve_key(look: _Lookup, argument: str | Secret | None) -> Secret | None:
    given = argument.reveal() if isinstance(argument, Secret) else argument
    key, origin = look.find("api_key", given, "OPENAI_API_KEY")
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigurationError(
            f"the API key ({origin}) contains a space, a line break or a character that no key has: copy it again"
        )
    return Secret(key)


def _given_model(look: _Lookup, argument: str | None, kind: Kind) -> tuple[str | None, bool]:
    """Return the model and whether it was named for this very session (then it has to win, or to be refused)."""
    if argument is not None and not isinstance(argument, str):
        raise ConfigurationError(f"model= is a {type(argument).__name__}, not a string")
    if argument:
        return argument, True
    if kind == "transcription":
        return None, False  # the model is that of the transcription, which session.update names
    if kind == "translation":
        return DEFAULT_TRANSLATION_MODEL, False
    found, _ = look.find("model", None, "OPENAI_REALTIME_MODEL")
    return found or DEFAULT_MODEL, False


def _parse_url(url: str, origin: str) -> urllib.parse.SplitResult:
    """Check a URL's parts. No message quotes more of it than scheme and host: the rest may hold a password."""
    source = f"the URL ({origin})" if origin else "the URL"
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError(f"{source} contains a space, a line break or a character that has to be %-encoded")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"{source} is malformed: {error}") from None
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ConfigurationError(
            f"{source} has to begin with wss://, https://, ws:// or http:// and a host, "
            "for example ws://127.0.0.1:8000/v1"
        )
    if not host or (port is not None and not 0 < port <= _LARGEST_PORT):
        raise ConfigurationError(f"{source} has no host, or a port that does not exist")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{source} contains a user name or a password: pass api_key= or headers= instead")
    if parts.fragment:
        raise ConfigurationError(f"{source} has a fragment (#…), which a WebSocket URL cannot have")
    return parts


def _complete_url(
    parts: urllib.parse.SplitResult, kind: Kind, given: tuple[str | None, bool], origin: str
) -> tuple[str, str | None]:
    """Make the whole WebSocket URL of a checked one, and say which model it names."""
    path = _complete_path(parts, kind, origin)
    query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
    added = {}
    model, explicit = given
    if "model" in query:
        if explicit and query["model"] != model:
            raise ConfigurationError(f"model={model!r} contradicts the URL ({origin}), which says {query['model']!r}")
        model = query["model"]
    elif "call_id" in query or "deployment" in query:
        # a call that is joined has its model already, and Azure's deployment stands for one
        if explicit and "call_id" in query:
            raise ConfigurationError("model= contradicts a URL with call_id: that call has its model already")
        model = model if explicit else None
    if model is not None and "model" not in query:
        added["model"] = model
    if kind == "transcription" and "intent" not in query:
        added["intent"] = "transcription"
    whole_query = "&".join(filter(None, [parts.query, urllib.parse.urlencode(added)]))
    return urllib.parse.urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, whole_query, "")), model


def _complete_path(parts: urllib.parse.SplitResult, kind: Kind, origin: str) -> str:
    path = parts.path.rstrip("/")
    last = path.rpartition("/")[2]
    if last == "translations":
        if kind != "translation":
            raise ConfigurationError(f"kind={kind!r} contradicts the URL ({origin}), which is that of translations")
        return path
    if last != "realtime":
        # a WebSocket URL with a path of its own is taken as it is; http and https URLs are always bases
        if parts.scheme in {"ws", "wss"} and last not in {"", "v1"}:
            return parts.path
        path = f"{path or '/v1'}/realtime"
    return f"{path}/translations" if kind == "translation" else path


def _check_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    try:
        pairs: list[tuple[object, object]] = [
            (name, value) for name, value in (headers.items() if isinstance(headers, Mapping) else headers)
        ]
    except (TypeError, ValueError):
        raise ConfigurationError("headers= has to be a mapping or pairs of strings") from None
    return tuple((str(name), _check_header(name, value, "headers=")) for name, value in pairs)


def _check_header(name: object, value: object, origin: str) -> str:
    if not isinstance(name, str) or not isinstance(value, str):
        raise ConfigurationError(f"{origin} has a name or a value that is not a string")
    if not _HEADER_NAME.fullmatch(name):
        raise ConfigurationError(f"{origin} has a name that no HTTP header can have: {name[:40]!r}")
    lower = name.lower()
    if lower == "openai-beta":
        raise ConfigurationError("the header OpenAI-Beta asks for a protocol that is switched off: leave it out")
    if lower in _OURS or lower.startswith("sec-websocket-"):
        raise ConfigurationError(f"the header {name} belongs to the WebSocket handshake: leave it out")
    if not _HEADER_VALUE.fullmatch(value):
        raise ConfigurationError(
            f"the header {name} ({origin}) is empty, or has a line break, a space at an end or a character beyond ASCII"
        )
    return value

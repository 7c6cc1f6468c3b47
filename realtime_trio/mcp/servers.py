"""Where an MCP server is: a program to start, or a URL. Values only; nothing of them that may be secret is shown."""

import os
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, TypeAlias

from realtime_trio.config import is_loopback, secrets_in, shown_url
from realtime_trio.errors import ConfigurationError

__all__ = ["HttpServer", "McpServerAddress", "StdioServer"]


def _texts(what: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(one, str) for name, one in value.items()
    ):
        raise ConfigurationError(f"{what}= is a mapping of strings to strings")
    return dict(value)


def _words(*given: Any) -> list[str]:
    words = [os.fspath(word) if isinstance(word, os.PathLike) else word for word in given]
    if not words[0] or not all(isinstance(word, str) and "\0" not in word for word in words):
        raise ConfigurationError(
            "the command of an MCP server is given as words: StdioServer('python', 'server.py'), strings or paths"
        )
    return words


class StdioServer:
    """An MCP server that is a program: it is started, and spoken to through its standard input and output.

    Args:
        command: The program, as a path or by a name on `PATH`.
        args: Its arguments.
        env: Environment variables for it. Of this program's own it gets only `PATH`, `HOME` and the like; what else it
            needs, a key for example, is named here.
        cwd: The directory that it runs in; by default this program's.
        stderr: A file for what it writes to its standard error; by default that goes to this program's.

    Raises:
        ConfigurationError: Something is of the wrong kind.
    """

    def __init__(
        self,
        command: str | os.PathLike[str],
        *args: str | os.PathLike[str],
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stderr: IO[Any] | None = None,
    ) -> None:
        self.command, *rest = _words(command, *args)
        self.args = tuple(rest)
        self.env = _texts("env", env or {})
        if cwd is not None and not isinstance(cwd, str | os.PathLike):
            raise ConfigurationError(f"cwd= is a path (str or Path), not {type(cwd).__name__}")
        self.cwd = None if cwd is None else Path(cwd)
        self.stderr = stderr

    @property
    def name(self) -> str:
        """How it is called in errors and logs: the program, and the script that it runs, if that is a file."""
        script = self.args[0] if self.args and ((self.cwd or Path()) / self.args[0]).is_file() else ""
        return " ".join(Path(word).name for word in (self.command, script) if word)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is not to be shown: arguments and variables may be keys."""
        return (*self.args, *self.env.values())

    def __repr__(self) -> str:
        return f"<StdioServer {self.name}>"


class HttpServer:
    """An MCP server at a URL (the transport that is called "streamable HTTP").

    Args:
        url: Where it is, for example `http://127.0.0.1:8000/mcp`.
        headers: Sent with every request, for example `{"Authorization": "Bearer ..."}`.
        allow_insecure: Whether headers may go over plain `http://` to another machine.

    Raises:
        ConfigurationError: It is no URL, or credentials would travel in plain text.
    """

    def __init__(self, url: str, *, headers: Mapping[str, str] | None = None, allow_insecure: bool = False) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            host = parts.hostname
        except (ValueError, AttributeError, TypeError):
            parts, host = urllib.parse.SplitResult("", "", "", "", ""), None
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigurationError("the URL of an MCP server begins with http:// or https:// and names a host")
        given = _texts("headers", headers or {})
        secret = given or parts.username or secrets_in(url, ())
        if secret and parts.scheme == "http" and not (is_loopback(host) or allow_insecure):
            raise ConfigurationError(
                f"credentials would travel in plain text to {host}: use https://, or pass allow_insecure=True if the "
                "network between is yours"
            )
        self.url = url
        self.headers = given

    @property
    def name(self) -> str:
        """How it is called in errors and logs: the URL without anything that may be a credential."""
        return shown_url(self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is not to be shown."""
        parts = urllib.parse.urlsplit(self.url)
        values = [value.partition(" ")[2] or value for value in self.headers.values()]
        return (*values, *secrets_in(self.url, ()), *filter(None, (parts.username, parts.password)))

    def __repr__(self) -> str:
        return f"<HttpServer {self.name}>"


McpServerAddress: TypeAlias = StdioServer | HttpServer

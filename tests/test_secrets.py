"""No credential, and no piece of one, is to be found in anything that a session leaves behind.

Whole sessions are run with a key that looks like no key, every logger at DEBUG, tracebacks with the locals of every
frame of the library and of what is below it, and the reprs of all that can be reached from a session.
"""

import functools
import io
import logging
import os
import ssl
import subprocess
import sys
import traceback
import types
import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest
import rich.console
import rich.traceback
import trio
import trustme
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from realtime_trio import (
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    Refused,
    ServerError,
    events,
    open_connection,
    open_session,
    tool,
)
from realtime_trio.config import Secret
from realtime_trio.server import open_server
from realtime_trio.telemetry import Telemetry
from realtime_trio.testing import FakeDevice, open_scripted_peer
from realtime_trio.testing import peer as peer_module

# They look like nothing that a pattern could know.
KEY = "Zq7vK2mWx9TbR4nLcJ8s"
TOKEN = "Hy3dPf6gUa1eQo5iBk0Y"
CLIENT_SECRET = "ek_" + "Vn8cXz5tMj2wSr7pGl4h"
SECRETS = (KEY, TOKEN, CLIENT_SECRET)
PIECE = 8


@pytest.fixture
def heard(caplog, monkeypatch):
    """Everything that is logged and warned, at every level, as text."""
    for name in ["", *logging.root.manager.loggerDict]:
        caplog.set_level(logging.DEBUG, name)
    for name in ("realtime_trio", "trio-websocket", "wsproto", "asyncio", "mcp", "httpx"):
        caplog.set_level(logging.DEBUG, name)
    texts: list[str] = []
    monkeypatch.setattr(warnings, "showwarning", lambda *about, **_: texts.append(repr(about)))

    def everything() -> str:
        records = (f"{record.getMessage()} {record.args!r} {record.exc_text or ''}" for record in caplog.records)
        return "\n".join([*records, caplog.text, *texts])

    return everything


def pieces(text: str) -> list[str]:
    """Find the lines of a text in which a secret stands, or a piece of one."""
    stems = [secret.removeprefix("ek_") for secret in SECRETS]
    wanted = {stem[at : at + PIECE] for stem in stems for at in range(len(stem) - PIECE + 1)}
    return sorted({line.strip() for line in text.splitlines() if any(piece in line for piece in wanted)})


def with_locals(error: BaseException) -> str:
    """Show an exception as the tools of crash reports do: with the locals of all frames but those of this file."""
    _without_our_frames(error)
    return "\n".join([_standard(error), _by_rich(error), repr(error), str(error), repr(vars(error))])


def _standard(error: BaseException) -> str:
    shown = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    return "".join(shown.format())


def _by_rich(error: BaseException) -> str:
    console = rich.console.Console(file=io.StringIO(), width=400)
    found = rich.traceback.Traceback.from_exception(
        type(error), error, error.__traceback__, show_locals=True, locals_max_length=1000, locals_max_string=100_000
    )
    console.print(found)
    return console.file.getvalue()


def _without_our_frames(error: BaseException | None, seen: frozenset[int] = frozenset()) -> None:
    """Take the frames of this file out, and those of the scripted peer: they hold the secrets on purpose."""
    if error is None or id(error) in seen:
        return
    links = []
    link = error.__traceback__
    while link is not None:
        if link.tb_frame.f_code.co_filename not in (__file__, peer_module.__file__):
            links.append(link)
        link = link.tb_next
    kept = None
    for link in reversed(links):
        kept = types.TracebackType(kept, link.tb_frame, link.tb_lasti, link.tb_lineno)
    error.__traceback__ = kept
    for one in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        _without_our_frames(one, seen | {id(error)})


def reprs(root: object) -> Iterator[str]:
    """Give the repr of everything of ours that can be reached from an object."""
    seen: set[int] = set()
    stack: list[Any] = [root]
    while stack:
        value = stack.pop()
        if id(value) in seen or isinstance(value, str | bytes | int | float | type | types.ModuleType):
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            stack += value.values()
        elif isinstance(value, list | set | tuple | deque):
            stack += value
        elif isinstance(value, types.FunctionType):
            stack += [cell.cell_contents for cell in value.__closure__ or ()]
        elif isinstance(value, functools.partial):
            stack += [value.func, *value.args]
        elif isinstance(value, types.MethodType):
            stack.append(value.__self__)
        elif type(value).__module__.startswith("realtime_trio."):
            yield repr(value)
            yield str(value)
            if isinstance(value, Secret):
                continue
            stack += vars(value).values() if hasattr(value, "__dict__") else ()
            slots = [slot for cls in type(value).__mro__ for slot in getattr(cls, "__slots__", ())]
            stack += [getattr(value, slot) for slot in slots if hasattr(value, slot)]


@tool
async def fail(reason: str) -> None:
    """Fail."""
    raise ValueError(f"it went wrong with {TOKEN[:3]}")


def _telemetry():
    """A telemetry, and what shows all that it made: spans with their attributes, measurements with theirs."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(spans))

    def exported() -> str:
        return "\n".join(
            [*(span.to_json() for span in spans.get_finished_spans()), reader.get_metrics_data().to_json()]
        )

    return Telemetry(tracer_provider=tracers, meter_provider=meters), exported


async def _a_talk(peer, key):
    """Ask, call a failing tool, fail a response and be told an error, all of it with the key in the server's words."""
    peer.ignored.update({"response.create", "conversation.item.create", "input_audio_buffer.append"})
    quoting = {"type": "invalid_request_error", "message": f"not for {key[:12]}: {key} ({TOKEN}, {CLIENT_SECRET})"}
    await peer.send("error", error={**quoting, "code": "x"})
    await peer.send("response.created", response={"id": "r1", "status": "in_progress", "conversation_id": "c"})
    call = {"type": "function_call", "id": "i1", "call_id": "c1", "name": "fail", "arguments": '{"reason": "x"}'}
    await peer.send(
        "response.done",
        response={
            "id": "r1",
            "status": "completed",
            "conversation_id": "c",
            "output": [{**call, "status": "completed"}],
        },
    )
    await peer.send("response.created", response={"id": "r2", "status": "in_progress", "conversation_id": "c"})
    failed = {"type": "failed", "error": {**quoting, "code": "server_error"}}
    await peer.send(
        "response.done",
        response={"id": "r2", "status": "failed", "conversation_id": "c", "output": [], "status_details": failed},
    )
    await trio.sleep(1)


@pytest.mark.parametrize("key", [KEY, CLIENT_SECRET])
@pytest.mark.parametrize("ending", ["the body returns", "the body crashes", "the server closes", "the link is cut"])
async def test_a_whole_session(autojump_clock, heard, tmp_path, key, ending):
    """However it ends: nothing in logs, in reprs, nor in what is raised."""
    shown = []
    server = events.McpTool(
        server_label="shop", server_url="https://shop.example/mcp", authorization=TOKEN, headers={"X-Key": TOKEN}
    )
    async with open_scripted_peer(greet=True) as peer, trio.open_nursery() as nursery:
        device = FakeDevice()
        nursery.start_soon(device.run)
        telemetry, exported = _telemetry()
        try:
            async with open_session(
                connect=peer.connect, url=peer.url, api_key=key, headers={"Cookie": TOKEN},
                audio=device, tools=[fail, server], drain=False, record=tmp_path / "recording",
                telemetry=telemetry,
            ) as session:  # fmt: skip
                await _a_talk(peer, key)
                shown += [*reprs(session), *reprs(telemetry), repr(session.statistics())]
                if ending == "the body crashes":
                    raise ZeroDivisionError  # noqa: TRY301 - as a body does
                if ending == "the server closes":
                    nursery.start_soon(peer.close, 1008, f"{key} is not wanted")
                    await trio.sleep_forever()
                if ending == "the link is cut":
                    await peer.cut()
                    await trio.sleep_forever()
        except Exception as error:  # noqa: BLE001 - whatever comes
            shown.append(with_locals(error))
            assert ending != "the body returns"
        nursery.cancel_scope.cancel()
    assert any("Session" in text for text in shown)
    assert any("SessionStatistics" in text for text in shown)
    spans = exported()
    assert "execute_tool fail" in spans
    assert "realtime_trio.session.duration" in spans
    shown.append(spans)
    assert "the server reports" in heard()
    assert pieces(heard()) == []
    assert {piece for text in shown for piece in pieces(text)} == set()
    files = [path.read_bytes().decode("latin-1") for path in (tmp_path / "recording").rglob("*") if path.is_file()]
    assert files
    assert [piece for text in files for piece in pieces(text)] == []


@pytest.mark.parametrize("key", [KEY, CLIENT_SECRET, KEY.lower()])
async def test_a_server_that_makes_names_of_them(autojump_clock, heard, key):
    """Ids, types and names of tools, which logs and spans do show, are no way to get them there."""
    telemetry, exported = _telemetry()
    async with open_scripted_peer(greet=True) as peer, open_session(
        connect=peer.connect, url=peer.url, api_key=key, headers={"Cookie": TOKEN}, tools=[fail],
        drain=False, telemetry=telemetry,
    ):  # fmt: skip
        await _make_names(peer, key)
        await trio.sleep(1)

    spans = exported()
    assert "execute_tool unnamed" in spans
    assert "tool call (unnamed) ((unnamed)) begins" in heard()
    found = [line for line in (heard() + spans).splitlines() if key in line or TOKEN in line or TOKEN.lower() in line]
    assert found == []
    assert pieces(heard() + spans) == []


async def _make_names(peer, key):
    peer.ignored.update({"response.create", "conversation.item.create"})
    await peer.send("response.created", response={"id": key, "status": "in_progress", "conversation_id": key})
    call = {"type": "function_call", "id": key, "arguments": "{}", "status": "completed"}
    calls = [{**call, "call_id": TOKEN, "name": key}, {**call, "call_id": key, "name": "fail"}]
    odd = {"id": key, "conversation_id": key, "output": calls, "status_details": {"type": "failed", "reason": TOKEN}}
    await peer.send("response.done", response={**odd, "status": "incomplete"})
    await peer.send(TOKEN, what=key)
    await peer.send(key, what=key)
    await peer.send("error", error={"type": key, "code": key, "message": "", "param": TOKEN})


async def test_what_a_crash_report_shows_of_a_session_is_short(autojump_clock):
    """Its parts refer to each other: shown with all that they refer to, they were more than a million characters."""
    async with open_scripted_peer(greet=True) as peer:
        with pytest.raises(ConnectionClosed) as caught:
            async with open_session(connect=peer.connect, url=peer.url, reconnect=None) as session:
                shown = {name: repr(value) for name, value in vars(session._engine).items()}
                await peer.close(1011)
                await trio.sleep_forever()
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    for frame in frames[1:]:
        shown |= {f"{frame.f_code.co_qualname}.{name}": repr(value) for name, value in frame.f_locals.items()}

    assert {name for name in shown if name.startswith("Reader.")}
    assert {name: len(text) for name, text in shown.items() if len(text) > 4000} == {}


@pytest.mark.parametrize("open_it", [open_session, open_connection])
@pytest.mark.parametrize("body", [f"wrong key {KEY[:9]}***{KEY[-4:]}", f'{{"error": {{"message": "{KEY}, {TOKEN}"}}}}'])
async def test_a_refusal_that_quotes_the_key(autojump_clock, heard, open_it, body):
    async with open_scripted_peer(greet=True) as peer:
        peer.refuse(401, body.encode())
        with pytest.raises(Refused) as caught:
            async with open_it(connect=peer.connect, url=peer.url, api_key=KEY, headers={"Cookie": TOKEN}):
                raise AssertionError("let in")
    shown = with_locals(caught.value)

    assert "websocket_over" in shown
    assert pieces(shown) == []
    assert pieces(heard()) == []


@pytest.mark.parametrize("open_it", [open_session, open_connection])
async def test_a_refused_setting(open_it):
    """Of which the traceback goes through the frames that have the key as an argument."""
    for wrong in ({"model": 5}, {"headers": {"a b": TOKEN}}, {"url": f"ftp://x/{KEY}"}, {"organization": "\n"}):
        with pytest.raises(ConfigurationError) as caught:
            async with open_it(**{"url": "ws://127.0.0.1:1", "api_key": KEY, "headers": {"Cookie": TOKEN}, **wrong}):
                raise AssertionError("opened")
        assert pieces(with_locals(caught.value)) == []


@pytest.mark.parametrize("open_it", [open_session, open_connection])
async def test_nobody_is_there(heard, open_it):
    with pytest.raises(ConnectError) as caught:
        async with open_it(url="ws://127.0.0.1:1/v1", api_key=KEY, headers={"Cookie": TOKEN}):
            raise AssertionError("opened")

    assert pieces(with_locals(caught.value)) == []
    assert pieces(heard()) == []


async def test_a_refused_configuration(autojump_clock, heard):
    """The server may quote what it was sent, an MCP server's token with it."""
    server = events.McpTool(server_label="shop", server_url="https://shop.example/mcp", authorization=TOKEN)
    async with open_scripted_peer(greet=True) as peer:
        said = {"type": "invalid_request_error", "message": f"no such thing as {KEY}", "code": "invalid_value"}
        peer.answer(
            "session.update", lambda event: [{"type": "error", "error": {**said, "event_id": event["event_id"]}}]
        )
        with pytest.raises(ServerError) as caught:
            async with open_session(connect=peer.connect, url=peer.url, api_key=KEY, tools=[server]):
                raise AssertionError("opened")

    assert pieces(with_locals(caught.value)) == []
    assert pieces(heard()) == []


async def test_over_sockets_with_the_offline_server(heard):
    """Right and wrong: neither side tells the key, and the server does not show the one it wants."""
    async with open_server(api_key=KEY, recogniser="none") as server:
        async with open_session(url=server.url, api_key=KEY, modality="text") as session:
            await session.ask("What is 2 plus 3?")
            shown = [*reprs(session), *reprs(server), repr(server)]
        with pytest.raises(Refused) as caught:
            async with open_session(url=server.url, api_key=TOKEN):
                raise AssertionError("let in")
        shown.append(with_locals(caught.value))

    assert {piece for text in shown for piece in pieces(text)} == set()
    assert pieces(heard()) == []


def test_the_demo_does_not_tell_the_key(tmp_path):
    """With a key in the environment, and nobody there to take it."""
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "ws://127.0.0.1:1/v1"}
    command = [sys.executable, "-m", "realtime_trio.demo", "--headless", "--live"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment, check=False
    )

    assert done.returncode == 2
    assert "error: " in done.stderr
    assert pieces(done.stdout + done.stderr) == []
    assert list(tmp_path.iterdir()) == []


# ---- to whom they are told ----


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


async def _serve_tls(authority, heads: list[bytes], task_status=trio.TASK_STATUS_IGNORED):  # noqa: ASYNC128
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)

    async def serve(stream: trio.SSLStream) -> None:
        try:
            heads.append(bytes(await stream.receive_some()))
            await stream.send_all(b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            await trio.aclose_forcefully(stream)

    listeners = await trio.open_ssl_over_tcp_listeners(0, context, host="127.0.0.1")
    await trio.serve_listeners(serve, listeners, task_status=task_status)


@pytest.mark.parametrize("trusted", [False, True])
async def test_a_certificate_is_verified_before_the_key_is_sent(authority, trusted):
    """One that nobody signed is refused, and nothing was said; `ssl_context=` knows an authority of one's own."""
    heads: list[bytes] = []
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(functools.partial(_serve_tls, authority, heads))
        port = listeners[0].transport_listener.socket.getsockname()[1]
        with pytest.raises(Refused if trusted else ConnectError) as caught:
            async with open_session(
                url=f"wss://localhost:{port}/v1", api_key=KEY, ssl_context=context if trusted else None
            ):
                raise AssertionError("let in")
        nursery.cancel_scope.cancel()

    assert [KEY.encode() in head for head in heads] == ([True] if trusted else [])
    if not trusted:
        assert "certificate" in str(caught.value)
    assert pieces(with_locals(caught.value)) == []

"""The one place that puts connection, session, device and tools together: `open_session`."""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import trio

from . import events
from .config import Headers
from .connection import open_connection
from .device import AudioDevice
from .errors import ConfigurationError
from .events import UNSET, UnsetType
from .session import (
    Modality,
    Session,
    ToolErrors,
    TranscriptionSetting,
    TurnDetection,
    check_device_formats,
    session_settings,
)
from .session.engine import Engine
from .tools import Toolbox
from .transport import Connect, open_websocket

__all__ = ["open_session"]


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_session(
    *,
    url: str | None = None,
    api_key: str | None = None,
    model: str | None = None,
    instructions: str | None = None,
    voice: str | None = None,
    modality: Modality | None = None,
    turn_detection: TurnDetection | UnsetType = UNSET,
    transcription: TranscriptionSetting | UnsetType = UNSET,
    tools: Iterable[Callable[..., Any]] = (),
    audio: AudioDevice | None = None,
    config: events.RealtimeSession | Mapping[str, Any] | None = None,
    ack_timeout: float = 10.0,
    drain: bool = True,
    tool_errors: ToolErrors = "report",
    audio_limit: float = 600.0,
    organization: str | None = None,
    project: str | None = None,
    headers: Headers = (),
    ssl_context: SSLContext | None = None,
    allow_insecure: bool = False,
    connect: Connect = open_websocket,
) -> AsyncGenerator[Session]:
    """Open a session and have it until the block is left.

    The block is entered when the server has created the session and acknowledged its configuration. With a device,
    capture starts then. What is not given is left to the server's defaults; connection settings come from the
    arguments, else the environment, else a `.env` file in the working directory.

    Args:
        url: Where the server is; else `OPENAI_BASE_URL`; else OpenAI's.
        api_key: Else `OPENAI_API_KEY`. A server on this machine needs none.
        model: Else `OPENAI_REALTIME_MODEL`, else the library's default.
        instructions: What the model is told to be.
        voice: The name of the voice.
        modality: `"audio"` or `"text"`; by default audio with a device, else text.
        turn_detection: `ServerVad(...)`, `SemanticVad(...)`, the name of one, or None for manual turns. When the user
            speaks the session interrupts; with `interrupt_response=False` it does so itself, instead of the server.
        transcription: How the user's speech is transcribed: a model's name, `AudioTranscription(...)`, or None.
        tools: Functions that the model may call; see `realtime_trio.tool`.
        audio: A microphone and speaker; without, the program appends and receives PCM itself.
        config: Everything else of the wire's session, as a struct or a mapping; the arguments above are put over it.
        ack_timeout: How long each call waits for the server's answer, in seconds.
        drain: Whether a normal end of the block waits until what was generated was heard.
        tool_errors: `"report"` tells the model and `session.events()`; `"raise"` ends the session with the tool's
            exception, for tests.
        audio_limit: How much audio one response may have, in seconds; beyond that it is interrupted.
        organization: Else `OPENAI_ORG_ID`.
        project: Else `OPENAI_PROJECT_ID`.
        headers: More headers for the handshake, as a mapping or as pairs.
        ssl_context: For a certificate authority of your own.
        allow_insecure: Whether a key may go over plain `ws://` to another machine.
        connect: What opens the message stream, for tests and for other transports.

    Yields:
        The session.

    Raises:
        ConfigurationError: A setting is missing or does not fit; nothing was opened.
        ConnectError: No connection came about; `Refused` when the server said no.
        ServerError: The server refused the configuration.
        ConnectionClosed: The link was lost or the server closed it; raised once, plain, where the block ends.
        DeviceUnavailable: The device is missing, busy or gone.

    Cancellation:
        The block is cancelled first; then sound fades out and the connection is closed, within about a second.

    Tasks:
        Reader, writer, capture, playout, a timer, and one task a tool call, all gone when the block has ended. A crash
        in one of them cancels the block and is raised as `InternalError`.
    """
    _check(audio, ack_timeout, tool_errors, audio_limit)
    toolbox = Toolbox(tools)
    base = session_settings(config=config)
    if modality is None and not base.output_modalities:
        modality = "text" if audio is None else "audio"
    settings = session_settings(
        config=base,
        instructions=UNSET if instructions is None else instructions,
        voice=UNSET if voice is None else voice,
        modality=UNSET if modality is None else modality,
        turn_detection=turn_detection,
        transcription=transcription,
        tools=toolbox.definitions() if toolbox else UNSET,
    )
    if audio is not None:
        check_device_formats(settings)
    async with open_connection(
        url=url,
        api_key=api_key,
        model=model,
        organization=organization,
        project=project,
        headers=headers,
        ssl_context=ssl_context,
        allow_insecure=allow_insecure,
        connect=connect,
    ) as connection:
        engine = Engine(
            connection,
            tools=toolbox,
            device=audio,
            ack_timeout=ack_timeout,
            tool_errors=tool_errors,
            audio_limit=audio_limit,
        )
        async with engine.running(settings, drain=drain):
            yield Session(engine, Toolbox)


def _check(audio: object, ack_timeout: object, tool_errors: object, audio_limit: object) -> None:
    """Refuse at the border what would be a riddle inside."""
    if audio is not None and not isinstance(audio, AudioDevice):
        raise ConfigurationError(f"audio is a device (it has open()), not {type(audio).__name__}")
    for name, value in (("ack_timeout", ack_timeout), ("audio_limit", audio_limit)):
        if not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(f"{name} is a number of seconds above 0, not {value!r}")
    if tool_errors not in ("report", "raise"):
        raise ConfigurationError(f"tool_errors is 'report' or 'raise', not {tool_errors!r}")

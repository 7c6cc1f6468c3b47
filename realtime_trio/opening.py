"""The one place that puts connection, session, device and tools together: `open_session`."""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
import trio

from . import events
from .config import Headers, HiddenHeaders, Secret, hide
from .connection import open_connection
from .core.border import as_tuple, check_text
from .device import AudioDevice, EchoControl
from .errors import ConfigurationError
from .events import UNSET, UnsetType
from .session import (
    Agent,
    ApprovalHook,
    Budget,
    Fittings,
    Guard,
    InterruptionPolicy,
    Modality,
    Prices,
    ReconnectPolicy,
    Session,
    Snapshot,
    ToolChoiceSetting,
    ToolErrors,
    ToolRunner,
    ToolSet,
    TranscriptionSetting,
    TurnDetection,
    check_device_formats,
    check_policy,
    session_settings,
    under_policy,
)
from .session.accounts import check_accounts
from .session.approvals import check_hook
from .session.engine import Engine
from .session.fittings import WireCodec
from .session.guarding import GuardSettings, check_guard
from .tools import DEFAULT_THREADS, Toolbox
from .transport import Connect, open_websocket

if TYPE_CHECKING:
    from .recording import Recorder, Recording
    from .telemetry import Telemetry
    from .telemetry.observer import Observer

__all__ = ["EchoSetting", "open_session"]

EchoSetting: TypeAlias = Literal["auto", "half_duplex", "off"]

_RECONNECT = ReconnectPolicy()


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def open_session(
    *,
    url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    model: str | None = None,
    instructions: str | None = None,
    voice: str | None = None,
    modality: Modality | None = None,
    turn_detection: TurnDetection | UnsetType = UNSET,
    transcription: TranscriptionSetting | UnsetType = UNSET,
    tools: Iterable[Callable[..., Any] | events.McpTool] | ToolRunner = (),
    tool_choice: ToolChoiceSetting | UnsetType = UNSET,
    dependencies: Iterable[object] = (),
    greeting: str | None = None,
    agent: Agent | None = None,
    history: Snapshot | Mapping[str, Any] | None = None,
    audio: AudioDevice | None = None,
    echo: EchoSetting | EchoControl = "auto",
    interruption: InterruptionPolicy = "immediate",
    config: events.RealtimeSession | Mapping[str, Any] | None = None,
    ack_timeout: float = 10.0,
    drain: bool = True,
    tool_errors: ToolErrors = "report",
    audio_limit: float = 600.0,
    approve: ApprovalHook | None = None,
    guard: Guard | None = None,
    guard_lead_ms: float = 200,
    guard_timeout: float = 5.0,
    prices: Prices | None = None,
    budget: Budget | None = None,
    organization: str | None = None,
    project: str | None = None,
    headers: Headers = (),
    ssl_context: SSLContext | None = None,
    allow_insecure: bool = False,
    connect: Connect = open_websocket,
    record: "str | os.PathLike[str] | Recording | None" = None,
    telemetry: "Telemetry | None" = None,
    reconnect: ReconnectPolicy | None = _RECONNECT,
) -> AsyncGenerator[Session]:
    """Open a session and have it until the block is left.

    The block is entered when the server has created the session and acknowledged its configuration and `history`. With
    a device, capture starts then. What is not given is left to the server's defaults; connection settings come from the
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
            See `interruption` for other ways.
        transcription: How the user's speech is transcribed: a model's name, `AudioTranscription(...)`, or None.
        tools: What the model may call: functions (see `realtime_trio.tool`), MCP servers that OpenAI's server calls
            (`events.McpTool`), or a `Toolbox`, for its limit of threads, or another runner.
        tool_choice: `"auto"`, `"none"`, `"required"`, or the name of the tool that the model has to call, or the tool
            itself. The reply to its output is free again.
        dependencies: What the tools are given where a parameter is annotated `Injected[...]`: the object whose class is
            nearest.
        greeting: What the model is told so that it speaks first, for example `"Say hello."`; None to let the user
            begin. For one that must be heard to its end, `say` it with `interruption="never"`.
        agent: Instructions, tools, a voice and a greeting as one value, for `Session.become` to change. What is given
            beside it wins.
        history: What the conversation begins with: `session.conversation.snapshot()` of an earlier session, or the data
            of one. Its items are created and acknowledged before the block is entered; what of it cannot come along,
            `Snapshot.left_out` tells.
        audio: A microphone and speaker; without, the program appends and receives PCM itself. With
            `turn_detection=None` the microphone is sent only between `Session.press` and `Session.release`.
        echo: What keeps the assistant from hearing itself, for a device whose microphone can hear its speaker (a sound
            card; what it plays is then part of its blocks). `"auto"`: an echo canceller and a gate for what it leaves;
            without a canceller `"half_duplex"`, and `EchoNotCancelled` says so. `"half_duplex"`: the microphone is
            closed while something is played, so nobody can interrupt by speaking. `"off"`: for a headset, or where the
            system cancels. Or a control of your own.
        interruption: What the user's speech does while something is being said. `"immediate"`: it interrupts.
            `"confirm"`: the sound pauses; it interrupts if the speech lasts over 400 ms or is more than a backchannel
            ("uh-huh"), which only `transcription` can tell; else the noise is deleted and the sound goes on from the
            same sample. `"never"`: it is answered afterwards. The last two leave interrupting and answering to the
            session instead of the server, whatever `turn_detection` says about them.
        config: Everything else of the wire's session, as a struct or a mapping; the arguments above are put over it.
        ack_timeout: How long each call waits for the server's answer, in seconds.
        drain: Whether a normal end of the block waits until what was generated was heard.
        tool_errors: `"report"` tells the model and `session.events()`; `"raise"` ends the session with the tool's
            exception (or `ToolTimeout`, or what an approval hook raised), for tests.
        audio_limit: How much audio one response may have, in seconds; beyond that it is interrupted.
        approve: Decides on each call that needs approval (a tool with `approve=True`, a hosted MCP server that asks):
            an async function of the `ApprovalRequest` that returns True, False, or a text: no, for this reason, which
            the model is told. Without one `session.events()` tells of it (`ApprovalNeeded`), and `Session.approve` or
            `Session.refuse` decides.
        guard: An async function that judges words before they are heard, `async def guard(text: GuardedText)`: None
            lets pass what it was given, a reason or `Stop(reason, instead=...)` ends the response. Sound, transcript
            and written text are held until they pass. A guard that raises stops the response too. See docs/guard.md.
        guard_lead_ms: How many milliseconds before the estimated end of the words that passed the sound is held: when
            a word is spoken is not told by the server.
        guard_timeout: How long the guard may take for an answer, in seconds; then the response is stopped.
        prices: What usage costs by your contract, for `Session.cost`, `Response.cost` and `Reply.cost`.
        budget: What the session may use; then it ends with `BudgetExceeded`, or only says so.
        organization: Else `OPENAI_ORG_ID`.
        project: Else `OPENAI_PROJECT_ID`.
        headers: More headers for the handshake, as a mapping or as pairs.
        ssl_context: For a certificate authority of your own.
        allow_insecure: Whether a key may go over plain `ws://` to another machine.
        connect: What opens the message stream, for tests and for other transports.
        record: A folder to record the session into: both directions of the wire, what was heard, and with a device the
            sound of both sides. It is made, and must not hold anything. Credentials are left out, what people said is
            not; see docs/recording.md.
        telemetry: Makes OpenTelemetry's spans and metrics of the session: `Telemetry()`. Names,
            counts and times only; see docs/observing.md.
        reconnect: What is done when the connection is lost, or becomes too old: another one is opened, told the
            configuration and the conversation, and carries the session on; `session.events()` tells of it
            (`LinkLost`, `Reconnected`). `ReconnectPolicy(...)` to say how hard it is tried; None: a connection that is
            lost ends the session. See docs/reconnecting.md.

    Yields:
        The session.

    Raises:
        ConfigurationError: A setting is missing or does not fit; nothing was opened.
        ConnectError: No connection came about; `Refused` when the server said no.
        ServerError: The server refused the configuration, or an item of the history.
        ConnectionClosed: The link was lost and no other came about, or the server closed it for good; raised once,
            plain, where the block ends.
        BudgetExceeded: A limit of `budget` was reached.
        QuotaExceeded: The account gives no answers any more, and no call waited for the one that showed it; likewise
            `AccountRefused`.
        DeviceUnavailable: The device is missing, busy or gone.

    Cancellation:
        The block is cancelled first; then sound fades out and the connection is closed, within six tenths of a second.

    Tasks:
        Reader, writer, capture, playout, a timer, and one task a tool call, all gone when the block has ended. A crash
        in one of them cancels the block and is raised as `InternalError`.
    """
    # whoever shows a traceback with its locals, as crash reports do, is not to show these
    url, api_key, headers = hide(url), hide(api_key), HiddenHeaders(headers)
    _check(audio, ack_timeout, tool_errors, audio_limit)
    _check_reconnect(reconnect)
    check_hook(approve)
    check_guard(guard, guard_lead_ms, guard_timeout)
    check_accounts(prices, budget)
    fittings = _fittings(echo)
    begins_with = _history(history)
    dependencies = as_tuple("dependencies is a list", dependencies, cure="dependencies=[...]")
    if agent is not None:
        if not isinstance(agent, Agent):
            raise ConfigurationError(f"agent is an Agent(...), not {type(agent).__name__}")
        tools = tools if tools != () else agent.tools
        instructions = agent.instructions if instructions is None else instructions
        voice = agent.voice if voice is None else voice
        greeting = agent.greeting if greeting is None else greeting
    if greeting is not None:
        check_text("greeting", greeting)
    make_tools = _tool_maker(tools, dependencies)
    base = session_settings(config=config)
    toolbox = ToolSet.of(tools, make_tools, declared=base.tools or ())
    if modality is None and not base.output_modalities:
        modality = "text" if audio is None else "audio"
    settings = session_settings(
        config=base,
        instructions=UNSET if instructions is None else instructions,
        voice=UNSET if voice is None else voice,
        modality=UNSET if modality is None else modality,
        turn_detection=turn_detection,
        transcription=transcription,
        tools=toolbox.runner.definitions() or UNSET,
        tool_choice=tool_choice,
    )
    check_policy(interruption)
    settings = under_policy(settings, interruption, default="server_vad")
    if audio is not None:
        check_device_formats(settings)
    unseen = {
        "interruption": interruption,
        "echo": echo if isinstance(echo, str) else type(echo).__name__,
        "guard": guard is not None,
        "reconnect": None if reconnect is None else attrs.asdict(reconnect),
    }
    async with _tapped(record, telemetry, connect, audio, unseen) as tap:
        open_link = partial(
            open_connection,
            url=url,
            api_key=api_key,
            model=model,
            organization=organization,
            project=project,
            headers=headers,
            ssl_context=ssl_context,
            allow_insecure=allow_insecure,
            connect=tap.connect,
        )
        async with open_link() as connection:
            engine = Engine(
                connection,
                open_link=open_link,
                reconnect=reconnect,
                tools=toolbox,
                device=tap.audio,
                fittings=fittings,
                interruption=interruption,
                ack_timeout=ack_timeout,
                tool_errors=tool_errors,
                audio_limit=audio_limit,
                approve=approve,
                guard=GuardSettings(guard, guard_lead_ms, guard_timeout),
                prices=prices,
                budget=budget,
            )
            engine.tool_calls.dependencies = dependencies
            engine.handovers.agent = agent
            session = engine.tool_calls.session = Session(engine, make_tools)
            tap.watch(engine)
            async with engine.running(settings, drain=drain, history=begins_with):
                tap.begin()
                if greeting:
                    engine.handovers.begin(greeting)
                yield session


@attrs.frozen
class _Tap:
    """What the session is given in place of its link and its device, so that both can be recorded."""

    connect: Connect
    audio: AudioDevice | None
    recorder: "Recorder | None" = None
    observer: "Observer | None" = None

    def begin(self) -> None:
        """The block is about to be entered."""
        if self.observer is not None:
            self.observer.begin()

    def watch(self, engine: Engine) -> None:
        """Have what happens in a session recorded and observed as well."""
        if self.observer is not None:
            self.observer.watch(engine)
        if self.recorder is None:
            return
        uplink = engine.sound.capture.uplink
        self.recorder.watch(
            engine.sound.ledger,
            listens=lambda: not uplink.muted and (uplink.continuous or uplink.pressed),
            publish=engine.subscribers.publish,
        )
        engine.subscribers.witness(self.recorder.witness)
        engine.push_to_talk.on_key = self.recorder.key


@asynccontextmanager
@trio.lowlevel.enable_ki_protection
async def _tapped(
    record: "str | os.PathLike[str] | Recording | None",
    telemetry: "Telemetry | None",
    connect: Connect,
    audio: AudioDevice | None,
    unseen: Mapping[str, object],
) -> AsyncGenerator[_Tap]:
    """Open the recording, with the options that the wire does not show, and the telemetry, if there are to be any."""
    async with AsyncExitStack() as stack:
        observer, recorder = None, None
        if telemetry is not None:
            from .telemetry import observed

            observer = await stack.enter_async_context(observed(telemetry))
            connect = observer.connect(connect)
        if record is not None:
            from .recording import open_recording

            recorder = await stack.enter_async_context(open_recording(record, unseen))
            connect, audio = recorder.connect(connect), None if audio is None else recorder.device(audio)
        yield _Tap(connect, audio, recorder, observer)


def _tool_maker(tools: object, dependencies: tuple[object, ...]) -> Callable[[Any], ToolRunner]:
    """Give what makes a runner of tools, now and whenever they change: with one limit of threads for the session."""
    threads = tools.threads if isinstance(tools, Toolbox) else trio.CapacityLimiter(DEFAULT_THREADS)

    def make(tools: Any) -> ToolRunner:
        runner = tools if isinstance(tools, ToolRunner) else Toolbox(tools, threads=threads)
        if isinstance(runner, Toolbox):
            runner.check(dependencies)
        return runner

    return make


def _fittings(echo: object) -> Fittings:
    """Tell the session how to make what its device needs. Nothing is loaded before it is needed."""
    if echo not in ("auto", "half_duplex", "off") and not isinstance(echo, EchoControl):
        raise ConfigurationError(f"echo is 'auto', 'half_duplex', 'off' or an EchoControl, not {echo!r}")

    def make_echo() -> EchoControl:
        from .audio.echo import make_echo

        return echo if isinstance(echo, EchoControl) else make_echo("auto" if echo == "auto" else "half_duplex")

    def make_codec(name: str) -> WireCodec:
        from .audio.g711 import WireCodec

        return WireCodec(name)

    return Fittings(
        make_echo=None if echo == "off" else make_echo,
        echo_is_chosen=echo not in ("auto", "off"),
        make_codec=make_codec,
    )


def _history(given: object) -> list[events.Item]:
    """Give the items that the conversation begins with."""
    if given is None:
        return []
    if isinstance(given, Snapshot):
        return given.items_to_create()
    if isinstance(given, Mapping):
        return Snapshot.from_data(given).items_to_create()
    raise ConfigurationError(
        f"history is a Snapshot (session.conversation.snapshot()) or the data of one, not {type(given).__name__}"
    )


def _check_reconnect(reconnect: object) -> None:
    if reconnect is not None and not isinstance(reconnect, ReconnectPolicy):
        raise ConfigurationError(f"reconnect is a ReconnectPolicy(...) or None, not {reconnect!r}")


def _check(audio: object, ack_timeout: object, tool_errors: object, audio_limit: object) -> None:
    """Refuse at the border what would be a riddle inside."""
    if isinstance(audio, type):
        raise ConfigurationError(f"audio is a device, not a class: {audio.__name__}()")
    if audio is not None and not isinstance(audio, AudioDevice):
        raise ConfigurationError(f"audio is a device (it has open()), not {type(audio).__name__}")
    for name, value in (("ack_timeout", ack_timeout), ("audio_limit", audio_limit)):
        if not isinstance(value, int | float) or not value > 0:
            raise ConfigurationError(f"{name} is a number of seconds above 0, not {value!r}")
    if tool_errors not in ("report", "raise"):
        raise ConfigurationError(f"tool_errors is 'report' or 'raise', not {tool_errors!r}")

"""The configuration of a session, from the arguments of `open_session` and `Session.update` to one wire value.

Pure: what is not given stays absent, because a `session.update` merges.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from realtime_trio import events
from realtime_trio.core.barge_in import InterruptionPolicy
from realtime_trio.errors import ConfigurationError

from .tool_choice import ToolChoiceSetting, choose_tool

__all__ = [
    "Modality",
    "TranscriptionSetting",
    "TurnDetection",
    "check_device_formats",
    "check_policy",
    "response_overrides",
    "session_settings",
    "under_policy",
]

Modality: TypeAlias = Literal["audio", "text"]
TurnDetection: TypeAlias = events.ServerVad | events.SemanticVad | Literal["server_vad", "semantic_vad"] | None
TranscriptionSetting: TypeAlias = events.AudioTranscription | str | None

_MOST_METADATA = 15
_DEVICE_FORMATS = ("audio/pcm", "audio/pcmu", "audio/pcma")


def session_settings(
    *,
    config: events.RealtimeSession | Mapping[str, Any] | None = None,
    instructions: str | events.UnsetType = events.UNSET,
    voice: str | events.UnsetType = events.UNSET,
    modality: Modality | events.UnsetType = events.UNSET,
    turn_detection: TurnDetection | events.UnsetType = events.UNSET,
    transcription: TranscriptionSetting | events.UnsetType = events.UNSET,
    tools: Iterable[Any] | events.UnsetType = events.UNSET,
    tool_choice: ToolChoiceSetting | events.UnsetType = events.UNSET,
    known_tools: Iterable[Any] | events.UnsetType | None = None,
    **fields: Any,
) -> events.RealtimeSession:
    """Put the named settings over `config` and return the value for one `session.update`.

    Args:
        config: The wire's own shape, as a struct or a mapping, for everything that has no name of its own here.
        instructions: What the model is told to be; `""` clears.
        voice: The name of the voice.
        modality: `"audio"` or `"text"`.
        turn_detection: A struct, its type's name for the defaults, or None for manual turns.
        transcription: A struct, a model's name, or None for no transcripts of the user's speech.
        tools: Definitions of tools, in the wire's shape.
        tool_choice: As the wire has it, or the name of a tool, or the tool itself.
        known_tools: Those that are in effect where `tools` and `config` have none.
        fields: Other fields of the wire's `RealtimeSession`, by name.

    Raises:
        ConfigurationError: A value is not of the wire's shape, or there is no such field.
    """
    base = _as_session(config)
    known_tools = known_tools if base.tools is events.UNSET else base.tools
    changes: dict[str, Any] = {**_known_fields(fields), **_tool_fields(tools, tool_choice, known_tools)}
    audio_in: dict[str, Any] = {}
    if turn_detection is not events.UNSET:
        audio_in["turn_detection"] = _turn_detection(turn_detection)
    if transcription is not events.UNSET:
        audio_in["transcription"] = (
            events.AudioTranscription(model=transcription) if isinstance(transcription, str) else transcription
        )
    audio = changes.get("audio", base.audio) or events.SessionAudio()
    if audio_in:
        audio = msgspec.structs.replace(
            audio, input=msgspec.structs.replace(audio.input or events.AudioInput(), **audio_in)
        )
    if voice is not events.UNSET:
        audio = msgspec.structs.replace(
            audio, output=msgspec.structs.replace(audio.output or events.AudioOutput(), voice=voice)
        )
    if audio_in or voice is not events.UNSET:
        changes["audio"] = audio
    if instructions is not events.UNSET:
        changes["instructions"] = instructions
    if modality is not events.UNSET:
        changes["output_modalities"] = [_modality(modality)]
    settings = msgspec.structs.replace(base, **changes)
    misfit = events.decode_client(events.encode(events.SessionUpdate(session=settings)))
    if isinstance(misfit, events.MalformedEvent):
        raise ConfigurationError(f"the session's configuration does not fit: {misfit.problem}")
    return settings


def response_overrides(
    fields: Mapping[str, Any], *, known_tools: Iterable[Any] | events.UnsetType | None = None
) -> events.ResponseCreateParams | events.UnsetType:
    """Turn the overrides of `ask` and `respond` into the wire's shape; UNSET when there are none.

    Args:
        fields: `modality` and `voice`, `tool_choice` as the name of a tool or the tool itself, and the wire's own.
        known_tools: Those that are in effect where the fields have none.

    Returns:
        The wire's shape.

    Raises:
        ConfigurationError: There is no such field, or the value does not fit.
    """
    if not fields:
        return events.UNSET
    given = dict(fields)
    if "tool_choice" in given:
        given["tool_choice"] = choose_tool(given["tool_choice"], given.get("tools", known_tools))
    if "modality" in given:
        given["output_modalities"] = [_modality(given.pop("modality"))]
    if "voice" in given:
        audio = msgspec.to_builtins(given.get("audio") or {})
        given["audio"] = {**audio, "output": {**(audio.get("output") or {}), "voice": given.pop("voice")}}
    params: events.ResponseCreateParams = _convert(given, events.ResponseCreateParams, "an override of a response")
    if len(params.metadata or ()) > _MOST_METADATA:
        raise ConfigurationError(
            f"metadata has {len(params.metadata or ())} pairs: {_MOST_METADATA} are possible, because of the server's "
            "16 the session needs one to know its response by"
        )
    return params


def check_policy(policy: object) -> None:
    """Refuse what is no policy for interruptions; None stands for the session's.

    Raises:
        ConfigurationError: It is none.
    """
    if policy not in (None, "immediate", "confirm", "never"):
        raise ConfigurationError(f"interruption is 'immediate', 'confirm' or 'never', not {policy!r}")


def check_device_formats(settings: events.RealtimeSession) -> None:
    """Refuse formats that cannot be converted to and from a device's PCM16.

    Raises:
        ConfigurationError: A direction is set to something else than `audio/pcm`, `audio/pcmu` or `audio/pcma`.
    """
    if not settings.audio:
        return
    for direction in (settings.audio.input, settings.audio.output):
        kind = direction.format.type if direction and direction.format else None
        if kind and kind not in _DEVICE_FORMATS:
            raise ConfigurationError(
                f"a device's sound can be sent and received as {', '.join(_DEVICE_FORMATS)}, not as {kind}: leave the "
                "format out, or append and receive the audio yourself (without audio=...)"
            )


def under_policy(
    settings: events.RealtimeSession, policy: InterruptionPolicy, *, default: TurnDetection | events.UnsetType
) -> events.RealtimeSession:
    """Take from the server what the session does itself under a policy: to interrupt, and to answer.

    Args:
        settings: What is to be configured.
        policy: What speech does that begins while something is being said.
        default: The turn detection that counts where the settings name none; UNSET to leave it out then.

    Returns:
        The settings; with `"immediate"` as they are.
    """
    audio = settings.audio or events.SessionAudio()
    audio_input = audio.input or events.AudioInput()
    detection = audio_input.turn_detection
    if detection is events.UNSET and default is not events.UNSET:
        detection = _turn_detection(default)
    if policy == "immediate" or not isinstance(detection, events.ServerVad | events.SemanticVad):
        return settings
    detection = msgspec.structs.replace(detection, create_response=False, interrupt_response=False)
    audio_input = msgspec.structs.replace(audio_input, turn_detection=detection)
    return msgspec.structs.replace(settings, audio=msgspec.structs.replace(audio, input=audio_input))


def _as_session(config: events.RealtimeSession | Mapping[str, Any] | None) -> events.RealtimeSession:
    if config is None:
        return events.RealtimeSession()
    if isinstance(config, events.RealtimeSession):
        return config
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"config is a RealtimeSession or a mapping of its fields, not {type(config).__name__}")
    session: events.RealtimeSession = _convert(config, events.RealtimeSession, "config")
    return session


def _known_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    if not fields:
        return {}
    session = _convert(fields, events.RealtimeSession, "a setting of the session")
    return {name: getattr(session, name) for name in fields}


def _convert(value: Mapping[str, Any], kind: type[Any], what: str) -> Any:
    unknown = set(value) - set(kind.__struct_fields__) - ({"type"} if what == "config" else set())
    if unknown:
        names = ", ".join(sorted(name for name in kind.__struct_fields__ if name not in ("extra", "notes")))
        raise ConfigurationError(
            f"{what} is called {', '.join(sorted(unknown))}, which there is not. There are: {names}"
        )
    try:
        return msgspec.convert(msgspec.to_builtins(value), kind)
    except (msgspec.MsgspecError, TypeError) as error:
        raise ConfigurationError(f"{what} does not fit: {error}") from None


def _tool_fields(
    tools: Iterable[Any] | events.UnsetType,
    choice: ToolChoiceSetting | events.UnsetType,
    known: Iterable[Any] | events.UnsetType | None,
) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if tools is not events.UNSET:
        known = fields["tools"] = list(tools)
    if choice is not events.UNSET:
        fields |= _known_fields({"tool_choice": choose_tool(choice, known)})
    return fields


def _turn_detection(value: Any) -> events.ServerVad | events.SemanticVad | None:
    match value:
        case None | events.ServerVad() | events.SemanticVad():
            return value
        case "server_vad":
            return events.ServerVad()
        case "semantic_vad":
            return events.SemanticVad()
        case _:
            raise ConfigurationError(
                "turn_detection is ServerVad(...), SemanticVad(...), 'server_vad', 'semantic_vad' or None, "
                f"not {value!r}"
            )


def _modality(value: object) -> str:
    if value not in ("audio", "text"):
        raise ConfigurationError(f"modality is 'audio' or 'text', not {value!r}")
    return str(value)

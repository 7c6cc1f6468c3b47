"""The effective configuration of a session: its defaults, and what an update does to it.

Updates are merged by presence: what is absent stays, null and empty values clear. The shape of an update was checked
before (`shapes`); whether the protocol is in a state that allows it is checked here, from facts that are passed in.
"""

from typing import Any, Literal

import attrs

from realtime_trio.server import guesses, problems
from realtime_trio.server.noise_reduction import NoiseSettings

__all__ = ["KINDS", "Kind", "SessionConfig", "VadSettings"]

Kind = Literal["realtime", "transcription"]
KINDS: tuple[Kind, ...] = ("realtime", "transcription")

_PCM = {"type": "audio/pcm", "rate": 24_000}
_VAD: dict[str, dict[str, Any]] = {
    "server_vad": {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": guesses.DEFAULT_SILENCE_MS,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    },
    "semantic_vad": {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    },
}


@attrs.frozen
class VadSettings:
    """Turn detection as the detector and the protocol need it, whichever type the client named.

    Attributes:
        threshold: How loud speech has to be.
        prefix_padding_ms: Sound from before the noticed start.
        silence_duration_ms: Silence that ends a turn, or under semantic VAD is a pause in it.
        create_response: Whether a turn is answered unasked.
        interrupt_response: Whether speech cancels a response.
        idle_timeout_ms: How long the user may be silent; None for ever.
        eagerness: How soon semantic VAD takes a pause for the end; None under server VAD.
    """

    threshold: float
    prefix_padding_ms: int
    silence_duration_ms: int
    create_response: bool
    interrupt_response: bool
    idle_timeout_ms: int | None
    eagerness: str | None = None


def _defaults(kind: Kind, model: str) -> dict[str, Any]:
    audio_input = {
        "format": dict(_PCM),
        "transcription": None,
        "noise_reduction": None,
        "turn_detection": dict(_VAD["server_vad"]),
    }
    if kind == "transcription":
        # A transcription session answers nobody, so these two do not exist there.
        for name in ("create_response", "interrupt_response", "idle_timeout_ms"):
            del audio_input["turn_detection"][name]  # type: ignore[union-attr]
        return {"type": kind, "audio": {"input": audio_input}, "include": None}
    return {
        "type": kind,
        "model": model,
        "output_modalities": ["audio"],
        "instructions": guesses.DEFAULT_INSTRUCTIONS,
        "audio": {
            "input": audio_input,
            "output": {"format": dict(_PCM), "voice": guesses.DEFAULT_VOICE, "speed": 1.0},
        },
        "include": None,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "truncation": "auto",
        "tracing": None,
        "prompt": None,
    }


def _with_type(audio_format: dict[str, Any]) -> dict[str, Any]:
    kind = audio_format.get("type", "audio/pcm")
    return dict(_PCM) if kind == "audio/pcm" else {"type": kind}


def _merge_turn_detection(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any] | None:
    if new is None:
        return None
    same = old is not None and old["type"] == new["type"] and guesses.MERGE_TURN_DETECTION
    return {**(old if same and old is not None else _VAD[new["type"]]), **new}


def _merge_audio_input(old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if name == "format":
            old[name] = _with_type(value)
        elif name == "turn_detection":
            old[name] = _merge_turn_detection(old[name], value)
        elif name == "noise_reduction" and value is not None:
            old[name] = {**(old[name] or {}), **value}  # an omitted strength stays
        else:
            old[name] = value


def _merge_audio_output(old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        old[name] = _with_type(value) if name == "format" else value


class SessionConfig:
    """The whole effective configuration, as it stands in `session.created` and `session.updated`.

    Attributes:
        kind: What kind of session it is; fixed when the connection opens.
        session_id: The session's id.
        expires_at: When it ends, in Unix seconds.
        values: The configuration as JSON values. Replaced, never changed, by `update`.
    """

    def __init__(self, *, kind: Kind, model: str, session_id: str, expires_at: int) -> None:
        self.kind = kind
        self.session_id = session_id
        self.expires_at = expires_at
        self.values = _defaults(kind, model)

    def update(self, changes: dict[str, Any], *, voice_locked: bool, responding: bool) -> None:
        """Merge an update, or change nothing at all.

        Args:
            changes: The update's `session`, of the right shape.
            voice_locked: Whether the assistant has been heard.
            responding: Whether a response is in progress.

        Raises:
            Problem: The update is not allowed (now).
        """
        if changes["type"] != self.kind:
            raise problems.wrong_kind(
                "session.type", f"This is a {self.kind} session; its type cannot be changed to '{changes['type']}'."
            )
        self._check_locks(changes, voice_locked=voice_locked, responding=responding)
        audio = {side: dict(settings) for side, settings in self.values["audio"].items()}
        merged = {**self.values, "audio": audio}
        for name, value in changes.items():
            if name == "audio":
                _merge_audio_input(merged["audio"]["input"], value.get("input", {}))
                if "output" in value:
                    _merge_audio_output(merged["audio"]["output"], value["output"])
            elif name == "tools":
                merged[name] = [{"type": "function", **tool} for tool in value]
            else:
                merged[name] = value
        _check_tool_choice(merged.get("tool_choice"), merged.get("tools", []), "session.tool_choice")
        self.values = merged

    def _check_locks(self, changes: dict[str, Any], *, voice_locked: bool, responding: bool) -> None:
        if changes.get("model", self.values.get("model")) != self.values.get("model"):
            raise problems.locked("session.model", "after the session was created")
        tracing = self.values.get("tracing")
        if tracing is not None and changes.get("tracing", tracing) != tracing:
            raise problems.locked("session.tracing", "once tracing is enabled")
        if "output" not in changes.get("audio", {}):
            return
        old, new = self.values["audio"]["output"], changes["audio"]["output"]
        if voice_locked and new.get("voice", old["voice"]) != old["voice"]:
            raise problems.cannot_update_voice("session.audio.output.voice")
        if responding and new.get("speed", old["speed"]) != old["speed"]:
            raise problems.locked("session.audio.output.speed", "while a response is in progress")

    # ---- what the protocol asks ----

    def json(self) -> dict[str, Any]:
        """Tell the whole configuration with the session's identity."""
        kind = "realtime.session" if self.kind == "realtime" else "realtime.transcription_session"
        told = {**self.values}
        if "tools" in told:
            told["tools"] = [_without_secrets(tool) for tool in told["tools"]]
        return {**told, "object": kind, "id": self.session_id, "expires_at": self.expires_at}

    @property
    def input_format(self) -> str:
        """The format of the input audio, for example `"audio/pcm"`."""
        return str(self.values["audio"]["input"]["format"]["type"])

    @property
    def transcription(self) -> dict[str, Any] | None:
        """How the user's speech is transcribed; None when it is not."""
        transcription: dict[str, Any] | None = self.values["audio"]["input"]["transcription"]
        return transcription

    @property
    def vad(self) -> VadSettings | None:
        """Turn detection; None when turns are ended by hand."""
        found: dict[str, Any] | None = self.values["audio"]["input"]["turn_detection"]
        if found is None:
            return None
        server_vad = _VAD["server_vad"]
        return VadSettings(
            threshold=found.get("threshold", server_vad["threshold"]),
            prefix_padding_ms=found.get("prefix_padding_ms", server_vad["prefix_padding_ms"]),
            silence_duration_ms=found.get("silence_duration_ms", guesses.SEMANTIC_PAUSE_MS),
            create_response=found.get("create_response", True) and self.kind == "realtime",
            interrupt_response=found.get("interrupt_response", True) and self.kind == "realtime",
            idle_timeout_ms=found.get("idle_timeout_ms"),
            eagerness=found.get("eagerness", "auto") if found["type"] == "semantic_vad" else None,
        )

    @property
    def noise_reduction(self) -> NoiseSettings | None:
        """How noise is taken out of what turn detection hears; None when it is not."""
        found: dict[str, Any] | None = self.values["audio"]["input"]["noise_reduction"]
        if found is None:
            return None
        return NoiseSettings(found.get("type", guesses.DEFAULT_NOISE_REDUCTION), float(found.get("strength", 1.0)))

    def for_response(self, overrides: dict[str, Any], *, voice_locked: bool) -> dict[str, Any]:
        """Put a response's own settings over those of the session.

        Args:
            overrides: The `response` of a `response.create`, of the right shape; empty for an automatic one.
            voice_locked: Whether the assistant has been heard.

        Returns:
            The settings in force for that response; `audio.output` is flat in `output`.

        Raises:
            Problem: They contradict each other or the session's state.
        """
        names = ("output_modalities", "instructions", "tools", "tool_choice", "max_output_tokens")
        settings = {name: overrides.get(name, self.values[name]) for name in names}
        if settings["instructions"] is None:
            settings["instructions"] = self.values["instructions"]
        settings["tools"] = [{"type": "function", **tool} for tool in settings["tools"]]
        output = dict(self.values["audio"]["output"])
        mine = overrides.get("audio", {}).get("output", {})
        if voice_locked and mine.get("voice", output["voice"]) != output["voice"]:
            raise problems.cannot_update_voice("response.audio.output.voice")
        _merge_audio_output(output, mine)
        _check_tool_choice(settings["tool_choice"], settings["tools"], "response.tool_choice")
        return {**settings, "output": output}


def _check_tool_choice(choice: Any, tools: list[dict[str, Any]], path: str) -> None:
    if not isinstance(choice, dict):
        return
    if choice["type"] == "mcp":
        if choice["server_label"] not in {tool.get("server_label") for tool in tools}:
            raise problems.invalid_value(f"{path}.server_label", choice["server_label"], "There is no such MCP server.")
    elif choice["name"] not in {tool.get("name") for tool in tools}:
        raise problems.invalid_value(f"{path}.name", choice["name"], "There is no such tool.")


def _without_secrets(tool: dict[str, Any]) -> dict[str, Any]:
    hidden = () if guesses.MCP_SECRETS_TOLD else ("authorization", "headers")
    return {name: value for name, value in tool.items() if name not in hidden}

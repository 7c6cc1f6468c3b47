"""How one response is to be: the session's configuration with what the response itself says put over it.

The two are put together in `session_config`.
"""

from typing import Any, Literal

import attrs

from realtime_trio.server.audio_formats import FORMATS, WireFormat

__all__ = ["ResponseSettings"]


@attrs.frozen
class ResponseSettings:
    """The settings in force for one response.

    Attributes:
        values: As `SessionConfig.for_response` gives them.
        overrides: The `response` of the client's `response.create`.
    """

    values: dict[str, Any]
    overrides: dict[str, Any]

    @property
    def instructions(self) -> str:
        """What the model is told."""
        return str(self.values["instructions"])

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools, each with its type."""
        tools: list[dict[str, Any]] = self.values["tools"]
        return tools

    @property
    def tool_choice(self) -> str | dict[str, Any]:
        """Which of them must be called, on the wire's terms."""
        choice: str | dict[str, Any] = self.values["tool_choice"]
        return choice

    @property
    def max_output_tokens(self) -> int | Literal["inf"]:
        """How long it may become."""
        limit: int | Literal["inf"] = self.values["max_output_tokens"]
        return limit

    @property
    def metadata(self) -> dict[str, str] | None:
        """What the client attached."""
        return self.overrides.get("metadata")

    @property
    def modality(self) -> Literal["audio", "text"]:
        """Whether it is spoken."""
        return "audio" if self.values["output_modalities"] == ["audio"] else "text"

    @property
    def format(self) -> WireFormat:
        """The format of its sound."""
        return FORMATS[self.values["output"]["format"]["type"]]

    @property
    def voice(self) -> str:
        """The name of the voice in force."""
        voice = self.values["output"]["voice"]
        return str(voice["id"]) if isinstance(voice, dict) else str(voice)

    @property
    def speed(self) -> float:
        """How fast it speaks."""
        return float(self.values["output"]["speed"])

    def told(self) -> dict[str, Any]:
        """Tell what the client is told of it, as JSON values."""
        output = self.values["output"]
        return {
            "output_modalities": self.values["output_modalities"],
            "max_output_tokens": self.max_output_tokens,
            "audio": {"output": {"format": output["format"], "voice": output["voice"]}},
            "metadata": self.metadata,
        }

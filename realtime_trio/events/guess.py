"""Which class an object is meant to be, when it carries no `type` where the schemas do not demand one.

What happens when nothing can be guessed is decided in `salvage`.
"""

from collections.abc import Mapping

from .config import RealtimeSession, SemanticVad, ServerVad, TranslationSession
from .items import AudioPart, InputAudio, InputImage, InputText, OutputAudio, OutputText, TextPart
from .tools import FunctionTool, McpTool

__all__ = ["guess"]


def guess(
    classes: Mapping[str, type],
    members: Mapping[str, object],
    role: str | None,
    *,
    lenient: bool,
    translation: bool,
) -> type | None:
    """Choose a class for an object without `type`.

    Args:
        classes: What may stand there, by its type.
        members: The object's members.
        role: The role of the message that it is a part of, if it is.
        lenient: It comes from a server.
        translation: It comes from the client of a translation session.

    Returns:
        The class, or None if there is no telling.
    """
    known = classes.values()
    if TextPart in known:
        return _guess_part(members, role)
    if McpTool in known and "server_label" not in members:
        return FunctionTool
    if TranslationSession in known and translation:
        return TranslationSession
    if lenient and RealtimeSession in known:
        return RealtimeSession
    if lenient and ServerVad in known:
        return SemanticVad if "eagerness" in members else ServerVad
    return None


def _guess_part(members: Mapping[str, object], role: str | None) -> type:
    audio = "audio" in members or "transcript" in members
    if role == "assistant":
        return OutputAudio if audio else OutputText
    if role is None:
        return AudioPart if audio else TextPart
    if "image_url" in members:
        return InputImage
    return InputAudio if audio else InputText

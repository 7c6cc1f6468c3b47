"""What an MCP tool's result becomes for the model, which takes text only."""

import json
from typing import TYPE_CHECKING, Any

from realtime_trio.config import shown_url

if TYPE_CHECKING:
    from mcp_types import CallToolResult

__all__ = ["progress_words", "told"]


def told(result: "CallToolResult") -> str:
    """Put a result into words.

    Text stays text. Structured content is told as JSON, once: servers are asked to say it in a text, too. Of anything
    else the model is told what it is, and that it cannot have it.
    """
    words = [_block(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not _says(words, structured):
        words = [word for word in words if _parsed(word) != structured]
        words.append(json.dumps(structured, ensure_ascii=False, separators=(",", ":")))
    return "\n".join(words) or "done"


def progress_words(progress: float, total: float | None, message: str | None) -> str:
    """Say in words how far a call is."""
    if message:
        return message
    return f"{progress:g}" if total is None else f"{progress:g} of {total:g}"


def _says(words: list[str], structured: Any) -> bool:
    """Whether the texts are the one value that stands in an object, as it does where a tool returns no object."""
    if not words or not isinstance(structured, dict) or list(structured) != ["result"]:
        return False
    value = structured["result"]
    values = [_parsed(word) for word in words]
    return value in (words, values) or (len(words) == 1 and value in (words[0], values[0]))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or deeper than Python reads
        return text


def _block(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "image" | "audio":
            article = "an image" if block.type == "image" else "a sound"
            return _unfit(f"{article} ({block.mime_type})", _decoded_size(block.data))
        case "resource":
            resource = block.resource
            if (text := getattr(resource, "text", None)) is not None:
                return str(text)
            what = f"a file ({resource.mime_type or 'of an unknown kind'})"
            return _unfit(f"{what} {shown_url(str(resource.uri))}", _decoded_size(resource.blob))
        case "resource_link":
            about = f": {block.description}" if block.description else ""
            return f"[a link to {block.title or block.name}, {shown_url(str(block.uri))}{about}]"
        case kind:
            return f"[{kind}, which cannot be passed on]"


def _decoded_size(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4


def _unfit(what: str, size: int) -> str:
    shown = f"{size} bytes" if size < 1000 else f"{size / 1000:.0f} kB"  # noqa: PLR2004 a kilobyte
    return f"[{what} of {shown}, which cannot be passed on]"

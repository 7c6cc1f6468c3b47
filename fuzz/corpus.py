"""Write what fuzzing begins with, one file for each: `corpus.py FOLDER`. The samples are lines a server could say."""

import json
import sys
from pathlib import Path
from typing import Any

_PART = {"response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 0}
_CALL = {"type": "function_call", "id": "item_2", "call_id": "call_1", "name": "note", "arguments": '{"text": "x"}'}
_MESSAGE = {"type": "message", "id": "item_1", "role": "assistant", "content": []}
_MCP = {"type": "mcp_call", "id": "item_3", "server_label": "shop", "name": "look", "arguments": "{}"}


def _response(status: str, **fields: Any) -> dict[str, Any]:
    return {"response": {"id": "resp_1", "status": status, "conversation_id": "conv_1", "output": [], **fields}}


LINES: list[dict[str, Any]] = [
    {"type": "response.created", **_response("in_progress")},
    {"type": "response.output_item.added", "response_id": "resp_1", "output_index": 0, "item": _MESSAGE},
    {"type": "conversation.item.added", "item": _MESSAGE, "previous_item_id": None},
    {"type": "response.content_part.added", **_PART, "part": {"type": "audio", "transcript": ""}},
    {"type": "response.output_audio.delta", **_PART, "delta": "AQID" * 240},
    {"type": "response.output_audio_transcript.delta", **_PART, "delta": "word "},
    {"type": "response.output_text.delta", **_PART, "delta": "word "},
    {"type": "input_audio_buffer.speech_started", "item_id": "item_4", "audio_start_ms": 5},
    {"type": "input_audio_buffer.speech_stopped", "item_id": "item_4", "audio_end_ms": 900},
    {"type": "input_audio_buffer.committed", "item_id": "item_4", "previous_item_id": None},
    {"type": "response.output_audio.done", **_PART},
    {"type": "response.done", **_response("completed", output=[{**_CALL, "status": "completed"}])},
    {"type": "response.done", **_response("failed", status_details={"error": {"code": "rate_limit_exceeded"}})},
    {"type": "response.done", **_response("completed", usage={"total_tokens": 3, "input_tokens": 1})},
    {"type": "conversation.item.added", "item": _MCP, "previous_item_id": "item_1"},
    {"type": "conversation.item.added", "item": {**_MCP, "type": "mcp_approval_request"}, "previous_item_id": None},
    {"type": "mcp_list_tools.completed", "item_id": "item_5"},
    {"type": "conversation.item.deleted", "item_id": "item_1"},
    {"type": "conversation.item.truncated", "item_id": "item_1", "content_index": 0, "audio_end_ms": 5},
    {"type": "rate_limits.updated", "rate_limits": [{"name": "requests", "remaining": 0, "reset_seconds": 1}]},
    {"type": "error", "error": {"type": "invalid_request_error", "message": "no", "code": "x", "event_id": "event_1"}},
]


def main() -> None:
    """Write them: each alone, and all in order."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    texts = [json.dumps({"event_id": "event_9", **line}) for line in LINES]
    for number, text in enumerate([*texts, "\n".join(texts)]):
        (folder / f"sample{number}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

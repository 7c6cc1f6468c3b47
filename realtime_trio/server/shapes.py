"""The shape of every client event, as strictly as the real server takes them: unknown fields are errors.

What a well-shaped event then means, and whether it can be done now, is the business of `protocol` and its parts.
"""

from collections.abc import Mapping
from typing import Any

from realtime_trio.server import guesses, problems
from realtime_trio.server.checks import (
    Check,
    array,
    audio,
    boolean,
    choice,
    free_object,
    integer,
    mapping,
    nullable,
    number,
    obj,
    one_of_type,
    string,
)
from realtime_trio.server.mcp_shapes import check_labels, mcp_items, mcp_tool

__all__ = ["CLIENT_EVENTS", "MAXIMUM_METADATA", "check_client_event", "check_session"]

MAXIMUM_METADATA = 16
_text = string()
_item_id = nullable(string(longest=guesses.MAXIMUM_ITEM_ID_LENGTH, shortest=1))
_metadata = nullable(mapping(string(longest=512), longest=MAXIMUM_METADATA, longest_key=64))


# ---- audio ----


def _audio_format(value: Any, path: str) -> None:
    if isinstance(value, str):  # the beta's "pcm16"
        raise problems.invalid_type(path, "an object", value)
    one_of_type(
        {
            "audio/pcm": obj({}, {"type": _text, "rate": _rate}),
            "audio/pcmu": obj({}, {"type": _text}),
            "audio/pcma": obj({}, {"type": _text}),
        },
        otherwise="audio/pcm",
    )(value, path)


_rate = integer(24_000, 24_000)  # the one rate of the API


def _voice(value: Any, path: str) -> None:
    if isinstance(value, dict):
        obj({"id": string(shortest=1)})(value, path)
    else:
        string(shortest=1)(value, path)


_turn_detection = nullable(
    one_of_type(
        {
            "server_vad": obj(
                {"type": _text},
                {
                    "threshold": number(0, 1),
                    "prefix_padding_ms": integer(0, 10_000),
                    "silence_duration_ms": integer(0, 60_000),
                    "create_response": boolean,
                    "interrupt_response": boolean,
                    "idle_timeout_ms": nullable(integer(5_000, 30_000)),
                },
            ),
            "semantic_vad": obj(
                {"type": _text},
                {
                    "eagerness": choice("low", "medium", "high", "auto"),
                    "create_response": boolean,
                    "interrupt_response": boolean,
                },
            ),
        }
    )
)

_transcription = nullable(
    obj(
        {},
        {
            "model": _text,
            "language": nullable(_text),
            "languages": nullable(array(_text, shortest=1)),
            "keywords": nullable(array(_text)),
            "prompt": nullable(_text),
            "delay": nullable(choice("minimal", "low", "medium", "high", "xhigh")),
        },
    )
)

_noise_reduction = nullable(obj({}, {"type": choice("near_field", "far_field"), "strength": number(0)}))

_audio_input = obj(
    {},
    {
        "format": _audio_format,
        "transcription": _transcription,
        "noise_reduction": _noise_reduction,
        "turn_detection": _turn_detection,
    },
)
_audio_output = obj({}, {"format": _audio_format, "voice": _voice, "speed": number(0.25, 1.5)})
_response_audio = obj({}, {"output": obj({}, {"format": _audio_format, "voice": _voice})})


# ---- tools and other configuration ----


_any_tools = array(
    one_of_type(
        {
            "function": obj(
                {"name": string(shortest=1, longest=64)},
                {"type": _text, "description": _text, "parameters": free_object},
            ),
            "mcp": mcp_tool,
        },
        otherwise="function",
    )
)


def _tools(value: Any, path: str) -> None:
    _any_tools(value, path)
    check_labels(value, path)


def _tool_choice(value: Any, path: str) -> None:
    if isinstance(value, dict):
        one_of_type(
            {
                "function": obj({"type": _text, "name": _text}),
                "mcp": obj({"type": _text, "server_label": _text}, {"name": nullable(_text)}),
            }
        )(value, path)
    else:
        choice("none", "auto", "required")(value, path)


def _max_output_tokens(value: Any, path: str) -> None:
    if isinstance(value, str):
        choice("inf")(value, path)
    else:
        integer(1, 4096)(value, path)


def _truncation(value: Any, path: str) -> None:
    if isinstance(value, dict):
        one_of_type(
            {
                "retention_ratio": obj(
                    {"type": _text, "retention_ratio": number(0, 1)},
                    {"token_limits": obj({}, {"post_instructions": integer(0)})},
                )
            }
        )(value, path)
    else:
        choice("auto", "disabled")(value, path)


def _tracing(value: Any, path: str) -> None:
    if isinstance(value, dict):
        obj({}, {"workflow_name": _text, "group_id": _text, "metadata": free_object})(value, path)
    else:
        choice("auto")(value, path)


_modalities = array(choice("text", "audio"), shortest=1, longest=1)
_prompt = nullable(
    obj({"id": _text}, {"version": nullable(_text), "variables": nullable(free_object)}),
)
_reasoning = obj({}, {"effort": choice("minimal", "low", "medium", "high", "xhigh")})
_include = nullable(array(choice("item.input_audio_transcription.logprobs")))

_sessions: dict[str, Check] = {
    "realtime": obj(
        {"type": _text},
        {
            "model": _text,
            "output_modalities": _modalities,
            "instructions": _text,
            "audio": obj({}, {"input": _audio_input, "output": _audio_output}),
            "include": _include,
            "tools": _tools,
            "tool_choice": _tool_choice,
            "parallel_tool_calls": boolean,
            "reasoning": _reasoning,
            "max_output_tokens": _max_output_tokens,
            "truncation": _truncation,
            "tracing": nullable(_tracing),
            "prompt": _prompt,
        },
    ),
    "transcription": obj({"type": _text}, {"audio": obj({}, {"input": _audio_input}), "include": _include}),
}


def check_session(value: Any, path: str) -> None:
    """Check a session of either kind; its `type` is required."""
    one_of_type(_sessions)(value, path)


# ---- items ----

_item_head: dict[str, Check] = {
    "type": _text,
    "id": _item_id,
    "object": nullable(choice("realtime.item")),
    "status": nullable(choice("completed", "incomplete", "in_progress")),
}
_input_text = obj({"type": _text, "text": _text})
_user_parts = one_of_type(
    {
        "input_text": _input_text,
        "input_audio": obj({"type": _text, "audio": audio}, {"transcript": nullable(_text)}),
        "input_image": obj({"type": _text, "image_url": _text}, {"detail": nullable(choice("auto", "low", "high"))}),
    }
)


def _message(parts: Check) -> Check:
    return obj({"role": _text, "content": array(parts, shortest=1)}, _item_head)


_items: dict[str, Check] = {
    "message": one_of_type(
        {
            "system": _message(one_of_type({"input_text": _input_text})),
            "user": _message(_user_parts),
            "assistant": _message(one_of_type({"output_text": obj({"type": _text, "text": _text})})),
        },
        field="role",
    ),
    "function_call": obj({"name": _text, "arguments": _text}, {**_item_head, "call_id": nullable(_text)}),
    "function_call_output": obj({"call_id": _text, "output": _text}, _item_head),
}


_item = one_of_type({**_items, **mcp_items})
_item_or_reference = one_of_type({**_items, "item_reference": obj({"type": _text, "id": _text})})


# ---- events ----


def _event(required: Mapping[str, Check] | None = None, optional: Mapping[str, Check] | None = None) -> Check:
    return obj({"type": _text, **(required or {})}, {"event_id": nullable(string(longest=512)), **(optional or {})})


_response_params = obj(
    {},
    {
        "output_modalities": _modalities,
        "instructions": nullable(_text),
        "audio": _response_audio,
        "tools": _tools,
        "tool_choice": _tool_choice,
        "parallel_tool_calls": boolean,
        "reasoning": _reasoning,
        "max_output_tokens": _max_output_tokens,
        "conversation": choice("auto", "none"),
        "metadata": _metadata,
        "prompt": _prompt,
        "input": array(_item_or_reference),
    },
)

CLIENT_EVENTS: dict[str, Check] = {
    "session.update": _event({"session": check_session}),
    "input_audio_buffer.append": _event({"audio": _text}),  # decoded by its handler, once
    "input_audio_buffer.commit": _event(),
    "input_audio_buffer.clear": _event(),
    "conversation.item.create": _event({"item": _item}, {"previous_item_id": nullable(_text)}),
    "conversation.item.retrieve": _event({"item_id": _text}),
    "conversation.item.truncate": _event({"item_id": _text, "content_index": integer(0), "audio_end_ms": integer(0)}),
    "conversation.item.delete": _event({"item_id": _text}),
    "response.create": _event({}, {"response": nullable(_response_params)}),
    "response.cancel": _event({}, {"response_id": nullable(_text)}),
    "output_audio_buffer.clear": _event(),
}
"""The client events of realtime and transcription sessions, by wire type."""


def check_client_event(event: Any) -> dict[str, Any]:
    """Check a decoded message.

    Args:
        event: Whatever the JSON was.

    Returns:
        The event: an object of exactly one of the known shapes.

    Raises:
        Problem: It is not; the error says where.
    """
    if not isinstance(event, dict):
        raise problems.invalid_event("An event must be a JSON object.")
    if "type" not in event:
        raise problems.invalid_event("The 'type' field is missing.")
    kind = event["type"]
    if not isinstance(kind, str):
        raise problems.invalid_type("type", "a string", kind)
    shape = CLIENT_EVENTS.get(kind)
    if shape is None:
        raise problems.invalid_value("type", kind, CLIENT_EVENTS)
    shape(event, "")
    return event

"""How long one server event takes from JSON text to a typed value whose audio is bytes, against the SDK and pydantic.

`openai` builds its events without checking them and leaves base64 to its user, so that is added; `openai-agents` has
pydantic validate every event, and decodes the audio. Ours checks everything and hands out bytes. `--quick` only sees
that it works.
"""

import base64
import json
import random
import sys
from pathlib import Path

from agents.realtime.openai_realtime import get_server_event_type_adapter
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from realtime_trio.events import ResponseDone, ResponseOutputAudioDelta, decode

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from measuring import machine, per_call, progress, table

PCM = random.Random(1).randbytes(24_000 * 2 // 5)  # 200 ms
DELTA = json.dumps(
    {
        "type": "response.output_audio.delta",
        "event_id": "event_BxRz0MVTsyGOBHnHGUQSe",
        "response_id": "resp_BxRyYBfLZfvF6yYtFTDvq",
        "item_id": "item_BxRyYqzVUTeXqfMsT0Imw",
        "output_index": 0,
        "content_index": 0,
        "delta": base64.b64encode(PCM).decode(),
    }
)
DONE = json.dumps(
    {
        "type": "response.done",
        "event_id": "event_BxRz1bRzVjGvkNPCPXxO2",
        "response": {
            "object": "realtime.response",
            "id": "resp_BxRyYBfLZfvF6yYtFTDvq",
            "status": "completed",
            "status_details": None,
            "output": [
                {
                    "id": "item_BxRyYqzVUTeXqfMsT0Imw",
                    "object": "realtime.item",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [
                        {
                            "type": "output_audio",
                            "transcript": "It is a little after four, and it is warm in Lima: twenty-one degrees.",
                        }
                    ],
                }
            ],
            "conversation_id": "conv_BxRxpwbMpFvpDvJpGBtAw",
            "output_modalities": ["audio"],
            "max_output_tokens": "inf",
            "audio": {"output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin"}},
            "usage": {
                "total_tokens": 1203,
                "input_tokens": 1040,
                "output_tokens": 163,
                "input_token_details": {
                    "text_tokens": 640,
                    "audio_tokens": 400,
                    "image_tokens": 0,
                    "cached_tokens": 576,
                    "cached_tokens_details": {"text_tokens": 576, "audio_tokens": 0, "image_tokens": 0},
                },
                "output_token_details": {"text_tokens": 35, "audio_tokens": 128},
            },
            "metadata": {"turn": "7"},
        },
    }
)

OURS, SDK, PYDANTIC = "realtime_trio", "openai", "pydantic, as openai-agents"
ADAPTER = get_server_event_type_adapter()


def by_sdk(message):
    # the method uses nothing of the connection that it belongs to
    return AsyncRealtimeConnection.parse_event(None, message)


def by_pydantic(message):
    return ADAPTER.validate_python(json.loads(message))


def main(*options):
    """Check that all of them decode the same, measure them, print ratios."""
    print(machine("realtime_trio", "msgspec", "openai", "openai-agents", "pydantic"))
    raw_delta, raw_done = DELTA.encode(), DONE.encode()  # what the SDK takes from its socket

    ours = decode(DELTA)
    assert isinstance(ours, ResponseOutputAudioDelta)
    assert ours.delta == PCM == base64.b64decode(by_sdk(raw_delta).delta)
    assert base64.b64decode(by_pydantic(DELTA).delta) == PCM
    done = decode(DONE)
    assert isinstance(done, ResponseDone)
    assert done.response.usage.total_tokens == by_sdk(raw_done).response.usage.total_tokens == 1203
    assert by_pydantic(DONE).response.usage.total_tokens == 1203

    short = {"rounds": 1, "seconds": 0.001} if "--quick" in options else {}
    progress("decoding audio deltas of 200 ms")
    delta = per_call(
        {
            OURS: lambda: decode(DELTA).delta,
            SDK: lambda: base64.b64decode(by_sdk(raw_delta).delta),
            PYDANTIC: lambda: base64.b64decode(by_pydantic(DELTA).delta),
        },
        **short,
    )
    progress("decoding response.done")
    done_took = per_call(
        {OURS: lambda: decode(DONE), SDK: lambda: by_sdk(raw_done), PYDANTIC: lambda: by_pydantic(DONE)}, **short
    )
    table("Decode an audio delta of 200 ms, to bytes", "µs", delta, ours=OURS)
    table("Decode a response.done", "µs", done_took, ours=OURS)


if __name__ == "__main__":
    main(*sys.argv[1:])

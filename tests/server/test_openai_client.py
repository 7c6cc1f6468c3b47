"""OpenAI's own client, on asyncio in a thread of its own, against our server on a real socket."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

import openai
import pytest
import trio
from openai import AsyncOpenAI
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from realtime_trio.server import (
    Failed,
    Incomplete,
    McpCallError,
    Misbehaviour,
    ToolAnswered,
    ToolCall,
    Transcript,
    open_server,
)

ORACLE: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)


class Talk:
    """The official connection, with every event judged."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.seen: list[Any] = []

    async def until(self, *types: str) -> Any:
        """Receive up to an event of one of these types."""
        async with asyncio.timeout(10):
            while True:
                event = ORACLE.validate_json(await self.connection.recv_bytes())
                self.seen.append(event)
                if event.type in types:
                    return event

    def of_type(self, type: str) -> list[Any]:
        return [event for event in self.seen if event.type == type]

    async def say(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        await self.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})


async def with_client(server: Any, body: Callable[[Talk], Coroutine[Any, Any, None]]) -> Talk:
    """Run the body on asyncio in a thread, with a fresh official connection."""
    talks = []

    async def main() -> None:
        async with (
            AsyncOpenAI(api_key="sk-test", base_url=server.base_url) as client,
            client.realtime.connect(model="gpt-realtime") as connection,
        ):
            talks.append(Talk(connection))
            await talks[0].until("session.created")
            await body(talks[0])

    await trio.to_thread.run_sync(asyncio.run, main())
    return talks[0]


async def test_a_text_turn():
    async def body(talk):
        await talk.connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "instructions": "Be brief."}
        )
        updated = await talk.until("session.updated")
        assert ["text"] == updated.session.output_modalities
        await talk.say("what is two plus three")
        await talk.connection.response.create()
        done = await talk.until("response.done")
        assert "completed" == done.response.status
        text = done.response.output[0].content[0].text
        assert "5" in text
        assert text == "".join(event.delta for event in talk.of_type("response.output_text.delta"))
        assert done.response.usage.total_tokens > 0

    async with open_server(recogniser="none") as server:
        await with_client(server, body)


async def test_an_audio_turn_with_server_vad(user_speech):
    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            return Transcript("what time is it")

    async def body(talk):
        await talk.connection.session.update(
            session={
                "type": "realtime",
                "audio": {
                    "input": {
                        "transcription": {"model": "gpt-4o-transcribe"},
                        "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
                    },
                    "output": {"voice": "cedar"},
                },
            }
        )
        await talk.until("session.updated")
        for start in range(0, len(user_speech), 9600):
            chunk = base64.b64encode(user_speech[start : start + 9600]).decode()
            await talk.connection.input_audio_buffer.append(audio=chunk)
        done = await talk.until("response.done")
        assert "completed" == done.response.status
        (started,) = talk.of_type("input_audio_buffer.speech_started")
        (stopped,) = talk.of_type("input_audio_buffer.speech_stopped")
        assert started.item_id == stopped.item_id
        assert 200 <= started.audio_start_ms <= 500 < stopped.audio_end_ms
        (heard,) = talk.of_type("conversation.item.input_audio_transcription.completed")
        assert ("what time is it", started.item_id) == (heard.transcript, heard.item_id)
        sound = b"".join(base64.b64decode(event.delta) for event in talk.of_type("response.output_audio.delta"))
        assert len(sound) > 24_000
        spoken = "".join(event.delta for event in talk.of_type("response.output_audio_transcript.delta"))
        assert spoken == done.response.output[0].content[0].transcript != ""

    async with open_server(recogniser=Ear()) as server:
        await with_client(server, body)


async def detect(talk: Talk, **detection: Any) -> Any:
    """Set turn detection; return it as the server tells it."""
    await talk.connection.session.update(
        session={
            "type": "realtime",
            "audio": {"input": {"turn_detection": detection, "noise_reduction": {"type": "near_field"}}},
        }
    )
    updated = (await talk.until("session.updated")).session.audio.input
    assert "near_field" == updated.noise_reduction.type
    return updated.turn_detection


async def append(talk: Talk, sound: bytes) -> None:
    for start in range(0, len(sound), 9600):
        chunk = base64.b64encode(sound[start : start + 9600]).decode()
        await talk.connection.input_audio_buffer.append(audio=chunk)


@pytest.mark.parametrize("eagerness", ["low", "high"])
async def test_an_audio_turn_with_semantic_vad_and_noise_reduction(user_speech, eagerness):
    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            return Transcript("what time is it and")

    async def body(talk):
        detection = await detect(talk, type="semantic_vad", eagerness=eagerness)
        assert ("semantic_vad", eagerness) == (detection.type, detection.eagerness)
        await append(talk, user_speech + bytes(48_000 * 8))
        done = await talk.until("response.done")
        assert "completed" == done.response.status
        (started,) = talk.of_type("input_audio_buffer.speech_started")
        (stopped,) = talk.of_type("input_audio_buffer.speech_stopped")
        assert started.item_id == stopped.item_id
        waited = stopped.audio_end_ms - (len(user_speech) / 48 - 2000)
        assert (1000 < waited < 2000) if eagerness == "high" else (5000 < waited < 8000)

    async with open_server(recogniser=Ear()) as server:
        await with_client(server, body)


async def test_turns_without_responses_and_a_noise_item_that_is_deleted(user_speech):
    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            return Transcript("what time is it")

    asked = []

    async def brain(request):
        asked.append([said.text for said in request.history])
        yield "Noon."

    async def body(talk):
        detection = await detect(talk, type="server_vad", create_response=False, interrupt_response=False)
        assert (False, False) == (detection.create_response, detection.interrupt_response)
        for _ in range(3):
            await append(talk, user_speech)
            await talk.until("conversation.item.done")
        ids = [event.item_id for event in talk.of_type("input_audio_buffer.committed")]
        await talk.connection.conversation.item.delete(item_id=ids[1])
        assert ids[1] == (await talk.until("conversation.item.deleted")).item_id
        assert [] == talk.of_type("response.created")
        await talk.connection.response.create()
        assert "completed" == (await talk.until("response.done")).response.status
        assert [["what time is it"] * 2] == asked

    async with open_server(brain=brain, recogniser=Ear()) as server:
        await with_client(server, body)


@pytest.mark.slow
async def test_an_idle_timeout():
    """Five seconds, the shortest there is, on the real clock."""

    async def body(talk):
        assert 5000 == (await detect(talk, type="server_vad", idle_timeout_ms=5000)).idle_timeout_ms
        await append(talk, bytes(48_000))
        await talk.connection.response.create(response={"output_modalities": ["text"]})
        await talk.until("response.done")
        begun = asyncio.get_running_loop().time()
        triggered = await talk.until("input_audio_buffer.timeout_triggered")
        assert 4.9 < asyncio.get_running_loop().time() - begun < 7
        assert 1000 == triggered.audio_start_ms == triggered.audio_end_ms
        assert triggered.item_id == (await talk.until("input_audio_buffer.committed")).item_id
        await talk.until("response.created")

    async with open_server(recogniser="none") as server:
        await with_client(server, body)


async def test_a_tool_call_and_its_answer():
    async def brain(request):
        last = request.history[-1]
        if isinstance(last, ToolAnswered):
            yield f"{last.name} says {json.loads(last.output)['celsius']}"
        else:
            assert ["get_weather"] == [tool.name for tool in request.tools]
            yield ToolCall("get_weather", {"city": "Lima"})
            yield ToolCall("get_weather", {"city": "Oslo"})

    async def body(talk):
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
        tool = {"type": "function", "name": "get_weather", "description": "Weather", "parameters": parameters}
        await talk.connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [tool], "tool_choice": "auto"}
        )
        await talk.say("weather?")
        await talk.connection.response.create()
        done = await talk.until("response.done")
        calls = done.response.output
        assert [("function_call", "completed")] * 2 == [(call.type, call.status) for call in calls]
        assert [{"city": "Lima"}, {"city": "Oslo"}] == [json.loads(call.arguments) for call in calls]
        for call in calls:
            item = {"type": "function_call_output", "call_id": call.call_id, "output": '{"celsius": 21.5}'}
            await talk.connection.conversation.item.create(item=item)
        await talk.connection.response.create()
        answer = await talk.until("response.done")
        assert "get_weather says 21.5" == answer.response.output[0].content[0].text

    async with open_server(brain=brain, recogniser="none") as server:
        await with_client(server, body)


async def test_cancel_and_truncate():
    async def body(talk):
        await talk.say("count to twenty")
        await talk.connection.response.create()
        first = await talk.until("response.output_audio.delta")
        await talk.connection.response.cancel()
        done = await talk.until("response.done")
        assert ("cancelled", "client_cancelled") == (done.response.status, done.response.status_details.reason)
        assert "incomplete" == done.response.output[0].status
        truncate = talk.connection.conversation.item.truncate
        await truncate(item_id=first.item_id, content_index=0, audio_end_ms=100)
        truncated = await talk.until("conversation.item.truncated")
        assert (first.item_id, 100) == (truncated.item_id, truncated.audio_end_ms)
        await talk.connection.conversation.item.retrieve(item_id=first.item_id)
        retrieved = await talk.until("conversation.item.retrieved")
        assert retrieved.item.content[0].transcript is None
        assert 4800 == len(base64.b64decode(retrieved.item.content[0].audio))
        await talk.connection.conversation.item.delete(item_id=first.item_id)
        assert first.item_id == (await talk.until("conversation.item.deleted")).item_id

    async with open_server(recogniser="none") as server:
        await with_client(server, body)


async def test_lines_and_answers_beside_the_conversation():
    async def body(talk):
        create = talk.connection.response.create
        await create(response={"output_modalities": ["text"], "instructions": 'Say exactly: "One, two."'})
        assert "One, two." == (await talk.until("response.done")).response.output[0].content[0].text
        await talk.say("count to twenty")
        await create(response={"output_modalities": ["text"]})
        for number in ("3", "4"):
            part = {"type": "input_text", "text": f"{number} plus {number}"}
            item = {"type": "message", "role": "user", "content": [part]}
            params = {"conversation": "none", "metadata": {"n": number}, "input": [item], "tools": []}
            await create(response={"output_modalities": ["text"], **params})
        done = [(await talk.until("response.done")).response for _ in range(3)]
        texts = {(found.metadata or {}).get("n"): found.output[0].content[0].text for found in done}
        assert ("3 plus 3 is 6.", "4 plus 4 is 8.") == (texts["3"], texts["4"])
        assert texts[None].endswith("twenty.")

    async with open_server(recogniser="none") as server:
        await with_client(server, body)


async def test_hosted_mcp_tools():
    async def get_weather(city: str) -> dict[str, float]:
        """Tell the weather."""
        return {"celsius": 21.5}

    async def fail() -> str:
        """Fail."""
        raise McpCallError("Bad gateway", type="http_error", code=502)

    async def body(talk):
        tool = {"type": "mcp", "server_label": "weather", "server_url": "https://weather.example/mcp"}
        approval = {"never": {"tool_names": ["fail"]}}
        await talk.connection.session.update(
            session={
                "type": "realtime",
                "output_modalities": ["text"],
                "tools": [{**tool, "require_approval": approval}],
            }
        )
        await talk.until("mcp_list_tools.completed")
        (listing,) = [event.item for event in talk.of_type("conversation.item.done")]
        assert ["get_weather", "fail"] == [found.name for found in listing.tools]
        await talk.say("What is the weather in Lima?")
        await talk.connection.response.create()
        await talk.until("response.mcp_call_arguments.done")
        request = (await talk.until("conversation.item.done")).item
        assert ("mcp_approval_request", "get_weather") == (request.type, request.name)
        answer = {"type": "mcp_approval_response", "id": "ok", "approval_request_id": request.id, "approve": True}
        await talk.connection.conversation.item.create(item=answer)
        await talk.until("response.mcp_call.completed")
        output = (await talk.until("response.done")).response.output
        assert [("mcp_call", '{"celsius":21.5}')] == [(output[0].type, output[0].output)]
        assert "It is 21.5 degrees Celsius in Lima." == output[1].content[0].text
        await talk.say("call fail {}")
        await talk.connection.response.create()
        await talk.until("response.mcp_call.failed")
        output = (await talk.until("response.done")).response.output
        assert ("http_error", 502) == (output[0].error.type, output[0].error.code)
        await talk.connection.session.update(session={"type": "realtime", "tools": [{**tool, "server_label": "x"}]})
        await talk.until("mcp_list_tools.failed")

    async with open_server(recogniser="none", mcp={"weather": [get_weather, fail]}) as server:
        await with_client(server, body)


async def test_bad_ends_and_late_transcripts(user_speech):
    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            return Transcript("count to twenty")

    async def body(talk):
        audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
        await talk.connection.session.update(session={"type": "realtime", "audio": audio})
        await append(talk, user_speech)
        cut = (await talk.until("response.done")).response
        assert ("incomplete", "content_filter") == (cut.status, cut.status_details.reason)
        assert "One, two, three, four, " == cut.output[0].content[0].transcript
        usage = cut.usage
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens
        assert [] == talk.of_type("conversation.item.input_audio_transcription.completed")
        heard = await talk.until("conversation.item.input_audio_transcription.completed")
        assert "tokens" == heard.usage.type
        await talk.connection.response.create()
        failed = (await talk.until("response.done")).response
        assert ("failed", "insufficient_quota") == (failed.status, failed.status_details.error.code)
        assert 0 == failed.usage.total_tokens

    misbehaviour = Misbehaviour(
        endings={1: Incomplete(), 2: Failed(code="insufficient_quota")}, transcript_after_answer=True
    )
    async with open_server(recogniser=Ear(), misbehaviour=misbehaviour) as server:
        await with_client(server, body)


async def test_errors_reach_the_client_and_the_session_goes_on():
    async def body(talk):
        connection = talk.connection
        attempts = [
            (connection.response.cancel(), "response_cancel_not_active"),
            (connection.input_audio_buffer.commit(), "input_audio_buffer_commit_empty"),
            (connection.conversation.item.delete(item_id="nobody"), "item_delete_invalid_item_id"),
            (connection.session.update(session={"type": "realtime", "voice": "alloy"}), "unknown_parameter"),
            (connection.send({"type": "scooby.dooby.doo"}), "invalid_value"),
        ]
        for attempt, code in attempts:
            await attempt
            assert code == (await talk.until("error")).error.code
        await connection.response.create()
        await connection.response.create(event_id="second")
        error = (await talk.until("error")).error
        assert ("conversation_already_has_active_response", "second") == (error.code, error.event_id)
        assert "completed" == (await talk.until("response.done")).response.status

    async with open_server(recogniser="none") as server:
        await with_client(server, body)


async def test_a_wrong_key_is_refused():
    async def never(talk):
        raise AssertionError("let in")

    async with open_server(recogniser="none", api_key="sk-another") as server:
        with pytest.raises(Exception, match="401") as caught:
            await with_client(server, never)
    assert not isinstance(caught.value, openai.APIConnectionError | AssertionError)

"""A server that fails, or is late, because it was asked to: on the bench, in memory and on a real socket."""

import base64
import math
from typing import Any

import pytest
import trio

from realtime_trio import open_session
from realtime_trio.errors import ConfigurationError
from realtime_trio.server import Failed, Incomplete, Misbehaviour, Transcript, open_server

QUOTA = Failed(code="insufficient_quota")


async def counting(request):
    yield "One two three four five. "
    yield "Six seven eight."


class Ear:
    """Understands every turn in the same way."""

    async def recognise(self, pcm: bytes) -> Transcript:
        return Transcript("what time is it")


def of_type(events: list[dict[str, Any]], *endings: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"].endswith(endings)]


def log(client: Any) -> list[dict[str, Any]]:
    return [event for _, event in client.times]


# ---- how responses end ----


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("insufficient_quota", "insufficient_quota"),
        ("rate_limit_exceeded", "tokens"),
        ("server_error", "server_error"),
        ("unheard_of", "server_error"),
    ],
)
async def test_a_response_fails_by_its_number_and_the_next_goes_well(autojump_clock, client_of, code, kind):
    misbehaviour = Misbehaviour(endings={2: Failed(code=code)})
    async with (
        open_server(listen=False, brain=counting, misbehaviour=misbehaviour) as server,
        client_of(server) as client,
    ):
        statuses = []
        for _ in range(3):
            response = await client.ask("go", output_modalities=["text"])
            statuses.append(response["status"])
            if response["status"] == "failed":
                details = response["status_details"]
                assert [] == response["output"]
                assert 0 == response["usage"]["total_tokens"] == response["usage"]["input_token_details"]["text_tokens"]
    assert ["completed", "failed", "completed"] == statuses
    assert ("failed", kind, code) == (details["type"], details["error"]["type"], details["error"]["code"])
    assert details["error"]["message"]


async def test_numbers_are_each_sessions_own(autojump_clock, client_of):
    async with open_server(listen=False, brain=counting, misbehaviour=Misbehaviour(endings={1: QUOTA})) as server:
        for _ in range(2):
            async with client_of(server) as client:
                assert "failed" == (await client.ask("go", output_modalities=["text"]))["status"]


@pytest.mark.parametrize("reason", ["content_filter", "max_output_tokens"])
@pytest.mark.parametrize("modality", ["text", "audio"])
async def test_a_response_is_cut_off_in_mid_speech(autojump_clock, client_of, reason, modality):
    misbehaviour = Misbehaviour(endings={1: Incomplete(reason=reason, after_words=6)})
    async with (
        open_server(listen=False, brain=counting, misbehaviour=misbehaviour) as server,
        client_of(server) as client,
    ):
        response = await client.ask("go", output_modalities=[modality])
    assert ("incomplete", reason) == (response["status"], response["status_details"]["reason"])
    (item,) = response["output"]
    assert "incomplete" == item["status"]
    assert "One two three four five. Six " == item["content"][0]["text" if modality == "text" else "transcript"]
    assert bool(of_type(log(client), "output_audio.delta")) == (modality == "audio")
    assert response["usage"]["output_tokens"] > 0


async def test_a_failure_may_follow_words(autojump_clock, client_of):
    misbehaviour = Misbehaviour(endings={1: Failed(after_words=2, message="Boom.", type="oops", code="boom")})
    async with (
        open_server(listen=False, brain=counting, misbehaviour=misbehaviour) as server,
        client_of(server) as client,
    ):
        response = await client.ask("go", output_modalities=["text"])
    assert {"type": "oops", "code": "boom", "message": "Boom."} == response["status_details"]["error"]
    assert "One two " == response["output"][0]["content"][0]["text"]
    assert response["usage"]["input_tokens"] > 0 < response["usage"]["output_tokens"]


async def test_an_answer_shorter_than_its_limit_ends_badly_all_the_same(autojump_clock, client_of):
    misbehaviour = Misbehaviour(endings={1: Incomplete(after_words=1000)})
    async with (
        open_server(listen=False, brain=counting, misbehaviour=misbehaviour) as server,
        client_of(server) as client,
    ):
        response = await client.ask("go", output_modalities=["text"])
    assert "incomplete" == response["status"]
    assert response["output"][0]["content"][0]["text"].endswith("eight.")


async def test_the_users_words_may_decide(autojump_clock, client_of):
    asked = []

    def endings(words):
        asked.append(words)
        return QUOTA if "money" in words else None

    async with (
        open_server(listen=False, brain=counting, misbehaviour=Misbehaviour(endings=endings)) as server,
        client_of(server) as client,
    ):
        await client.send("response.create", response={"output_modalities": ["text"]})
        await client.until("response.done")
        assert "failed" == (await client.ask("more money", output_modalities=["text"]))["status"]
        assert "completed" == (await client.ask("more time", output_modalities=["text"]))["status"]
    assert ["", "more money", "more time"] == asked


@pytest.mark.parametrize("ending", [QUOTA, Incomplete()])
async def test_a_brain_may_ask_for_a_bad_end(autojump_clock, client_of, ending):
    closed = []

    async def brain(request):
        try:
            yield "So far. "
            yield ending
        finally:
            closed.append(True)
        raise AssertionError("went on")

    async with open_server(listen=False, brain=brain) as server, client_of(server) as client:
        response = await client.ask("go", output_modalities=["text"])
    assert [True] == closed
    assert ("failed" if ending is QUOTA else "incomplete") == response["status"]
    assert "So far. " == response["output"][0]["content"][0]["text"]


async def test_the_brain_is_closed_when_its_answer_is_cut_off(autojump_clock, client_of):
    closed = []

    async def brain(request):
        try:
            while True:
                yield "word "
        finally:
            closed.append(True)

    async with (
        open_server(listen=False, brain=brain, misbehaviour=Misbehaviour(endings={1: Incomplete()})) as server,
        client_of(server) as client,
    ):
        response = await client.ask("go", output_modalities=["text"])
    assert [True] == closed
    assert "word " * 4 == response["output"][0]["content"][0]["text"]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Incomplete(after_words=-1), "after_words"),
        (lambda: Failed(after_words=-1), "after_words"),
        (lambda: Incomplete(reason="tired"), "content_filter"),  # type: ignore[arg-type]
        (lambda: Misbehaviour(transcript_delay_s=-1), "transcript_delay_s"),
        (lambda: Misbehaviour(done_delay_s=math.nan), "done_delay_s"),
        (lambda: Misbehaviour(listing_delay_s=-1), "listing_delay_s"),
        (lambda: Misbehaviour(endings={0: QUOTA}), "endings"),
        (lambda: Misbehaviour(rejected_creates={0}), "rejected_creates"),
        (lambda: Misbehaviour(failed_transcripts=["1"]), "counted from 1"),  # type: ignore[list-item]
    ],
)
def test_settings_that_make_no_sense_are_refused(make, word):
    with pytest.raises(ConfigurationError, match=word):
        make()


# ---- rejections ----


def test_a_create_is_rejected_though_nothing_is_active(make_bench):
    bench = make_bench(misbehaviour=Misbehaviour(rejected_creates={1, 3}))
    bench.respond(conversation="none")  # does not count
    error = bench.error("response.create", event_id="mine")
    assert ("conversation_already_has_active_response", "mine") == (error["code"], error["event_id"])
    assert "resp_" in error["message"]
    running = bench.respond()
    assert running in bench.error("response.create")["message"]
    bench.protocol.response_finished(running, bench.now)
    bench.take()
    assert bench.respond() != running


# ---- lateness ----


async def test_response_done_is_late(autojump_clock, client_of):
    async with (
        open_server(listen=False, brain=counting, misbehaviour=Misbehaviour(done_delay_s=3)) as server,
        client_of(server) as client,
    ):
        response = await client.ask("go", output_modalities=["text"])
        await client.send("response.create", response={"output_modalities": ["text"]})
        await client.until("response.output_item.done")
        await client.send("response.create")
        error = await client.receive()
        await client.send("response.cancel")
        cancelled = await client.receive()
    assert "completed" == response["status"] == response["output"][0]["status"]
    at = {event["type"]: time for time, event in reversed(client.times)}
    assert 3 == pytest.approx(at["response.done"] - at["response.output_item.done"])
    assert "conversation_already_has_active_response" == error["error"]["code"]
    assert ("cancelled", "completed") == (cancelled["response"]["status"], cancelled["response"]["output"][0]["status"])


async def transcribed(client: Any, user_speech: bytes) -> None:
    """Switch transcripts on, and speak a turn that is answered."""
    audio = {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}
    await client.send("session.update", session={"type": "realtime", "audio": audio, "output_modalities": ["text"]})
    await client.until("session.updated")
    for start in range(0, len(user_speech), 96_000):
        chunk = base64.b64encode(user_speech[start : start + 96_000]).decode()
        await client.send("input_audio_buffer.append", audio=chunk)


async def times(misbehaviour: Misbehaviour, client_of: Any, user_speech: bytes, end: str) -> dict[str, float]:
    """Speak a turn; tell when the first event of each type came."""
    async with (
        open_server(listen=False, brain=counting, recogniser=Ear(), misbehaviour=misbehaviour) as server,
        client_of(server) as client,
    ):
        await transcribed(client, user_speech)
        await client.until(end)
        with trio.move_on_after(60):
            while True:
                await client.receive()
    return {event["type"].rpartition("transcription.")[2]: time for time, event in reversed(client.times)}


async def test_transcripts_are_late(autojump_clock, client_of, user_speech):
    usual = await times(Misbehaviour(), client_of, user_speech, "response.done")
    assert usual["completed"] < usual["response.created"] + 0.01
    late = await times(Misbehaviour(transcript_delay_s=5), client_of, user_speech, "response.done")
    assert 5 == pytest.approx(late["completed"] - late["input_audio_buffer.committed"])
    assert late["completed"] > late["response.done"]
    assert late["delta"] == pytest.approx(late["completed"])


async def test_transcripts_come_after_the_answer(autojump_clock, client_of, user_speech):
    after = Misbehaviour(transcript_after_answer=True, transcript_delay_s=2)
    at = await times(after, client_of, user_speech, "response.done")
    assert 2 == pytest.approx(at["completed"] - at["response.done"])
    at_once = await times(Misbehaviour(transcript_after_answer=True), client_of, user_speech, "response.done")
    assert at_once["completed"] == pytest.approx(at_once["response.done"])


async def test_a_late_transcript_of_a_deleted_item_is_never_told(autojump_clock, client_of, user_speech):
    async with (
        open_server(
            listen=False, brain=counting, recogniser=Ear(), misbehaviour=Misbehaviour(transcript_delay_s=5)
        ) as server,
        client_of(server) as client,
    ):
        await transcribed(client, user_speech)
        await client.until("response.done")
        (committed,) = of_type(log(client), "committed")
        await client.send("conversation.item.delete", item_id=committed["item_id"])
        with trio.move_on_after(20):
            while True:
                await client.receive()
    assert of_type(log(client), "item.deleted")
    assert [] == of_type(log(client), "transcription.delta", "transcription.completed")


async def test_a_transcript_fails_and_the_brain_understands_all_the_same(autojump_clock, client_of, user_speech):
    asked = []

    async def brain(request):
        asked.append(request.history[-1].text)
        yield "Yes."

    async with (
        open_server(
            listen=False, brain=brain, recogniser=Ear(), misbehaviour=Misbehaviour(failed_transcripts={1})
        ) as server,
        client_of(server) as client,
    ):
        await transcribed(client, user_speech)
        await client.until("response.done")
        await transcribed(client, user_speech)
        await client.until("response.done")
    (failed,) = of_type(log(client), "transcription.failed")
    (completed,) = of_type(log(client), "transcription.completed")
    assert ("transcription_error", "audio_unintelligible") == (failed["error"]["type"], failed["error"]["code"])
    assert failed["item_id"] != completed["item_id"]
    assert ["what time is it"] * 2 == asked


# ---- the other order ----


async def test_what_has_no_promised_order_comes_in_the_other_one(autojump_clock, client_of):
    async def order(**behaviour: bool) -> list[str]:
        async with (
            open_server(listen=False, brain=counting, misbehaviour=Misbehaviour(**behaviour)) as server,
            client_of(server) as client,
        ):
            await client.ask("go")
            with trio.move_on_after(1):
                while True:
                    await client.receive()
        types = [event["type"] for event in log(client)]
        return types[types.index("response.created") :]

    usual, other = await order(), await order(other_order=True)
    assert sorted(usual) == sorted(other)
    assert "rate_limits.updated" == usual[-1] == other[1]
    pairs = [
        ("response.output_audio_transcript.delta", "response.output_audio.delta"),
        ("response.output_audio.done", "response.output_audio_transcript.done"),
        ("conversation.item.done", "response.output_item.done"),
    ]
    for first, second in pairs:
        assert usual.index(first) < usual.index(second)
        assert other.index(second) < other.index(first)


async def test_each_words_place_is_true_in_the_other_order_too(autojump_clock):
    async def spoken(**behaviour: bool) -> Any:
        async with (
            open_server(listen=False, brain=counting, misbehaviour=Misbehaviour(**behaviour)) as server,
            open_session(connect=server.connect, modality="audio", drain=False) as session,
        ):
            reply = await session.ask("go")
            return server.spoken_words(reply.responses[-1].items[0].id)

    assert await spoken() == await spoken(other_order=True)


# ---- over a real socket ----


async def test_a_session_on_a_socket_meets_all_of_it():
    misbehaviour = Misbehaviour(
        endings={2: Incomplete(reason="content_filter")}, rejected_creates={1}, done_delay_s=0.05, other_order=True
    )
    async with (
        open_server(recogniser="none", brain=counting, misbehaviour=misbehaviour, speed=math.inf) as server,
        open_session(url=server.url) as session,
    ):
        with trio.fail_after(20):
            first = await session.ask("one")
            second = await session.ask("two")
    assert ("completed", "incomplete") == (first.status, second.status)
    assert "One two three four " == second.text

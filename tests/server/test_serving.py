"""The server around the protocol: sockets and memory, admission, pacing, failures, and its command line."""

import base64
import functools
import gc
import itertools
import json
import math
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from realtime_trio.errors import AudioError, ConfigurationError, ConnectError, ConnectionClosed, Refused
from realtime_trio.nursery import open_services
from realtime_trio.server import (
    RealtimeProtocol,
    Speech,
    SpokenWord,
    ToolCall,
    Transcript,
    fittings,
    open_server,
    serve_realtime,
)
from realtime_trio.server import __main__ as command
from realtime_trio.server.babble import BabbleVoice, babble_source
from realtime_trio.server.driver import SessionDriver
from realtime_trio.server.turn_detection import EnergyTurnDetector
from realtime_trio.transport import Target, open_websocket

URL = "ws://localhost/v1/realtime?model=m"


async def one_two(request):
    yield "One. "
    yield "Two."


# ---- in memory, under the autojump clock ----


async def test_a_text_turn_in_memory(autojump_clock, client_of):
    async with open_server(listen=False, brain=one_two) as server, client_of(server) as client:
        response = await client.ask("go", output_modalities=["text"])
        assert "One. Two." == response["output"][0]["content"][0]["text"]
        assert "session.created" == client.times[0][1]["type"]
        assert "m" == client.times[0][1]["session"]["model"]


async def test_sound_comes_at_four_times_real_time_in_chunks(autojump_clock, client_of):
    async def two_seconds(request):
        yield bytes(2 * 48_000)

    async with open_server(listen=False, brain=two_seconds) as server, client_of(server) as client:
        await client.ask("go")
    times = [time for time, event in client.times if event["type"] == "response.output_audio.delta"]
    assert 10 == len(times)
    assert [0.05] * 9 == pytest.approx([later - sooner for sooner, later in itertools.pairwise(times)])


async def test_speed_is_settable(autojump_clock, client_of):
    async def two_seconds(request):
        yield bytes(2 * 48_000)

    for speed, seconds in ((1.0, 1.8), (math.inf, 0.0)):
        async with open_server(listen=False, brain=two_seconds, speed=speed) as server, client_of(server) as client:
            await client.ask("go")
        times = [time for time, event in client.times if event["type"] == "response.output_audio.delta"]
        assert seconds == pytest.approx(times[-1] - times[0])


async def test_each_word_goes_before_the_chunk_in_which_it_begins(autojump_clock, client_of):
    class Metronome:
        async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
            words = [SpokenWord(word + " ", 4800 * 2 * index) for index, word in enumerate(text.split())]
            return Speech(bytes(2 * 4800 * 2 * len(words)), tuple(words))

    async def brain(request):
        yield "a b c"

    async with open_server(listen=False, brain=brain, voice=Metronome()) as server, client_of(server) as client:
        await client.ask("go")
    kinds = {"response.output_audio_transcript.delta": "word", "response.output_audio.delta": "sound"}
    order = [kinds[event["type"]] for _, event in client.times if event["type"] in kinds]
    assert ["word", "sound", "sound"] * 3 == order


@pytest.mark.parametrize("audio_format", ["audio/pcm", "audio/pcmu"])
async def test_the_server_knows_when_each_word_is_spoken(autojump_clock, client_of, audio_format):
    """Over several utterances in one item, after a truncation, in samples of the item's sound."""

    class Metronome:
        async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
            words = [SpokenWord(word + " ", 5000 + 7000 * index) for index, word in enumerate(text.split())]
            return Speech(bytes(2 * 7000 * len(words) + 10_000), tuple(words))

    async def brain(request):
        yield "a b c "
        yield "d e"

    async with open_server(listen=False, brain=brain, voice=Metronome()) as server, client_of(server) as client:
        with pytest.raises(LookupError, match="nobody"):
            server.spoken_words("nobody")
        response = {"audio": {"output": {"format": {"type": audio_format}}}}
        item_id = (await client.ask("go", **response))["output"][0]["id"]
        words = server.spoken_words(item_id)
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=10)
        await client.until("conversation.item.truncated")
        assert words == server.spoken_words(item_id)
    assert [("a ", 5000), ("b ", 12_000), ("c ", 19_000), ("d ", 31_000), ("e ", 38_000)] == [
        (word.text, word.start) for word in words
    ]
    with pytest.raises(LookupError):
        server.spoken_words(item_id)


@pytest.mark.parametrize("question", ["Tell me a long story, please.", "count to one hundred"])
async def test_a_question_that_makes_the_assistant_speak_for_over_a_minute(autojump_clock, client_of, question):
    """Each word's transcript delta goes just before the sound in which the voice begins it."""
    async with open_server(listen=False) as server, client_of(server) as client:
        response = await client.ask(question)
        words = server.spoken_words(response["output"][0]["id"])
    assert response["output"][0]["content"][0]["transcript"] == "".join(word.text for word in words)
    assert [word.start for word in words] == sorted({word.start for word in words})
    sent, told = 0, []
    for _, event in client.times:
        if event["type"] == "response.output_audio.delta":
            sent += len(base64.b64decode(event["delta"])) // 2
        elif event["type"] == "response.output_audio_transcript.delta":
            told.append(sent)
    assert sent > 60 * 24_000
    assert all(0 <= word.start - at < 4800 for word, at in zip(words, told, strict=True))


async def test_an_infinite_speed_generates_all_before_it_is_heard(autojump_clock, client_of):
    """For tests of what happens when generation is over and most of it is still to be played."""
    async with open_server(listen=False, speed=math.inf) as server, client_of(server) as client:
        begun = trio.current_time()
        await client.ask("tell me a story")
        assert begun == trio.current_time()


async def test_a_speed_of_one_generates_until_it_is_heard(autojump_clock, client_of):
    async with open_server(listen=False, speed=1.0) as server, client_of(server) as client:
        begun = trio.current_time()
        await client.ask("tell me a story")
        assert trio.current_time() - begun == pytest.approx(_seconds_of_sound(client), abs=0.25)


async def test_a_cancel_meets_a_response_in_progress(autojump_clock, client_of):
    closed = trio.Event()

    async def endless(request):
        try:
            while True:
                yield "and on "
        finally:
            closed.set()

    async with open_server(listen=False, brain=endless) as server, client_of(server) as client:
        await client.send("response.create")
        await client.until("response.output_audio.delta")
        await client.send("response.cancel")
        done = (await client.until("response.done"))[-1]["response"]
        assert "cancelled" == done["status"]
        await closed.wait()
        await client.send("response.create")
        await client.until("response.output_audio.delta")


async def test_a_spoken_turn_is_found_heard_and_answered(autojump_clock, client_of, user_speech):
    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            await trio.sleep(0.3)
            return Transcript("what time is it")

    asked = []

    async def brain(request):
        asked.append(request.history[-1].text)
        yield "Noon."

    async with open_server(listen=False, brain=brain, recogniser=Ear()) as server, client_of(server) as client:
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        await client.send("session.update", session={"type": "realtime", "audio": audio})
        for start in range(0, len(user_speech), 960):
            chunk = base64.b64encode(user_speech[start : start + 960]).decode()
            await client.send("input_audio_buffer.append", audio=chunk)
            await trio.sleep(0.02)
        await client.until("response.done")
    kinds = [event["type"] for _, event in client.times]
    expected = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
    ]
    assert expected == [kind for kind in kinds if kind in expected]
    assert "conversation.item.input_audio_transcription.completed" in kinds
    assert ["what time is it"] == asked


async def test_a_silent_user_is_urged_again_and_again(autojump_clock, client_of):
    """`idle_timeout_ms` on the wire: its clock begins when an answer would have been played, every time."""
    async with open_server(listen=False) as server, client_of(server) as client:
        detection = {"type": "server_vad", "idle_timeout_ms": 5000}
        await client.send(
            "session.update", session={"type": "realtime", "audio": {"input": {"turn_detection": detection}}}
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send_zeros, client)
            response = await client.ask("hello")
            for _ in range(3):
                heard = trio.current_time() + _seconds_of_sound(client)
                triggered = (await client.until("input_audio_buffer.timeout_triggered"))[-1]
                assert 5 == pytest.approx(trio.current_time() - heard, abs=0.05)
                assert 5000 == pytest.approx(triggered["audio_end_ms"] - triggered["audio_start_ms"], abs=50)
                client.times.clear()
                response = (await client.until("response.done"))[-1]["response"]
                assert response["output"][0]["content"][0]["transcript"].startswith("Are you still there?")
            nursery.cancel_scope.cancel()


async def _send_zeros(client: Any) -> None:
    """A muted microphone."""
    while True:
        await client.send("input_audio_buffer.append", audio=base64.b64encode(bytes(960)).decode())
        await trio.sleep(0.02)


def _seconds_of_sound(client: Any) -> float:
    deltas = [event["delta"] for _, event in client.times if event["type"] == "response.output_audio.delta"]
    return sum(len(base64.b64decode(delta)) for delta in deltas) / 48_000


async def test_without_a_recogniser_the_brain_still_answers(autojump_clock, client_of, user_speech):
    async with open_server(listen=False) as server, client_of(server) as client:
        await client.send("input_audio_buffer.append", audio=base64.b64encode(user_speech).decode())
        done = (await client.until("response.done"))[-1]["response"]
    assert "completed" == done["status"]
    assert done["output"][0]["content"][0]["transcript"]


async def test_two_out_of_band_responses_run_side_by_side(autojump_clock, client_of):
    async def slow(request):
        await trio.sleep(10)
        yield request.metadata["name"]

    async with open_server(listen=False, brain=slow) as server, client_of(server) as client:
        start = trio.current_time()
        for name in "ab":
            response = {"conversation": "none", "output_modalities": ["text"], "metadata": {"name": name}}
            await client.send("response.create", response=response)
        await client.until("response.done")
        await client.until("response.done")
        assert trio.current_time() - start < 11


async def test_a_failing_brain_fails_its_response_and_nothing_else(autojump_clock, client_of, caplog):
    async def brain(request):
        if request.history[-1].text == "fail":
            raise KeyError("oh no")
        yield "fine"

    async with (
        open_server(listen=False, brain=brain) as server,
        client_of(server) as client,
        client_of(server) as other,
    ):
        failed = await client.ask("fail", output_modalities=["text"])
        assert "failed" == failed["status"]
        assert {"type": "server_error", "code": "server_error", "message": "KeyError: 'oh no'"} == (
            failed["status_details"]["error"]
        )
        for each in (client, other):
            assert "completed" == (await each.ask("again", output_modalities=["text"]))["status"]
    assert "KeyError" in caplog.text


async def test_a_brain_without_words_can_be_cancelled(autojump_clock, client_of):
    async def silent(request):
        while True:
            yield ""

    async with open_server(listen=False, brain=silent) as server, client_of(server) as client:
        await client.send("response.create")
        await client.until("response.created")
        await client.send("response.cancel")
        assert "cancelled" == (await client.until("response.done"))[-1]["response"]["status"]


async def test_a_server_that_ends_says_so_to_its_clients(make_client):
    closed = []

    async def stay(url: str) -> None:
        async with open_websocket(Target(url=url + "?model=m")) as link:
            await link.receive_message()
            ready.set()
            with pytest.raises(ConnectionClosed) as caught:
                await link.receive_message()
            closed.append(caught.value.code)

    ready = trio.Event()
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        server = await stack.enter_async_context(open_server(recogniser="none"))
        nursery.start_soon(stay, server.url)
        await ready.wait()
        await stack.aclose()
    assert [1001] == closed


@pytest.mark.parametrize("nonsense", [5, b"\0\0"])
async def test_what_a_brain_may_not_give_fails_the_response(autojump_clock, client_of, nonsense):
    async def brain(request):
        yield nonsense

    async with open_server(listen=False, brain=brain) as server, client_of(server) as client:
        failed = await client.ask("go", output_modalities=["text"])
        assert "TypeError" in failed["status_details"]["error"]["message"]


@pytest.mark.parametrize(
    "nonsense",
    ["a \ud800", ToolCall("a\udc00"), ToolCall("a", '{"b": "\ud800"}'), ToolCall("a", {"b": "\ud800"})],
    ids=repr,
)
@pytest.mark.parametrize("modality", ["text", "audio"])
async def test_a_lone_surrogate_fails_its_response_and_nothing_else(autojump_clock, client_of, nonsense, modality):
    """JSON on a WebSocket cannot carry it."""

    async def brain(request):
        yield "well, "
        if request.history[-1].text == "fail":
            yield nonsense
            yield "never said"

    async with open_server(listen=False, brain=brain) as server, client_of(server) as client:
        failed = await client.ask("fail", output_modalities=[modality])
        assert "failed" == failed["status"]
        assert "surrogate" in failed["status_details"]["error"]["message"]
        (content,) = failed["output"][0]["content"]
        assert content["text" if modality == "text" else "transcript"].startswith("well, ")
        assert "completed" == (await client.ask("again", output_modalities=[modality]))["status"]


async def test_a_voice_that_gives_a_lone_surrogate_fails_the_response(autojump_clock, client_of):
    class Rubbish:
        async def speak(self, text: str, *, voice: str, speed: float = 1.0) -> Speech:
            return Speech(bytes(4800), (SpokenWord("\ud800", 0),))

    async with open_server(listen=False, brain=one_two, voice=Rubbish()) as server, client_of(server) as client:
        failed = await client.ask("go")
        assert "surrogate" in failed["status_details"]["error"]["message"]
        assert "completed" == (await client.ask("go", output_modalities=["text"]))["status"]


async def test_the_words_of_a_failure_may_hold_a_lone_surrogate(autojump_clock, client_of):
    async def brain(request):
        raise OSError("no file a\udcff")
        yield ""

    async with open_server(listen=False, brain=brain) as server, client_of(server) as client:
        failed = await client.ask("go", output_modalities=["text"])
        assert "OSError: no file a?" == failed["status_details"]["error"]["message"]


async def test_a_recogniser_that_gives_a_lone_surrogate_has_failed(autojump_clock, client_of, user_speech):
    class Rubbish:
        async def recognise(self, pcm: bytes) -> Transcript:
            return Transcript("\ud800")

    async with open_server(listen=False, brain=one_two, recogniser=Rubbish()) as server, client_of(server) as client:
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        await client.send("session.update", session={"type": "realtime", "audio": audio})
        await client.send("input_audio_buffer.append", audio=base64.b64encode(user_speech).decode())
        received = await client.until("response.done")
    failed = next(event for event in received if event["type"].endswith("transcription.failed"))
    assert "surrogate" in failed["error"]["message"]


async def test_a_brain_that_never_yields_is_told_what_a_brain_is(autojump_clock, client_of):
    """A plain coroutine function would otherwise also warn, somewhere else, that it was never awaited."""

    async def brain(request):
        return "hello"

    async with open_server(listen=False, brain=brain) as server, client_of(server) as client:
        failed = await client.ask("go", output_modalities=["text"])
    assert "failed" == failed["status"]
    assert "async generator function" in failed["status_details"]["error"]["message"]
    gc.collect()  # where the warning would come from


async def test_ctrl_c_does_not_land_in_a_session(autojump_clock, monkeypatch):
    """Where it would leave a task half started: it lands in the program's own block, which ends the server."""
    protected = {}

    def note(name):
        protected[name] = trio.lowlevel.currently_ki_protected()

    class Slate:
        """A link that notes who calls."""

        async def send_message(self, message: str) -> None:
            note("writer")

        async def receive_message(self) -> str:
            note("reader")
            return await messages.receive()

    class Ear:
        async def recognise(self, pcm: bytes) -> Transcript:
            note("ears")
            return Transcript("hello")

    async def brain(request):
        note("response")
        yield "hello"

    def tick(self, now):
        note("alarm")
        ticked.set()

    ticked = trio.Event()
    monkeypatch.setattr(RealtimeProtocol, "tick", tick)
    give, messages = trio.open_memory_channel(10)
    protocol = RealtimeProtocol(turn_detector=EnergyTurnDetector(), now=trio.current_time(), unix_time=0)
    driver = SessionDriver(Slate(), protocol, brain=brain, voice=BabbleVoice(), recogniser=Ear(), speed=4.0)
    async with open_services() as services:
        services.start_soon(driver.run)
        for event in (
            {"type": "input_audio_buffer.append", "audio": base64.b64encode(bytes(48_000)).decode()},
            {"type": "input_audio_buffer.commit"},
            {"type": "response.create"},
        ):
            give.send_nowait(json.dumps(event))
        await ticked.wait()
    assert dict.fromkeys(("reader", "writer", "ears", "response", "alarm"), True) == protected


async def test_ctrl_c_does_not_land_in_a_session_on_a_socket():
    protected = []

    def detector():
        protected.append(trio.lowlevel.currently_ki_protected())
        return EnergyTurnDetector()

    async with (
        open_server(recogniser="none", turn_detector=detector) as server,
        open_websocket(Target(url=server.url + "?model=m")) as link,
    ):
        await link.receive_message()
    assert [True] == protected


async def test_a_failing_recogniser_is_told_and_the_brain_goes_on(autojump_clock, client_of, user_speech):
    class Deaf:
        async def recognise(self, pcm: bytes) -> Transcript:
            raise OSError("no ears")

    async with open_server(listen=False, brain=one_two, recogniser=Deaf()) as server, client_of(server) as client:
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        await client.send("session.update", session={"type": "realtime", "audio": audio})
        await client.send("input_audio_buffer.append", audio=base64.b64encode(user_speech).decode())
        received = await client.until("response.done")
    failed = next(event for event in received if event["type"].endswith("transcription.failed"))
    assert "OSError: no ears" == failed["error"]["message"]


async def test_a_recogniser_that_does_not_answer_is_a_warning_without_a_traceback(
    autojump_clock, client_of, user_speech, caplog
):
    class Asleep:
        async def recognise(self, pcm: bytes) -> Transcript:
            raise AudioError("pocketsphinx did not answer within 30 s")

    async with open_server(listen=False, brain=one_two, recogniser=Asleep()) as server, client_of(server) as client:
        audio = {"input": {"transcription": {"model": "whisper-1"}}}
        await client.send("session.update", session={"type": "realtime", "audio": audio})
        await client.send("input_audio_buffer.append", audio=base64.b64encode(user_speech).decode())
        received = await client.until("response.done")
    failed = next(event for event in received if event["type"].endswith("transcription.failed"))
    assert "pocketsphinx did not answer within 30 s" == failed["error"]["message"]
    (warning,) = caplog.records
    assert ("WARNING", None) == (warning.levelname, warning.exc_info)
    assert "pocketsphinx did not answer within 30 s" in warning.getMessage()


async def test_a_client_that_leaves_in_the_middle_stops_its_brain(autojump_clock, client_of):
    stopped = trio.Event()

    async def endless(request):
        try:
            while True:
                yield "and on "
        finally:
            stopped.set()

    async with open_server(listen=False, brain=endless) as server:
        async with client_of(server) as client:
            await client.send("response.create")
            await client.until("response.output_audio.delta")
        await stopped.wait()


async def test_a_binary_message_is_an_error_event(autojump_clock, client_of):
    async with open_server(listen=False) as server, client_of(server) as client:
        await client.link._connection.send_message(b"\0")
        assert "invalid_event" == (await client.until("error"))[-1]["error"]["code"]
        await client.ask("hello", output_modalities=["text"])


async def test_an_expired_session_is_closed_with_1001(autojump_clock, make_client):
    target = Target(url=URL, ping_interval=7)  # not at the very moment of the end
    async with open_server(listen=False) as server, server.connect(target) as link:
        client = make_client(link)
        await client.receive()
        start = trio.current_time()
        assert "session_expired" == (await client.receive())["error"]["code"]
        assert 3600 == pytest.approx(trio.current_time() - start)
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert 1001 == caught.value.code


async def test_the_beta_dialect_is_refused_as_the_real_server_does(autojump_clock, client_of):
    async with (
        open_server(listen=False) as server,
        client_of(server, headers=(("OpenAI-Beta", "realtime=v1"),)) as client,
    ):
        assert "beta_api_shape_disabled" == (await client.receive())["error"]["code"]
        with pytest.raises(ConnectionClosed) as caught:
            await client.receive()
        assert 4000 == caught.value.code


@pytest.mark.parametrize(
    ("url", "headers", "status", "words"),
    [
        ("ws://localhost/v1/other?model=m", (), 404, "Invalid URL"),
        ("ws://localhost/v1/realtime/translations?model=m", (), 404, "Invalid URL"),
        ("ws://localhost/v1/realtime", (), 400, "missing_model"),
        ("ws://localhost/v1/realtime?intent=other", (), 400, "intent"),
        ("ws://localhost/v1/realtime?call_id=rtc_1", (), 400, "call_id"),
        (URL, (("Origin", "https://evil.example"),), 403, "origin_refused"),
    ],
)
async def test_who_is_not_let_in(client_of, url, headers, status, words):
    async with open_server(listen=False, origins=["https://good.example"]) as server:
        with pytest.raises(Refused) as caught:
            async with client_of(server, url, headers):
                raise AssertionError("let in")
        assert status == caught.value.status
        assert words in caught.value.body
        async with client_of(server, headers=(("Origin", "https://good.example"),)) as client:
            await client.receive()


@pytest.mark.parametrize(
    ("headers", "code"),
    [((), "No API key"), ((("Authorization", "Bearer sk-wrong-key"),), "invalid_api_key")],
)
async def test_a_server_that_wants_a_key(autojump_clock, client_of, headers, code):
    async with open_server(listen=False, api_key="sk-right") as server:
        with pytest.raises(Refused) as caught:
            async with client_of(server, headers=headers):
                raise AssertionError("let in")
        assert (401, True) == (caught.value.status, code in caught.value.body)
        assert "sk-right" not in repr(server)
        for good in (
            ("Authorization", "Bearer sk-right"),
            ("Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.sk-right"),
        ):
            try:
                async with client_of(server, headers=(good,)) as client:
                    await client.receive()
            except ConnectError:
                assert "Sec-WebSocket-Protocol" == good[0]  # a client that did not propose it may refuse the choice


async def test_a_transcription_session_by_its_intent(autojump_clock, client_of):
    url = "ws://localhost/v1/realtime?intent=transcription"
    async with open_server(listen=False) as server, client_of(server, url) as client:
        assert "transcription" == (await client.receive())["session"]["type"]


async def test_an_ended_server_takes_nobody(autojump_clock, client_of):
    async with open_server(listen=False) as server:
        pass
    with pytest.raises(ConnectError):
        async with client_of(server):
            raise AssertionError("let in")


async def test_a_speed_of_zero_is_refused():
    with pytest.raises(ConfigurationError, match="speed"):
        async with open_server(listen=False, speed=0):
            raise AssertionError("opened")


@pytest.mark.parametrize("port", [-1, 65536])
async def test_a_port_that_does_not_exist_is_refused(port):
    with pytest.raises(ConfigurationError, match=f"port={port}: it must be from 0"):
        async with open_server(port=port, recogniser="none"):
            raise AssertionError("opened")


def test_ctrl_c_while_the_best_voice_is_sought_comes_out_plain(monkeypatch):
    def interrupt():
        signal.raise_signal(signal.SIGINT)
        return babble_source()

    async def main():
        async with open_server(recogniser="none"):
            await trio.sleep_forever()

    monkeypatch.setattr(fittings, "default_voice", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trio.run(main)


async def test_the_bodys_own_exception_comes_out_plain(autojump_clock):
    mine = ExceptionGroup("mine", [ValueError()])
    with pytest.RaisesGroup(ValueError) as caught:
        async with open_server(listen=False):
            raise mine
    assert mine is caught.value


# ---- on a socket ----


async def test_serve_realtime_starts_in_trios_idiom(make_client):
    async with trio.open_nursery() as nursery:
        server = await nursery.start(
            lambda task_status: serve_realtime(brain=one_two, voice=None, task_status=task_status)
        )
        assert f"ws://127.0.0.1:{server.port}/v1/realtime" == server.url
        async with open_websocket(Target(url=server.url + "?model=m")) as link:
            response = await make_client(link).ask("go", output_modalities=["text"])
        assert "completed" == response["status"]
        nursery.cancel_scope.cancel()


async def test_a_taken_port_is_the_systems_own_error():
    async with open_server(recogniser="none") as server:
        with pytest.raises(OSError, match="in use"):
            async with open_server(port=server.port, recogniser="none"):
                raise AssertionError("opened twice")


async def test_a_client_that_sends_rubbish_disturbs_nobody(make_client):
    async with open_server(brain=one_two, recogniser="none") as server:
        rubbish = await trio.open_tcp_stream("127.0.0.1", server.port)
        await rubbish.send_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        async with rubbish, open_websocket(Target(url=server.url + "?model=m")) as link:
            assert "completed" == (await make_client(link).ask("go", output_modalities=["text"]))["status"]


async def test_plain_http_gets_an_answer():
    def fetch(url: str) -> int:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
                return answer.status
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    async with open_server(recogniser="none") as server:
        assert 400 == await trio.to_thread.run_sync(fetch, server.base_url + "/realtime?model=m")


def test_the_command_says_where_it_listens_and_ends_on_ctrl_c():
    command = [sys.executable, "-m", "realtime_trio.server", "--port", "0"]
    # The tests may run in the background of a shell, which makes all that it starts there deaf to Ctrl-C.
    hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear)  # noqa: PLW1509
    with process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=10)
        finally:
            process.kill()
    assert line.startswith("listening on ws://127.0.0.1:")
    assert line.endswith("/v1/realtime\n")
    assert (130, "") == (process.returncode, out)
    assert "Traceback" not in err


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_the_command_refuses_a_port_that_does_not_exist(port, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["server", "--port", port])
    assert 2 == command.main()
    assert f"error: port={port}: it must be from 0 (any free one) to 65535\n" == capsys.readouterr().err


def test_the_command_says_what_to_do_about_a_taken_port(monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["server", "--port", str(port)])
        assert 1 == command.main()
    cure = "choose another with --port, or 0 for any"
    assert f"error: port {port} on 127.0.0.1 is in use: {cure}\n" == capsys.readouterr().err


async def test_a_client_that_takes_nothing_is_not_read_for_ever(autojump_clock):
    class Deaf:
        """Sends for ever, takes nothing."""

        sent = 0

        async def send_message(self, message: str) -> None:
            await trio.sleep_forever()

        async def receive_message(self) -> str:
            await trio.lowlevel.checkpoint()
            self.sent += 1
            return json.dumps({"type": "session.update", "session": {"type": "realtime", "instructions": "x" * 2**16}})

        async def aclose(self, code: int = 1000, reason: str = "") -> None:
            pass

    link = Deaf()
    protocol = RealtimeProtocol(turn_detector=EnergyTurnDetector(), now=trio.current_time())
    driver = SessionDriver(link, protocol, brain=one_two, voice=BabbleVoice(), recogniser=None, speed=4.0)
    with trio.move_on_after(1000):
        await driver.run()
    assert 60 <= link.sent <= 70  # 4 MiB of answers

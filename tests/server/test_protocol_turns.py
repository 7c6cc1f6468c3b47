"""The user's turns: appended audio, turn detection, commits by hand, hearing, and the idle timeout, without I/O."""

import base64

import pytest

from realtime_trio.server import SpeechStarted, SpeechStopped, ToolCall, Transcript, guesses
from realtime_trio.server.outbox import Recognise, StartResponse

COMMIT = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]


def manual(bench, **audio_input):
    bench.update(audio={"input": {"turn_detection": None, **audio_input}})


def test_a_turn_by_server_vad_is_committed_and_answered(bench, types_of):
    assert [] == bench.append(1000)
    (started,) = bench.append(100, SpeechStarted(24 * 700))
    assert ("input_audio_buffer.speech_started", 700) == (started["type"], started["audio_start_ms"])
    sent = bench.append(400, SpeechStopped(24 * 1500))
    assert ["input_audio_buffer.speech_stopped", *COMMIT, "response.created"] == types_of(sent)
    assert 1500 == sent[0]["audio_end_ms"]
    assert {started["item_id"]} == {sent[0]["item_id"], sent[1]["item_id"], sent[2]["item"]["id"]}
    assert [{"type": "input_audio", "transcript": None}] == sent[2]["item"]["content"]
    (heard,) = bench.of_kind(Recognise)
    assert (started["item_id"], 800 * 48) == (heard.item_id, len(heard.pcm))
    (begun,) = bench.of_kind(StartResponse)
    assert (started["item_id"],) == begun.hear_first


def test_the_sound_behind_a_turn_belongs_to_the_next(bench):
    bench.append(500, SpeechStarted(0), SpeechStopped(24 * 300))
    bench.protocol.response_finished(bench.log[-1]["response"]["id"], bench.now)
    bench.append(500, SpeechStarted(24 * 300), SpeechStopped(24 * 900))
    assert [300 * 48, 600 * 48] == [len(effect.pcm) for effect in bench.of_kind(Recognise)]


@pytest.mark.parametrize("create_response", [True, False])
@pytest.mark.parametrize("interrupt_response", [True, False])
def test_what_a_turn_does_to_a_response(bench, types_of, create_response, interrupt_response):
    detection = {
        "type": "server_vad",
        "create_response": create_response,
        "interrupt_response": interrupt_response,
    }
    bench.update(audio={"input": {"turn_detection": detection}})
    running = bench.respond()
    started = types_of(bench.append(100, SpeechStarted(0)))
    assert interrupt_response == ("response.done" in started)
    stopped = bench.append(500, SpeechStopped(24 * 400))
    assert create_response == (stopped[-1]["type"] in ("response.created", "error"))
    if create_response and not interrupt_response:
        assert "conversation_already_has_active_response" == stopped[-1]["error"]["code"]
        assert running in stopped[-1]["error"]["message"]
        assert stopped[-1]["error"]["event_id"] is None


def test_an_interruption_flushes_in_order_and_says_why(bench, types_of):
    response = bench.respond()
    bench.protocol.response_transcript(response, "One ", bench.now)
    bench.protocol.response_audio(response, bytes(9600), bench.now)
    bench.take()
    sent = bench.append(100, SpeechStarted(0))
    assert [
        "input_audio_buffer.speech_started",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ] == types_of(sent)
    assert "incomplete" == sent[5]["item"]["status"]
    done = sent[6]["response"]
    assert ("cancelled", {"type": "cancelled", "reason": "turn_detected"}) == (done["status"], done["status_details"])
    assert not bench.protocol.response_audio(response, bytes(9600), bench.now)
    assert [] == bench.take()


def test_an_interruption_spares_responses_out_of_band(bench):
    bench.respond(conversation="none")
    sent = bench.append(100, SpeechStarted(0))
    assert ["input_audio_buffer.speech_started"] == [event["type"] for event in sent]


def test_a_commit_by_hand_makes_an_item_and_no_response(bench, types_of):
    manual(bench)
    assert [] == bench.append(100)
    sent = bench.send("input_audio_buffer.commit")
    assert COMMIT == types_of(sent)
    previous = sent[0]["item_id"]
    bench.append(200)
    assert previous == bench.send("input_audio_buffer.commit")[0]["previous_item_id"]
    assert [] == bench.of_kind(StartResponse)


def test_a_commit_of_too_little_is_refused_and_keeps_it(bench):
    manual(bench)
    bench.append(60)
    error = bench.error("input_audio_buffer.commit")
    assert "input_audio_buffer_commit_empty" == error["code"]
    assert "60.00ms" in error["message"]
    bench.append(40)
    assert 3 == len(bench.send("input_audio_buffer.commit"))


def test_clear_drops_the_buffer_and_the_open_turn(bench):
    bench.append(300, SpeechStarted(0))
    assert "input_audio_buffer.cleared" == bench.one("input_audio_buffer.clear")["type"]
    assert not bench.detector.speaking
    assert "input_audio_buffer_commit_empty" == bench.error("input_audio_buffer.commit")["code"]


def test_a_commit_in_the_middle_of_a_turn_uses_the_announced_item(bench, types_of):
    (started,) = bench.append(300, SpeechStarted(0))
    sent = bench.send("input_audio_buffer.commit")
    assert COMMIT == types_of(sent)
    assert started["item_id"] == sent[0]["item_id"]
    assert not bench.detector.speaking
    bench.append(300)
    assert started["item_id"] != bench.send("input_audio_buffer.commit")[0]["item_id"]


def test_turning_detection_off_in_a_turn_leaves_a_buffer_to_commit(bench, types_of):
    bench.append(300, SpeechStarted(0))
    manual(bench)
    bench.append(300)
    assert COMMIT == types_of(bench.send("input_audio_buffer.commit"))
    assert 600 * 48 == len(bench.of_kind(Recognise)[0].pcm)


def test_a_change_of_format_forgets_the_open_turn(bench):
    (started,) = bench.append(300, SpeechStarted(0))
    bench.update(audio={"input": {"format": {"type": "audio/pcmu"}}})
    assert not bench.detector.speaking
    bench.send("input_audio_buffer.append", audio=base64.b64encode(bytes(1600)).decode())
    assert started["item_id"] != bench.send("input_audio_buffer.commit")[0]["item_id"]


def test_the_timeline_counts_audio_that_the_detector_did_not_hear(bench):
    manual(bench)
    bench.append(2000)
    bench.update(audio={"input": {"turn_detection": {"type": "server_vad"}}})
    (started,) = bench.append(500, SpeechStarted(24 * 100))  # on the detector's own timeline
    assert 2100 == started["audio_start_ms"]


def test_silence_under_turn_detection_is_not_kept_for_ever(bench):
    for _ in range(30):
        bench.append(1000)
    sent = bench.send("input_audio_buffer.commit")
    retrieved = bench.one("conversation.item.retrieve", item_id=sent[0]["item_id"])
    audio = base64.b64decode(retrieved["item"]["content"][0]["audio"])
    assert guesses.IDLE_VAD_BUFFER_SECONDS * 48_000 == len(audio)


def test_one_event_and_the_whole_buffer_are_bounded(bench):
    manual(bench)
    piece = base64.b64encode(bytes(14 * 2**20)).decode()
    for _ in range(3):
        bench.send("input_audio_buffer.append", audio=piece)
    assert [guesses.BUFFER_FULL_CODE] == [event["error"]["code"] for event in bench.log[2:]]
    too_long = base64.b64encode(bytes(16 * 2**20)).decode()
    assert "invalid_value" == bench.error("input_audio_buffer.append", audio=too_long)["code"]


def test_half_a_sample_waits_for_its_other_half(bench):
    manual(bench)
    for _ in range(2):
        bench.send("input_audio_buffer.append", audio=base64.b64encode(bytes(24 * 50 * 2 + 1)).decode())
    bench.send("input_audio_buffer.commit")
    assert 24 * 100 * 2 + 2 == len(bench.of_kind(Recognise)[0].pcm)


@pytest.mark.parametrize("audio_format", ["audio/pcmu", "audio/pcma"])
def test_g711_is_three_samples_to_the_byte(bench, audio_format):
    manual(bench, format={"type": audio_format})
    assert [] == bench.send("input_audio_buffer.append", audio=base64.b64encode(b"\x55" * 8000).decode())
    item_id = bench.send("input_audio_buffer.commit")[0]["item_id"]
    assert 48_000 == len(bench.of_kind(Recognise)[0].pcm)
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert b"\x55" * 8000 == base64.b64decode(part["audio"])


# ---- hearing ----


def commit_with_transcription(bench, model: str) -> str:
    manual(bench, transcription={"model": model})
    bench.append(1000)
    return bench.send("input_audio_buffer.commit")[0]["item_id"]


def test_a_transcript_comes_in_pieces_and_whole(bench):
    item_id = commit_with_transcription(bench, "gpt-4o-transcribe")
    bench.protocol.heard(item_id, Transcript("what time is it"))
    *deltas, completed = bench.take()
    assert "what time is it" == "".join(event["delta"] for event in deltas) == completed["transcript"]
    assert 4 == len(deltas)
    assert ("tokens", 10) == (completed["usage"]["type"], completed["usage"]["input_tokens"])
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert "what time is it" == part["transcript"]


def test_an_item_is_transcribed_once(bench):
    item_id = commit_with_transcription(bench, "whisper-1")
    bench.protocol.heard(item_id, Transcript("first"))
    bench.take()
    bench.protocol.heard(item_id, Transcript("second"))
    assert [] == bench.take()
    (said,) = bench.protocol.brain_request(bench.respond()).history
    assert "first" == said.text


def test_whisper_is_billed_by_the_second_and_comes_in_one_piece(bench):
    item_id = commit_with_transcription(bench, "whisper-1")
    bench.protocol.heard(item_id, Transcript("hello there"))
    delta, completed = bench.take()
    assert "hello there" == delta["delta"]
    assert {"type": "duration", "seconds": 1.0} == completed["usage"]


def test_without_a_recogniser_the_transcription_fails_for_that_item(bench):
    item_id = commit_with_transcription(bench, "whisper-1")
    bench.protocol.heard(item_id, None, "There is none.")
    (failed,) = bench.take()
    assert "conversation.item.input_audio_transcription.failed" == failed["type"]
    assert (item_id, guesses.NO_RECOGNISER_CODE) == (failed["item_id"], failed["error"]["code"])


def test_the_brain_hears_without_transcription_and_the_client_is_not_told(bench):
    manual(bench)
    bench.append(1000)
    item_id = bench.send("input_audio_buffer.commit")[0]["item_id"]
    bench.protocol.heard(item_id, Transcript("hm", certain=False))
    assert [] == bench.take()
    (said,) = bench.protocol.brain_request(bench.respond()).history
    assert ("hm", False, 1.0) == (said.text, said.certain, said.seconds)
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert part["transcript"] is None


def test_what_nobody_understood_is_none_and_not_empty(bench):
    manual(bench)
    bench.append(1000)
    bench.protocol.heard(bench.send("input_audio_buffer.commit")[0]["item_id"], None)
    (said,) = bench.protocol.brain_request(bench.respond()).history
    assert said.text is None
    assert 48_000 == len(said.audio)


# ---- idle timeout ----


def idling(bench, timeout_ms: int = 5000, **detection) -> None:
    detection = {"type": "server_vad", "idle_timeout_ms": timeout_ms, **detection}
    bench.update(audio={"input": {"turn_detection": detection}})


def answered(bench, ms: int = 2000) -> str:
    """A whole response with that much sound, generated at once."""
    response = bench.respond()
    bench.protocol.response_audio(response, bytes(48 * ms), bench.now)
    bench.protocol.response_finished(response, bench.now)
    return next(event["item"]["id"] for event in bench.take() if event["type"] == "response.output_item.done")


def silence(bench, ms: int) -> list:
    """Append silence in real time, ticking as a driver does."""
    sent = []
    for _ in range(ms // 100):
        bench.now += 0.1
        if bench.now >= bench.protocol.deadline:
            bench.protocol.tick(bench.now)
            sent += bench.take()
        sent += bench.append(100)
    return sent


def test_a_long_silence_is_committed_and_answered(bench, types_of):
    idling(bench)
    answered(bench, 2000)
    done = bench.now
    bench.append(1000)
    assert bench.now + 2 + 5 == bench.protocol.deadline
    bench.protocol.tick(bench.protocol.deadline - 0.1)
    assert [] == bench.take()
    sent = silence(bench, 8000)
    assert ["input_audio_buffer.timeout_triggered", *COMMIT, "response.created"] == types_of(sent)
    assert {sent[0]["item_id"]} == {sent[1]["item_id"], sent[2]["item"]["id"], sent[3]["item"]["id"]}
    assert done + 7 <= bench.now
    assert bench.now + 60 < bench.protocol.deadline


@pytest.mark.parametrize("timeout_ms", [5000, 30000])
def test_the_silent_segment_begins_when_playback_ends(bench, timeout_ms):
    """ "The difference between the start and end values will roughly match the configured timeout", as the API says."""
    idling(bench, timeout_ms)
    bench.append(700)
    answered(bench, 3000)
    sent = silence(bench, 3000 + timeout_ms + 300)
    start, end = sent[0]["audio_start_ms"], sent[0]["audio_end_ms"]
    assert 700 + 3000 == pytest.approx(start, abs=100)
    assert timeout_ms == pytest.approx(end - start, abs=100)
    item = bench.one("conversation.item.retrieve", item_id=sent[0]["item_id"])["item"]
    assert 48 * (end - start) == len(base64.b64decode(item["content"][0]["audio"]))


def test_a_client_that_sends_nothing_gets_an_empty_segment(bench, types_of):
    idling(bench)
    answered(bench, 100)
    bench.now = bench.protocol.deadline
    bench.protocol.tick(bench.now)
    sent = bench.take()
    assert ["input_audio_buffer.timeout_triggered", *COMMIT, "response.created"] == types_of(sent)
    assert (0, 0) == (sent[0]["audio_start_ms"], sent[0]["audio_end_ms"])


def test_each_answer_starts_the_idle_clock_anew(bench):
    idling(bench)
    answered(bench, 100)
    triggered = []
    for _ in range(3):
        sent = silence(bench, 6000)
        triggered += [event for event in sent if event["type"] == "input_audio_buffer.timeout_triggered"]
        bench.protocol.response_finished(bench.of_kind(StartResponse)[-1].response_id, bench.now)
    ends = [event["audio_end_ms"] for event in triggered]
    assert 3 == len(ends)
    assert all(event["audio_end_ms"] - event["audio_start_ms"] == pytest.approx(5000, abs=100) for event in triggered)


def test_before_the_first_answer_nobody_is_urged(bench):
    idling(bench)
    assert [] == silence(bench, 40_000)


def test_speech_stops_the_idle_clock(bench):
    idling(bench)
    answered(bench, 100)
    bench.append(100, SpeechStarted(0))
    assert bench.now + 60 < bench.protocol.deadline


@pytest.mark.parametrize("interrupt_response", [True, False])
def test_after_a_turn_that_nobody_answers_the_idle_clock_waits_for_the_next_answer(bench, interrupt_response):
    """The user did speak: it is the client's turn to ask for a response, not the user's to be urged."""
    idling(bench, create_response=False, interrupt_response=interrupt_response)
    answered(bench, 100)
    bench.append(300, SpeechStarted(0))
    bench.append(600, SpeechStopped(24 * 800))
    assert [] == silence(bench, 10_000)
    answered(bench, 100)
    assert "input_audio_buffer.timeout_triggered" == silence(bench, 6000)[0]["type"]


def test_no_idle_timeout_while_a_response_is_in_progress(bench):
    idling(bench)
    answered(bench, 100)
    bench.respond()
    assert [] == silence(bench, 20_000)


def test_sound_that_was_cut_off_is_not_waited_for(bench):
    """A client that truncates has stopped playing: from then on it is quiet."""
    idling(bench)
    item_id = answered(bench, 60_000)
    silence(bench, 1000)
    bench.one("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000)
    assert bench.now + 5 == bench.protocol.deadline


def test_semantic_vad_and_manual_turns_have_no_idle_timeout(bench):
    idling(bench)
    answered(bench, 100)
    for detection in ({"type": "semantic_vad"}, None):
        bench.update(audio={"input": {"turn_detection": detection}})
        assert bench.now + 60 < bench.protocol.deadline


# ---- turns without responses ----

QUIET = [
    {"type": "server_vad", "create_response": False},
    {"type": "server_vad", "create_response": False, "interrupt_response": False},
    {"type": "semantic_vad", "create_response": False, "interrupt_response": False},
]


def detecting(bench, detection) -> None:
    bench.update(audio={"input": {"turn_detection": detection}})


def turn(bench, ms: int = 500) -> list:
    """A turn of the user's of that length, as server VAD finds it; return what the server sent."""
    position = bench.protocol._turns.position
    sent = bench.append(ms, SpeechStarted(position))
    bench.detector.next = []
    return sent + bench.append(100, SpeechStopped(position + 24 * ms)) + silence(bench, 9000)


@pytest.mark.parametrize("detection", QUIET)
def test_turns_without_responses_are_answered_together_later(bench, types_of, detection):
    detecting(bench, detection)
    ids = []
    for text in ("one", "two", "three"):
        sent = turn(bench)
        assert ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", *COMMIT] == types_of(sent)
        ids.append(sent[2]["item_id"])
        bench.protocol.heard(ids[-1], Transcript(text))
    assert [] == bench.of_kind(StartResponse)
    request = bench.protocol.brain_request(bench.respond())
    assert ["one", "two", "three"] == [said.text for said in request.history]


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
def test_a_response_goes_on_while_the_user_speaks(bench, types_of, kind):
    """With interrupt_response off; what was said is an item behind the response's, and answered by the next one."""
    detecting(bench, {"type": kind, "create_response": False, "interrupt_response": False})
    bench.say("first")
    running = bench.respond()
    bench.protocol.response_transcript(running, "One ", bench.now)
    bench.protocol.response_audio(running, bytes(9600), bench.now)
    bench.take()
    sent = turn(bench)
    assert ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped", *COMMIT] == types_of(sent)
    assert bench.protocol.response_audio(running, bytes(9600), bench.now)
    bench.protocol.response_finished(running, bench.now)
    (done,) = [event for event in bench.take() if event["type"] == "response.done"]
    assert "completed" == done["response"]["status"]
    assert done["response"]["output"][0]["id"] == sent[2]["previous_item_id"]
    bench.protocol.heard(sent[2]["item_id"], Transcript("second"))
    history = bench.protocol.brain_request(bench.respond()).history
    assert ["first", "One ", "second"] == [said.text for said in history]


@pytest.mark.parametrize("spoken", [False, True], ids=["before any word", "between message and call"])
def test_a_turn_during_a_response_is_behind_all_of_it_for_the_brain(bench, spoken):
    """It stands where it was committed; but the response did not know of it, so it is still to be answered."""
    detecting(bench, QUIET[1])
    bench.say("first")
    running = bench.respond()
    if spoken:
        bench.protocol.response_transcript(running, "One ", bench.now)
        bench.take()
    item_id = turn(bench)[2]["item_id"]
    bench.protocol.heard(item_id, Transcript("second"))
    bench.protocol.response_transcript(running, "two.", bench.now)
    bench.protocol.response_call(running, ToolCall("f", {}), bench.now)
    bench.protocol.response_finished(running, bench.now)
    bench.take()
    history = bench.protocol.brain_request(bench.respond()).history
    assert "second" == history[-1].text
    assert ["first", *(["One two."] if spoken else ["two."])] == [said.text for said in history[:2]]


def test_automatic_answers_fail_while_another_response_is_in_progress(bench, types_of):
    """interrupt_response off, create_response on: "this may fail to create a response", as the API says."""
    detecting(bench, {"type": "server_vad", "interrupt_response": False})
    running = bench.respond()
    sent = turn(bench)
    assert "conversation_already_has_active_response" == sent[-1]["error"]["code"]
    bench.protocol.response_finished(running, bench.now)
    bench.take()
    assert "response.created" == turn(bench)[-1]["type"]


@pytest.mark.parametrize("heard_first", [True, False])
def test_a_noise_item_can_be_deleted_at_once(bench, types_of, heard_first):
    """It is gone from all later answers, nobody waits for its transcript, and none is told."""
    bench.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
    detecting(bench, QUIET[1])
    item_id = turn(bench)[2]["item_id"]
    if heard_first:
        bench.protocol.heard(item_id, Transcript("hm", certain=False))
        bench.take()
    assert ["conversation.item.deleted"] == types_of(bench.send("conversation.item.delete", item_id=item_id))
    assert frozenset() == bench.protocol.hearing
    bench.protocol.heard(item_id, Transcript("hm", certain=False))
    assert [] == bench.take()
    after = turn(bench)
    assert after[2]["previous_item_id"] is None
    bench.protocol.heard(after[2]["item_id"], Transcript("stop"))
    bench.take()
    request = bench.protocol.brain_request(bench.respond())
    assert ["stop"] == [said.text for said in request.history]


def test_truncation_in_the_middle_of_a_response(bench, types_of):
    """The sound behind the mark is dropped, also what is still to come; the response itself goes on."""
    detecting(bench, QUIET[1])
    running = bench.respond()
    bench.protocol.response_transcript(running, "One two ", bench.now)
    bench.protocol.response_audio(running, bytes(48 * 1000), bench.now)
    item_id = bench.take()[-1]["item_id"]
    truncate = {"item_id": item_id, "content_index": 0}
    assert "invalid_value" == bench.error("conversation.item.truncate", audio_end_ms=1001, **truncate)["code"]
    sent = bench.send("conversation.item.truncate", audio_end_ms=600, **truncate)
    assert ["conversation.item.truncated"] == types_of(sent)
    assert bench.protocol.response_audio(running, bytes(48 * 1000), bench.now)
    assert bench.protocol.response_transcript(running, "three", bench.now)
    bench.protocol.response_finished(running, bench.now)
    bench.take()
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert 48 * 600 == len(base64.b64decode(part["audio"]))
    assert "transcript" not in part

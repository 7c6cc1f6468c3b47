"""The guard against the offline server, which knows when it says each word: in virtual time, and over real sockets."""

import wave

import pytest
import trio

from realtime_trio import Guarded, Stop, open_server, open_session
from realtime_trio.audio import ClockedDevice, WavDevice
from realtime_trio.server.babble import BabbleVoice
from realtime_trio.server.seams import Speech

TEXT = "Sure, I can tell you that. The password is swordfish, but keep it to yourself. Is there anything else?"
REPLACEMENT = "I cannot talk about that."


async def talkative(request):
    """Tell the secret; a line that it is told to say it says."""
    yield REPLACEMENT if REPLACEMENT in (request.instructions or "") else TEXT


async def guard(text):
    return Stop("a secret", instead=REPLACEMENT) if "swordfish" in text.text else None


class NeverSilent:
    """The babble voice's timing, with a sound of which no sample is silent."""

    async def speak(self, text, *, voice, speed=1.0):
        speech = await BabbleVoice().speak(text, voice=voice, speed=speed)
        return Speech((5000).to_bytes(2, "little") * (len(speech.pcm) // 2), speech.words)


class Recorder:
    def __init__(self):
        self.played = bytearray()

    def write(self, captured, played):
        self.played += played

    def flush(self):
        pass

    @property
    def samples(self):
        """How many samples came out that are not silence."""
        return sum(1 for sample in memoryview(bytes(self.played)).cast("h") if sample)


async def secret_begins():
    """The sample at which the word begins that is not to be heard."""
    speech = await NeverSilent().speak(TEXT, voice="marin")
    return next(word.start for word in speech.words if "swordfish" in word.text)


@pytest.mark.parametrize("speed", [1.0, 4.0, 1e6], ids=["no faster than speech", "four times", "at once"])
async def test_not_a_sample_of_the_word_is_heard(autojump_clock, speed):
    """Whatever the speed of generation: the server knows at which sample the word begins."""
    recorder = Recorder()
    async with (
        open_server(listen=False, brain=talkative, voice=NeverSilent(), speed=speed) as server,
        open_session(connect=server.connect, url=server.url, audio=ClockedDevice(recorder=recorder), guard=guard)
        as session,
    ):  # fmt: skip
        notices = session.events(Guarded)
        reply = await session.ask("Well?")
        stopped = recorder.samples
        guarded = await notices.receive()
        begins = await secret_begins()
        await session.drained()

        assert (24 * 200 if speed <= 4 else -1) < stopped < begins
        assert "swordfish" not in reply.text
        assert "swordfish" not in session.conversation.get(guarded.item_id).heard_text
        interruption = reply.interruption
        assert (interruption.reason, interruption.why) == ("guard", "a secret")
        assert interruption.parts[0].cut_ms * 24 == pytest.approx(stopped, abs=240)  # a fade ends in zeros
        assert reply.responses[0].stopped_by == Stop("a secret", instead=REPLACEMENT)
        spoken = [item.generated_text for item in session.conversation if item.role == "assistant"]
        assert spoken[-1] == REPLACEMENT
    assert recorder.samples > stopped, "what is said instead was heard"


async def test_over_a_socket_with_a_recording(tmp_path):
    """The same by the clock on the wall, with what was played in a file; the server's item ends where the sound did."""
    question = tmp_path / "question.wav"
    answer = tmp_path / "answer.wav"
    write_silence(question)
    async with (
        open_server(brain=talkative, voice=NeverSilent(), recogniser="none") as server,
        open_session(
            url=server.url, audio=WavDevice(question, answer), turn_detection=None, guard=guard, drain=False
        ) as session,
    ):
        notices = session.events(Guarded)
        reply = await session.ask("Well?")
        guarded = await notices.receive()
        begins = await secret_begins()
        told = session.conversation.get(guarded.item_id).truncated_ms
        with trio.fail_after(10):
            while told is None:
                await trio.sleep(0.01)
                told = session.conversation.get(guarded.item_id).truncated_ms
        (part,) = reply.interruption.parts

        assert told == part.cut_ms
        assert 0 < part.cut_ms * 24 < begins
        assert guarded.passed == reply.text
        assert reply.text == TEXT.partition("swordfish")[0]


async def test_over_a_socket_without_a_device():
    """Written text: what the program gets ends where the guard said so, and it goes on with the next question."""
    async with (
        open_server(brain=talkative, recogniser="none") as server,
        open_session(url=server.url, guard=guard) as session,
    ):
        reply = await session.ask("Well?")
        assert TEXT.startswith(reply.text)
        assert "swordfish" not in reply.text
        assert reply.status == "cancelled"
        again = await session.ask("Say it again.")
        assert "swordfish" not in again.text


async def judging(request):
    """Answer yes or no beside the conversation, and talk in it."""
    if request.response_instructions == "Is a secret told? Answer yes or no.":
        yield "yes" if "swordfish" in request.history[-1].text else "no"
    else:
        yield TEXT


async def test_a_guard_may_ask_the_model_beside_the_conversation(autojump_clock):
    """What it asks is not guarded, waits for nobody, and leaves no trace in the conversation."""
    verdicts = []

    async def guard(text):
        response = await session.generate([text.text], instructions="Is a secret told? Answer yes or no.")
        await response.done()
        verdicts.append(response.text)
        return "the model says so" if response.text == "yes" else None

    recorder = Recorder()
    async with (
        open_server(listen=False, brain=judging, voice=NeverSilent()) as server,
        open_session(connect=server.connect, url=server.url, audio=ClockedDevice(recorder=recorder), guard=guard)
        as session,
    ):  # fmt: skip
        reply = await session.ask("Well?")

        assert reply.interruption.why == "the model says so"
        assert verdicts[-1] == "yes"
        assert set(verdicts[:-1]) <= {"no"}
        assert recorder.samples < await secret_begins()
        assert len(session.conversation.items) <= 2


def write_silence(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(24_000)
        file.writeframes(bytes(48_000))

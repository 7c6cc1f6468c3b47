"""Lines, greetings and responses beside the talk, against the offline server: in virtual time, and over a socket."""

import math

import pytest
import trio

from realtime_trio import Interrupted, open_server, open_session
from realtime_trio.audio import ClockedDevice
from realtime_trio.server import Misbehaviour, Transcript


class Hearing:
    """A recogniser that always hears the same."""

    async def recognise(self, pcm: bytes) -> Transcript:
        return Transcript("how late is it")


async def talkative(request):
    """Says the line that it is asked to say; otherwise answers at length."""
    told = request.response_instructions or ""
    yield told.split('"""')[1].strip() if '"""' in told else "Well, " + "let me see, " * 20


def voice(ms: int) -> bytes:
    samples = (round(8000 * math.sin(2 * math.pi * 180 * n / 24_000)) for n in range(24 * ms))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


async def test_a_line_is_heard_to_its_end_though_the_user_speaks(autojump_clock):
    """The server's own turn detection does not interrupt this one; what was said meanwhile is answered, once, and the
    answer can be interrupted again."""
    device = ClockedDevice()
    line = "This call is recorded, and it may be used for training."
    async with (
        open_server(listen=False, brain=talkative, recogniser=Hearing()) as server,
        open_session(
            connect=server.connect, url=server.url, audio=device, turn_detection="server_vad", drain=False
        ) as session,
        session.responses() as responses,
        session.events(Interrupted) as interruptions,
    ):

        async def speak():
            await trio.sleep(1)
            device.speak(voice(800))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            utterance = await session.say(line, interruption="never")
        assert utterance.exact
        assert utterance.heard == line
        said, answer = await responses.receive(), await responses.receive()
        assert said.interruption is None
        while answer.first_sound_at is None:  # noqa: ASYNC110 the clock jumps
            await trio.sleep(0.02)
        await trio.sleep(1)
        detection = session.config.audio.input.turn_detection
        assert (detection.create_response, detection.interrupt_response) == (True, True)
        device.speak(voice(800))
        notice = await interruptions.receive()
        assert notice.interruption.reason == "speech_started"
        assert answer.interrupted
        third = await responses.receive()
        await third.done()
        users = [item for item in session.conversation if item.role == "user"]
        assert len(users) == 2
        with trio.move_on_after(5):
            raise AssertionError(f"nobody asked for {await responses.receive()}")


async def test_the_assistant_greets_says_a_line_and_thinks_aside_over_a_socket():
    """The main path: everything asks the one arbiter, and what is aside leaves no trace in the conversation."""
    async with (
        open_server() as server,
        open_session(url=server.url, instructions="Be kind.", greeting="Say hello.") as session,
        session.responses() as responses,
    ):
        greeting = await responses.receive()
        await greeting.done()
        assert greeting.text
        aside = await session.generate(["What is two plus three?"], instructions="Answer in one word.")
        utterance = await session.say("Your table is ready.")
        assert utterance.exact, utterance
        await aside.done()
        assert "five" in aside.text.lower() or "5" in aside.text
        said = [item.text for item in session.conversation]
        assert said == [greeting.text, "Your table is ready."]


async def test_what_was_said_instead_is_told():
    async with (
        open_server(misbehaviour=Misbehaviour(paraphrase=True)) as server,
        open_session(url=server.url) as session,
    ):
        utterance = await session.say("Your table is ready.")
    assert not utterance.exact
    assert [(one.asked, one.said) for one in utterance.differences] == [("", "Well")]


@pytest.mark.parametrize("when", ["queue", "interrupt"])
async def test_lines_and_questions_get_into_no_ones_way(when):
    """Many things want to be said at once; each is said, one after the other, and nobody sees a conflict."""
    async with open_server() as server, open_session(url=server.url) as session:
        said = []

        async def say(line):
            said.append((await session.say(line, when=when)).status)

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(say, f"This is line {number}.")
            reply = await session.ask("What is two plus three?")
        assert reply.status == "completed"
        assert len(said) == 5
        if when == "queue":
            assert said == ["completed"] * 5

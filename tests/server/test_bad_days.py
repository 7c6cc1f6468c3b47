"""Our own sessions on a server that has a bad day: what fails is named, what can be said is said once, in order."""

import pytest
import trio

from realtime_trio import open_session
from realtime_trio.errors import ResponseFailed
from realtime_trio.server import Failed, Incomplete, Misbehaviour, Transcript, guesses, open_server


class Ear:
    """Understands every turn in the same way."""

    async def recognise(self, pcm: bytes) -> Transcript:
        return Transcript("what is two plus three")


@pytest.mark.parametrize("code", [*guesses.FAILURES, "unheard_of"])
async def test_a_failure_that_lasts_reaches_who_asked(autojump_clock, code):
    async with (
        open_server(listen=False, misbehaviour=Misbehaviour(endings=lambda words: Failed(code=code))) as server,
        open_session(connect=server.connect) as session,
    ):
        with pytest.raises(ResponseFailed) as caught:
            await session.ask("2+2")
    assert code == caught.value.code


async def test_a_rate_limit_that_passes_is_waited_for(autojump_clock):
    misbehaviour = Misbehaviour(endings={1: Failed(code="rate_limit_exceeded")})
    async with (
        open_server(listen=False, misbehaviour=misbehaviour) as server,
        open_session(connect=server.connect) as session,
    ):
        begun = trio.current_time()
        reply = await session.ask("2+2")
        took = trio.current_time() - begun
    assert "2 plus 2 is 4." == reply.text
    assert took >= 1.5  # as the server said


async def test_an_answer_that_is_cut_off_says_why(autojump_clock):
    async with (
        open_server(listen=False, misbehaviour=Misbehaviour(endings={1: Incomplete(after_words=2)})) as server,
        open_session(connect=server.connect) as session,
    ):
        reply = await session.ask("2+2")
    assert ("incomplete", "2 plus ", "content_filter") == (reply.status, reply.text, reply.incomplete_reason)


async def test_a_rejection_without_a_cause_is_never_seen(autojump_clock):
    async with (
        open_server(listen=False, misbehaviour=Misbehaviour(rejected_creates={1, 2})) as server,
        open_session(connect=server.connect) as session,
    ):
        assert "2 plus 2 is 4." == (await session.ask("2+2")).text


async def test_transcripts_that_come_after_the_answer_stand_before_it(autojump_clock, user_speech):
    misbehaviour = Misbehaviour(transcript_after_answer=True, transcript_delay_s=3, other_order=True, done_delay_s=1)
    async with (
        open_server(listen=False, recogniser=Ear(), misbehaviour=misbehaviour) as server,
        open_session(
            connect=server.connect, modality="text", turn_detection="server_vad", transcription="gpt-4o-transcribe"
        ) as session,
        session.responses() as responses,
    ):
        await session.append_audio(user_speech)
        response = await responses.receive()
        await response.done()
        question, answer = session.conversation.items
        assert question.generated_text == ""
        await trio.sleep(10)
        assert [question.id, answer.id] == [item.id for item in session.conversation.items]
        assert "what is two plus three" == session.conversation.items[0].transcript
    assert "2 plus 3 is 5." == response.text


async def test_what_it_costs_is_counted_by_kind(autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, instructions="x" * 4000) as session,
    ):
        first, second = [(await session.ask("2+2")).usage for _ in range(2)]
    assert first.input_token_details.cached_tokens == 0
    assert second.input_token_details.cached_tokens == 960
    assert second.input_tokens > first.input_tokens > 1000


async def test_a_question_that_waits_while_a_line_is_said_is_answered(autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(session.say, "One moment, please.")
        reply = await session.ask("what is 2 plus 2")
    assert "2 plus 2 is 4." == reply.text

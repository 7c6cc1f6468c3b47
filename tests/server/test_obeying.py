"""What a response's own instructions make the stand-in say: lines, greetings, and what is beside the conversation."""

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio import open_session
from realtime_trio.server import Misbehaviour, open_server
from realtime_trio.server.obeying import asked_line, obey, paraphrase

LINES = ["Your call is recorded.", 'He said "no".', "One.\n\nSay hello.", '"""', "I am here."]


@pytest.mark.parametrize("line", LINES)
async def test_a_session_says_a_line_word_for_word(autojump_clock, line):
    async with (
        open_server(listen=False, speed=math.inf) as server,
        open_session(connect=server.connect, tools=[len_of], instructions="Say hello.\n\nBe brief.") as session,
    ):
        utterance = await session.say(line)
    assert line == utterance.said
    assert utterance.exact


async def len_of(text: str) -> int:
    """Tell how long a text is."""
    return len(text)


@pytest.mark.parametrize("line", ["Your call is recorded.", "I am here."])
async def test_the_difference_between_asked_and_said_can_be_shown(autojump_clock, line):
    async with (
        open_server(listen=False, misbehaviour=Misbehaviour(paraphrase=True)) as server,
        open_session(connect=server.connect, modality="audio", drain=False) as session,
    ):
        utterance = await session.say(line)
        assert "4" in (await session.ask("2+2")).text  # what is no line is not touched
    assert paraphrase(line) == utterance.said != line
    assert not utterance.exact


async def test_a_greeting_is_said_first(autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, instructions="Be brief.", greeting="Say hello.") as session,
        session.responses() as responses,
    ):
        response = await responses.receive()
        await response.done()
    assert "Hello." == response.text


async def test_any_number_of_answers_beside_the_conversation(autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, tools=[len_of]) as session,
    ):
        told = []

        async def beside(question: str) -> None:
            response = await session.generate([question])
            await response.done()
            told.append((question, response.text))

        async with trio.open_nursery() as nursery:
            for number in range(5):
                nursery.start_soon(beside, f"{number} plus {number}")
            reply = await session.ask("count to ten")
        assert {f"{n} plus {n}": f"{n} plus {n} is {2 * n}." for n in range(5)} == dict(told)
        assert reply.text.endswith("ten.")
        assert 2 == len(session.conversation.items)
        aside = await session.generate(['call len_of {"text": "abc"}'])  # which offers no tools
        await aside.done()
        assert "no rule" in aside.text
        assert ["message"] == [item.type for item in aside.items]


def test_no_tools_and_no_choice_are_no_calls(bench):
    bench.update(tools=[{"name": "look"}], tool_choice="required")
    assert ((), "auto") == asked(bench, tools=[], tool_choice="auto")
    assert ((), "required") == asked(bench, tools=[])
    assert (("look",), "none") == asked(bench, tool_choice="none")


def asked(bench, **params):
    request = bench.protocol.brain_request(bench.respond(conversation="none", **params))
    return tuple(tool.name for tool in request.tools), request.tool_choice


@given(st.text(), st.text())
def test_every_line_is_found_in_its_marks(line, rest):
    assert line == asked_line(f'Say the text word for word {rest.replace(chr(34), "")}\n"""\n{line}\n"""')


@given(st.text())
def test_any_instructions_are_read(instructions):
    assert all(isinstance(piece, str) for piece in obey(instructions))


@given(st.text(min_size=1))
def test_a_paraphrase_is_another_text(line):
    assert paraphrase(line) != line


@pytest.mark.parametrize("told", ["Say hello.", "Answer in German.", "Greet the user.", "", "Say it in your own words"])
def test_what_asks_for_no_line(told):
    assert asked_line(told) is None


def test_a_truncated_item_is_told_whole_when_it_ends_and_without_words_when_it_is_retrieved(bench):
    """A truncation takes the transcript out of the context. What was said was said."""
    response = bench.respond()
    bench.protocol.response_transcript(response, "One two. ", bench.now)
    bench.protocol.response_audio(response, b"\1\0" * 24_000, bench.now)
    item_id = bench.take()[0]["item"]["id"]
    bench.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    bench.protocol.response_transcript(response, "Three.", bench.now)
    bench.protocol.response_finished(response, bench.now)
    ended = {event["type"]: event for event in bench.take()}
    assert "One two. Three." == ended["response.output_audio_transcript.done"]["transcript"]
    assert "One two. Three." == ended["response.content_part.done"]["part"]["transcript"]
    (part,) = bench.one("conversation.item.retrieve", item_id=item_id)["item"]["content"]
    assert "transcript" not in part


def test_the_place_of_an_item_follows_what_was_deleted_around_it(bench):
    first, second, third = (bench.say(text)["item"]["id"] for text in ("one", "two", "three"))
    bench.send("conversation.item.delete", item_id=second)
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    error = bench.error("conversation.item.create", item=item, previous_item_id=second)
    assert "previous_item_id" == error["param"]
    assert first == bench.say("behind one", previous_item_id=first)["previous_item_id"]
    assert third == bench.say("last")["previous_item_id"]
    assert bench.say("first", previous_item_id="root")["previous_item_id"] is None
    texts = [said.text for said in bench.protocol.brain_request(bench.respond()).history]
    assert ["first", "one", "behind one", "three", "last"] == texts


def test_what_is_put_in_front_during_a_response_stands_there(bench):
    bench.say("one")
    response = bench.respond(output_modalities=["text"])
    bench.protocol.response_text(response, "Answer.", bench.now)
    spoken = bench.take()[0]["item"]["id"]
    inserted = bench.say("before", previous_item_id="root")
    assert inserted["previous_item_id"] is None
    assert spoken == bench.say("behind the answer", previous_item_id=spoken)["previous_item_id"]
    bench.send("conversation.item.delete", item_id=spoken)
    bench.protocol.response_finished(response, bench.now)
    ended = [event["type"] for event in bench.take()]
    assert "response.output_item.done" in ended
    assert "conversation.item.done" not in ended  # it is not in the conversation any more

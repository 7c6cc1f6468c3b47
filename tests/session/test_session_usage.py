"""What a session used and what it cost, as its program sees it."""

from decimal import Decimal

import pytest
import trio

from realtime_trio import ConfigurationError, Prices, ResponseNotCompleted, Tokens, open_server, open_session, tool
from realtime_trio.server import Failed, Incomplete, Misbehaviour

PRICES = Prices(input_text=1, input_audio=10, output_text=2, output_audio=20, cached_text="0.1", cached_audio="0.5")
"""Invented."""


def usage(text_in=0, audio_in=0, text_out=0, audio_out=0, cached=0):
    return {
        "total_tokens": text_in + audio_in + text_out + audio_out,
        "input_tokens": text_in + audio_in,
        "output_tokens": text_out + audio_out,
        "input_token_details": {
            "text_tokens": text_in,
            "audio_tokens": audio_in,
            "image_tokens": 0,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": text_out, "audio_tokens": audio_out},
    }


async def counting(request):
    yield "One two three four five. "
    yield "Six seven eight."


async def test_a_session_adds_up_all_its_responses(autojump_clock, open_talk, as_function_call):
    """Those of a tool call and those beside the conversation too; the reply has its own."""

    @tool
    async def look() -> str:
        """Look."""
        return "clear"

    async with open_talk(tools=[look], prices=PRICES) as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "look", "{}"), usage=usage(text_in=100, text_out=20))
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_2")
            await talk.done("resp_2", usage=usage(text_in=150, audio_in=10, audio_out=30, cached=100))
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_3", conversation_id=None)
            await talk.done("resp_3", conversation_id=None, usage=usage(text_in=7))
            await talk.done("resp_3", conversation_id=None, usage=usage(text_in=7))

        nursery.start_soon(answer)
        reply = await talk.session.ask("Is it?")

        assert reply.usage.total_tokens == 310
        assert reply.usage.input_token_details.cached_tokens == 100
        assert reply.usage.input_token_details.cached_tokens_details.text_tokens == 100
        # 100 x 1 + 20 x 2, then 50 x 1 + 10 x 10 + 100 x 0.1 + 30 x 20
        assert [one.cost for one in reply.responses] == [Decimal("0.00014"), Decimal("0.00076")]
        assert reply.cost == talk.session.cost == Decimal("0.0009")

        response = await talk.session.respond(conversation="none")
        await response.done()
        used = talk.session.usage

        assert (used.responses, used.turns) == (3, 1)
        assert (used.input, used.cached) == (Tokens(text=257, audio=10), Tokens(text=100))
        assert used.output == Tokens(text=20, audio=30)
        assert used.total_tokens == 317
        assert talk.session.cost == reply.cost + response.cost


async def test_without_prices_there_is_no_cost(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.text("resp_1", "Hello")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")

        assert (reply.cost, reply.responses[0].cost, talk.session.cost) == (None, None, None)
        assert talk.session.usage.total_tokens == 3


async def test_a_response_costs_nothing_known_before_it_is_done(autojump_clock, open_talk):
    async with open_talk(prices=PRICES) as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        response = await responses.receive()

        assert response.cost is None

        await talk.done("resp_1", usage=usage(text_out=5))
        await response.done()

        assert response.cost == Decimal("0.00001")


async def test_transcription_and_sound_are_counted(autojump_clock, open_talk, tone):
    """Sound by its length, both ways."""
    async with open_talk() as talk:
        await talk.session.append_audio(bytes(24_000 * 2 * 3))
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(1500))
        await talk.done("resp_1")
        await (await responses.receive()).done()
        await talk.peer.send(
            "conversation.item.input_audio_transcription.completed",
            item_id="item_u",
            content_index=0,
            transcript="hello",
            usage={"type": "duration", "seconds": 3},
        )
        async with talk.session.events() as events:
            await talk.peer.send("rate_limits.updated", rate_limits=[])
            await events.receive()
        used = talk.session.usage

        assert used.audio_in_minutes == pytest.approx(3 / 60)
        assert used.audio_out_minutes == pytest.approx(1.5 / 60)
        assert used.transcription.seconds == 3
        assert used.transcription.transcripts == 1


async def test_a_session_grows_old_until_it_ends(autojump_clock, open_talk):
    async with open_talk() as talk:
        await trio.sleep(90)

        assert talk.session.usage.minutes == pytest.approx(1.5)

    await trio.sleep(90)

    assert talk.session.usage.minutes < 1.6


async def test_prices_that_are_none_are_refused():
    with pytest.raises(ConfigurationError, match="Prices"):
        async with open_session(url="ws://localhost:1", prices={"input_text": 1}):
            pass


async def test_over_a_real_socket():
    """The offline server counts in its own way, with a cache; whatever it says adds up."""
    async with (
        open_server(brain=counting) as server,
        open_session(url=server.url, prices=PRICES, instructions="Count to eight. " * 1000) as session,
    ):
        replies = [await session.ask("Count!") for _ in range(3)]
        used = session.usage

        assert used.total_tokens == sum(reply.usage.total_tokens for reply in replies) > 0
        assert used.input_tokens == sum(reply.usage.input_tokens for reply in replies)
        assert used.cached_tokens > 0
        assert used.input.unknown == used.output.unknown == 0
        assert session.cost == sum(reply.cost for reply in replies) > 0
        assert (used.responses, used.turns) == (3, 3)


async def test_failures_over_a_real_socket():
    """Each of them is told to whoever listens; who asked has the reply."""
    endings = {
        1: Incomplete(reason="max_output_tokens"),
        2: Failed(code="server_error"),
        4: Failed(code="server_error"),
    }
    async with (
        open_server(brain=counting, misbehaviour=Misbehaviour(endings=endings)) as server,
        open_session(url=server.url) as session,
    ):
        notices = session.events(ResponseNotCompleted)
        short = await session.ask("Count!")
        whole = await session.ask("Count!")
        beside = await session.generate("Count!")
        with trio.move_on_after(5):
            told = [await notices.receive() for _ in range(3)]

        assert (short.status, short.incomplete_reason) == ("incomplete", "max_output_tokens")
        assert (whole.status, whole.text) == ("completed", "One two three four five. Six seven eight.")
        assert [(notice.status, notice.reason) for notice in told] == [
            ("incomplete", "max_output_tokens"),
            ("failed", "server_error"),
            ("failed", "server_error"),
        ]
        assert told[2].response_id == beside.id
        assert told[2].error.code == "server_error"

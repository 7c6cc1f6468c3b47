"""What happens when a session has used what it may: notices, and a clean end."""

from functools import partial

import pytest
import trio

from realtime_trio import (
    AccountRefused,
    Budget,
    BudgetExceeded,
    BudgetSpent,
    BudgetWarning,
    ConfigurationError,
    Prices,
    QuotaExceeded,
    ReplyLost,
    ResponseFailed,
    ResponseNotCompleted,
    open_server,
    open_session,
    tool,
)
from realtime_trio.server import Failed, Misbehaviour
from realtime_trio.testing import FakeDevice

PRICES = Prices(input_text=1, input_audio=10, output_text=2, output_audio=20)
"""Invented."""

GRACE = 0.5
"""Seconds in which a program can still read what came last."""


def usage(tokens):
    return {
        "total_tokens": tokens,
        "input_tokens": tokens,
        "output_tokens": 0,
        "input_token_details": {"text_tokens": tokens},
    }


class Wire:
    """What the session sends when it is about to end, answered by the peer."""

    def __init__(self, talk):
        self.talk = talk
        self.peer = talk.peer

    async def turn_off(self):
        """Answer what turns turn detection off; the update itself is answered by the peer."""
        await self.peer.expect("input_audio_buffer.clear", within=200)
        await self.peer.send("input_audio_buffer.cleared")

    @property
    def is_deaf(self):
        """Whether the session has turned turn detection off."""
        update = [event for event in self.peer.received if event["type"] == "session.update"][-1]
        return update["session"].get("audio", {}).get("input", {}).get("turn_detection", "unchanged") is None

    async def answer(self, response_id, text, tokens):
        """Answer one request with a whole response."""
        request = await self.peer.expect("response.create")
        await self.talk.created(request, response_id)
        await self.peer.send(
            "response.output_text.delta",
            response_id=response_id,
            item_id=f"item_{response_id}",
            output_index=0,
            content_index=0,
            delta=text,
        )
        await self.talk.done(response_id, usage=usage(tokens))

    async def answer_text(self, response_id, text, tokens):
        """Take one text and answer it."""
        await self.talk.acknowledge()
        await self.answer(response_id, text, tokens)

    def creates(self):
        return [event["type"] for event in self.peer.received].count("response.create")


async def received(subscription):
    """Everything that came so far."""
    found = []
    with trio.move_on_after(0.01):
        while True:
            found.append(await subscription.receive())
    return found


@pytest.mark.parametrize("budget", [Budget(tokens=100), Budget(money="0.0001")])
async def test_the_reply_that_spends_the_last_is_delivered_then_it_ends(autojump_clock, open_talk, budget):
    """By tokens as by money: nothing more is asked for, and the end has its name."""
    replies, notices = [], []
    with pytest.raises(BudgetExceeded) as caught:
        async with open_talk(budget=budget, prices=PRICES) as talk, trio.open_nursery() as nursery:
            wire = Wire(talk)
            subscription = talk.session.events(BudgetWarning, BudgetSpent)

            async def serve() -> None:
                await wire.answer_text("resp_1", "One", 80)
                await wire.answer_text("resp_2", "Two", 30)
                await wire.turn_off()

            nursery.start_soon(serve)
            replies.append((await talk.session.ask("1?")).text)
            notices.append([type(one) for one in await received(subscription)])
            replies.append((await talk.session.ask("2?")).text)
            notices.append([type(one) for one in await received(subscription)])
            await trio.sleep_forever()

    assert wire.is_deaf
    assert replies == ["One", "Two"]
    assert notices == [[BudgetWarning], [BudgetSpent]]
    (kind,) = budget.limits
    assert (caught.value.kind, caught.value.limit) == (kind, budget.limits[kind])
    assert caught.value.spent > caught.value.limit
    assert wire.creates() == 2


async def test_a_call_that_is_made_too_late_raises_it_too(autojump_clock, open_talk):
    """Nothing was sent for it."""
    with pytest.raises(BudgetExceeded):
        async with open_talk(budget=Budget(tokens=1)) as talk, trio.open_nursery() as nursery:
            wire = Wire(talk)

            async def serve() -> None:
                await wire.answer_text("resp_1", "One", 5)
                await wire.turn_off()

            nursery.start_soon(serve)
            await talk.session.ask("1?")
            for call in (
                talk.session.ask("2?"),
                talk.session.say("2"),
                talk.session.send_text("2?"),
                talk.session.respond(),
                talk.session.generate("2?"),
                talk.session.append_audio(bytes(4800)),
            ):
                with pytest.raises(BudgetExceeded):
                    await call
            await trio.sleep_forever()

    assert wire.creates() == 1
    assert [event["type"] for event in talk.peer.received].count("conversation.item.create") == 1


async def test_what_waits_for_its_turn_is_turned_away(autojump_clock, open_talk):
    """At once; what was begun goes on to its end."""
    told_at, texts = [], []
    with pytest.raises(BudgetExceeded):
        async with open_talk(budget=Budget(minutes=1)) as talk, trio.open_nursery() as nursery:
            wire = Wire(talk)
            began = trio.current_time()

            async def ask() -> None:
                with pytest.raises(BudgetExceeded):
                    await talk.session.respond()
                told_at.append(trio.current_time() - began)

            responses = talk.session.responses()
            await trio.sleep(59)
            nursery.start_soon(talk.session.respond)
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            nursery.start_soon(ask)
            await wire.turn_off()
            await trio.sleep(5)
            await talk.text("resp_1", "to the end")
            texts.append((await (await responses.receive()).done()).output[0].content[0].text)

            await trio.sleep_forever()

    assert texts == ["to the end"]
    assert told_at == [pytest.approx(60, abs=0.01)]
    assert trio.current_time() - began == pytest.approx(64 + 1 + GRACE, abs=0.1)
    assert wire.creates() == 1


async def test_a_create_on_its_way_is_cancelled(autojump_clock, open_talk):
    with pytest.raises(BudgetExceeded):
        async with open_talk(budget=Budget(minutes=1)) as talk, trio.open_nursery() as nursery:

            async def ask() -> None:
                with pytest.raises(BudgetExceeded):
                    await talk.session.respond()

            await trio.sleep(59)
            nursery.start_soon(ask)
            request = await talk.peer.expect("response.create")
            await Wire(talk).turn_off()
            await talk.created(request, "resp_1")
            await talk.peer.expect("response.cancel", response_id="resp_1")
            await talk.done("resp_1", status="cancelled")
            await trio.sleep_forever()


async def test_minutes_pass_also_when_nothing_happens(autojump_clock, open_talk):
    """By Trio's clock, from session.created."""
    began = trio.current_time()
    times = []
    with pytest.raises(BudgetExceeded) as caught:
        async with open_talk(budget=Budget(minutes=2, warn_at=0.75)) as talk, trio.open_nursery() as nursery:
            nursery.start_soon(Wire(talk).turn_off)
            notices = talk.session.events(BudgetWarning, BudgetSpent)
            while True:
                times.append((type(await notices.receive()), round(trio.current_time() - began, 3)))

    assert times == [(BudgetWarning, 90), (BudgetSpent, 120)]
    assert trio.current_time() - began == pytest.approx(120 + GRACE, abs=0.1)
    assert caught.value.spent == pytest.approx(2)


async def test_then_warn_only_says_so(autojump_clock, open_talk):
    async with open_talk(budget=Budget(minutes=1, tokens=10, then="warn")) as talk, trio.open_nursery() as nursery:
        wire = Wire(talk)
        subscription = talk.session.events(BudgetWarning, BudgetSpent)
        nursery.start_soon(wire.answer_text, "resp_1", "One", 50)
        await talk.session.ask("1?")
        await trio.sleep(100)
        nursery.start_soon(wire.answer_text, "resp_2", "Two", 50)

        assert (await talk.session.ask("2?")).text == "Two"

        told = [(type(one), one.kind) for one in await received(subscription)]

    assert told == [
        (BudgetWarning, "tokens"),
        (BudgetSpent, "tokens"),
        (BudgetWarning, "minutes"),
        (BudgetSpent, "minutes"),
    ]


async def test_the_last_turn_is_answered_with_its_tool_calls(autojump_clock, open_talk, as_function_call):
    """A budget of turns ends after an answer, not in its middle; another turn is not taken."""
    texts = []

    @tool
    async def look() -> str:
        """Look."""
        await trio.sleep(3)
        return "clear"

    with pytest.raises(BudgetExceeded) as caught:
        async with open_talk(budget=Budget(turns=1), tools=[look]) as talk, trio.open_nursery() as nursery:
            wire = Wire(talk)

            async def serve() -> None:
                await talk.acknowledge()
                request = await talk.peer.expect("response.create")
                await talk.created(request, "resp_1")
                await wire.turn_off()
                await talk.done("resp_1", as_function_call("call_1", "look", "{}"))
                await talk.acknowledge()
                await wire.answer("resp_2", "It is clear", 5)

            nursery.start_soon(serve)
            texts.append((await talk.session.ask("Is it?")).text)
            with pytest.raises(BudgetExceeded):
                await talk.session.ask("And now?")
            await trio.sleep_forever()

    assert texts == ["It is clear"]
    assert caught.value.kind == "turns"
    assert wire.creates() == 2


async def test_money_that_runs_out_in_the_last_turn_ends_that_too(autojump_clock, open_talk, as_function_call):
    """The reply to its tool call would cost more; the first reason stays the reason."""

    @tool
    async def look() -> str:
        """Look."""
        return "clear"

    with pytest.raises(BudgetExceeded) as caught:
        async with open_talk(budget=Budget(turns=1, tokens=10), tools=[look]) as talk, trio.open_nursery() as nursery:
            wire = Wire(talk)

            async def serve() -> None:
                await talk.acknowledge()
                request = await talk.peer.expect("response.create")
                await talk.created(request, "resp_1")
                await wire.turn_off()
                await talk.done("resp_1", as_function_call("call_1", "look", "{}"), usage=usage(50))
                await talk.acknowledge()

            nursery.start_soon(serve)
            with pytest.raises(BudgetExceeded):
                await talk.session.ask("Is it?")
            await trio.sleep_forever()

    assert caught.value.kind == "turns"
    assert wire.creates() == 1


async def test_what_is_being_said_is_heard_and_nobody_listens_any_more(autojump_clock, open_voice, tone, played_ms):
    """The microphone is closed; a response that the server begins all the same is stopped."""
    device = FakeDevice(output_latency_ms=30)
    with pytest.RaisesGroup(BudgetExceeded):  # by the nursery that runs the device
        async with open_voice(device=device, budget=Budget(tokens=100)) as talk:
            wire = Wire(talk)
            await talk.created(None, "resp_1")
            await talk.audio("resp_1", tone(2000))
            await talk.audio_done("resp_1")
            await talk.done("resp_1", usage=usage(150))
            await wire.turn_off()
            appended = [event["type"] for event in talk.peer.received].count("input_audio_buffer.append")
            await talk.created(None, "resp_2")
            await talk.peer.expect("response.cancel", response_id="resp_2")
            await talk.done("resp_2", status="cancelled")
            await trio.sleep_forever()

    assert played_ms(device) == pytest.approx(2000, abs=20)
    assert [event["type"] for event in talk.peer.received].count("input_audio_buffer.append") == appended


async def test_turn_detection_stays_off_when_what_had_taken_it_was_heard(autojump_clock, open_talk):
    """A line with a policy of its own takes turn detection and gives it back, but not to a session that ends."""
    with pytest.raises(BudgetExceeded):
        async with (
            open_talk(turn_detection="server_vad", budget=Budget(tokens=100)) as talk,
            trio.open_nursery() as nursery,
        ):
            wire = Wire(talk)
            nursery.start_soon(partial(talk.session.say, "This is recorded.", interruption="never"))
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            nursery.start_soon(talk.session.generate, "x")
            await talk.created(await talk.peer.expect("response.create"), "resp_2", conversation_id=None)
            await talk.done("resp_2", conversation_id=None, usage=usage(150))
            await wire.turn_off()
            await trio.sleep(0.1)
            assert wire.is_deaf
            await talk.text("resp_1", "This is recorded.")
            await trio.sleep_forever()

    assert wire.is_deaf


@pytest.mark.parametrize("is_answered", [True, False])
async def test_turn_detection_is_turned_off_also_when_the_clear_is_not_taken(autojump_clock, open_talk, is_answered):
    """It is the update that keeps the server from answering, whatever becomes of what it had heard."""
    with pytest.raises(BudgetExceeded):
        async with open_talk(turn_detection="server_vad", budget=Budget(tokens=100)) as talk:
            wire = Wire(talk)
            await talk.created(None, "resp_1")
            await talk.done("resp_1", usage=usage(150))
            clear = await talk.peer.expect("input_audio_buffer.clear")
            if is_answered:
                problem = {"type": "invalid_request_error", "code": "x", "message": "no", "event_id": clear["event_id"]}
                await talk.peer.send("error", error=problem)
            await trio.sleep_forever()

    assert wire.is_deaf


async def test_the_reply_to_a_tool_call_is_not_asked_for_when_the_money_is_gone(
    autojump_clock, open_talk, as_function_call
):
    """Its output is delivered; the one who asked learns why there is no answer."""

    @tool
    async def look() -> str:
        """Look."""
        return "clear"

    with pytest.raises(BudgetExceeded):
        async with open_talk(budget=Budget(tokens=10), tools=[look]) as talk, trio.open_nursery() as nursery:
            wire = Wire(talk)

            async def serve() -> None:
                await talk.acknowledge()
                request = await talk.peer.expect("response.create")
                await talk.created(request, "resp_1")
                await talk.done("resp_1", as_function_call("call_1", "look", "{}"), usage=usage(50))
                await wire.turn_off()
                await talk.acknowledge()

            nursery.start_soon(serve)
            with pytest.raises(BudgetExceeded):
                await talk.session.ask("Is it?")
            await trio.sleep_forever()

    assert wire.creates() == 1


async def test_a_block_that_ends_by_itself_raises_nothing(autojump_clock, open_talk):
    """It has had what it wanted."""
    async with open_talk(budget=Budget(tokens=1)) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(Wire(talk).answer_text, "resp_1", "One", 5)
        text = (await talk.session.ask("1?")).text

    assert text == "One"


async def test_the_blocks_own_exception_wins(autojump_clock, open_talk):
    """Ours becomes a note on it."""
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught:
        async with open_talk(budget=Budget(minutes=1)):
            try:
                await trio.sleep_forever()
            finally:
                raise mine

    assert caught.value is mine
    assert "BudgetExceeded" in mine.__notes__[0]


async def test_a_cancellation_from_outside_passes_through(autojump_clock, open_talk):
    with trio.move_on_after(1) as scope:
        async with open_talk(budget=Budget(minutes=1)):
            await trio.sleep_forever()

    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"budget": Budget(money=5)}, "prices"),
        ({"budget": 5}, "Budget"),
        ({"prices": 5}, "Prices"),
    ],
)
async def test_a_budget_that_nothing_is_reckoned_by_is_refused(options, words):
    with pytest.raises(ConfigurationError, match=words):
        async with open_session(url="ws://localhost:1", **options):
            pass


async def test_what_was_there_before_is_no_turn_of_the_budget(autojump_clock, open_talk):
    """Of two texts that are answered together, as one."""
    async with open_talk(budget=Budget(turns=3, warn_at=1)) as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.acknowledge)
        await talk.session.send_text("I mean", when="now_silently")
        nursery.start_soon(Wire(talk).answer_text, "resp_1", "One", 5)
        await talk.session.ask("this.")

        assert talk.session.usage.turns == 1


# ---- an account that gives no answers any more ----


def no_money(code="insufficient_quota"):
    error = {"type": code, "code": code, "message": "You exceeded your current quota"}
    return {"status": "failed", "status_details": {"type": "failed", "error": error}}


@pytest.mark.parametrize(("code", "made"), [("insufficient_quota", QuotaExceeded), ("invalid_api_key", AccountRefused)])
async def test_a_voice_that_nobody_can_answer_any_more_ends(autojump_clock, open_talk, code, made):
    """Turn detection made the response, so no call waits for it: the session would be silent for ever."""
    with pytest.raises(made) as caught:
        async with open_talk() as talk, trio.open_nursery() as nursery:
            notices = talk.session.events(ResponseNotCompleted)
            await talk.created(None, "resp_1")
            await talk.done("resp_1", **no_money(code))
            nursery.start_soon(Wire(talk).turn_off)
            notice = await notices.receive()
            await trio.sleep_forever()

    assert type(notice.error) is made
    assert caught.value.code == code


async def test_a_reply_that_is_owed_and_cannot_be_had_ends_it_too(autojump_clock, open_talk):
    """To a text that nobody waits for the answer of; also when no response began."""
    with pytest.raises(QuotaExceeded):
        async with open_talk() as talk, trio.open_nursery() as nursery:
            lost = talk.session.events(ReplyLost)
            nursery.start_soon(talk.acknowledge)
            await talk.session.send_text("Hello?")
            request = await talk.peer.expect("response.create")
            error = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "no"}
            await talk.peer.send("error", error={**error, "event_id": request["event_id"]})
            nursery.start_soon(Wire(talk).turn_off)
            await lost.receive()
            await trio.sleep_forever()


async def test_who_waits_can_go_on(autojump_clock, open_talk):
    """The one who asked has the exception, and decides."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def serve() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.done("resp_1", **no_money())

        nursery.start_soon(serve)
        with pytest.raises(QuotaExceeded):
            await talk.session.ask("Hello?")
        await trio.sleep(10)
        nursery.start_soon(Wire(talk).answer_text, "resp_2", "Paid", 5)

        assert (await talk.session.ask("And now?")).text == "Paid"


async def test_what_passes_does_not_end_it(autojump_clock, open_talk):
    """A filter, or a limit: the next turn may be answered."""
    async with open_talk() as talk:
        for number, code in enumerate(("content_filter", "rate_limit_exceeded", "server_error")):
            await talk.created(None, f"resp_{number}")
            await talk.done(f"resp_{number}", **no_money(code))
        await trio.sleep(5)

        assert talk.session.usage.responses == 3


async def test_an_error_that_answers_nothing_of_ours_may_end_it_too(autojump_clock, open_talk):
    """The account may be closed at any moment; what else the server reports is an event and no end."""
    with pytest.raises(AccountRefused):
        async with open_talk() as talk:
            await talk.peer.send("error", error={"type": "server_error", "code": "server_error", "message": "sorry"})
            await trio.sleep(5)
            closed = {"type": "invalid_request_error", "code": "account_deactivated", "message": "goodbye"}
            await talk.peer.send("error", error=closed)
            await Wire(talk).turn_off()
            await trio.sleep_forever()


# ---- over a real socket ----


async def counting(request):
    yield "One two three four five. "
    yield "Six seven eight."


async def test_a_budget_over_a_real_socket():
    """The offline server counts the tokens."""
    replies = []
    with pytest.raises(BudgetExceeded):
        async with (
            open_server(brain=counting) as server,
            open_session(url=server.url, budget=Budget(turns=2)) as session,
        ):
            while True:
                replies.append((await session.ask("Count!")).text)

    assert replies == ["One two three four five. Six seven eight."] * 2


async def test_an_account_without_money_over_a_real_socket():
    misbehaviour = Misbehaviour(endings={1: Failed(code="insufficient_quota")})
    with pytest.raises(ResponseFailed) as caught:
        async with (
            open_server(brain=counting, misbehaviour=misbehaviour) as server,
            open_session(url=server.url) as session,
        ):
            await session.send_text("Count!")
            await trio.sleep_forever()

    assert type(caught.value) is QuotaExceeded

"""Calls that somebody has to agree to: by a hook, or by a notice and an answer to it."""

import pytest
import trio

from realtime_trio import (
    ApprovalNeeded,
    ApprovalRequest,
    ConfigurationError,
    LocalProtocolError,
    ToolFailed,
    ToolStarted,
    open_server,
    open_session,
    tool,
)

OUTPUT = "function_call_output"
ARGUMENTS = '{"amount": 5}'


async def call(talk, *calls, response_id="resp_1"):
    await talk.created(None, response_id)
    await talk.done(response_id, *calls)


class Bank:
    def __init__(self):
        self.paid = []

    @tool(approve=True, timeout=1)
    async def pay(self, amount: int) -> str:
        """Pay."""
        await trio.lowlevel.checkpoint()
        self.paid.append(amount)
        return "paid"


@pytest.fixture
def bank():
    return Bank()


@pytest.mark.parametrize(
    "decided",
    [(True, "paid"), (False, "was not allowed to run."), ("over the limit", "was not allowed to run: over the limit.")],
)
async def test_a_hook_decides(autojump_clock, open_talk, as_function_call, bank, decided):
    """It may take its time, which is not the tool's; and it is told what it decides on."""
    decision, words = decided
    requests = []

    async def approve(request):
        requests.append(request)
        await trio.sleep(5)
        return decision

    async with open_talk(tools=[bank.pay], approve=approve) as talk:
        started = talk.session.events(ToolStarted)
        await call(talk, as_function_call("call_1", "pay", ARGUMENTS))
        item = await talk.acknowledge(within=6, item={"type": OUTPUT})
        await talk.peer.expect("response.create")
        assert len(started._held) == (decision is True)

    assert words in item["output"]
    assert bank.paid == ([5] if decision is True else [])
    assert requests == [ApprovalRequest("call_1", "function", "pay", ARGUMENTS)]
    assert "amount" not in repr(requests)


async def test_a_hook_that_goes_wrong_refuses(autojump_clock, open_talk, as_function_call, caplog, bank):
    """The safe side; the program gets the exception, the model no word of it."""

    async def approve(_request):
        await trio.lowlevel.checkpoint()
        raise RuntimeError("secret table is locked")

    async with open_talk(tools=[bank.pay], approve=approve) as talk:
        failures = talk.session.events(ToolFailed)
        await call(talk, as_function_call("call_1", "pay", ARGUMENTS))
        item = await talk.acknowledge(item={"type": OUTPUT})
        failed = await failures.receive()

    assert "was not allowed to run." in item["output"]
    assert "secret" not in item["output"]
    assert isinstance(failed.exception, RuntimeError)
    assert "the approval hook crashed" in caplog.text
    assert bank.paid == []


async def test_a_hook_that_does_not_say_refuses(autojump_clock, open_talk, as_function_call, bank):
    """None is what a hook returns that forgot to: that is no consent."""

    async def approve(_request):
        await trio.lowlevel.checkpoint()

    async with open_talk(tools=[bank.pay], approve=approve) as talk:
        failures = talk.session.events(ToolFailed)
        await call(talk, as_function_call("call_1", "pay", ARGUMENTS))
        await talk.acknowledge(item={"output": lambda words: "was not allowed" in words})
        assert isinstance((await failures.receive()).exception, TypeError)

    assert bank.paid == []


@pytest.mark.parametrize("approved", [True, False])
async def test_without_a_hook_the_program_is_told_and_answers(
    autojump_clock, open_talk, as_function_call, bank, approved
):
    async with open_talk(tools=[bank.pay]) as talk:
        notices = talk.session.events(ApprovalNeeded)
        await call(talk, as_function_call("call_1", "pay", ARGUMENTS))
        request = (await notices.receive()).request
        await talk.peer.expect_nothing(4)
        if approved:
            assert talk.session.approve(request.id)
        else:
            assert talk.session.refuse(request.id, "too much")
        assert not talk.session.approve(request.id)  # it is decided
        item = await talk.acknowledge(item={"type": OUTPUT})
        assert not talk.session.refuse(request.id)

    assert item["output"] == "paid" if approved else "too much" in item["output"]
    assert bank.paid == ([5] if approved else [])


async def test_what_cannot_decide_is_refused_at_the_door():
    with pytest.raises(ConfigurationError, match="approve is an async function"):
        async with open_session(url="ws://localhost:1", approve="yes"):
            pass


async def test_an_answer_to_no_request_is_a_mistake(autojump_clock, open_talk):
    async with open_talk() as talk:
        with pytest.raises(LocalProtocolError, match="call_9"):
            talk.session.approve("call_9")
        with pytest.raises(LocalProtocolError, match="call_9"):
            talk.session.refuse("call_9")


@pytest.mark.parametrize("by_hook", [True, False])
async def test_a_reason_that_no_message_can_carry_is_mended(autojump_clock, open_talk, as_function_call, bank, by_hook):
    """Made of the model's own arguments, say: half a character must not end the session."""

    async def approve(_request):
        await trio.lowlevel.checkpoint()
        return "no \ud800!"

    async with open_talk(tools=[bank.pay], approve=approve if by_hook else None) as talk:
        await call(talk, as_function_call("call_1", "pay", ARGUMENTS))
        await trio.testing.wait_all_tasks_blocked()
        if not by_hook:
            assert talk.session.refuse("call_1", "no \ud800!")
        item = await talk.acknowledge(item={"type": OUTPUT})
        await talk.peer.expect("response.create")

    assert "not allowed to run: no ?!" in item["output"]


@pytest.mark.parametrize("reason", [None, 5, b"no"])
async def test_a_reason_that_is_no_text_decides_nothing(autojump_clock, open_talk, as_function_call, bank, reason):
    """Who gives it hears of it, and can still decide."""
    async with open_talk(tools=[bank.pay]) as talk:
        await call(talk, as_function_call("call_1", "pay", ARGUMENTS))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(LocalProtocolError, match=r"a reason is a text, not \w+\. Nothing was decided"):
            talk.session.refuse("call_1", reason)
        assert talk.session.approve("call_1")
        await talk.acknowledge(item={"output": "paid"})
        await talk.peer.expect("response.create")


async def test_an_answer_that_comes_too_late_changes_nothing(autojump_clock, open_talk, as_function_call):
    """The call was interrupted meanwhile; also in the same moment."""
    ran = []

    @tool(approve=True, on_interrupt="cancel")
    async def pay() -> None:
        ran.append(True)

    async with open_talk(tools=[pay]) as talk:
        calls = [as_function_call(f"call_{n}", "pay", "{}") for n in (1, 2)]
        await call(talk, *calls)
        await trio.sleep(1)
        assert talk.session.approve("call_1")
        talk.session.interrupt()
        for _ in calls:
            item = await talk.acknowledge(item={"type": OUTPUT})
            assert "cancelled" in item["output"]
        assert not talk.session.approve("call_2")
        await talk.peer.expect_nothing(2)

    assert ran == []


async def test_a_hook_is_cancelled_with_its_call(autojump_clock, open_talk, as_function_call, caplog):
    """What it raises then is logged; and the session's end ends it too."""
    ended = []

    @tool(approve=True, on_interrupt="cancel")
    async def pay() -> None:
        pass

    async def approve(request):
        try:
            await trio.sleep_forever()
        finally:
            ended.append(request.id)
            if request.id == "call_1":
                raise RuntimeError("while asking")

    async with open_talk(tools=[pay], approve=approve) as talk:
        await call(talk, as_function_call("call_1", "pay", "{}"))
        await trio.sleep(1)
        talk.session.interrupt()
        item = await talk.acknowledge(item={"type": OUTPUT})
        assert "cancelled" in item["output"]
        await call(talk, as_function_call("call_2", "pay", "{}"), response_id="resp_2")
        await trio.sleep(1)

    assert ended == ["call_1", "call_2"]
    assert "while asking" in caplog.text


async def test_calls_of_a_batch_are_asked_about_side_by_side(autojump_clock, open_talk, as_function_call, bank):
    """Each is asked about at once, and runs as soon as it may; one reply when all are in."""
    waiting = []

    async def approve(request):
        waiting.append(request.id)
        await trio.sleep(1 + len(waiting))
        return True

    async with open_talk(tools=[bank.pay], approve=approve) as talk:
        calls = [as_function_call(f"call_{n}", "pay", f'{{"amount": {n}}}') for n in (1, 2)]
        await call(talk, *calls)
        await trio.sleep(0.1)
        assert sorted(waiting) == ["call_1", "call_2"]
        for _ in calls:
            await talk.acknowledge(item={"output": "paid"})
        await talk.peer.expect("response.create")

    assert sorted(bank.paid) == [1, 2]


@pytest.mark.slow
async def test_over_a_real_socket():
    """The offline server waits like any other for what a person decides."""

    @tool(approve=True)
    async def get_weather(city: str) -> str:
        """Tell the weather in a city."""
        return f"sunny in {city}"

    async def decide(session):
        async for notice in session.events(ApprovalNeeded):
            await trio.sleep(0.1)
            session.approve(notice.request.id)

    async with (
        open_server() as server,
        open_session(url=server.url, tools=[get_weather]) as session,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(decide, session)
        reply = await session.ask("What is the weather in Lima?")
        nursery.cancel_scope.cancel()

    assert [one.output for one in reply.tool_calls] == ["sunny in Lima"]

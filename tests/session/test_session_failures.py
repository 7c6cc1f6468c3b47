"""Responses that fail, are cut short or filtered: who is told, what it is called, and when it is asked for again."""

import pytest
import trio

from realtime_trio import (
    AccountRefused,
    ContentFiltered,
    QuotaExceeded,
    RateLimited,
    ReplyLost,
    ResponseFailed,
    ResponseNotCompleted,
    tool,
)


def failed(code, message=""):
    """The end of a response that failed."""
    error = {"type": "server_error", "code": code, "message": message}
    return {"status": "failed", "status_details": {"type": "failed", "error": error}}


def incomplete(reason):
    return {"status": "incomplete", "status_details": {"type": "incomplete", "reason": reason}}


async def fail(talk, response_id, code, message=""):
    """Answer a request with a response that fails."""
    request = await talk.peer.expect("response.create")
    await talk.created(request, response_id)
    await talk.done(response_id, **failed(code, message))


@pytest.mark.parametrize(
    ("code", "made"),
    [
        ("insufficient_quota", QuotaExceeded),
        ("billing_hard_limit_reached", QuotaExceeded),
        ("account_deactivated", AccountRefused),
        ("content_filter", ContentFiltered),
    ],
)
async def test_a_failure_that_does_not_pass_is_raised_at_once(autojump_clock, open_talk, code, made):
    """Asking a second time would only cost time."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await fail(talk, "resp_1", code)

        nursery.start_soon(answer)
        with pytest.raises(made) as caught:
            await talk.session.ask("Hello?")

        assert type(caught.value) is made
        assert (caught.value.response_id, caught.value.code) == ("resp_1", code)
        assert [event["type"] for event in talk.peer.received].count("response.create") == 1


async def test_a_rate_limit_is_waited_for_and_the_reply_comes(autojump_clock, open_talk):
    """The asker notices nothing but the time."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await fail(talk, "resp_1", "rate_limit_exceeded", "Please try again in 1.3s.")
            began = trio.current_time()
            request = await talk.peer.expect("response.create")
            assert trio.current_time() - began == pytest.approx(1.3)
            await talk.created(request, "resp_2")
            await talk.text("resp_2", "Here I am")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")

        assert reply.text == "Here I am"


async def test_a_rate_limit_that_does_not_pass_soon(autojump_clock, open_talk):
    """How long it takes is told to the asker, who can wait for it."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await fail(talk, "resp_1", "rate_limit_exceeded", "Please try again in 6m0s.")

        nursery.start_soon(answer)
        with pytest.raises(RateLimited) as caught:
            await talk.session.ask("Hello?")

        assert caught.value.retry_after == 360
        assert trio.current_time() < 1


async def test_a_refused_create_is_raised_by_its_class(autojump_clock, open_talk):
    """Money may be missing before a response begins."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer(**wanted) -> None:
            request = await talk.peer.expect("response.create", **wanted)
            error = {
                "type": "insufficient_quota",
                "code": "insufficient_quota",
                "message": "You exceeded your current quota",
                "event_id": request["event_id"],
            }
            await talk.peer.send("error", error=error)

        nursery.start_soon(answer)
        with pytest.raises(QuotaExceeded, match="exceeded your current quota"):
            await talk.session.respond()

        nursery.start_soon(answer)
        with pytest.raises(QuotaExceeded):
            await talk.session.respond(conversation="none")


async def test_done_raises_the_same_class(autojump_clock, open_talk):
    """For a response that one waits for directly; one out of band is asked for once only."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1", conversation_id=None)
            await talk.done("resp_1", conversation_id=None, **failed("rate_limit_exceeded", "try again in 20ms"))

        nursery.start_soon(answer)
        response = await talk.session.respond(conversation="none")
        with pytest.raises(RateLimited) as caught:
            await response.done()

        assert caught.value.retry_after == pytest.approx(0.02)


async def test_a_reply_that_nobody_waits_for_is_lost_with_its_class(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:
        lost = talk.session.events(ReplyLost)
        nursery.start_soon(talk.acknowledge)
        await talk.session.send_text("Hello?")
        await fail(talk, "resp_1", "content_filter")

        notice = await lost.receive()

        assert isinstance(notice, ReplyLost)
        assert isinstance(notice.problem, ContentFiltered)


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter"])
async def test_a_reply_that_was_cut_short_says_why(autojump_clock, open_talk, reason):
    """It is a reply, and not asked for again."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.done("resp_1", **incomplete(reason))

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")

        assert (reply.status, reply.incomplete_reason, reply.cancelled_reason) == ("incomplete", reason, None)
        assert reply.responses[0].incomplete_reason == reason


@pytest.mark.parametrize("reason", ["turn_detected", "client_cancelled"])
async def test_a_reply_that_was_cancelled_says_why(autojump_clock, open_talk, reason):
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.peer.send(
                "response.output_text.delta",
                response_id="resp_1",
                item_id="item_a",
                output_index=0,
                content_index=0,
                delta="Hel",
            )
            details = {"type": "cancelled", "reason": reason}
            await talk.done("resp_1", status="cancelled", status_details=details)

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")

        assert (reply.status, reply.incomplete_reason, reply.cancelled_reason) == ("cancelled", None, reason)


async def test_any_other_failure_is_asked_about_once_more(autojump_clock, open_talk):
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await fail(talk, "resp_1", "server_error")
            await fail(talk, "resp_2", "server_error")

        nursery.start_soon(answer)
        with pytest.raises(ResponseFailed) as caught:
            await talk.session.ask("Hello?")

        assert type(caught.value) is ResponseFailed
        assert caught.value.response_id == "resp_2"


@pytest.mark.parametrize("made_by", ["us", "turn detection", "us, beside the conversation"])
@pytest.mark.parametrize("ends", [failed("rate_limit_exceeded", "try again in 1h0m0s"), incomplete("content_filter")])
async def test_everybody_hears_of_a_response_that_was_not_completed(autojump_clock, open_talk, made_by, ends):
    """Once, whoever asked for it, and whoever waits for it."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        notices = talk.session.events(ResponseNotCompleted)
        request, fields = None, {}
        if made_by != "turn detection":
            overrides = {"conversation": "none"} if "beside" in made_by else {}
            nursery.start_soon(lambda: talk.session.respond(**overrides))
            request = await talk.peer.expect("response.create")
            fields = {"conversation_id": None} if overrides else {}
        await talk.created(request, "resp_1", **fields)
        await talk.done("resp_1", **fields, **ends)
        await talk.done("resp_1", **fields, **ends)

        notice = await notices.receive()

        assert isinstance(notice, ResponseNotCompleted)
        assert (notice.response_id, notice.status) == ("resp_1", ends["status"])
        if ends["status"] == "failed":
            assert notice.reason == "rate_limit_exceeded"
            assert isinstance(notice.error, RateLimited)
        else:
            assert (notice.reason, notice.error) == ("content_filter", None)
        with trio.move_on_after(1):
            pytest.fail(f"told twice: {await notices.receive()}")


async def test_a_failure_behind_a_complete_call_is_not_asked_for_again(autojump_clock, open_talk, as_function_call):
    """The call runs, and the reply to its output is the one reply: the model does not make the same call twice."""

    @tool
    async def look_up() -> str:
        """Look something up."""
        await trio.sleep(1)
        return "found"

    async with open_talk(tools=[look_up]) as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "look_up", "{}"), **failed("server_error"))
            await talk.acknowledge(item={"type": "function_call_output", "output": "found"})
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_2")
            await talk.text("resp_2", "It is found")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Where is it?")

        assert (reply.text, reply.status) == ("It is found", "completed")
        assert [response.id for response in reply.responses] == ["resp_1", "resp_2"]
        assert [event["type"] for event in talk.peer.received].count("response.create") == 2


async def test_a_failure_with_half_a_call_is_asked_for_again(autojump_clock, open_talk, as_function_call):
    """That call is not run, so nothing else would answer."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            half = as_function_call("call_1", "look_up", "{", status="incomplete")
            await talk.done("resp_1", half, **failed("server_error"))
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_2")
            await talk.text("resp_2", "Here I am")

        nursery.start_soon(answer)
        assert (await talk.session.ask("Where is it?")).text == "Here I am"

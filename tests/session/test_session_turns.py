"""Turns of a session, judged on the wire."""

import pytest
import trio

from realtime_trio import (
    NotAcknowledged,
    ReplyLost,
    ResponseFailed,
    ServerError,
    ToolError,
    ToolFailed,
    events,
    open_session,
    tool,
)
from realtime_trio.testing import open_scripted_peer


async def test_ask_returns_the_whole_exchange(autojump_clock, open_talk):
    """One line asks and has the text, the status and the usage of the answer."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge(item={"role": "user", "content": [{"type": "input_text", "text": "Hello?"}]})
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.text("resp_1", "Hello to you")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")

        assert reply.text == "Hello to you"
        assert reply.status == "completed"
        assert reply.usage.total_tokens == 3
        assert [response.id for response in reply.responses] == ["resp_1"]


async def test_parallel_calls_run_side_by_side_and_get_one_reply(autojump_clock, open_talk, as_function_call):
    """Two calls of one response take as long as the slower one, and are answered by one response."""
    times = []

    @tool
    async def wait_for(seconds: float) -> str:
        """Wait."""
        await trio.sleep(seconds)
        times.append(trio.current_time())
        return f"waited {seconds}"

    async with open_talk(tools=[wait_for]) as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_1")
            await talk.done(
                "resp_1",
                as_function_call("call_1", "wait_for", '{"seconds": 3}'),
                as_function_call("call_2", "wait_for", '{"seconds": 1}'),
            )
            await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_2", "output": "waited 1.0"})
            await talk.peer.expect_nothing(1.5)
            await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_1", "output": "waited 3.0"})
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_2")
            await talk.text("resp_2", "Both waited")

        nursery.start_soon(answer)
        start = trio.current_time()
        reply = await talk.session.ask("Wait twice.")

        assert reply.text == "Both waited"
        assert [call.call_id for call in reply.tool_calls] == ["call_2", "call_1"]
        assert [response.id for response in reply.responses] == ["resp_1", "resp_2"]
        assert reply.usage.total_tokens == 6
        assert times == [pytest.approx(start + 1), pytest.approx(start + 3)]


@pytest.mark.parametrize(
    "call",
    [
        ("fail", "{}", "RuntimeError"),
        ("refuse", "{}", "not on Sundays"),
        ("unknown", "{}", "no tool named"),
        ("fail", '{"x": 1}', "do not fit"),
        ("fail", "{broken", "do not fit"),
    ],
)
async def test_a_call_that_goes_wrong_is_answered_with_words(autojump_clock, open_talk, as_function_call, call):
    """A crash, a refusal, an unknown tool and bad arguments each become the call's one output."""
    name, arguments, part = call

    @tool
    async def fail() -> None:
        """Fail."""
        raise RuntimeError("out of order")

    @tool
    async def refuse() -> None:
        """Refuse."""
        raise ToolError("not on Sundays")

    async with open_talk(tools=[fail, refuse]) as talk, trio.open_nursery() as nursery:
        failures = talk.session.events(ToolFailed)

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1", as_function_call("call_1", name, arguments))
            await talk.acknowledge(item={"type": "function_call_output", "output": lambda output: part in output})
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "Sorry")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Do it.")

        assert reply.text == "Sorry"
        if part == "RuntimeError":
            failed = await failures.receive()
            assert isinstance(failed, ToolFailed)
            assert str(failed.exception) == "out of order"


async def test_a_call_that_was_cut_off_is_neither_run_nor_answered(autojump_clock, open_talk, as_function_call):
    """Half a call belongs to a response that is no more."""
    ran = []

    @tool
    async def note(text: str) -> None:
        """Note."""
        ran.append(text)

    async with open_talk(tools=[note]) as talk:
        await talk.created(None, "resp_1")
        await talk.done("resp_1", as_function_call("call_1", "note", '{"te', "incomplete"), status="cancelled")
        await talk.peer.expect_nothing(20)

    assert ran == []


async def test_already_active_is_never_seen(autojump_clock, open_talk):
    """A request that comes while a VAD response is active is asked for again when that is done."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            await talk.created(None, "resp_vad")
            await talk.peer.send(
                "error",
                error={
                    "type": "invalid_request_error",
                    "code": "conversation_already_has_active_response",
                    "message": "Conversation already has an active response in progress: resp_vad",
                    "event_id": request["event_id"],
                },
            )
            await talk.text("resp_vad", "Something else", "item_vad")
            request = await talk.peer.expect("response.create")
            await talk.created(request, "resp_ours")
            await talk.text("resp_ours", "Our answer", "item_ours")

        nursery.start_soon(answer)
        reply = await talk.session.ask("And?")

        assert reply.text == "Our answer"


async def test_a_failed_response_is_asked_for_once_more_and_then_raised(autojump_clock, open_talk):
    """A failure reaches the one who asked, after one more try."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            for response_id in ("resp_1", "resp_2"):
                await talk.created(await talk.peer.expect("response.create"), response_id)
                await talk.done(
                    response_id,
                    status="failed",
                    status_details={"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}},
                )

        nursery.start_soon(answer)
        with pytest.raises(ResponseFailed, match="rate_limit_exceeded") as caught:
            await talk.session.ask("Hello?")

        assert caught.value.response_id == "resp_2"


async def test_a_refused_create_is_raised_where_it_was_asked(autojump_clock, open_talk):
    """A bad override is an error of the one call, with the server's words."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def refuse() -> None:
            request = await talk.peer.expect("response.create", response={"instructions": "Sing."})
            await talk.peer.send(
                "error",
                error={
                    "type": "invalid_request_error",
                    "code": "invalid_value",
                    "message": "No singing.",
                    "event_id": request["event_id"],
                },
            )

        nursery.start_soon(refuse)
        with pytest.raises(ServerError, match="No singing"):
            await talk.session.respond(instructions="Sing.")


async def test_cancelling_ask_before_it_was_sent_forgets_it(autojump_clock, open_talk):
    """Nothing is asked for on behalf of somebody who left."""
    async with open_talk() as talk:
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        with trio.move_on_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(talk.acknowledge)
                await talk.session.ask("Never mind.")
        await talk.peer.send("input_audio_buffer.cleared")
        await talk.peer.expect_nothing(5)


async def test_cancelling_ask_after_it_was_sent_cancels_by_id(autojump_clock, open_talk):
    """A response that nobody wants any more is cancelled by its id."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.peer.expect("response.cancel", response_id="resp_1")

        nursery.start_soon(answer)
        with trio.move_on_after(1) as scope:
            await talk.session.ask("Hello?")

        assert scope.cancelled_caught


async def test_an_out_of_band_response_is_beside_the_conversation(autojump_clock, open_talk):
    """It runs while another is active, with its own text, and is in no subscription and no mirror."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        responses = talk.session.responses()
        await talk.created(None, "resp_vad")

        async def answer() -> None:
            request = await talk.peer.expect("response.create", response={"conversation": "none"})
            await talk.created(request, "resp_side", conversation_id=None)
            await talk.text("resp_side", "On the side", "item_side")

        nursery.start_soon(answer)
        side = await talk.session.respond(conversation="none", modality="text")
        await side.done()

        assert side.text == "On the side"
        assert side.out_of_band
        first = await responses.receive()
        assert first.id == "resp_vad"
        with trio.move_on_after(1) as scope:
            await responses.receive()
        assert scope.cancelled_caught
        assert "item_side" not in [item.id for item in talk.session.conversation]


async def test_cancel_response_waits_for_its_end(autojump_clock, open_talk):
    """It returns when the server is done with the response, and tells whether there was one."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        assert await talk.session.cancel_response() is False
        await talk.created(None, "resp_1")
        await trio.testing.wait_all_tasks_blocked()

        async def answer() -> None:
            await talk.peer.expect("response.cancel", response_id="resp_1")
            await trio.sleep(0.5)
            await talk.done("resp_1", status="cancelled")

        nursery.start_soon(answer)
        start = trio.current_time()

        assert await talk.session.cancel_response() is True
        assert trio.current_time() - start == pytest.approx(0.5)


async def test_a_silent_server_is_told_after_the_time_limit(autojump_clock, open_talk):
    """No call waits for ever."""
    async with open_talk(ack_timeout=3) as talk:
        start = trio.current_time()
        with pytest.raises(NotAcknowledged, match="delete"):
            await talk.session.delete_item("item_x")

        assert trio.current_time() - start == pytest.approx(3)


@pytest.mark.parametrize("overrides", [{}, {"conversation": "none"}])
async def test_an_unanswered_create_is_told_after_the_time_limit(autojump_clock, open_talk, overrides):
    """The limit is the session's, for responses too."""
    async with open_talk(ack_timeout=3) as talk:
        start = trio.current_time()
        with pytest.raises(NotAcknowledged, match="3 s"):
            await talk.session.respond(**overrides)

        assert trio.current_time() - start == pytest.approx(3)


async def test_acknowledged_calls_are_matched_by_what_they_are_about(autojump_clock, open_talk, as_message):
    """Answers in another order reach the right callers, errors without an event id too."""
    results: dict[str, object] = {}
    async with open_talk() as talk:

        async def delete(item_id: str) -> None:
            try:
                await talk.session.delete_item(item_id)
                results[item_id] = "deleted"
            except ServerError as error:
                results[item_id] = error.code

        async with trio.open_nursery() as nursery:
            for item_id in ("item_1", "item_2", "item_3"):
                nursery.start_soon(delete, item_id)
            for _ in range(3):
                await talk.peer.expect("conversation.item.delete")
            await talk.peer.send("conversation.item.deleted", item_id="item_3")
            await talk.peer.send(
                "error",
                error={
                    "type": "invalid_request_error",
                    "code": "item_delete_invalid_item_id",
                    "message": "Error deleting item: the item with id 'item_1' does not exist.",
                    "event_id": None,
                },
            )
            await talk.peer.send("conversation.item.deleted", item_id="item_2")

    assert results == {"item_1": "item_delete_invalid_item_id", "item_2": "deleted", "item_3": "deleted"}


async def test_update_returns_the_whole_configuration(autojump_clock, open_talk):
    """What is not named stays, and the server's word is what counts."""
    async with open_talk(instructions="Be brief.") as talk:
        config = await talk.session.update(turn_detection=None, tool_choice="none")

        assert config.instructions == "Be brief."
        assert config.tool_choice == "none"
        assert config.audio.input.turn_detection is None
        assert talk.session.config is config


async def test_audio_without_a_device_is_delivered_and_the_exchange_ends(autojump_clock, open_talk):
    """The program has the chunks and the transcript; nothing waits for a speaker that is not there."""
    async with open_talk(modality="audio") as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.audio("resp_1", "AQIDBA==")
            await talk.audio("resp_1", "BQY=")
            await talk.audio_done("resp_1")
            await talk.done("resp_1")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")

        assert [chunk async for chunk in reply.responses[0].audio_chunks] == [b"\1\2\3\4", b"\5\6"]
        await reply.responses[0].heard()


async def test_ask_beside_the_conversation_returns(autojump_clock, open_talk):
    """An exchange may be out of band, also at a server that echoes no metadata; a failure of it is raised."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer(status: str) -> None:
            await talk.acknowledge()
            await talk.peer.expect("response.create", response={"conversation": "none"})
            await talk.created(None, f"resp_{status}", conversation_id=None)
            await talk.done(f"resp_{status}", conversation_id=None, status=status)

        nursery.start_soon(answer, "completed")
        reply = await talk.session.ask("Aside?", conversation="none")
        assert reply.status == "completed"

        nursery.start_soon(answer, "failed")
        with pytest.raises(ResponseFailed):
            await talk.session.ask("Aside?", conversation="none")


async def test_an_out_of_band_response_that_nobody_wants_is_cancelled(autojump_clock, open_talk):
    """Before it was created as soon as it is; after that at once."""
    async with open_talk() as talk:
        with trio.move_on_after(1):
            await talk.session.respond(conversation="none")
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_late", conversation_id=None)
        await talk.peer.expect("response.cancel", response_id="resp_late")


async def test_an_output_that_the_server_does_not_take_is_reported(autojump_clock, open_talk, as_function_call):
    """Neither the tool's work nor the missing answer is passed over in silence."""

    @tool
    async def work() -> str:
        """Work."""
        return "done"

    async with open_talk(tools=[work], ack_timeout=3) as talk, trio.open_nursery() as nursery:
        failures = talk.session.events(ToolFailed)

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
            await talk.peer.expect("conversation.item.create")

        nursery.start_soon(answer)
        with pytest.raises(NotAcknowledged):
            await talk.session.ask("Work.")

        failed = await failures.receive()
        assert isinstance(failed, ToolFailed)
        assert isinstance(failed.exception, NotAcknowledged)


async def test_two_tasks_may_be_in_the_block_of_one_response(autojump_clock, open_talk):
    """Each has a scope of its own, and a barge-in leaves both."""
    async with open_talk() as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        response = await responses.receive()
        left = []

        async def stay(seconds: float) -> None:
            async with response:
                await trio.sleep(seconds)
            left.append(seconds)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stay, 100)
            nursery.start_soon(stay, 200)
            await trio.sleep(1)
            talk.session.interrupt()
        assert sorted(left) == [100, 200]
        assert trio.current_time() < 50


async def test_a_reply_may_have_tools_of_its_own(autojump_clock, open_talk, as_function_call):
    """Functions given to ask are described to the model and run, and the session's stay what they are."""

    @tool
    async def secret() -> str:
        """Tell the secret."""
        return "xyzzy"

    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            request = await talk.peer.expect("response.create")
            assert request["response"]["tools"][0]["name"] == "secret"
            await talk.created(request, "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "secret", "{}"))
            await talk.acknowledge(item={"output": "xyzzy"})
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "It is xyzzy")

        nursery.start_soon(answer)
        reply = await talk.session.ask("Tell me.", tools=[secret])

        assert reply.text == "It is xyzzy"


async def test_cancel_response_is_false_when_the_server_says_that_nothing_was_active(autojump_clock, open_talk):
    """Also for a response that failed in the meantime; neither is an error of the caller's."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        await talk.created(None, "resp_1")
        await trio.testing.wait_all_tasks_blocked()

        async def deny() -> None:
            event = await talk.peer.expect("response.cancel")
            problem = {"type": "invalid_request_error", "code": "response_cancel_not_active", "message": "None active."}
            await talk.peer.send("error", error={**problem, "event_id": event["event_id"]})

        nursery.start_soon(deny)
        assert await talk.session.cancel_response() is False

        async def fail() -> None:
            await talk.peer.expect("response.cancel")
            await talk.done("resp_1", status="failed")

        nursery.start_soon(fail)
        assert await talk.session.cancel_response() is False


async def test_an_error_that_reaches_its_caller_is_not_logged_as_well(autojump_clock, open_talk, caplog):
    """Nothing is log-only, and nothing is said twice."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def refuse() -> None:
            request = await talk.peer.expect("response.create")
            problem = {"type": "invalid_request_error", "code": "invalid_value", "message": "No."}
            await talk.peer.send("error", error={**problem, "event_id": request["event_id"]})

        nursery.start_soon(refuse)
        with pytest.raises(ServerError):
            await talk.session.respond(instructions="No?")

    assert caplog.records == []


async def test_no_key_is_in_what_a_failed_response_says(autojump_clock, as_function_call):
    """Also one that does not look like OpenAI's, when the server quotes it."""
    key = "9f8e7d6c5b4a39281706"
    async with (
        open_scripted_peer(greet=True) as peer,
        open_session(connect=peer.connect, url=peer.url, api_key=key) as session,
    ):
        responses = session.responses()
        await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
        error = {"type": "server_error", "code": "invalid_api_key", "message": f"Wrong key: {key}."}
        details = {"type": "failed", "error": error}
        value = {"id": "resp_1", "status": "failed", "conversation_id": "conv_1", "status_details": details}
        await peer.send("response.done", response=value)
        with pytest.raises(ResponseFailed, match="Wrong key") as caught:
            await (await responses.receive()).done()

    assert key not in str(caught.value) + repr(caught.value.response)


async def test_asks_that_share_a_response_share_all_that_follows(autojump_clock, open_talk, as_function_call):
    """Neither returns before the tool's output was answered."""

    @tool
    async def work() -> str:
        """Work."""
        await trio.sleep(3)
        return "done"

    async with open_talk(tools=[work]) as talk:
        replies = []

        async def ask(text: str) -> None:
            replies.append((await talk.session.ask(text)).text)

        await talk.created(None, "resp_0")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "One?")
            nursery.start_soon(ask, "Two?")
            for _ in range(2):
                await talk.acknowledge()
            await talk.done("resp_0")
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
            await talk.acknowledge(item={"output": "done"})
            assert replies == []
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "It is done")
        assert replies == ["It is done"] * 2


async def test_nothing_is_asked_for_an_ask_that_was_cancelled_while_a_tool_ran(
    autojump_clock, open_talk, as_function_call
):
    """The output is delivered, since the call is complete; a reply is nobody's wish any more."""

    @tool
    async def work() -> str:
        """Work."""
        await trio.sleep(3)
        return "done"

    async with open_talk(tools=[work]) as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1", as_function_call("call_1", "work", "{}"))
            await talk.acknowledge(item={"output": "done"})
            await talk.peer.expect_nothing(20)

        nursery.start_soon(answer)
        with trio.move_on_after(1):
            await talk.session.ask("Work.")


async def test_a_response_that_comes_after_it_was_given_up_is_cancelled(autojump_clock, open_talk):
    """Nobody waits for it any more, so it must not speak."""
    async with open_talk(ack_timeout=2) as talk, trio.open_nursery() as nursery:
        requests = []

        async def swallow() -> None:
            requests.append(await talk.peer.expect("response.create"))

        nursery.start_soon(swallow)
        with pytest.raises(NotAcknowledged):
            await talk.session.respond()
        await talk.created(requests[0], "resp_late")
        await talk.peer.expect("response.cancel", response_id="resp_late")


async def test_a_reply_that_nobody_waits_for_is_not_lost_in_silence(autojump_clock, open_talk):
    """send_text has returned long before: the subscribers are told."""
    async with open_talk(ack_timeout=2) as talk, trio.open_nursery() as nursery:
        lost = talk.session.events(ReplyLost)
        nursery.start_soon(talk.acknowledge)
        await talk.session.send_text("Well?")
        await talk.peer.expect("response.create")
        notice = await lost.receive()

        assert isinstance(notice, ReplyLost)
        assert isinstance(notice.problem, NotAcknowledged)


async def test_the_late_answer_of_an_update_is_not_the_next_ones(autojump_clock, open_talk):
    """What comes too late is taken by nobody; the refusal of the next update reaches its caller."""
    async with open_talk(ack_timeout=2) as talk, trio.open_nursery() as nursery:
        talk.peer.answer("session.update", lambda _: [])

        async def answer() -> None:
            await trio.sleep(2.5)
            await talk.peer.send("session.updated", session={"type": "realtime", "instructions": "first"})
            await trio.sleep(0.5)
            update = talk.peer.received[-1]
            assert update["session"]["instructions"] == "second"
            problem = {"type": "invalid_request_error", "code": "invalid_value", "message": "No."}
            await talk.peer.send("error", error={**problem, "event_id": update["event_id"]})

        nursery.start_soon(answer)
        with pytest.raises(NotAcknowledged):
            await talk.session.update(instructions="first")
        with pytest.raises(ServerError):
            await talk.session.update(instructions="second")


async def test_errors_without_an_event_id_blame_the_right_call(autojump_clock, open_talk):
    """By the very id in the message, and only where the kind fits; else the only call of that kind."""
    outcomes: dict[str, str] = {}

    async def attempt(name: str, call) -> None:
        try:
            await call
            outcomes[name] = "done"
        except (ServerError, NotAcknowledged) as error:
            outcomes[name] = type(error).__name__

    async with open_talk(ack_timeout=3) as talk:
        async with trio.open_nursery() as nursery:
            for item_id in ("item_1", "item_10"):
                nursery.start_soon(attempt, item_id, talk.session.delete_item(item_id))
                await talk.peer.expect("conversation.item.delete")
            nursery.start_soon(attempt, "retrieve", talk.session.retrieve_item("item_a"))
            await talk.peer.expect("conversation.item.retrieve")
            nursery.start_soon(attempt, "truncate", talk.session.truncate_item("item_b", 900))
            await talk.peer.expect("conversation.item.truncate")
            for code, words in (
                ("item_delete_invalid_item_id", "Error deleting item: the item with id 'item_10' does not exist."),
                ("item_delete_invalid_item_id", "Error deleting item: the item with id 'item_a' does not exist."),
                ("invalid_value", "Audio content of 500ms is already shorter than 900ms"),
            ):
                problem = {"type": "invalid_request_error", "code": code, "message": words}
                await talk.peer.send("error", error=problem)
        assert outcomes == {
            "item_1": "NotAcknowledged",
            "item_10": "ServerError",
            "retrieve": "NotAcknowledged",
            "truncate": "ServerError",
        }


async def test_an_out_of_band_response_is_cancelled_when_its_block_is_left(autojump_clock, open_talk):
    """Leaving early interrupts, beside the conversation too; and its audio has the same limit."""
    async with open_talk(audio_limit=1) as talk, trio.open_nursery() as nursery:

        async def answer(response_id: str) -> None:
            request = await talk.peer.expect("response.create")
            await talk.created(request, response_id, conversation_id=None)

        nursery.start_soon(answer, "resp_1")
        async with await talk.session.respond(conversation="none"):
            pass
        await talk.peer.expect("response.cancel", response_id="resp_1")

        nursery.start_soon(answer, "resp_2")
        response = await talk.session.respond(conversation="none")
        for _ in range(20):
            await talk.audio("resp_2", "AQIDBAUG" * 1000)
        await talk.peer.expect("response.cancel", response_id="resp_2")
        assert response.interrupted


async def test_a_call_is_answered_once_whatever_the_server_repeats(autojump_clock, open_talk, as_function_call):
    """A second response.done, or another response with the same call, runs nothing; out of band nothing runs at all."""
    ran = []

    @tool
    async def work() -> None:
        """Work."""
        ran.append("work")

    async with open_talk(tools=[work]) as talk:
        for response_id in ("resp_1", "resp_2"):
            await talk.created(None, response_id)
            for _ in range(2):
                await talk.done(response_id, as_function_call("call_1", "work", "{}"))
        await talk.created(None, "resp_side", conversation_id=None)
        await talk.done("resp_side", as_function_call("call_2", "work", "{}"), conversation_id=None)
        await talk.acknowledge(item={"type": "function_call_output", "call_id": "call_1"})
        await talk.peer.expect("response.create")
        await talk.peer.expect_nothing(5)
    assert ran == ["work"]


async def test_without_a_device_an_interruption_touches_no_item(autojump_clock, open_talk):
    """The program plays; what was heard is its knowledge. Only the generation is stopped."""
    async with open_talk(modality="audio") as talk:
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", "AQIDBAUG" * 1000)
        talk.session.interrupt()
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.done("resp_1", status="cancelled")
        await talk.peer.expect_nothing(5)


async def test_what_the_program_stopped_is_not_asked_for_again(autojump_clock, open_talk):
    """A stop is a stop; what the user's barge-in stopped before it was heard is owed again."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await trio.testing.wait_all_tasks_blocked()
            talk.session.interrupt()
            await talk.peer.expect("response.cancel")
            await talk.done("resp_1", status="cancelled")
            await talk.peer.expect_nothing(20)

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")
        assert reply.status == "cancelled"


async def test_what_a_barge_in_stopped_unheard_is_owed_again(autojump_clock, open_talk):
    """The question still wants its answer, when the user's floor is free again."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
            await talk.done("resp_1", status="cancelled")
            await talk.peer.expect_nothing(2)
            await talk.peer.send("input_audio_buffer.cleared")
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "After all")

        nursery.start_soon(answer)
        assert (await talk.session.ask("Hello?")).text == "After all"


async def test_the_session_cancels_where_the_server_does_not(autojump_clock, open_talk):
    """With interrupt_response off, the cancel is ours, by id."""
    detection = events.ServerVad(interrupt_response=False)
    async with open_talk(turn_detection=detection) as talk:
        await talk.created(None, "resp_1")
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        await talk.peer.expect("response.cancel", response_id="resp_1")


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": {"total_tokens": "many"}},
        {"metadata": {"number": 1}},
        {"audio": {"output": {"format": "pcm16"}}},
        {"status": 5},
        {"status_details": "x"},
        {"output": ["x"]},
    ],
)
async def test_an_odd_leaf_in_the_end_of_a_response_does_not_hold_the_asker(autojump_clock, open_talk, odd):
    """What cannot be read is kept as data; that the response is over counts."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def answer() -> None:
            await talk.acknowledge()
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            value = {"id": "resp_1", "status": "completed", "conversation_id": "conv_1", "output": [], **odd}
            await talk.peer.send("response.done", response=value)

        nursery.start_soon(answer)
        reply = await talk.session.ask("Hello?")
        assert reply.status == "completed"


@pytest.mark.parametrize(("form", "second"), [("audio/pcm", 48_000), ("audio/pcmu", 8_000)])
async def test_the_end_of_speech_is_known_in_every_input_format(autojump_clock, open_talk, form, second):
    """The server counts milliseconds, whatever a byte is."""
    config = {"audio": {"input": {"format": {"type": form}}}}
    async with open_talk(config=config) as talk:
        talk.peer.ignored.add("input_audio_buffer.append")
        responses = talk.session.responses()
        start = trio.current_time()
        for _ in range(20):
            await talk.session.append_audio(bytes(second // 10))
            await trio.sleep(0.1)
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=1900, item_id="item_u")
        await talk.created(None, "resp_1")
        response = await responses.receive()

        assert response.speech_ended_at - start == pytest.approx(1.4, abs=0.05)


@pytest.mark.parametrize("beside", [False, True])
async def test_a_response_that_nobody_wants_is_cancelled_once(autojump_clock, open_talk, beside):
    """Whoever notices first that its asker left: one response, one cancel."""
    overrides = {"conversation": "none"} if beside else {}
    async with open_talk() as talk:
        with trio.move_on_after(1):
            await talk.session.respond(**overrides)
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_1", conversation_id=None if beside else "conv_1")
        await talk.peer.expect("response.cancel", response_id="resp_1")
        await talk.peer.expect_nothing(5)

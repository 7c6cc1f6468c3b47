"""Hosted MCP servers in a session: listed, approved of, their failures told, and the reply never lost nor doubled."""

import logging

import pytest
import trio

from realtime_trio import (
    ApprovalNeeded,
    ConfigurationError,
    ConnectionClosed,
    McpCallFailed,
    McpCallFinished,
    McpCallStarted,
    McpListed,
    McpListingFailed,
    McpUnavailable,
    NotAcknowledged,
    ToolFailed,
    events,
    tool,
)

DOCS = events.McpTool(
    server_label="docs", server_url="https://docs.example", authorization="hushhush", headers={"X-Key": "whisper"}
)
SHOP = events.McpTool(server_label="shop", server_url="https://shop.example", require_approval="never")
TOOLS = [{"name": "search", "input_schema": {"type": "object"}}]


def mcp_call(call_id="mcp_1", **fields):
    return {
        "type": "mcp_call", "id": call_id, "server_label": "docs", "name": "search", "arguments": '{"q": 1}', **fields
    }  # fmt: skip


def approval_request(request_id="ask_1"):
    return {
        "type": "mcp_approval_request", "id": request_id, "server_label": "docs", "name": "search",
        "arguments": '{"q": 1}',
    }  # fmt: skip


async def send_item(talk, item, *kinds):
    for kind in kinds or ("added", "done"):
        await talk.peer.send(f"conversation.item.{kind}", item=item, previous_item_id=None)


async def list_tools(talk, label="docs", item_id="list_1"):
    await talk.peer.send("mcp_list_tools.in_progress", item_id=item_id)
    await send_item(talk, {"type": "mcp_list_tools", "id": item_id, "server_label": label, "tools": TOOLS})
    await talk.peer.send("mcp_list_tools.completed", item_id=item_id)


async def run_call(talk, call_id="mcp_1", *, ending="completed", **outcome):
    """Send what the server says of a call, from its start to its outcome."""
    await talk.peer.send("response.mcp_call.in_progress", item_id=call_id, output_index=0)
    await talk.peer.send(f"response.mcp_call.{ending}", item_id=call_id, output_index=0)
    await send_item(talk, mcp_call(call_id, **outcome), "done")


async def add_call(talk, response_id, item=None):
    await talk.peer.send("response.output_item.added", response_id=response_id, output_index=0, item=item or mcp_call())


async def begin(talk, text="What do the docs say?"):
    """Take a question, and begin to answer it."""
    await talk.acknowledge(item={"type": "message"})
    request = await talk.peer.expect("response.create")
    await talk.created(request, "resp_1")


class Asked:
    """One `ask` in a task, and what came of it."""

    def __init__(self, nursery, session, **overrides):
        self.reply = None
        nursery.start_soon(self._ask, session, overrides)

    async def _ask(self, session, overrides):
        self.reply = await session.ask("What do the docs say?", **overrides)


# Listings


async def test_a_program_can_wait_for_the_tools_of_its_servers(open_talk, autojump_clock):
    @tool
    def weather() -> str:
        """Tell the weather."""
        return "rain"

    async with open_talk(tools=[weather, DOCS, SHOP]) as talk, talk.session.events(McpListed) as listed:
        assert {label: server.status for label, server in talk.session.mcp_servers.items()} == {
            "docs": "listing",
            "shop": "listing",
        }
        async with trio.open_nursery() as nursery:
            nursery.start_soon(list_tools, talk)
            (docs,) = await talk.session.mcp_ready("docs")
        assert docs.tools[0].name == "search"
        assert (await listed.receive()).server == docs == talk.session.mcp_servers["docs"]

        with pytest.raises(NotAcknowledged, match="the tools of shop were not listed within 5 s"):
            await talk.session.mcp_ready(within=5)
        await list_tools(talk, "shop", "list_2")
        assert [server.label for server in await talk.session.mcp_ready()] == ["docs", "shop"]


async def test_a_listing_that_fails_is_told_to_who_waits_and_to_who_listens(open_talk, autojump_clock):
    async with open_talk(tools=[DOCS]) as talk, talk.session.events(McpListingFailed) as failures:
        await talk.peer.send("mcp_list_tools.failed", item_id="list_1")

        assert (await failures.receive()).server_label == "docs"
        with pytest.raises(McpUnavailable, match="the MCP server 'docs': its tools could not be listed: check"):
            await talk.session.mcp_ready("docs")


async def test_a_label_that_is_misspelt_is_not_waited_for(open_talk, autojump_clock):
    async with open_talk(tools=[DOCS]) as talk:
        with pytest.raises(ConfigurationError, match="has the label 'dox': there is 'docs'"):
            await talk.session.mcp_ready("dox")
        await talk.session.remove_tools("docs")
        with pytest.raises(ConfigurationError, match="has the label 'docs': there is none"):
            await talk.session.mcp_ready("docs")
        assert await talk.session.mcp_ready() == ()


async def test_who_waits_for_tools_hears_of_the_links_end(open_talk, autojump_clock):
    async def wait(session):
        with pytest.raises(ConnectionClosed):
            await session.mcp_ready("docs")

    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectionClosed):
            async with open_talk(tools=[DOCS], reconnect=None) as talk:
                nursery.start_soon(wait, talk.session)
                await trio.testing.wait_all_tasks_blocked()
                await talk.peer.close(1011, "enough")
                await trio.sleep_forever()


async def test_credentials_are_shown_nowhere(open_talk, autojump_clock, caplog):
    caplog.set_level(logging.DEBUG)
    async with open_talk(tools=[DOCS]) as talk:
        shown = [repr(talk.session.config), repr(DOCS), repr(talk.session.mcp_servers), str(talk.session)]
        with pytest.raises(ConfigurationError) as caught:
            await talk.session.add_tools(DOCS)
        shown += [str(caught.value), caplog.text]

    assert "docs.example" in shown[0]
    assert [text for text in shown if "hushhush" in text or "whisper" in text] == []


# Calls


async def test_a_call_and_the_words_on_it_in_one_response(open_talk, as_message, autojump_clock):
    """What the guide shows: nothing more is asked for."""
    async with open_talk(tools=[DOCS]) as talk, talk.session.events(McpCallStarted, McpCallFinished) as told:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await add_call(talk, "resp_1")
            await run_call(talk, output="found it")
            await talk.done("resp_1", mcp_call(output="found it"), as_message("item_a", "It says so."))
        await trio.sleep(5)

        assert [type(await told.receive()), type(await told.receive())] == [McpCallStarted, McpCallFinished]
    assert [(call.name, call.arguments, call.output) for call in asked.reply.tool_calls] == [
        ("search", '{"q": 1}', "found it")
    ]
    assert len(asked.reply.responses) == 1


async def test_a_response_that_ends_with_its_call_is_followed_by_a_reply(open_talk, autojump_clock):
    """What users report: the server waits to be asked. `ask` returns with the words on the call."""
    async with open_talk(tools=[DOCS]) as talk, trio.open_nursery() as nursery:
        asked = Asked(nursery, talk.session)
        await begin(talk)
        await add_call(talk, "resp_1")
        await run_call(talk, output="found it")
        await talk.done("resp_1", mcp_call(output="found it"))
        done_at = trio.current_time()
        request = await talk.peer.expect("response.create")
        assert trio.current_time() - done_at == pytest.approx(0.5)
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "It says so.")

    assert asked.reply.text == "It says so."
    assert [response.id for response in asked.reply.responses] == ["resp_1", "resp_2"]
    assert len(asked.reply.tool_calls) == 1


async def test_a_server_that_goes_on_by_itself_is_not_asked(open_talk, autojump_clock):
    """The reply is the server's own response: no second one is asked for, and `ask` returns with it."""
    async with open_talk(tools=[DOCS]) as talk:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await talk.done("resp_1", mcp_call(output="found it"))
            await trio.sleep(0.2)
            await talk.created(None, "resp_2")
            await trio.sleep(3)
            await talk.text("resp_2", "It says so.")
        await trio.sleep(5)
        unasked = [event for event in talk.peer.received if event["type"] == "response.create"]

    assert asked.reply.text == "It says so."
    assert len(unasked) == 1


async def test_a_server_that_goes_on_by_itself_is_not_asked_where_tools_must_be_called(open_talk, autojump_clock):
    """There we would ask for words, so that not every call is followed by another; the server's own are enough."""
    async with open_talk(tools=[DOCS], tool_choice="required") as talk:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await talk.done("resp_1", mcp_call(output="found it"))
            await trio.sleep(0.2)
            await talk.created(None, "resp_2")
            await talk.text("resp_2", "It says so.")
        await trio.sleep(5)
        asks = [event for event in talk.peer.received if event["type"] == "response.create"]

    assert asked.reply.text == "It says so."
    assert len(asks) == 1


async def test_a_server_that_goes_on_by_itself_while_it_is_asked(open_talk, autojump_clock):
    """Both at once: the server rejects ours, and its own counts."""
    async with open_talk(tools=[DOCS]) as talk:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await talk.done("resp_1", mcp_call(output="found it"))
            request = await talk.peer.expect("response.create")
            await talk.created(None, "resp_2")
            await talk.peer.send(
                "error",
                error={
                    "type": "invalid_request_error",
                    "code": "conversation_already_has_active_response",
                    "message": "Conversation already has an active response",
                    "event_id": request.get("event_id"),
                },
            )
            await talk.text("resp_2", "It says so.")
        await trio.sleep(5)
        asks = [event for event in talk.peer.received if event["type"] == "response.create"]

    assert asked.reply.text == "It says so."
    assert len(asks) == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"type": "protocol_error", "code": -32000, "message": "what?"}, "protocol_error -32000: what?"),
        ({"type": "tool_execution_error", "message": "broken"}, "tool_execution_error: broken"),
        ({"type": "http_error", "code": 503, "message": "later"}, "http_error 503: later"),
    ],
)
async def test_a_call_that_fails_is_told_and_replied_to(open_talk, autojump_clock, error, words):
    async with open_talk(tools=[DOCS]) as talk, talk.session.events(McpCallFailed) as failures:
        await talk.created(None, "resp_1")
        await add_call(talk, "resp_1")
        await run_call(talk, ending="failed", error=error)
        await talk.done("resp_1", mcp_call(error=error))

        failure = await failures.receive()
        assert (failure.problem, failure.error.type) == (words, error["type"])
        await talk.peer.expect("response.create")


# Approvals


async def test_a_hook_approves_and_the_call_that_ends_later_is_spoken_on(open_talk, autojump_clock):
    """The order of the official example for Ruby: the response is done, then the call ends, then one has to ask."""
    seen = []

    async def approve(request):
        seen.append(request)
        await trio.sleep(1)
        return True

    async with open_talk(tools=[DOCS], approve=approve) as talk, trio.open_nursery() as nursery:
        asked = Asked(nursery, talk.session)
        await begin(talk)
        await add_call(talk, "resp_1")
        await send_item(talk, approval_request())
        await talk.done("resp_1", mcp_call(), approval_request())
        answer = await talk.acknowledge(item={"type": "mcp_approval_response"})
        await trio.sleep(20)
        assert asked.reply is None, "the call is not over"
        await run_call(talk, output="found it", approval_request_id="ask_1")
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "It says so.")

    assert len(answer.pop("id")) <= 32
    assert answer == {"type": "mcp_approval_response", "approval_request_id": "ask_1", "approve": True}
    (request,) = seen
    assert (request.id, request.kind, request.name, request.server_label) == ("ask_1", "mcp", "search", "docs")
    assert (asked.reply.text, len(asked.reply.tool_calls)) == ("It says so.", 1)


@pytest.mark.parametrize("when", ["before the call is over", "while the reply is made"])
async def test_a_reply_on_a_call_is_given_up_with_the_last_who_waits_for_it(open_talk, autojump_clock, when):
    """Two share the response that made the call. One leaves at once, the other a little later."""
    async with open_talk(tools=[DOCS]) as talk, trio.open_nursery() as nursery:
        scopes = [trio.CancelScope(), trio.CancelScope()]

        async def ask(scope):
            with scope:
                await talk.session.ask("What do the docs say?")

        await talk.created(None, "resp_0")
        await trio.testing.wait_all_tasks_blocked()
        for scope in scopes:
            nursery.start_soon(ask, scope)
            await talk.acknowledge(item={"type": "message"})
        await talk.done("resp_0")
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await add_call(talk, "resp_1")
        await send_item(talk, approval_request())
        await talk.done("resp_1", mcp_call(), approval_request())
        await trio.sleep(1)
        talk.session.approve("ask_1")
        await talk.acknowledge(item={"type": "mcp_approval_response"})
        scopes[0].cancel()
        if when == "before the call is over":
            scopes[1].cancel()
        await trio.sleep(1)
        await run_call(talk, output="found it", approval_request_id="ask_1")
        if when == "while the reply is made":
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await trio.sleep(1)
            scopes[1].cancel()
            await talk.peer.expect("response.cancel", response_id="resp_2")
            await talk.done("resp_2", status="cancelled")
        await talk.peer.expect_nothing(5)


async def test_a_refusal_says_why_and_the_model_gets_to_speak_on_it(open_talk, autojump_clock):
    async def approve(request):
        return "not on a Sunday"

    async with open_talk(tools=[DOCS], approve=approve) as talk, trio.open_nursery() as nursery:
        asked = Asked(nursery, talk.session)
        await begin(talk)
        await send_item(talk, approval_request())
        await talk.done("resp_1", approval_request())
        answer = await talk.acknowledge(item={"type": "mcp_approval_response"})
        request = await talk.peer.expect("response.create")
        await talk.created(request, "resp_2")
        await talk.text("resp_2", "I may not.")

    assert (answer["approve"], answer["reason"]) == (False, "not on a Sunday")
    assert asked.reply.text == "I may not."


@pytest.mark.parametrize("by_hook", [True, False])
async def test_a_reason_that_no_message_can_carry_is_mended(open_talk, autojump_clock, by_hook):
    """Made of the model's own arguments, say: half a character must not end the session."""

    async def approve(request):
        return "no \ud800!"

    async with open_talk(tools=[DOCS], approve=approve if by_hook else None) as talk:
        await talk.created(None, "resp_1")
        await send_item(talk, approval_request())
        await talk.done("resp_1", approval_request())
        if not by_hook:
            await trio.testing.wait_all_tasks_blocked()
            assert talk.session.refuse("ask_1", "no \ud800!")
        answer = await talk.acknowledge(item={"type": "mcp_approval_response"})
        await talk.peer.expect("response.create")

    assert (answer["approve"], answer["reason"]) == (False, "no ?!")


async def test_without_a_hook_it_is_told_and_can_be_answered_once(open_talk, autojump_clock):
    async with open_talk(tools=[DOCS]) as talk, talk.session.events(ApprovalNeeded) as needed:
        await talk.created(None, "resp_1")
        for _ in range(2):
            await send_item(talk, approval_request())
        await talk.done("resp_1", approval_request())

        request = (await needed.receive()).request
        assert (request.kind, request.server_label) == ("mcp", "docs")
        assert '"q"' not in repr(request)
        await trio.sleep(1800)
        assert talk.session.approve("ask_1")
        await talk.acknowledge(item={"type": "mcp_approval_response", "approve": True})
        assert not talk.session.refuse("ask_1")
        await trio.sleep(60)
        answers = [event for event in talk.peer.received if event["type"] == "conversation.item.create"]
        assert len(answers) == 1


async def test_a_hook_that_raises_refuses_and_is_reported(open_talk, autojump_clock, caplog):
    async def approve(request):
        raise KeyError("sk-abcdefgh")

    async with open_talk(tools=[DOCS], approve=approve) as talk, talk.session.events(ToolFailed) as failures:
        await send_item(talk, approval_request())
        answer = await talk.acknowledge(item={"type": "mcp_approval_response"})

        assert answer["approve"] is False
        assert "abcdefgh" not in str(answer)
        failure = await failures.receive()
        assert (failure.call_id, failure.name, type(failure.exception)) == ("ask_1", "search", KeyError)


async def test_a_hook_that_raises_ends_a_session_that_is_to_raise(open_talk, autojump_clock, caplog):
    error = KeyError("x")

    async def approve(request):
        raise error

    with pytest.raises(KeyError) as caught:
        async with open_talk(tools=[DOCS], approve=approve, tool_errors="raise") as talk:
            await send_item(talk, approval_request())
            await trio.sleep_forever()

    assert caught.value is error


@pytest.mark.parametrize("how", ["answered elsewhere", "deleted", "the call runs"])
async def test_a_request_that_needs_no_answer_any_more_gets_none(open_talk, autojump_clock, how):
    cancelled = []

    async def approve(request):
        try:
            await trio.sleep_forever()
        finally:
            cancelled.append(request.id)

    async with open_talk(tools=[DOCS], approve=approve) as talk:
        await send_item(talk, approval_request())
        await trio.testing.wait_all_tasks_blocked()
        if how == "answered elsewhere":
            other = {"type": "mcp_approval_response", "id": "x", "approval_request_id": "ask_1", "approve": True}
            await send_item(talk, other)
        elif how == "deleted":
            await talk.peer.send("conversation.item.deleted", item_id="ask_1")
        else:
            await send_item(talk, mcp_call(approval_request_id="ask_1"), "added")
            await talk.peer.send("response.mcp_call.in_progress", item_id="mcp_1", output_index=0)
        await trio.sleep(30)

        assert cancelled == ["ask_1"]
        assert [event for event in talk.peer.received if event["type"] == "conversation.item.create"] == []


async def test_an_answer_that_the_server_refuses_is_told(open_talk, autojump_clock):
    async def approve(request):
        return True

    async with open_talk(tools=[DOCS], approve=approve) as talk, talk.session.events(McpCallFailed) as failures:
        await send_item(talk, approval_request())
        request = await talk.peer.expect("conversation.item.create")
        await talk.peer.send(
            "error",
            error={"type": "invalid_request_error", "message": "too late", "event_id": request["event_id"]},
        )

        assert "did not arrive: too late" in (await failures.receive()).problem


async def test_an_approved_call_that_goes_on_in_a_response_of_the_servers_own(open_talk, as_message, autojump_clock):
    """`ask` returns with the words of that response; nothing is asked for beside it."""

    async def approve(request):
        return True

    async with open_talk(tools=[DOCS], approve=approve) as talk:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await send_item(talk, approval_request())
            await talk.done("resp_1", approval_request())
            await talk.acknowledge(item={"type": "mcp_approval_response"})
            await talk.created(None, "resp_2")
            await add_call(talk, "resp_2", mcp_call(approval_request_id="ask_1"))
            await run_call(talk, output="found it", approval_request_id="ask_1")
            await trio.sleep(5)
            await talk.peer.send(
                "response.output_text.delta", response_id="resp_2", item_id="item_b", output_index=1, content_index=0,
                delta="It says so.",
            )  # fmt: skip
            await talk.done("resp_2", mcp_call(output="found it"), as_message("item_b", "It says so."))
        await trio.sleep(5)
        asks = [event for event in talk.peer.received if event["type"] == "response.create"]

    assert asked.reply.text == "It says so."
    assert [response.id for response in asked.reply.responses] == ["resp_1", "resp_2"]
    assert len(asks) == 1


async def test_the_end_of_what_continued_one_ask_is_also_the_end_of_anothers_call(
    open_talk, as_message, autojump_clock
):
    """Two wait for approvals. The response that goes on with the first one's call is done, and tells of the other's."""
    replies = {}

    async def ask(session, number):
        replies[number] = await session.ask(f"Question {number}?")

    async with open_talk(tools=[DOCS]) as talk:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for number in ("1", "2"):
                    nursery.start_soon(ask, talk.session, number)
                    await talk.acknowledge(item={"type": "message"})
                    await talk.created(await talk.peer.expect("response.create"), f"resp_{number}")
                    await talk.done(f"resp_{number}", approval_request(f"ask_{number}"))
                    await trio.testing.wait_all_tasks_blocked()
                calls = [mcp_call(f"mcp_{number}", approval_request_id=f"ask_{number}") for number in ("1", "2")]
                talk.session.approve("ask_1")
                await talk.acknowledge(item={"type": "mcp_approval_response"})
                await talk.created(None, "resp_3")
                await add_call(talk, "resp_3", calls[0])
                talk.session.approve("ask_2")
                await talk.acknowledge(item={"type": "mcp_approval_response"})
                outputs = [{**call, "output": "found it"} for call in calls]
                await talk.done("resp_3", *outputs, as_message("item_b", "It says so."))
                await talk.created(await talk.peer.expect("response.create"), "resp_4")
                await talk.text("resp_4", "And so.")

    assert [response.id for response in replies["1"].responses] == ["resp_1", "resp_3"]
    assert [response.id for response in replies["2"].responses] == ["resp_2", "resp_4"]


async def test_speech_settles_what_is_owed_to_a_call(open_talk, autojump_clock):
    """The user speaks before the reply is asked for: the answer to them has the call's outcome before it, too."""
    async with open_talk(tools=[DOCS]) as talk:
        await talk.created(None, "resp_1")
        await talk.done("resp_1", mcp_call(output="found it"))
        await talk.peer.send("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await trio.sleep(10)
        await talk.peer.send("input_audio_buffer.speech_stopped", item_id="u", audio_end_ms=9000)
        await talk.peer.send("input_audio_buffer.committed", item_id="u", previous_item_id=None)
        await talk.created(None, "resp_2")
        await talk.text("resp_2", "It says so.")
        await trio.sleep(30)

        assert [event for event in talk.peer.received if event["type"] == "response.create"] == []


async def test_who_asks_outside_of_the_body_hears_of_the_end_while_an_approval_is_open(open_talk, autojump_clock):
    async with trio.open_nursery() as nursery:
        async with open_talk(tools=[DOCS]) as talk:

            async def ask():
                with pytest.raises(trio.ClosedResourceError):
                    await talk.session.ask("What do the docs say?")

            nursery.start_soon(ask)
            await begin(talk)
            await send_item(talk, approval_request())
            await talk.done("resp_1", approval_request())
            await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(60) as scope:
            await trio.testing.wait_all_tasks_blocked()
        assert not scope.cancelled_caught

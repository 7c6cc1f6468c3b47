"""What becomes of hosted MCP servers, their calls and approvals when the link is lost, as in test_session_lost_link."""

import pytest
import trio

from realtime_trio import ApprovalNeeded, LocalProtocolError, McpCallFailed, McpListed, ResponseFailed

from .test_session_lost_link import lose, regain
from .test_session_mcp import DOCS, Asked, add_call, approval_request, begin, list_tools, mcp_call, run_call, send_item


async def test_tools_are_listed_anew(open_talk, autojump_clock):
    async with open_talk(tools=[DOCS]) as talk, trio.open_nursery() as nursery:
        await list_tools(talk)
        await talk.session.mcp_ready("docs")
        ready = []

        async def wait():
            ready.append(await talk.session.mcp_ready("docs"))

        lose(talk)

        assert talk.session.mcp_servers["docs"].status == "listing"

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        listed = talk.session.events(McpListed)

        assert ready == []

        regain(talk)
        await list_tools(talk, item_id="list_2")

        assert (await listed.receive()).server.label == "docs"
        await trio.testing.wait_all_tasks_blocked()
        assert len(ready) == 1


async def test_a_call_in_progress_fails_and_is_replied_to(open_talk, autojump_clock):
    """The response was over, and waited for its call: the model is asked for words on it all the same."""
    async with open_talk(tools=[DOCS]) as talk:
        failures = talk.session.events(McpCallFailed)
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await add_call(talk, "resp_1")
            await talk.peer.send("response.mcp_call.in_progress", item_id="mcp_1", output_index=0)
            await talk.done("resp_1", mcp_call())
            await trio.testing.wait_all_tasks_blocked()
            lose(talk)
            failure = await failures.receive()

            assert (failure.call_id, failure.server_label, failure.name) == ("mcp_1", "docs", "search")
            assert "the link was lost" in failure.problem

            await talk.peer.expect_nothing(100)

            assert asked.reply is None

            regain(talk)
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "I could not find out.")

        assert asked.reply.text == "I could not find out."
        assert [call.output for call in asked.reply.tool_calls] == [failure.problem]

        lose(talk)
        regain(talk)
        with trio.move_on_after(5) as told_once:
            await failures.receive()

        assert told_once.cancelled_caught


async def test_a_call_of_a_response_that_is_lost_too_is_asked_for_with_it(open_talk, autojump_clock):
    async with open_talk(tools=[DOCS]) as talk:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await add_call(talk, "resp_1")
            await talk.peer.send("response.mcp_call.in_progress", item_id="mcp_1", output_index=0)
            await trio.testing.wait_all_tasks_blocked()

            assert lose(talk).asked_again == ("resp_1",)

            regain(talk)
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "It says so.")

        assert asked.reply.text == "It says so."

        await talk.peer.expect_nothing(30)


async def test_an_approval_cannot_be_given_over_another_link(open_talk, autojump_clock):
    """Who is about to decide is told why not; the model is asked for words without the call."""
    async with open_talk(tools=[DOCS]) as talk:
        needed, failures = talk.session.events(ApprovalNeeded), talk.session.events(McpCallFailed)
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await begin(talk)
            await send_item(talk, approval_request())
            await talk.done("resp_1", approval_request())
            await needed.receive()
            lose(talk)
            await trio.testing.wait_all_tasks_blocked()

            assert (await failures.receive()).call_id == "ask_1"
            for answer in (talk.session.approve, talk.session.refuse):
                with pytest.raises(LocalProtocolError, match="the link over which it came was lost"):
                    answer("ask_1")

            regain(talk)
            await talk.created(await talk.peer.expect("response.create"), "resp_2")
            await talk.text("resp_2", "I was not allowed to.")

        assert asked.reply.text == "I was not allowed to."


async def approve_and_go_on(talk, needed):
    """Approve of a call that the server then makes in a response of its own."""
    await begin(talk)
    await send_item(talk, approval_request())
    await talk.done("resp_1", approval_request())
    await needed.receive()
    talk.session.approve("ask_1")
    await talk.acknowledge(item={"type": "mcp_approval_response"})
    await talk.created(None, "resp_2")
    await add_call(talk, "resp_2", mcp_call(approval_request_id="ask_1"))
    await trio.testing.wait_all_tasks_blocked()


async def test_what_went_on_in_another_response_is_asked_for_again_with_it(open_talk, autojump_clock):
    """Two are owed: to who asked, and because the server went on by itself. One response is both."""
    async with open_talk(tools=[DOCS]) as talk, talk.session.events(ApprovalNeeded) as needed:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await approve_and_go_on(talk, needed)

            assert lose(talk).asked_again == ("resp_2",)

            regain(talk)
            await talk.created(await talk.peer.expect("response.create"), "resp_3")
            await talk.text("resp_3", "It says so.")

        assert asked.reply.text == "It says so."

        await talk.peer.expect_nothing(30)


async def test_what_went_on_in_another_response_is_over_when_that_was_heard_as_far_as_it_came(
    open_voice, autojump_clock, tone
):
    async with open_voice(tools=[DOCS], drain=False) as talk, talk.session.events(ApprovalNeeded) as needed:
        async with trio.open_nursery() as nursery:
            asked = Asked(nursery, talk.session)
            await approve_and_go_on(talk, needed)
            await run_call(talk, output="found it")
            await talk.audio("resp_2", tone(2000))
            await trio.sleep(1)

            assert lose(talk).cut_off == ("resp_2",)

            await talk.peer.expect_nothing(0.5)

            assert asked.reply is None

        assert [response.id for response in asked.reply.responses] == ["resp_1", "resp_2"]
        assert [call.output for call in asked.reply.tool_calls] == ["found it"]

        regain(talk)
        await talk.peer.expect_nothing(30)


async def test_who_waits_for_a_response_that_the_server_has_lost_is_told(open_talk, autojump_clock):
    """It went on, after an approval, in a response of which nothing more comes."""
    async with open_talk(tools=[DOCS]) as talk, trio.open_nursery() as nursery:

        async def ask():
            with pytest.raises(ResponseFailed, match="response_lost"):
                await talk.session.ask("What do the docs say?")

        nursery.start_soon(ask)
        await approve_and_go_on(talk, talk.session.events(ApprovalNeeded))
        await trio.sleep(30)
        await talk.peer.expect("response.cancel", response_id="resp_2")

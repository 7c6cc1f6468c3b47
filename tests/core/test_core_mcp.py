"""What is known of hosted MCP servers: rule by rule, then in any order, twice, and with pieces missing."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.mcp import (
    ApprovalAsked,
    ApprovalSettled,
    McpCallFailed,
    McpCallFinished,
    McpCallStarted,
    McpListed,
    McpListingFailed,
    McpServer,
)
from realtime_trio.core.mcp_calls import Calls
from realtime_trio.core.mcp_listings import Listings
from realtime_trio.core.mcp_replies import McpReplies, ReplyContinued, ReplyOwed, ReplyPending
from realtime_trio.events import (
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    FunctionCall,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpHttpError,
    McpListTools,
    McpListToolsCompleted,
    McpListToolsFailed,
    McpListToolsInProgress,
    McpProtocolError,
    McpTool,
    McpToolDefinition,
    McpToolExecutionError,
    RealtimeSession,
    Response,
    ResponseCreated,
    ResponseDone,
    ResponseMcpCallArgumentsDone,
    ResponseMcpCallCompleted,
    ResponseMcpCallFailed,
    ResponseMcpCallInProgress,
    ResponseOutputItemAdded,
    ResponseOutputItemDone,
    SessionUpdated,
    assistant_message,
)

SEARCH = McpToolDefinition(name="search", input_schema={"type": "object"})
FETCH = McpToolDefinition(name="fetch", input_schema={"type": "object"})


def configured(*labels):
    tools = [McpTool(server_label=label, server_url=f"https://{label}.example") for label in labels]
    return SessionUpdated(event_id="e", session=RealtimeSession(tools=tools))


def listing(label, *tools, item_id="l1"):
    return McpListTools(id=item_id, server_label=label, tools=list(tools))


def item_added(item):
    return ConversationItemAdded(event_id="e", item=item)


def item_done(item):
    return ConversationItemDone(event_id="e", item=item)


def output_added(item, response_id="r1"):
    return ResponseOutputItemAdded(event_id="e", response_id=response_id, output_index=0, item=item)


def output_done(item, response_id="r1"):
    return ResponseOutputItemDone(event_id="e", response_id=response_id, output_index=0, item=item)


def call(call_id="c1", **fields):
    return McpCall(id=call_id, server_label="docs", name="search", arguments='{"q": 1}', **fields)


def request(request_id="a1"):
    return McpApprovalRequest(id=request_id, server_label="docs", name="search", arguments='{"q": 1}')


def answer(request_id="a1", *, approve=True):
    return McpApprovalResponse(id="x1", approval_request_id=request_id, approve=approve)


def started(item_id="c1"):
    return ResponseMcpCallInProgress(event_id="e", item_id=item_id, output_index=0)


def completed(item_id="c1"):
    return ResponseMcpCallCompleted(event_id="e", item_id=item_id, output_index=0)


def failed(item_id="c1"):
    return ResponseMcpCallFailed(event_id="e", item_id=item_id, output_index=0)


def created(response_id="r1", conversation_id="conv"):
    return ResponseCreated(event_id="e", response=Response(id=response_id, conversation_id=conversation_id))


def done(response_id="r1", *output, status="completed", conversation_id="conv"):
    response = Response(id=response_id, status=status, output=list(output), conversation_id=conversation_id)
    return ResponseDone(event_id="e", response=response)


def told(part, *events):
    return [news for event in events for news in part.handle(event)]


# Listings


def test_a_server_of_the_configuration_is_being_listed_until_its_tools_come():
    listings = Listings()
    told(listings, configured("docs"), McpListToolsInProgress(event_id="e", item_id="l1"))
    assert listings.servers == {"docs": McpServer("docs")}

    ready = McpServer("docs", "ready", (SEARCH, FETCH))

    assert [McpListed(ready)] == listings.handle(item_done(listing("docs", SEARCH, FETCH)))
    assert {"docs": ready} == listings.servers
    assert [] == listings.handle(McpListToolsCompleted(event_id="e", item_id="l1"))


def test_a_listing_that_is_completed_before_its_item_waits_for_the_tools():
    listings = Listings()
    news = told(
        listings,
        configured("docs"),
        item_added(listing("docs")),
        McpListToolsCompleted(event_id="e", item_id="l1"),
    )

    assert news == []
    assert [McpListed(McpServer("docs", "ready", (SEARCH,)))] == listings.handle(item_done(listing("docs", SEARCH)))


def test_a_server_without_tools_is_ready_when_that_is_said_twice():
    listings = Listings()
    told(listings, configured("docs"), item_done(listing("docs")))
    assert listings.servers["docs"].status == "listing"

    assert [McpListed(McpServer("docs", "ready"))] == listings.handle(McpListToolsCompleted(event_id="e", item_id="l1"))


def test_a_listing_that_fails_names_its_server():
    listings = Listings()
    (failure,) = told(
        listings,
        configured("docs", "shop"),
        item_added(listing("shop")),
        McpListToolsFailed(event_id="e", item_id="l1"),
    )

    assert isinstance(failure, McpListingFailed)
    assert failure.server_label == "shop"
    assert "server_url" in failure.problem
    assert listings.servers["shop"].status == "failed"
    assert listings.servers["docs"].status == "listing"


def test_a_failure_whose_item_never_comes_is_that_of_the_only_server_left():
    listings = Listings()
    news = told(
        listings,
        configured("docs", "shop"),
        item_done(listing("docs", SEARCH, item_id="l2")),
        McpListToolsFailed(event_id="e", item_id="l1"),
    )

    assert [type(one) for one in news] == [McpListed, McpListingFailed]
    assert news[1].server_label == "shop"


def test_a_failure_of_one_of_several_servers_is_told_at_once_and_again_when_its_name_is_known():
    listings = Listings()
    news = told(
        listings,
        configured("docs", "shop"),
        McpListToolsFailed(event_id="e", item_id="l1"),
        McpListToolsFailed(event_id="e", item_id="l1"),
        item_done(listing("docs", SEARCH, item_id="l2")),
    )

    assert [getattr(one, "server_label", "") for one in news] == [None, "", "shop"]


def test_a_guess_gives_way_to_the_items_own_word():
    listings = Listings()
    told(
        listings,
        configured("docs", "shop"),
        McpListToolsFailed(event_id="e", item_id="l1"),
        McpListToolsFailed(event_id="e", item_id="l2"),
        item_done(listing("shop", item_id="l1")),
    )

    assert {server.status for server in listings.servers.values()} == {"failed"}


def test_tools_stay_callable_while_they_are_listed_anew():
    listings = Listings()
    told(listings, configured("docs"), item_done(listing("docs", SEARCH)))

    assert [] == told(
        listings, McpListToolsInProgress(event_id="e", item_id="l2"), item_added(listing("docs", item_id="l2"))
    )
    assert listings.servers["docs"].status == "ready"
    again = item_done(listing("docs", SEARCH, FETCH, item_id="l2"))
    assert [McpListed(McpServer("docs", "ready", (SEARCH, FETCH)))] == listings.handle(again)


def test_a_server_that_is_configured_no_more_is_gone_and_listed_anew_if_it_comes_back():
    listings = Listings()
    told(listings, configured("docs"), item_done(listing("docs", SEARCH)), configured())
    assert listings.servers == {}

    told(listings, configured("docs"))
    assert listings.servers == {"docs": McpServer("docs")}


def test_a_configuration_that_does_not_tell_the_tools_changes_nothing():
    listings = Listings()
    told(listings, configured("docs"), SessionUpdated(event_id="e", session=RealtimeSession(instructions="x")))

    assert list(listings.servers) == ["docs"]


def test_a_server_that_one_response_brought_with_it_is_known_too():
    listings = Listings()

    assert [McpListed(McpServer("once", "ready", (SEARCH,)))] == listings.handle(item_done(listing("once", SEARCH)))


# Calls


def test_a_call_is_told_when_it_runs_and_when_it_has_its_output():
    calls = Calls()
    arguments = ResponseMcpCallArgumentsDone(
        event_id="e", response_id="r1", item_id="c1", output_index=0, arguments='{"q": 2}'
    )

    assert [] == told(calls, created(), output_added(call()), arguments)
    assert [McpCallStarted("c1", "docs", "search", '{"q": 2}')] == calls.handle(started())
    assert [] == calls.handle(completed())
    assert [McpCallFinished("c1", "docs", "search", "found")] == calls.handle(output_done(call(output="found")))
    assert [] == told(calls, item_done(call(output="found")), done("r1", call(output="found")))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (McpProtocolError(code=-32601, message="no such method"), "protocol_error -32601: no such method"),
        (McpToolExecutionError(message="out of order"), "tool_execution_error: out of order"),
        (McpHttpError(code=401, message="who is Bearer abcdef?"), "http_error 401: who is [redacted]"),
    ],
)
def test_a_call_that_fails_says_why_and_no_secret(error, words):
    calls = Calls()
    news = told(calls, output_added(call()), started(), failed(), output_done(call(error=error)))

    assert [type(one) for one in news] == [McpCallStarted, McpCallFailed]
    assert news[1].error is error
    assert news[1].problem == words
    assert "abcdef" not in repr(news)


def test_arguments_and_output_are_not_in_a_repr():
    calls = Calls()
    news = told(calls, output_added(call()), started(), output_done(call(output="a secret")))

    assert "q" not in repr(news).replace("<Mcp", "").split("arguments=")[1].split(",")[0]
    assert "secret" not in repr(news)


def test_what_a_lost_payload_would_have_said_is_not_waited_for_beyond_the_next_response():
    calls = Calls()
    told(calls, output_added(call()), started())
    assert [] == calls.handle(failed())

    assert [McpCallFailed("c1", "docs", "search", None, "the server did not say why")] == calls.handle(created("r2"))
    assert [] == calls.handle(output_done(call(error=McpToolExecutionError(message="late"))))


def test_a_call_without_its_item_is_told_all_the_same():
    calls = Calls()

    assert [McpCallFinished("c1", "", "", None)] == told(calls, started(), completed(), done())


def test_a_call_that_was_running_when_its_response_was_cut_off_is_told():
    calls = Calls()
    news = told(calls, output_added(call()), started(), done("r1", call(), status="cancelled"))

    assert [type(one) for one in news] == [McpCallStarted, McpCallFailed]
    assert "cancelled" in news[1].problem
    assert [McpCallFinished("c1", "docs", "search", "after all")] == calls.handle(item_done(call(output="after all")))


def test_a_call_whose_arguments_were_cut_off_never_ran():
    assert [] == told(Calls(), output_added(call()), done("r1", call(), status="cancelled"))


# Approvals


def test_an_approval_is_asked_for_when_its_item_is_final():
    calls = Calls()

    assert [] == calls.handle(item_added(request()))
    assert [ApprovalAsked(request())] == calls.handle(item_done(request()))
    assert [] == told(calls, item_done(request()), output_done(request()), done("r1", request()))


def test_an_approval_whose_final_item_is_lost_is_asked_for_when_the_response_is_done():
    calls = Calls()

    assert [ApprovalAsked(request())] == told(calls, item_added(request()), done())


@pytest.mark.parametrize(
    ("event", "approved"),
    [
        (item_done(answer(approve=True)), True),
        (item_added(answer(approve=False)), False),
        (ConversationItemDeleted(event_id="e", item_id="a1"), None),
        (output_done(call(approval_request_id="a1", output="x")), True),
    ],
)
def test_an_approval_is_settled_by_whoever_answers_it(event, approved):
    calls = Calls()
    calls.handle(item_done(request()))

    assert ApprovalSettled("a1", approved) in calls.handle(event)
    assert ApprovalSettled("a1", approved) not in calls.handle(event)


def test_an_approval_that_was_answered_before_it_came_is_not_asked_for():
    assert [] == told(Calls(), item_done(answer()), item_done(request()), done())


# Replies


class Follower:
    """What a session does with an event, in its order."""

    def __init__(self):
        self.calls = Calls()
        self.replies = McpReplies(self.calls)

    def handle(self, event):
        self.calls.handle(event)
        return self.replies.handle(event)


def test_a_response_that_speaks_after_its_call_owes_nothing():
    follower = Follower()
    over = call(output="x")

    assert [] == told(
        follower, created(), output_added(call()), completed(), done("r1", over, assistant_message("So it is."))
    )


@pytest.mark.parametrize("outcome", [{"output": "x"}, {"error": McpToolExecutionError(message="no")}])
def test_a_response_that_ends_with_its_call_owes_a_reply(outcome):
    follower = Follower()
    announcement = assistant_message("I look it up.")

    assert [ReplyOwed("r1")] == told(follower, created(), done("r1", announcement, call(**outcome)))


def test_two_calls_of_a_response_owe_one_reply_when_both_are_over():
    follower = Follower()
    both = [call("c1"), call("c2")]

    assert [ReplyPending("r1")] == told(follower, created(), *map(output_added, both), done("r1", *both))
    assert [] == told(follower, completed("c1"))
    assert [ReplyOwed("r1")] == told(follower, completed("c2"), item_done(call("c2", output="x")), done("r1", *both))


def test_a_call_that_ends_after_its_approval_and_its_response_owes_a_reply():
    """The order of the official example for Ruby."""
    follower = Follower()

    assert [ReplyPending("r1")] == told(
        follower, created(), output_added(call()), item_done(request()), done("r1", call(), request())
    )
    assert [] == told(follower, item_done(answer()), started())
    assert [ReplyOwed("r1")] == told(follower, completed())
    assert [] == told(follower, item_done(call(output="x")), created("r2"), done("r2", assistant_message("So.")))


def test_a_call_that_is_made_only_after_its_approval_owes_a_reply():
    follower = Follower()

    assert [ReplyPending("r1")] == told(follower, created(), output_done(request()), done("r1", request()))
    assert [] == told(follower, item_done(answer()), item_added(call()))
    assert [ReplyOwed("r1")] == told(follower, item_done(call(output="x")))


def test_an_earlier_call_of_the_same_tool_is_not_the_one_that_was_approved():
    follower = Follower()
    told(follower, created("r0"), done("r0", call("c0", output="x"), assistant_message("So.")))
    told(follower, created(), output_done(request()), done("r1", request()))

    assert [] == told(follower, item_done(answer()))


def test_a_refusal_owes_a_reply_too():
    follower = Follower()
    told(follower, created(), output_done(request()), done("r1", request()))

    assert [ReplyOwed("r1")] == told(follower, item_done(answer(approve=False)))


def test_an_approved_call_may_go_on_in_a_new_response():
    follower = Follower()
    told(follower, created(), output_done(request()), done("r1", request()))
    resumed = call(approval_request_id="a1")

    assert [ReplyContinued("r1", "r2")] == told(
        follower, item_done(answer()), created("r2"), output_added(resumed, "r2"), started()
    )
    assert [] == told(follower, completed(), done("r2", call(output="x"), assistant_message("So it is.")))


def test_function_calls_beside_bring_the_reply():
    follower = Follower()
    function = FunctionCall(name="f", arguments="{}", call_id="f1", id="i1", status="completed")

    assert [] == told(follower, created(), done("r1", call(output="x"), function))


@pytest.mark.parametrize("status", ["cancelled", "failed", "incomplete"])
def test_a_response_that_came_to_nothing_owes_nothing_to_its_calls(status):
    follower = Follower()

    assert [] == told(follower, created(), output_added(call()), done("r1", call(), status=status), completed())


def test_an_approval_outlives_the_response_that_was_interrupted():
    follower = Follower()

    assert [] == told(follower, created(), output_done(request()), done("r1", request(), status="cancelled"))
    assert [ReplyOwed("r1")] == told(follower, item_done(answer()), item_done(call(output="x")))


def test_a_response_beside_the_conversation_owes_nothing_here():
    follower = Follower()

    assert [] == told(follower, created(conversation_id=None), done("r1", call(output="x"), conversation_id=None))


# In any order

LISTING_EVENTS = [
    configured("docs", "shop"),
    McpListToolsInProgress(event_id="e", item_id="l1"),
    item_added(listing("docs")),
    item_done(listing("docs", SEARCH)),
    McpListToolsCompleted(event_id="e", item_id="l1"),
    McpListToolsInProgress(event_id="e", item_id="l2"),
    McpListToolsFailed(event_id="e", item_id="l2"),
    item_done(listing("shop", item_id="l2")),
]


@given(st.permutations(LISTING_EVENTS))
def test_listings_end_alike_in_any_order(events):
    listings = Listings()
    news = told(listings, *events)

    assert listings.servers["docs"] == McpServer("docs", "ready", (SEARCH,))
    assert listings.servers["shop"].status == "failed"
    assert [one.server for one in news if isinstance(one, McpListed)] == [listings.servers["docs"]]
    assert [one.server_label for one in news if isinstance(one, McpListingFailed)][-1] == "shop"


CALL_EVENTS = [
    created(),
    output_added(call()),
    item_added(request()),
    item_done(request()),
    item_done(answer()),
    started(),
    completed(),
    failed("c2"),
    output_added(call("c2")),
    started("c2"),
    output_done(call("c2", error=McpHttpError(code=500, message="no"))),
    output_done(call(output="x", approval_request_id="a1")),
    item_done(call(output="x", approval_request_id="a1")),
    done("r1", call(output="x"), request(), call("c2", error=McpHttpError(code=500, message="no"))),
    created("r2"),
    done("r2", assistant_message("So it is."), status="cancelled"),
    ConversationItemDeleted(event_id="e", item_id="a1"),
    configured("docs"),
    item_done(listing("docs", SEARCH)),
]


@given(st.permutations(CALL_EVENTS), st.lists(st.sampled_from(CALL_EVENTS), max_size=8), st.integers(0, 8))
def test_everything_is_told_once_and_in_its_order_whatever_comes(events, again, missing):
    """Any order, some events twice, some never: nothing raises, and no end is told before its beginning."""
    calls, listings = Calls(), Listings()
    replies = McpReplies(calls)
    news, owed = [], []
    for event in [*events[missing:], *again]:
        listings.handle(event)
        news += calls.handle(event)
        owed += replies.handle(event)

    for call_id in ("c1", "c2"):
        mine = [type(one) for one in news if getattr(one, "call_id", "") == call_id]
        ends = [one for one in news if getattr(one, "call_id", "") == call_id and not isinstance(one, McpCallStarted)]
        final = [one for one in ends if not (isinstance(one, McpCallFailed) and "its response is" in one.problem)]
        assert mine.count(McpCallStarted) <= 1
        assert len(final) <= 1
        assert McpCallStarted not in mine[1:]
        assert not final or ends[-1] is final[0]
    asked = [type(one) for one in news if isinstance(one, ApprovalAsked | ApprovalSettled)]
    assert asked in ([], [ApprovalAsked], [ApprovalAsked, ApprovalSettled])
    assert len(owed) == len(set(owed)), "nothing is owed twice"


@given(st.permutations(CALL_EVENTS))
def test_a_payload_that_came_at_all_is_told(events):
    calls = Calls()
    news = told(calls, *events)

    ends = {one.call_id: one for one in news if isinstance(one, McpCallFinished | McpCallFailed)}
    assert set(ends) == {"c1", "c2"}
    assert isinstance(ends["c2"], McpCallFailed)
    assert isinstance(ends["c1"], McpCallFinished)


def test_memory_is_bounded():
    calls, listings = Calls(), Listings()
    replies = McpReplies(calls)
    for number in range(3000):
        for event in (
            item_done(listing(f"s{number}", SEARCH, item_id=f"l{number}")),
            output_added(call(f"c{number}"), f"r{number}"),
            output_done(request(f"a{number}"), f"r{number}"),
            item_done(answer(f"b{number}")),
        ):
            listings.handle(event)
            calls.handle(event)
            replies.handle(event)
    replies_kept = itertools.chain(vars(replies).values(), vars(calls).values(), vars(listings).values())

    assert max(len(kept) for kept in replies_kept if isinstance(kept, dict)) <= 1024

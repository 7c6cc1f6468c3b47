"""The remote MCP servers that the offline server plays: on the bench, in memory, on sockets, under openai's models."""

import json
import math
from typing import Any

import pytest
import trio

from realtime_trio import events
from realtime_trio.server import (
    Incomplete,
    McpCallError,
    Misbehaviour,
    ReadOnly,
    ToolAnswered,
    ToolCall,
    guesses,
    open_server,
)
from realtime_trio.server.outbox import CallTool, ListTools, StartResponse, StopCall

WEATHER: dict[str, Any] = {"type": "mcp", "server_label": "weather", "server_url": "https://weather.example/mcp"}
FOUND = [
    events.McpToolDefinition(name="get_weather", input_schema={"type": "object"}, description="Tell the weather."),
    events.McpToolDefinition(
        name="forecast", input_schema={"type": "object"}, annotations={"readOnlyHint": True}, description="Look ahead."
    ),
]
LISTED = ["mcp_list_tools.in_progress", "conversation.item.added", "conversation.item.done", "mcp_list_tools.completed"]
ASKED = ["response.output_item.added", "conversation.item.added"]
ARGUED = ["response.mcp_call_arguments.delta", "response.mcp_call_arguments.done"]


async def get_weather(city: str) -> dict[str, Any]:
    """Tell the current weather."""
    return {"celsius": 21.5, "city": city}


async def fail(how: str) -> str:
    """Fail in some way."""
    if how == "http":
        raise McpCallError("Bad gateway", type="http_error", code=502)
    if how == "protocol":
        raise McpCallError("Parse error", type="protocol_error", code=-32700)
    if how == "surrogate":
        raise McpCallError("\ud800")
    if how == "value":
        raise ValueError("\ud800")
    if how == "tool":
        raise McpCallError("No such city")
    raise LookupError(how)


def listed(bench: Any, *, tools: Any = None, found: Any = FOUND, **session: Any) -> list[dict[str, Any]]:
    """Configure MCP tools, and list those servers; return what was sent."""
    sent = bench.send("session.update", session={"type": "realtime", "tools": tools or [WEATHER], **session})
    for effect in bench.of_kind(ListTools):
        bench.protocol.tools_listed(effect.item_id, found)
    bench.effects.clear()
    return sent + bench.take()


def offered(bench: Any, **params: Any) -> list[str]:
    request = bench.protocol.brain_request(bench.respond(conversation="none", **params))
    return [tool.name for tool in request.tools]


# ---- listings ----


def test_a_listing_follows_the_update(bench, types_of):
    sent = listed(bench)
    assert ["session.updated", *LISTED] == types_of(sent)
    item = sent[-2]["item"]
    assert {sent[1]["item_id"]} == {item["id"], sent[-1]["item_id"]}
    assert ("mcp_list_tools", "weather") == (item["type"], item["server_label"])
    assert ["get_weather", "forecast"] == [tool["name"] for tool in item["tools"]]
    assert {"readOnlyHint": True} == item["tools"][1]["annotations"]
    assert item == bench.one("conversation.item.retrieve", item_id=item["id"])["item"]
    assert ["get_weather", "forecast"] == offered(bench)


def test_the_completion_may_come_before_the_item(make_bench, types_of):
    bench = make_bench(misbehaviour=Misbehaviour(other_order=True))
    assert ["session.updated", LISTED[0], LISTED[3], *LISTED[1:3]] == types_of(listed(bench))


def test_a_server_that_cannot_be_asked_fails_and_is_asked_again(bench, types_of):
    sent = listed(bench, found=None)
    assert ["session.updated", "mcp_list_tools.in_progress", "mcp_list_tools.failed"] == types_of(sent)
    assert [] == offered(bench)
    assert ["session.updated", *LISTED] == types_of(listed(bench))


def test_what_is_known_is_not_listed_again(bench, types_of):
    listed(bench)
    for tool in (WEATHER, {"type": "mcp", "server_label": "weather"}, {**WEATHER, "require_approval": "never"}):
        assert ["session.updated"] == types_of(listed(bench, tools=[tool]))
        assert ["get_weather", "forecast"] == offered(bench)
    assert ["session.updated"] == types_of(bench.send("session.update", session={"type": "realtime"}))
    assert ["session.updated", *LISTED] == types_of(listed(bench, tools=[{**WEATHER, "server_url": "https://b"}]))
    assert ["session.updated", *LISTED] == types_of(listed(bench, tools=[{**WEATHER, "authorization": "t"}]))


def test_tools_that_are_taken_out_are_not_offered(bench):
    listed(bench)
    bench.update(tools=[])
    assert [] == offered(bench)
    assert ["get_weather", "forecast"] == offered(bench, tools=[{"type": "mcp", "server_label": "weather"}])


def test_a_turn_meanwhile_sees_what_is_listed_by_then(bench):
    bench.send("session.update", session={"type": "realtime", "tools": [WEATHER]})
    response = bench.respond(conversation="none")
    assert () == bench.protocol.brain_request(response).tools
    (begun,) = bench.of_kind(StartResponse)
    assert () == begun.list_first
    (wanted,) = bench.of_kind(ListTools)
    assert {wanted.item_id} == bench.protocol.listing
    bench.protocol.tools_listed(wanted.item_id, FOUND)
    assert 2 == len(bench.protocol.brain_request(response).tools)
    assert frozenset() == bench.protocol.listing


def test_a_response_waits_for_its_own_listings(bench, types_of):
    sent = bench.send("response.create", response={"tools": [WEATHER], "conversation": "none"})
    assert ["response.created", "mcp_list_tools.in_progress"] == types_of(sent)
    (begun,), (wanted,) = bench.of_kind(StartResponse), bench.of_kind(ListTools)
    assert (wanted.item_id,) == begun.list_first


def test_a_listing_out_of_date_is_ignored(bench, types_of):
    bench.send("session.update", session={"type": "realtime", "tools": [WEATHER]})
    bench.send("session.update", session={"type": "realtime", "tools": [{**WEATHER, "server_url": "https://b"}]})
    first, second = bench.of_kind(ListTools)
    bench.protocol.tools_listed(first.item_id, FOUND)
    assert [] == bench.take()
    bench.protocol.tools_listed(second.item_id, FOUND)
    assert LISTED[1:] == types_of(bench.take())
    bench.protocol.tools_listed(second.item_id, None)
    assert [] == bench.take()


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["get_weather", "forecast"]),
        (["forecast"], ["forecast"]),
        ([], []),
        ({"tool_names": ["get_weather"]}, ["get_weather"]),
        ({"read_only": True}, ["forecast"]),
        ({"read_only": False}, ["get_weather"]),
        ({"read_only": True, "tool_names": ["get_weather"]}, []),
        (["forecast", "nothing"], None),
    ],
)
def test_allowed_tools(bench, allowed, names):
    sent = listed(bench, tools=[{**WEATHER, "allowed_tools": allowed}])
    if names is None:
        assert "mcp_list_tools.failed" == sent[-1]["type"]
    else:
        assert names == [tool["name"] for tool in sent[-2]["item"]["tools"]] == offered(bench)


def test_secrets_are_not_told_again(bench):
    for secret in ({"headers": {"X-Key": "s3cret"}}, {"authorization": "s3cret"}):
        (told,) = listed(bench, tools=[{**WEATHER, **secret}])[0]["session"]["tools"]
        assert WEATHER == told
    assert "s3cret" not in json.dumps(bench.log)


@pytest.mark.parametrize(
    ("tools", "code", "param"),
    [
        ([{**WEATHER, "server_label": None}], "invalid_type", "session.tools[0].server_label"),
        ([{"type": "mcp", "server_url": "https://a"}], "missing_required_parameter", "session.tools[0].server_label"),
        ([{**WEATHER, "url": "x"}], "unknown_parameter", "session.tools[0].url"),
        ([{"type": "mcp", "server_label": "x"}], guesses.MCP_NOWHERE_CODE, "session.tools[0].server_url"),
        (
            [{**WEATHER, "connector_id": "connector_gmail"}],
            guesses.MCP_CONFLICT_CODE,
            "session.tools[0].connector_id",
        ),
        ([WEATHER, WEATHER], guesses.MCP_DUPLICATE_CODE, "session.tools[1].server_label"),
        (
            [{**WEATHER, "authorization": "a", "headers": {"authorization": "b"}}],
            guesses.MCP_CONFLICT_CODE,
            "session.tools[0].authorization",
        ),
        (
            [{"type": "mcp", "server_label": "x", "connector_id": "connector_x"}],
            "invalid_value",
            "session.tools[0].connector_id",
        ),
        ([{**WEATHER, "require_approval": "sometimes"}], "invalid_value", "session.tools[0].require_approval"),
        (
            [{**WEATHER, "require_approval": {"always": {"name": "x"}}}],
            "unknown_parameter",
            "session.tools[0].require_approval.always.name",
        ),
        ([{**WEATHER, "allowed_tools": "all"}], "invalid_type", "session.tools[0].allowed_tools"),
    ],
)
def test_definitions_that_make_no_sense(bench, tools, code, param):
    error = bench.error("session.update", session={"type": "realtime", "tools": tools})
    assert (code, param) == (error["code"], error["param"])
    error = bench.error("response.create", response={"tools": tools})
    assert (code, param.replace("session", "response", 1)) == (error["code"], error["param"])
    assert [] == bench.of_kind(ListTools)


# ---- choice ----


def test_a_choice_narrows_the_tools(bench):
    listed(bench, tools=[WEATHER, {"type": "function", "name": "look"}])

    def asked(choice: Any) -> tuple[list[str], str]:
        response = bench.respond(conversation="none", tool_choice=choice)
        request = bench.protocol.brain_request(response)
        return [tool.name for tool in request.tools], request.tool_choice

    mine = {"type": "mcp", "server_label": "weather"}
    assert (["look", "get_weather", "forecast"], "required") == asked("required")
    assert (["get_weather", "forecast"], "required") == asked(mine)
    assert (["get_weather", "forecast"], "forecast") == asked({**mine, "name": "forecast"})
    assert (["look", "get_weather", "forecast"], "look") == asked({"type": "function", "name": "look"})
    error = bench.error("response.create", response={"tool_choice": {**mine, "server_label": "x"}})
    assert ("invalid_value", "response.tool_choice.server_label") == (error["code"], error["param"])
    error = bench.error("response.create", response={"tool_choice": {"type": "function", "name": "forecast"}})
    assert "response.tool_choice.name" == error["param"]


# ---- calls ----


def begin(bench: Any, rule: Any = "never", *, wanted: ToolCall | None = None, **params: Any) -> tuple[str, list[Any]]:
    """Have a response call a tool; return it, and what was sent."""
    listed(bench, tools=[{**WEATHER, "require_approval": rule}])
    bench.say("weather?")
    response = bench.respond(output_modalities=["text"], **params)
    bench.effects.clear()
    assert bench.protocol.response_call(response, wanted or ToolCall("get_weather", {"a": 1}), bench.now)
    return response, bench.take()


def test_a_call_without_approval(bench, types_of):
    response, sent = begin(bench)
    assert [*ASKED, *ARGUED, "response.mcp_call.in_progress"] == types_of(sent)
    item_id = sent[0]["item"]["id"]
    assert {"type": "mcp_call", "server_label": "weather", "name": "get_weather", "arguments": ""} == {
        name: sent[0]["item"][name] for name in ("type", "server_label", "name", "arguments")
    }
    assert '{"a": 1}' == sent[2]["delta"] == sent[3]["arguments"]
    assert (item_id, 0) == (sent[4]["item_id"], sent[4]["output_index"])
    (wanted,) = bench.of_kind(CallTool)
    assert ("weather", "get_weather", '{"a": 1}') == (wanted.server_label, wanted.name, wanted.arguments)
    assert bench.protocol.calling(response)
    bench.protocol.tool_called(item_id, "warm")
    sent = bench.take()
    assert ["response.mcp_call.completed", "conversation.item.done", "response.output_item.done"] == types_of(sent)
    assert "warm" == sent[1]["item"]["output"] == sent[2]["item"]["output"]
    assert not bench.protocol.calling(response)
    request = bench.protocol.next_request(response)
    assert ToolAnswered(call_id=item_id, name="get_weather", output="warm") == request.history[-1]
    bench.protocol.response_text(response, "It is warm.", bench.now)
    assert bench.protocol.next_request(response) is None
    bench.protocol.response_finished(response, bench.now)
    done = next(event for event in bench.take() if event["type"] == "response.done")["response"]
    assert ["mcp_call", "message"] == [item["type"] for item in done["output"]]
    assert "warm" == done["output"][0]["output"]


@pytest.mark.parametrize(
    "error",
    [
        events.McpToolExecutionError(message="no"),
        events.McpProtocolError(code=-32602, message="no"),
        events.McpHttpError(code=502, message="no"),
    ],
)
def test_a_call_that_fails(bench, types_of, error):
    response, sent = begin(bench)
    bench.protocol.tool_called(sent[0]["item"]["id"], error)
    ended = bench.take()
    assert ["response.mcp_call.failed", "conversation.item.done", "response.output_item.done"] == types_of(ended)
    told = ended[-1]["item"]["error"]
    assert ("no", getattr(error, "code", None)) == (told["message"], told.get("code"))
    assert ended[-1]["item"].get("output") is None
    assert '{"error": "no"}' == bench.protocol.next_request(response).history[-1].output


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        (None, True),
        ("always", True),
        ("never", False),
        ({"never": {"tool_names": ["get_weather"]}}, False),
        ({"never": {"tool_names": ["forecast"]}}, True),
        ({"always": {"tool_names": ["get_weather"]}, "never": {}}, True),
        ({"always": {"read_only": True}}, guesses.MCP_UNNAMED_NEED_APPROVAL),
        ({"never": {"read_only": False}}, False),
        ({}, guesses.MCP_UNNAMED_NEED_APPROVAL),
    ],
)
def test_who_needs_approval(bench, rule, asks):
    _, sent = begin(bench, rule)
    assert asks == ("response.mcp_call.in_progress" != sent[-1]["type"])


def approve(bench: Any, request_id: str, *, yes: bool = True, **fields: Any) -> list[dict[str, Any]]:
    answer = {"type": "mcp_approval_response", "id": "mine", "approval_request_id": request_id, "approve": yes}
    return bench.send("conversation.item.create", item={**answer, **fields})


def test_an_approved_call(bench, types_of):
    response, sent = begin(bench, "always")
    assert [*ASKED, *ARGUED, "conversation.item.added", "conversation.item.done"] == types_of(sent)
    call, request = sent[0]["item"], sent[-1]["item"]
    assert "mcp_approval_request" == request["type"]
    assert ("weather", "get_weather", '{"a": 1}') == (request["server_label"], request["name"], request["arguments"])
    assert call["id"] == sent[-1]["previous_item_id"]
    assert [] == bench.of_kind(CallTool)
    assert bench.protocol.calling(response)
    sent = approve(bench, request["id"], reason="fine")
    assert ["conversation.item.added", "conversation.item.done", "response.mcp_call.in_progress"] == types_of(sent)
    assert (True, "fine") == (sent[0]["item"]["approve"], sent[0]["item"]["reason"])
    assert 1 == len(bench.of_kind(CallTool))
    bench.protocol.tool_called(call["id"], "warm")
    assert request["id"] == bench.take()[-1]["item"]["approval_request_id"]
    error = approve(bench, request["id"], id="again")[0]["error"]
    assert (guesses.UNKNOWN_APPROVAL_CODE, "item.approval_request_id") == (error["code"], error["param"])


def test_a_refused_call(bench, types_of):
    response, sent = begin(bench, "always")
    sent = approve(bench, sent[-1]["item"]["id"], yes=False, reason="Too dear.")
    assert [
        "conversation.item.added",
        "conversation.item.done",
        "response.mcp_call.failed",
        "conversation.item.done",
        "response.output_item.done",
    ] == types_of(sent)
    assert f"{guesses.MCP_REFUSED} Too dear." == sent[-1]["item"]["error"]["message"]
    assert [] == bench.of_kind(CallTool)
    assert not bench.protocol.calling(response)


def test_an_answer_to_nothing_is_refused(bench):
    assert guesses.UNKNOWN_APPROVAL_CODE == approve(bench, "nobody")[0]["error"]["code"]
    assert "item_retrieve_invalid_item_id" == bench.error("conversation.item.retrieve", item_id="mine")["code"]
    item = {"type": "mcp_approval_response", "approval_request_id": "x", "approve": True}
    assert "missing_required_parameter" == bench.error("conversation.item.create", item=item)["code"]
    item = {"type": "mcp_call", "id": "x", "server_label": "a", "name": "b", "arguments": ""}
    assert "does not support" in bench.error("conversation.item.create", item=item)["message"]


@pytest.mark.parametrize("rule", ["always", "never"])
def test_a_cancelled_response_drops_its_call(bench, types_of, rule):
    _, sent = begin(bench, rule)
    ended = bench.send("response.cancel")
    dones = ["conversation.item.done", "response.output_item.done", "response.done", "rate_limits.updated"]
    assert dones == types_of(ended)
    assert {"output", "error"}.isdisjoint(name for name, value in ended[1]["item"].items() if value is not None)
    assert (1 if rule == "never" else 0) == len(bench.of_kind(StopCall))
    bench.protocol.tool_called(sent[0]["item"]["id"], "late")
    assert [] == bench.take()
    if rule == "always":
        assert "error" == approve(bench, sent[-1]["item"]["id"])[0]["type"]


def test_an_out_of_band_call_touches_no_conversation(bench, types_of):
    _, sent = begin(bench, conversation="none")
    bench.protocol.tool_called(sent[0]["item"]["id"], "warm")
    assert not [name for name in types_of(sent + bench.take()) if name.startswith("conversation.")]


def test_an_out_of_band_call_cannot_be_approved(bench, types_of):
    _, sent = begin(bench, "always", conversation="none")
    assert [ASKED[0], *ARGUED, "response.mcp_call.failed", "response.output_item.done"] == types_of(sent)
    assert "approval" in sent[-1]["item"]["error"]["message"]


def test_functions_come_first_where_names_collide(bench):
    bench.effects.clear()
    function = {"type": "function", "name": "get_weather"}
    listed(bench, tools=[{**WEATHER, "require_approval": "never"}, function])
    response = bench.respond()
    for label, kind in ((None, "function_call"), ("weather", "mcp_call")):
        bench.protocol.response_call(response, ToolCall("get_weather", {}, label), bench.now)
        added = [event for event in bench.take() if event["type"] == "response.output_item.added"]
        assert [kind] == [event["item"]["type"] for event in added]
    bench.protocol.tool_called(added[0]["item"]["id"], "warm")
    assert bench.protocol.next_request(response) is None  # the client has a function to run


@pytest.mark.parametrize("reply", ["new_response", "none"])
@pytest.mark.parametrize("early", [False, True])
def test_a_response_that_ends_before_its_call(make_bench, types_of, reply, early):
    bench = make_bench(misbehaviour=Misbehaviour(mcp_reply=reply))
    response, sent = begin(bench)
    assert [*ASKED, *ARGUED, "response.mcp_call.in_progress", "response.output_item.done"] == types_of(sent)
    assert not bench.protocol.calling(response)
    assert bench.protocol.next_request(response) is None
    item_id = sent[0]["item"]["id"]
    steps = [
        lambda: bench.protocol.response_finished(response, bench.now),
        lambda: bench.protocol.tool_called(item_id, "warm"),
    ]
    for step in steps[::-1] if early else steps:
        step()
    after = types_of(bench.take())
    assert {"response.mcp_call.completed", "conversation.item.done", "response.done"} <= set(after)
    assert (reply == "new_response") == ("response.created" in after)
    if reply == "new_response":
        assert "response.created" == after[-1]
        begun = bench.of_kind(StartResponse)[-1]
        assert "warm" == bench.protocol.brain_request(begun.response_id).history[-1].output
    assert "warm" == bench.one("conversation.item.retrieve", item_id=item_id)["item"]["output"]


# ---- played, in memory and on sockets ----


@pytest.mark.parametrize("reply", ["same_response", "new_response", "none"])
async def test_the_rules_brain_asks_an_mcp_server_for_the_weather(autojump_clock, client_of, types_of, reply):
    servers = {"weather": [get_weather]}
    async with (
        open_server(listen=False, mcp=servers, misbehaviour=Misbehaviour(mcp_reply=reply)) as server,
        client_of(server) as client,
    ):
        tools = [{**WEATHER, "require_approval": "never"}]
        await client.send("session.update", session={"type": "realtime", "output_modalities": ["text"], "tools": tools})
        await client.until("mcp_list_tools.completed")
        response = await client.ask("What is the weather in Paris?")
        assert "mcp_call" == response["output"][0]["type"]
        if reply == "none":
            await client.until("response.mcp_call.completed")
            await client.send("response.create")
        if reply != "same_response":
            response = (await client.until("response.done"))[-1]["response"]
    assert "It is 21.5 degrees Celsius in Paris, city Paris." == response["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("http", "http_error", "Bad gateway"),
        ("protocol", "protocol_error", "Parse error"),
        ("tool", "tool_execution_error", "No such city"),
        ("x", "tool_execution_error", "LookupError"),
        ("surrogate", "tool_execution_error", "?"),
        ("value", "tool_execution_error", "ValueError: ?"),
        (5, "tool_execution_error", "do not fit"),
    ],
)
async def test_functions_that_fail(autojump_clock, client_of, how, kind, words):
    async with open_server(listen=False, mcp={"weather": [fail]}) as server, client_of(server) as client:
        tools = [{**WEATHER, "require_approval": "never"}]
        await client.send("session.update", session={"type": "realtime", "output_modalities": ["text"], "tools": tools})
        response = await client.ask(f"call fail {json.dumps({'how': how})}")
    call, message = response["output"]
    assert kind == call["error"]["type"]
    assert words in call["error"]["message"]
    assert "failed" in message["content"][0]["text"]


async def test_an_unknown_tool_is_a_protocol_error(autojump_clock, client_of):
    async def brain(request):
        if isinstance(request.history[-1], ToolAnswered):
            yield request.history[-1].output
        else:
            yield ToolCall("nothing", {}, "weather")

    async with open_server(listen=False, mcp={"weather": [fail]}, brain=brain) as server, client_of(server) as client:
        response = await client.ask("go", output_modalities=["text"], tools=[WEATHER])
    call, message = response["output"]
    assert ("protocol_error", -32602) == (call["error"]["type"], call["error"]["code"])
    assert "nothing" in message["content"][0]["text"]


async def test_an_unknown_label_fails_to_be_listed(autojump_clock, client_of):
    async with open_server(listen=False, mcp={"weather": [fail]}) as server, client_of(server) as client:
        tools = [{**WEATHER, "server_label": "other"}]
        await client.send("session.update", session={"type": "realtime", "tools": tools})
        await client.until("mcp_list_tools.failed")
        response = await client.ask("What is the weather in Paris?", output_modalities=["text"])
    assert "no weather tool" in response["output"][0]["content"][0]["text"]


async def test_read_only_tools_and_threads(client_of):
    def look() -> str:
        """Look."""
        return "seen"

    async with (
        open_server(listen=False, mcp={"weather": [ReadOnly(look), get_weather]}) as server,
        client_of(server) as client,
    ):
        tools = [{**WEATHER, "require_approval": "never", "allowed_tools": {"read_only": True}}]
        response = await client.ask("call look {}", output_modalities=["text"], tools=tools)
    items = [event["item"] for _, event in client.times if event["type"] == "conversation.item.done"]
    (listing,) = [item for item in items if item["type"] == "mcp_list_tools"]
    assert [("look", {"readOnlyHint": True})] == [(tool["name"], tool["annotations"]) for tool in listing["tools"]]
    assert "seen" == response["output"][0]["output"]


async def test_a_slow_listing(autojump_clock, client_of):
    async with (
        open_server(
            listen=False, mcp={"weather": [get_weather]}, misbehaviour=Misbehaviour(listing_delay_s=3)
        ) as server,
        client_of(server) as client,
    ):
        tools = [{**WEATHER, "require_approval": "never"}]
        await client.send("session.update", session={"type": "realtime", "output_modalities": ["text"], "tools": tools})
        early = await client.ask("What is the weather in Paris?")
        await client.until("mcp_list_tools.completed")
        late = await client.ask("What is the weather in Lima?")
    assert ["message"] == [item["type"] for item in early["output"]]
    assert ["mcp_call", "message"] == [item["type"] for item in late["output"]]
    at = {event["type"]: time for time, event in client.times}
    assert 3 == pytest.approx(at["mcp_list_tools.completed"] - at["mcp_list_tools.in_progress"])


async def test_a_response_waits_for_the_listing_that_it_needs(autojump_clock, client_of):
    async with (
        open_server(
            listen=False, mcp={"weather": [get_weather]}, misbehaviour=Misbehaviour(listing_delay_s=3)
        ) as server,
        client_of(server) as client,
    ):
        tools = [{**WEATHER, "require_approval": "never"}]
        response = await client.ask("What is the weather in Paris?", output_modalities=["text"], tools=tools)
    assert ["mcp_call", "message"] == [item["type"] for item in response["output"]]


async def test_a_running_function_is_cancelled_with_its_response(autojump_clock, client_of):
    ended = []

    async def slow() -> str:
        """Take long."""
        try:
            await trio.sleep(100)
        finally:
            ended.append(trio.current_time())
        return "never"

    async with open_server(listen=False, mcp={"weather": [slow]}) as server, client_of(server) as client:
        tools = [{**WEATHER, "require_approval": "never"}]
        await client.send("session.update", session={"type": "realtime", "output_modalities": ["text"], "tools": tools})
        await client.until("mcp_list_tools.completed")
        content = [{"type": "input_text", "text": "call slow {}"}]
        await client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await client.send("response.create")
        await client.until("response.mcp_call.in_progress")
        await trio.sleep(5)
        await client.send("response.cancel")
        await client.until("response.done")
        cancelled = trio.current_time()
        await trio.sleep(1)
        assert [pytest.approx(cancelled)] == ended
        response = await client.ask("2+2")
    assert "completed" == response["status"]


async def test_a_function_that_crashes_while_it_is_cancelled_disturbs_nobody(autojump_clock, client_of):
    async def crash() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the middle of it")

    async def messy() -> str:
        """Make a mess."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crash)
            nursery.start_soon(trio.sleep_forever)  # so that what comes out is a cancellation too
        return "never"

    async with open_server(listen=False, mcp={"weather": [messy]}) as server, client_of(server) as client:
        tools = [{**WEATHER, "require_approval": "never"}]
        content = [{"type": "input_text", "text": "call messy {}"}]
        await client.send("conversation.item.create", item={"type": "message", "role": "user", "content": content})
        await client.send("response.create", response={"tools": tools, "output_modalities": ["text"]})
        await client.until("response.mcp_call.in_progress")
        await trio.sleep(1)
        await client.send("response.cancel")
        await client.until("response.done")
        assert "completed" == (await client.ask("2+2", output_modalities=["text"]))["status"]


async def test_a_brain_that_calls_for_ever_is_stopped(autojump_clock, client_of):
    async def brain(request):
        yield ToolCall("get_weather", {"city": "Rome"})

    async with (
        open_server(listen=False, mcp={"weather": [get_weather]}, brain=brain) as server,
        client_of(server) as client,
    ):
        tools = [{**WEATHER, "require_approval": "never"}]
        response = await client.ask("go", tools=tools)
    assert "completed" == response["status"]
    assert 16 == len(response["output"])


async def test_an_ending_counts_words_over_a_call(autojump_clock, client_of):
    misbehaviour = Misbehaviour(endings={1: Incomplete(after_words=2)})
    async with (
        open_server(listen=False, mcp={"weather": [get_weather]}, misbehaviour=misbehaviour) as server,
        client_of(server) as client,
    ):
        tools = [{**WEATHER, "require_approval": "never"}]
        response = await client.ask("weather in Rome", output_modalities=["text"], tools=tools)
    assert "incomplete" == response["status"]
    assert "It is " == response["output"][1]["content"][0]["text"]


async def test_two_tools_of_one_name_are_refused():
    from realtime_trio.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="weather"):
        async with open_server(listen=False, mcp={"weather": [get_weather, ReadOnly(get_weather)]}, speed=math.inf):
            raise AssertionError("opened")

"""One agent hands over to another: what is sent, when it counts, and what stays as it was."""

from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio import (
    Agent,
    ConfigurationError,
    HandedOver,
    ServerError,
    ToolContext,
    VoiceKept,
    events,
    open_server,
    open_session,
    tool,
)
from realtime_trio.server import BrainRequest, Said, ToolAnswered, ToolCall


@tool
async def look_up() -> str:
    """Look something up."""
    return "found"


@tool
async def pay() -> str:
    """Pay."""
    return "paid"


RECEPTION = Agent("reception", instructions="You are the reception.", tools=[look_up], voice="marin")
BILLING = Agent("billing", instructions="You are billing.", tools=[pay])
SPEECH = {"input": {"format": {"type": "audio/pcmu"}}}


@pytest.fixture
def open_talk(open_talk):
    """A session whose updates, but for the first, are answered by the test."""

    @asynccontextmanager
    async def open_quietly(**options):
        async with open_talk(**options) as talk:
            del talk.peer._answers["session.update"]
            yield talk

    return open_quietly


async def acknowledge(talk):
    """Answer the next update. Returns what it changes."""
    update = await talk.peer.expect("session.update")
    await talk.peer.send("session.updated", session=talk.peer._merged(update))
    return update["session"]


async def refuse(talk, code):
    update = await talk.peer.expect("session.update")
    problem = {"type": "invalid_request_error", "code": code, "message": "no", "event_id": update["event_id"]}
    await talk.peer.send("error", error=problem)
    return update["session"]


def names(definitions):
    return [definition["name"] for definition in definitions]


async def test_only_what_changes_is_said_and_in_one_update(open_talk, nursery, autojump_clock):
    """No format, no turn detection: nothing that the new agent has no opinion on."""
    async with open_talk(agent=RECEPTION, config={"audio": SPEECH}) as talk:
        assert talk.session.agent is RECEPTION
        handovers = []
        nursery.start_soon(lambda: _into(handovers, talk.session.become(BILLING)))
        changes = await acknowledge(talk)
        await wait_all_tasks_blocked()

        assert set(changes) == {"type", "instructions", "tools"}
        assert changes["instructions"] == "You are billing."
        assert names(changes["tools"]) == ["pay"]
        assert talk.session.agent is BILLING
        assert (handovers[0].agent, handovers[0].previous, handovers[0].voice_changed) == (BILLING, RECEPTION, False)
        assert talk.session.config.audio.input.format.type == "audio/pcmu"

        nursery.start_soon(talk.session.become, Agent("night", instructions="You are billing.", tools=[pay]))

        assert await acknowledge(talk) == {"type": "realtime"}

        await wait_all_tasks_blocked()


async def _into(results, awaitable):
    results.append(await awaitable)


async def test_it_counts_from_the_acknowledgement_on(open_talk, nursery, autojump_clock):
    """Not before, and not a step later: a call in the very next event is already the new agent's."""
    ran = []

    @tool
    async def mine() -> str:
        """Say who ran."""
        ran.append("billing")
        return "x"

    billing = Agent("billing", tools=[mine])
    async with open_talk(agent=RECEPTION) as talk, talk.session.events(HandedOver) as told:
        nursery.start_soon(talk.session.become, billing)
        update = await talk.peer.expect("session.update")
        await trio.sleep(1)

        assert talk.session.agent is RECEPTION

        await talk.peer.send("session.updated", session=talk.peer._merged(update))
        await talk.created(None, "r1")
        await talk.done("r1", {"type": "function_call", "id": "f", "call_id": "c", "name": "mine", "arguments": "{}"})
        await talk.acknowledge(item={"type": "function_call_output", "call_id": "c"})

        assert ran == ["billing"]
        assert (await told.receive()).handover.agent is billing


async def test_a_response_that_began_before_keeps_its_tools(open_talk, nursery, autojump_clock, as_function_call):
    """Its calls are of tools that the new agent does not have."""
    async with open_talk(agent=RECEPTION) as talk:
        await talk.created(None, "r1")
        await wait_all_tasks_blocked()
        nursery.start_soon(talk.session.become, BILLING)
        await acknowledge(talk)
        await talk.done("r1", as_function_call("c", "look_up", "{}"))
        item = await talk.acknowledge()

        assert item["output"] == "found"


async def test_a_tool_that_runs_finishes_and_the_new_agent_replies(
    open_talk, nursery, autojump_clock, as_function_call
):
    """Its output is the old agent's tool's."""

    @tool
    async def slow() -> str:
        """Take a while."""
        await trio.sleep(5)
        return "done at last"

    async with open_talk(agent=Agent("reception", tools=[slow])) as talk:
        await talk.created(None, "r1")
        await talk.done("r1", as_function_call("c", "slow", "{}"))
        await trio.sleep(1)
        nursery.start_soon(talk.session.become, BILLING)
        await acknowledge(talk)

        assert (await talk.acknowledge())["output"] == "done at last"

        await talk.peer.expect("response.create")

        assert talk.session.agent is BILLING


async def test_a_tool_hands_over_and_the_new_agent_replies(open_talk, nursery, autojump_clock, as_function_call):
    """The update is acknowledged before the output is sent, and that before a reply is asked for."""
    greeted = Agent("billing", instructions="You are billing.", tools=[pay], greeting="Say your name.")

    @tool
    async def transfer(context: ToolContext) -> str:
        """Transfer to billing."""
        handover = await context.session.become(greeted)
        return f"you are {handover.agent.name} now"

    async with open_talk(agent=Agent("reception", tools=[transfer])) as talk:
        await talk.created(None, "r1")
        await talk.done("r1", as_function_call("c", "transfer", "{}"))
        assert names((await acknowledge(talk))["tools"]) == ["pay"]
        item = await talk.acknowledge()
        request = await talk.peer.expect("response.create")

        assert item["output"] == "you are billing now"
        assert "instructions" not in request["response"], "it is not greeted as well: this reply is its first word"

        await talk.created(request, "r2")
        await talk.text("r2", "Hello from billing.")
        await talk.peer.expect_nothing(5)


async def test_a_greeting_is_not_spoken_by_the_next_agent(open_talk, nursery, autojump_clock):
    """It waits for the floor, and its agent is none any more when that is free."""
    anna = Agent("anna", instructions="You are Anna.", greeting="Say your name.")
    async with open_talk(agent=RECEPTION) as talk:
        await talk.created(None, "r1")
        for agent in (anna, BILLING):
            nursery.start_soon(talk.session.become, agent)
            await acknowledge(talk)
            await wait_all_tasks_blocked()
        assert talk.session.agent is BILLING
        await talk.text("r1", "One, two, three.")
        await talk.peer.expect_nothing(5)


async def test_a_first_greeting_is_not_spoken_by_the_next_agent(open_talk, nursery, autojump_clock):
    """It is asked for, and not begun."""
    anna = Agent("anna", instructions="You are Anna.", greeting="Say your name.")
    async with open_talk(agent=anna) as talk:
        request = await talk.peer.expect("response.create")
        nursery.start_soon(talk.session.become, BILLING)
        await acknowledge(talk)
        await wait_all_tasks_blocked()
        await talk.created(request, "r1")
        await talk.peer.expect("response.cancel", response_id="r1")
        await talk.done("r1", status="cancelled")
        await talk.peer.expect_nothing(5)


async def test_a_greeting_of_the_program_is_spoken_by_any_agent(open_talk, nursery, autojump_clock):
    async with open_talk(greeting="Say hello.") as talk:
        request = await talk.peer.expect("response.create")
        nursery.start_soon(talk.session.become, BILLING)
        await acknowledge(talk)
        await talk.created(request, "r1")
        await talk.text("r1", "Hello")
        await talk.peer.expect_nothing(5)


async def test_an_agent_greets_once(open_talk, nursery, autojump_clock):
    """To become who one is already is no taking over; and a greeting that waits is not lost by it."""
    anna = Agent("anna", instructions="You are Anna.", greeting="Say your name.")
    async with open_talk(agent=RECEPTION) as talk:
        await talk.created(None, "r1")
        for agent in (anna, BILLING, anna, anna, anna):
            nursery.start_soon(talk.session.become, agent)
            await acknowledge(talk)
            await wait_all_tasks_blocked()
        await talk.text("r1", "One, two, three.")
        request = await talk.peer.expect("response.create")
        assert "You are Anna.\n\nSay your name." in request["response"]["instructions"]
        await talk.created(request, "r2")
        await talk.text("r2", "Anna", "item_b")
        await talk.peer.expect_nothing(5)


async def test_the_greeting_of_the_one_who_takes_over(open_talk, nursery, autojump_clock):
    """It speaks first, under its own instructions."""
    async with open_talk(agent=RECEPTION) as talk:
        nursery.start_soon(
            talk.session.become, Agent("billing", instructions="You are billing.", greeting="Say your name.")
        )
        await acknowledge(talk)
        request = await talk.peer.expect("response.create")

        assert request["response"]["instructions"] == "You are billing.\n\nSay your name."


@pytest.mark.parametrize("policy", ["background", "detach", "cancel"])
async def test_a_call_that_is_not_replied_to_keeps_no_greeting_back(
    policy, open_talk, nursery, autojump_clock, as_function_call
):
    """One in the background may run for an hour, and to one that was cancelled nothing is said."""

    @tool(background=policy == "background", on_interrupt="finish" if policy == "background" else policy)
    async def slow() -> str:
        """Take long."""
        await trio.sleep(3600)

    async with open_talk(agent=Agent("reception", tools=[slow])) as talk:
        await talk.created(None, "r1")
        await talk.done("r1", as_function_call("c", "slow", "{}"))
        await trio.sleep(1)
        if policy == "background":
            await talk.acknowledge(item={"type": "function_call_output"})
            await talk.created(await talk.peer.expect("response.create"), "r2")
            await talk.text("r2", "It goes on.")
        else:
            talk.session.interrupt()
            output = await talk.peer.expect("conversation.item.create", item={"type": "function_call_output"})
            if policy == "detach":
                for kind in ("added", "done"):
                    await talk.peer.send(f"conversation.item.{kind}", item=output["item"], previous_item_id=None)
        nursery.start_soon(talk.session.become, Agent("billing", greeting="Say your name."))
        await acknowledge(talk)

        request = await talk.peer.expect("response.create", within=10)
        assert request["response"]["instructions"] == "Say your name."


@pytest.mark.parametrize("is_running", [True, False])
async def test_a_call_that_is_replied_to_takes_the_place_of_the_greeting(
    is_running, open_talk, nursery, autojump_clock, as_function_call
):
    """Also where its output is on its way: that of a call in the background says that it goes on."""

    @tool(background=not is_running)
    async def slow() -> str:
        """Take long."""
        await trio.sleep(20)
        return "done"

    async with open_talk(agent=Agent("reception", tools=[slow])) as talk:
        await talk.created(None, "r1")
        await talk.done("r1", as_function_call("c", "slow", "{}"))
        output = None if is_running else await talk.peer.expect("conversation.item.create")
        nursery.start_soon(talk.session.become, Agent("billing", greeting="Say your name."))
        await acknowledge(talk)
        output = output or await talk.peer.expect("conversation.item.create", within=60)
        for kind in ("added", "done"):
            await talk.peer.send(f"conversation.item.{kind}", item=output["item"], previous_item_id=None)

        request = await talk.peer.expect("response.create")
        assert "instructions" not in request["response"]

        await talk.created(request, "r2")
        await talk.text("r2", "It goes on, says billing.")
        await talk.peer.expect_nothing(5)


async def test_the_voice_changes_as_long_as_nobody_spoke(open_talk, nursery, autojump_clock):
    async with open_talk(agent=RECEPTION) as talk:
        handovers = []
        nursery.start_soon(lambda: _into(handovers, talk.session.become(Agent("b", voice="cedar"))))

        assert (await acknowledge(talk))["audio"] == {"output": {"voice": "cedar"}}

        await wait_all_tasks_blocked()

        assert handovers[0].voice_changed


async def test_after_that_the_voice_stays_and_it_is_said(open_talk, nursery, autojump_clock, tone):
    """No error: the API allows no other, and the rest of the handover is what matters."""
    async with open_talk(agent=RECEPTION) as talk, talk.session.events(VoiceKept) as told:
        await talk.created(None, "r1", conversation_id=None)  # also beside the conversation
        await talk.audio("r1", tone(20))
        await talk.done("r1", conversation_id=None)
        await wait_all_tasks_blocked()
        handovers = []
        nursery.start_soon(lambda: _into(handovers, talk.session.become(Agent("b", voice="cedar"))))

        assert "audio" not in await acknowledge(talk)
        assert await told.receive() == VoiceKept("marin", "cedar")
        await wait_all_tasks_blocked()
        assert not handovers[0].voice_changed


async def test_the_server_knows_better_whether_somebody_spoke(open_talk, nursery, autojump_clock):
    """It refuses the whole update; then it is asked for all but the voice."""
    async with open_talk(agent=RECEPTION) as talk, talk.session.events(VoiceKept) as told:
        handovers = []
        nursery.start_soon(lambda: _into(handovers, talk.session.become(Agent("b", "You are b.", voice="cedar"))))

        assert (await refuse(talk, "cannot_update_voice"))["audio"] == {"output": {"voice": "cedar"}}

        changes = await acknowledge(talk)

        assert "audio" not in changes
        assert changes["instructions"] == "You are b."
        assert await told.receive() == VoiceKept("marin", "cedar")
        await wait_all_tasks_blocked()
        assert not handovers[0].voice_changed


async def test_a_refusal_changes_nothing(open_talk, nursery, autojump_clock, as_function_call):
    """Neither who speaks nor what it may call."""
    async with open_talk(agent=RECEPTION) as talk:
        nursery.start_soon(refuse, talk, "invalid_value")
        with pytest.raises(ServerError, match="no"):
            await talk.session.become(BILLING)

        assert talk.session.agent is RECEPTION
        assert talk.session.config.instructions == "You are the reception."

        await talk.created(None, "r1")
        await talk.done("r1", as_function_call("c", "look_up", "{}"))

        assert (await talk.acknowledge())["output"] == "found"


async def test_two_at_once_come_one_after_the_other(open_talk, nursery, autojump_clock):
    """The second says what is another than what the first has made of it."""
    async with open_talk(agent=RECEPTION) as talk:
        nursery.start_soon(talk.session.become, BILLING)
        await wait_all_tasks_blocked()
        nursery.start_soon(talk.session.become, Agent("b", instructions="You are billing.", tools=[look_up]))
        await wait_all_tasks_blocked()
        nursery.start_soon(talk.session.add_tools, pay)
        first = await talk.peer.expect("session.update")
        await talk.peer.expect_nothing(1)
        await talk.peer.send("session.updated", session=talk.peer._merged(first))
        second = await acknowledge(talk)
        third = await acknowledge(talk)

        assert {"instructions", "tools"} < set(first["session"])
        assert names(second["tools"]) == ["look_up"]
        assert names(third["tools"]) == ["look_up", "pay"]
        assert "instructions" not in second

        await wait_all_tasks_blocked()


async def test_a_handover_that_was_sent_takes_effect_though_nobody_waits(open_talk, nursery, autojump_clock):
    """The server has changed, so the session does."""
    async with open_talk(agent=RECEPTION) as talk:
        with trio.move_on_after(1):
            await talk.session.become(BILLING)

        assert talk.session.agent is RECEPTION

        await acknowledge(talk)
        await wait_all_tasks_blocked()

        assert talk.session.agent is BILLING


async def test_what_is_given_beside_an_agent_wins(autojump_clock):
    """And without an agent there is none."""
    seen = []

    async def brain(request: BrainRequest):
        seen.append((request.instructions, [spec.name for spec in request.tools], request.voice))
        yield "Hello."

    whole = {"instructions": "Be kind.", "tools": [pay], "voice": "cedar"}
    async with open_server(listen=False, brain=brain) as server:
        for given in ({}, whole):
            options = {"url": server.url, "connect": server.connect, **given}
            async with open_session(agent=RECEPTION, **options) as session:
                await session.ask("Hello?")
                assert session.agent is RECEPTION
        async with open_session(url=server.url, connect=server.connect) as session:
            assert session.agent is None

    assert seen == [("You are the reception.", ["look_up"], "marin"), ("Be kind.", ["pay"], "cedar")]


@pytest.mark.parametrize("choice", [look_up, "required", events.ToolChoiceMcp(server_label="calendar")])
async def test_a_choice_that_cannot_be_made_any_more_is_free_again(choice, autojump_clock):
    """A tool that the new agent does not have can not be demanded of it: the server would refuse everything."""
    calendar = events.McpTool(server_label="calendar", server_url="https://example.org/mcp")
    silent, able = Agent("silent"), Agent("able", tools=[look_up, calendar])
    async with (
        open_server(listen=False) as server,
        open_session(url=server.url, connect=server.connect, tools=[look_up, calendar], tool_choice=choice) as session,
    ):
        chosen = session.config.tool_choice
        await session.become(able)

        assert session.config.tool_choice == chosen != "auto"

        await session.become(silent)

        assert session.config.tool_choice == "auto"


async def test_from_desk_to_desk_over_real_sockets():
    """The conversation goes along: the second agent answers what was said to the first."""

    async def desk(request: BrainRequest):
        match request.history[-1]:
            case ToolAnswered(output=output) if output == "transferred":
                asked = next(item.text for item in request.history if isinstance(item, Said) and item.role == "user")
                yield f"{request.instructions} You said: {asked}"
            case ToolAnswered(output=output):
                yield output
            case _:
                yield ToolCall(request.tools[0].name, {})

    @tool
    async def transfer(context: ToolContext) -> str:
        """Transfer to billing."""
        await context.session.become(BILLING)
        return "transferred"

    reception = Agent("reception", instructions="You are the reception.", tools=[transfer])
    async with (
        open_server(brain=desk, recogniser="none") as server,
        open_session(url=server.url, agent=reception) as session,
    ):
        first = await session.ask("I want to pay.")
        second = await session.ask("Do it.")

    assert first.text == "You are billing. You said: I want to pay."
    assert [call.name for call in first.tool_calls] == ["transfer"]
    assert second.text == "paid"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "an agent's name is an empty text"),
        ({"name": 5}, "an agent's name is a text, not int"),
        ({"name": "a", "instructions": None}, "the instructions of 'a' is a text"),
        ({"name": "a", "voice": events.CustomVoice}, "the voice of 'a' is a text"),
        ({"name": "a", "greeting": ""}, "the greeting of 'a' is an empty text"),
        ({"name": "a", "tools": "look_up"}, r"tools are a list of functions, as in tools=\[...\], not str"),
        ({"name": "a", "tools": look_up}, "tools are a list of functions"),
        ({"name": "a", "tools": [look_up, 5]}, "a tool of 'a' is a function, .* not int"),
    ],
)
def test_an_agent_is_checked_where_it_is_made(arguments, words):
    with pytest.raises(ConfigurationError, match=words):
        Agent(**arguments)


async def test_what_is_no_agent_is_refused(open_talk, autojump_clock):
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="agent is an Agent"):
        async with open_session(url="ws://nowhere.invalid", api_key="x", agent="reception"):
            pass
    async with open_talk() as talk:
        with pytest.raises(ConfigurationError, match=r"an agent is an Agent\(...\), not str"):
            await talk.session.become("billing")
        with pytest.raises(ConfigurationError, match="two tools have the name 'look_up'"):
            await talk.session.become(Agent("a", tools=[look_up, look_up]))
        await talk.peer.expect_nothing(1)


def test_an_agent_is_a_value():
    """Equal to another with the same contents; its repr does not tell what it was told."""
    assert Agent("a", "x", [look_up]) == Agent("a", "x", (look_up,))
    assert repr(Agent("a", "secret", [look_up], "marin")) == "Agent(name='a', voice='marin')"

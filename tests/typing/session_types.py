"""What a session looks like to a type checker. Checked by mypy and pyright (`nox -s types`), never run."""

from decimal import Decimal
from typing import assert_type

from realtime_trio import (
    Agent,
    ApprovalNeeded,
    ApprovalRequest,
    Budget,
    Connection,
    Guarded,
    GuardedText,
    Handover,
    Lagged,
    LeftOut,
    Prices,
    Reply,
    Response,
    ResponseNotCompleted,
    Session,
    SessionUsage,
    Snapshot,
    Stop,
    open_connection,
    open_server,
    open_session,
    tool,
)
from realtime_trio.events import (
    Error,
    Item,
    RealtimeSession,
    ResponseDone,
    ServerEvent,
    SessionUpdate,
    UnknownEvent,
    UnsetType,
    Usage,
    user_message,
)


@tool
async def get_weather(city: str) -> float:
    return float(len(city))


async def text() -> None:
    async with open_session(instructions="Be brief.", tools=[get_weather], turn_detection=None) as session:
        assert_type(session, Session)
        reply = await session.ask("How warm is it?", temperature=0.5)
        assert_type(reply, Reply)
        assert_type(reply.text, str)
        assert_type(reply.usage, Usage)


async def strict(text: GuardedText) -> str | None:
    return "rude" if "fool" in text.new else None


async def polite(text: GuardedText) -> Stop | None:
    return Stop("rude", instead="Never mind.") if "fool" in text.new else None


async def lenient(text: GuardedText) -> None:
    assert_type(text.complete, bool)


async def guarded() -> None:
    async with open_session(guard=strict), open_session(guard=polite), open_session(guard=lenient) as session:
        async with session.events(Guarded) as notices:
            assert_type(await notices.receive(), Guarded | Lagged)
        (response,) = (await session.ask("Well?")).responses
        assert_type(response.stopped_by, Stop | None)


async def voice(session: Session) -> None:
    async with session.responses() as responses:
        async for response in responses:
            assert_type(response, Response)
            async with response:
                async for piece in response.transcript_deltas:
                    assert_type(piece, str)
                async for chunk in response.audio_chunks:
                    assert_type(chunk, bytes)
    await session.append_audio(b"")
    assert_type(await session.cancel_response(), bool)


async def subscriptions(session: Session) -> None:
    async with session.events(ResponseDone) as done, session.events(ResponseDone, Error) as both:
        assert_type(await done.receive(), ResponseDone | Lagged)
        value = await both.receive()  # a union or the common base, as the checker likes it
        if isinstance(value, Error):
            assert_type(value.error.message, str)


async def items(session: Session) -> None:
    assert_type(await session.create_item(user_message("hello")), Item)
    assert_type(await session.update(instructions="Be long."), RealtimeSession)


async def agents_and_history(session: Session) -> None:
    agent = Agent("clerk", "Be brief.", tools=[get_weather], voice="marin")
    assert_type(await session.become(agent), Handover)
    assert_type(session.agent, Agent | None)
    snapshot = session.conversation.snapshot()
    assert_type(Snapshot.from_json(snapshot.to_json()), Snapshot)
    assert_type(snapshot.items_to_create(), list[Item])
    assert_type(snapshot.left_out(), tuple[LeftOut, ...])
    async with open_session(agent=agent, history=snapshot), open_session(history=snapshot.to_data()):
        pass


async def allow(request: ApprovalRequest) -> bool | str:
    assert_type(request.arguments, str)
    return request.kind == "function" or "not from elsewhere"


async def tools(session: Session) -> None:
    async with open_session(tools=[get_weather], approve=allow):
        pass
    assert_type(await session.add_tools(get_weather, len), RealtimeSession)
    assert_type(await session.remove_tools("get_weather"), RealtimeSession)
    async for notice in session.events(ApprovalNeeded):
        if isinstance(notice, ApprovalNeeded):
            assert_type(session.approve(notice.request.id), bool)
            assert_type(session.refuse(notice.request.id, "too late"), bool)


async def accounts() -> None:
    prices = Prices(input_text="1.00", input_audio=10, output_text=0.5, output_audio=Decimal(20))
    assert_type(prices.input_text, Decimal)
    assert_type(prices.cached_text, Decimal | None)
    budget = Budget(money="0.50", turns=3)
    assert_type(budget.money, Decimal | None)
    async with open_session(prices=prices, budget=budget) as session:
        reply = await session.ask("hello")
        assert_type(reply.cost, Decimal | None)
        assert_type(reply.incomplete_reason, str | None)
        assert_type(session.usage, SessionUsage)
        assert_type(session.usage.input.text, int)
        assert_type(session.cost, Decimal | None)
        assert_type(prices.cost(reply.usage), Decimal)
        assert_type(await session.events(ResponseNotCompleted).receive(), ResponseNotCompleted | Lagged)


async def typed_events() -> None:
    async with open_server() as server, open_connection(url=server.url) as connection:
        assert_type(server.url, str)
        assert_type(connection, Connection)
        await connection.send(SessionUpdate(session=RealtimeSession(instructions="Be brief.")))
        event = await connection.receive()
        assert_type(event, ServerEvent)
        match event:
            case ResponseDone(response=response):
                assert_type(response.usage.total_tokens if response.usage else 0, int | UnsetType | None)
            case UnknownEvent(type=kind):
                assert_type(kind, str)
            case _:
                pass


async def refused(session: Session) -> None:
    await session.ask(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await session.append_audio("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    open_session(approve=len)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    open_session(modle="misspelt")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

"""The calls of a session, one by one, on the wire."""

import base64

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from realtime_trio import (
    ConfigurationError,
    Lagged,
    LocalProtocolError,
    NotAcknowledged,
    NotAnEvent,
    ServerError,
    events,
    open_session,
    tool,
)
from realtime_trio.testing import FakeDevice, open_scripted_peer


async def test_the_configuration_is_acknowledged_before_the_block_is_entered(autojump_clock):
    """The one session.update has everything that was named, and nothing that was not."""

    @tool
    async def noop() -> None:
        """Do nothing."""

    async with open_scripted_peer() as peer, trio.open_nursery() as nursery:
        entered = []

        async def serve():
            await peer.send("session.created", session=peer.session)
            update = await peer.expect("session.update")
            assert update["session"] == {
                "type": "realtime",
                "output_modalities": ["text"],
                "instructions": "Be brief.",
                "audio": {
                    "input": {"turn_detection": None, "transcription": {"model": "whisper-1"}},
                    "output": {"voice": "marin", "speed": 1.2},
                },
                "tool_choice": "none",
                "tools": [
                    {
                        "type": "function",
                        "name": "noop",
                        "description": "Do nothing.",
                        "parameters": update["session"]["tools"][0]["parameters"],
                    }
                ],
            }
            await trio.sleep(3)
            assert entered == []
            await peer.send("session.updated", session=peer._merged(update))

        nursery.start_soon(serve)
        async with open_session(
            connect=peer.connect,
            url=peer.url,
            instructions="Be brief.",
            voice="marin",
            turn_detection=None,
            transcription="whisper-1",
            tools=[noop],
            config={"tool_choice": "none", "audio": {"output": {"speed": 1.2}}},
        ) as session:
            entered.append(session.config.instructions)

    assert entered == ["Be brief."]


@pytest.mark.parametrize("greets", [False, True])
async def test_a_mute_server_is_given_up_at_the_door(autojump_clock, greets):
    """Neither a missing session.created nor a missing session.updated is waited for for ever."""
    async with open_scripted_peer() as peer:
        if greets:
            peer.answer("session.update", lambda _: [])
        async with trio.open_nursery() as nursery:
            if greets:
                nursery.start_soon(peer.send, {"type": "session.created", "session": peer.session})
            with pytest.raises(NotAcknowledged):
                async with open_session(connect=peer.connect, url=peer.url, ack_timeout=2):
                    raise AssertionError("entered")
    assert trio.current_time() < 10


async def test_a_refused_configuration_is_raised_at_the_door(autojump_clock):
    """With the server's own words and code."""
    async with open_scripted_peer() as peer, trio.open_nursery() as nursery:

        async def refuse():
            await peer.send("session.created", session=peer.session)
            update = await peer.expect("session.update")
            problem = {"type": "invalid_request_error", "code": "invalid_value", "message": "No such voice."}
            await peer.send("error", error={**problem, "event_id": update["event_id"]})

        nursery.start_soon(refuse)
        with pytest.raises(ServerError, match="No such voice"):
            async with open_session(connect=peer.connect, url=peer.url, voice="nobody"):
                raise AssertionError("entered")


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"modality": "video"}, "modality"),
        ({"turn_detection": "telepathy"}, "turn_detection"),
        ({"config": {"voice": "marin"}}, "voice"),
        ({"config": {"max_output_tokens": []}}, "max_output_tokens"),
        ({"tools": [len]}, "len"),
        ({"config": 5}, "int"),
        ({"tools": [5]}, "function"),
        ({"instructions": 5}, "instructions"),
        ({"voice": 5}, "voice"),
        ({"audio": 5}, "open"),
        ({"ack_timeout": -1}, "ack_timeout"),
        ({"audio_limit": "long"}, "audio_limit"),
        ({"tool_errors": "rise"}, "tool_errors"),
        ({"audio": FakeDevice(), "config": {"audio": {"output": {"format": {"type": "audio/opus"}}}}}, "audio/opus"),
        ({"interruption": "later"}, "interruption"),
        ({"echo": "on"}, "echo"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anything_is_opened(autojump_clock, options, culprit):
    """The error names the culprit, and no connection was tried."""
    async with open_scripted_peer() as peer:
        with pytest.raises(ConfigurationError, match=culprit):
            async with open_session(**{"connect": peer.connect, "url": peer.url, **options}):
                raise AssertionError("entered")
        assert peer.handshakes == []


async def test_without_key_and_url_the_ways_out_are_named():
    """Set a key, give a URL, or start the offline server."""
    with pytest.raises(ConfigurationError, match=r"(?s)OPENAI_API_KEY.*url.*open_server"):
        async with open_session():
            raise AssertionError("entered")


async def test_audio_is_appended_committed_and_cleared(autojump_clock, open_talk):
    """The three things done to the input audio buffer, in order, with the item's id as answer."""
    async with open_talk(turn_detection=None) as talk, trio.open_nursery() as nursery:
        big = b"\1\2" * 700_000

        async def serve():
            first = await talk.peer.expect("input_audio_buffer.append")
            second = await talk.peer.expect("input_audio_buffer.append")
            assert base64.b64decode(first["audio"]) + base64.b64decode(second["audio"]) == big
            await talk.peer.expect("input_audio_buffer.commit")
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            await talk.peer.expect("input_audio_buffer.clear")
            await talk.peer.send("input_audio_buffer.cleared")

        nursery.start_soon(serve)
        await talk.session.append_audio(big)
        assert await talk.session.commit_audio() == "item_u"
        await talk.session.clear_audio()
        with pytest.raises(LocalProtocolError, match="3 bytes"):
            await talk.session.append_audio(b"123")


async def test_an_empty_commit_raises_the_servers_error(autojump_clock, open_talk):
    """It is known by its code, also without an event id."""
    async with open_talk(turn_detection=None) as talk, trio.open_nursery() as nursery:

        async def serve():
            await talk.peer.expect("input_audio_buffer.commit")
            await talk.peer.send(
                "error",
                error={
                    "type": "invalid_request_error",
                    "code": "input_audio_buffer_commit_empty",
                    "message": "Error committing input audio buffer: buffer too small.",
                },
            )

        nursery.start_soon(serve)
        with pytest.raises(ServerError) as caught:
            await talk.session.commit_audio()
        assert caught.value.code == "input_audio_buffer_commit_empty"


async def test_a_cancelled_wait_does_not_take_the_next_calls_answer(autojump_clock, open_talk):
    """The answer to a call that nobody waits for any more is not that of the next one."""
    async with open_talk(turn_detection=None) as talk, trio.open_nursery() as nursery:

        async def serve():
            for item_id in ("item_1", "item_2"):
                await talk.peer.expect("input_audio_buffer.commit")
                await trio.sleep(2)
                await talk.peer.send("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)

        nursery.start_soon(serve)
        with trio.move_on_after(1):
            await talk.session.commit_audio()

        assert await talk.session.commit_audio() == "item_2"


async def test_items_are_created_where_they_are_wanted(autojump_clock, open_talk):
    """An id of ours, at most 32 characters; the place as asked; the server's item as answer."""
    async with open_talk() as talk, trio.open_nursery() as nursery:

        async def serve():
            event = await talk.peer.expect("conversation.item.create", previous_item_id="root")
            assert len(event["item"]["id"]) <= 32
            await talk.peer.send("conversation.item.added", item=event["item"], previous_item_id=None)
            event = await talk.peer.expect("conversation.item.retrieve", item_id="item_x")
            item = {
                "id": "item_x",
                "type": "message",
                "role": "user",
                "content": [{"type": "input_audio", "audio": "AQI="}],
            }
            await talk.peer.send("conversation.item.retrieved", item=item)
            event = await talk.peer.expect("conversation.item.truncate", item_id="item_x", audio_end_ms=700)
            await talk.peer.send("conversation.item.truncated", item_id="item_x", content_index=0, audio_end_ms=700)

        nursery.start_soon(serve)
        item = await talk.session.create_item(events.system_message("Weather is fine."), previous_item_id="root")
        assert [one.id for one in talk.session.conversation] == [item.id]
        item = await talk.session.retrieve_item("item_x")
        assert item.content[0].audio == b"\1\2"
        await talk.session.truncate_item("item_x", 700)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda session: session.ask(5),
        lambda session: session.truncate_item("item_x", 1.5),
        lambda session: session.delete_item(None),
        lambda session: session.create_item({"type": "message"}),
        lambda session: session.append_audio("abcd"),
        lambda session: session.update(type="realtime"),
        lambda session: session.update(instructions=5),
        lambda session: session.respond(metadata={str(number): "x" for number in range(16)}),
        lambda session: session.respond(volume=11),
    ],
)
async def test_a_misuse_is_refused_before_anything_is_sent(autojump_clock, open_talk, wrong):
    """Typed, at once, and without a word on the wire."""
    async with open_talk() as talk:
        with pytest.raises((LocalProtocolError, ConfigurationError)):
            await wrong(talk.session)
        await talk.peer.expect_nothing(20)


async def test_an_update_keeps_all_that_it_names(autojump_clock, open_talk):
    """A setting with a name of its own goes into the audio that is given beside it."""
    async with open_talk() as talk:
        config = await talk.session.update(
            audio={"output": {"speed": 1.25}}, voice="cedar", turn_detection="semantic_vad"
        )

        assert (config.audio.output.speed, config.audio.output.voice) == (1.25, "cedar")
        assert isinstance(config.audio.input.turn_detection, events.SemanticVad)


async def test_send_text_can_be_silent(autojump_clock, open_talk):
    """With when="now_silently" the message is in the conversation and nothing is asked for."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        nursery.start_soon(talk.acknowledge)
        await talk.session.send_text("For your information.", when="now_silently")
        await talk.peer.expect_nothing(20)

        nursery.start_soon(talk.acknowledge)
        await talk.session.send_text("Now say something.")
        await talk.peer.expect("response.create")


async def test_what_is_no_event_reaches_the_subscribers_and_the_session_lives(autojump_clock, open_talk):
    """Not JSON, not an object, no type: reported; unknown and malformed events: delivered as data, and counted."""
    async with open_talk() as talk:
        problems = talk.session.events(NotAnEvent, events.UnknownEvent, events.MalformedEvent)
        for text in ("{", "[]", '{"type": 1}'):
            await talk.peer.send_text(text)
        await talk.peer.send("response.telepathy", thought="?")
        await talk.peer.send("response.done", response="no object")
        kinds = [type(await problems.receive()) for _ in range(5)]

        assert kinds == [NotAnEvent, NotAnEvent, NotAnEvent, events.UnknownEvent, events.MalformedEvent]
        statistics = talk.session.statistics().link
        assert (statistics.not_events, statistics.unknown_events, statistics.malformed_events) == (3, 1, 1)


async def test_a_slow_subscriber_is_told_what_it_lost(autojump_clock, open_talk):
    """The oldest go, and the next value is the number of the lost."""
    async with open_talk() as talk:
        slow = talk.session.events(events.InputAudioBufferSpeechStarted, size=2)
        for ms in range(5):
            await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=ms, item_id="item_u")
        await wait_all_tasks_blocked()

        assert await slow.receive() == Lagged(3)
        assert [(await slow.receive()).audio_start_ms for _ in range(2)] == [3, 4]


async def test_a_slow_follower_of_responses_gets_the_newest(autojump_clock, open_talk):
    """Nothing but responses comes; what was lost is counted."""
    async with open_talk() as talk:
        slow = talk.session.responses(size=2)
        for number in range(5):
            await talk.created(None, f"resp_{number}")
            await talk.done(f"resp_{number}")
        await wait_all_tasks_blocked()

        assert [(await slow.receive()).id for _ in range(2)] == ["resp_3", "resp_4"]
        assert slow.dropped == 3


async def test_a_subscription_starts_with_the_call_and_ends_with_aclose(autojump_clock, open_talk):
    """Nothing after the call is missed; a closed subscription is forgotten; a second receiver is refused."""
    async with open_talk() as talk:
        subscription = talk.session.events(events.InputAudioBufferSpeechStarted)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=1, item_id="item_u")
        await wait_all_tasks_blocked()
        assert (await subscription.receive()).audio_start_ms == 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(subscription.receive)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await subscription.receive()
            nursery.cancel_scope.cancel()

        await subscription.aclose()
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=2, item_id="item_u")
        await wait_all_tasks_blocked()
        with pytest.raises(trio.EndOfChannel):
            await subscription.receive()


async def test_streams_start_at_the_first_entry_for_every_reader(autojump_clock, open_talk):
    """One record, any number of cursors, also after the end."""
    async with open_talk() as talk, trio.open_nursery() as nursery:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        response = await responses.receive()
        read = []

        async def follow():
            read.append([piece async for piece in response.text_deltas])

        nursery.start_soon(follow)
        await talk.text("resp_1", "one two three")
        await response.done()
        await follow()

        assert read == [["one", " two", " three"]] * 2
        assert response.status == "completed"
        assert response.usage.total_tokens == 3
        assert response.items[0].content[0].text == "one two three"


async def test_the_mirror_is_in_the_servers_order(autojump_clock, open_talk):
    """Texts, statuses and calls, with the user's late transcript standing before the answer."""
    async with open_talk() as talk:
        await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
        for item_id, role, after in (("item_a", "assistant", "item_u"), ("item_0", "system", "root")):
            item = {"type": "message", "id": item_id, "role": role, "content": [], "status": "in_progress"}
            await talk.peer.send("conversation.item.added", item=item, previous_item_id=after)
        await talk.peer.send(
            "conversation.item.input_audio_transcription.completed",
            item_id="item_u",
            content_index=0,
            transcript="Hello?",
            usage={"type": "duration", "seconds": 1},
        )
        await wait_all_tasks_blocked()

        assert [item.id for item in talk.session.conversation] == ["item_0", "item_u", "item_a"]
        assert talk.session.conversation.get("item_u").transcript == "Hello?"


async def test_neither_key_nor_audio_is_in_any_repr(autojump_clock):
    """What can be printed can be logged."""
    async with open_scripted_peer(greet=True) as peer:
        async with open_session(
            connect=peer.connect, url=peer.url, api_key="sk-topsecret123", allow_insecure=True
        ) as session:
            shown = repr(session) + repr(session.config) + repr(vars(session)) + repr(session.statistics())
        assert dict(peer.handshakes[0].headers)["authorization"].endswith("topsecret123")
        assert "topsecret" not in shown

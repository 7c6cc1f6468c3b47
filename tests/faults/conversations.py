"""Conversations whose links fail: each a function that talks, and waits until it was answered before it goes on.

They are the same with and without faults: who speaks does so when the last answer was heard, whenever that is.
"""

import functools
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import numpy as np
import trio

from realtime_trio import Agent, GuardedText, Injected, Session, ToolContext, events, tool
from realtime_trio.errors import RealtimeError
from realtime_trio.server import Transcript
from realtime_trio.testing import FakeDevice

PATIENCE = 90.0  # seconds that an answer may take: a link may be dead for half a minute before anybody knows


# The user's voice: every sentence is a tone of its own, so that it is understood however often it is sent

SENTENCES = {
    200: "what is six times seven",
    250: "count to eight",
    300: 'please call look_up {"word": "trio"}',
    350: "what is six times eight",
    400: "thank you",
}


def spoken(words: str, ms: int = 800) -> bytes:
    """Say one of the sentences."""
    (pitch,) = (pitch for pitch, sentence in SENTENCES.items() if sentence == words)
    samples = (round(8000 * math.sin(2 * math.pi * pitch * n / 24_000)) for n in range(24 * ms))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


class Understanding:
    """A recogniser that knows the sentences by their pitch, whatever came of them."""

    async def recognise(self, pcm: bytes) -> Transcript:
        sound = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(float)
        if len(sound) < 2400 or np.abs(sound).max() < 1000:
            return Transcript("")
        spectrum = np.abs(np.fft.rfft(sound))
        pitch = float(np.argmax(spectrum)) * 24_000 / len(sound)
        return Transcript(SENTENCES[min(SENTENCES, key=lambda known: abs(known - pitch))])


# The user


@attrs.define(eq=False)
class Talk:
    """One side of a conversation.

    Attributes:
        session: The session.
        device: Its device, silent and unused without sound.
        gate: What the tool in the background waits for.
        asked: What `ask` and `generate` came to: a text, or an exception.
        missed: What was said by voice and got no answer in time.
    """

    session: Session
    device: FakeDevice
    gate: "Gate"
    asked: dict[str, str | Exception] = attrs.Factory(dict)
    missed: list[str] = attrs.Factory(list)
    said: int = 0

    async def ask(self, words: str) -> None:
        await self._note(words, self._ask(words))

    async def generate(self, words: str) -> None:
        await self._note(words, self._generate(words))

    async def do(self, what: str, call: Callable[[], Awaitable[object]]) -> None:
        """Make a call that is acknowledged."""

        async def made() -> str:
            await call()
            return "done"

        await self._note(what, made())

    async def say(self, words: str, ms: int = 800) -> None:
        """Speak, and wait until it was answered."""
        await self.begin(words, ms)
        await self.answered(words)

    async def begin(self, words: str, ms: int = 800) -> None:
        self.said += 1
        await self.device.speak(spoken(words, ms)).captured()

    async def key(self, words: str) -> None:
        """Speak with the key pressed, and wait until it was answered."""
        self.session.press()
        await self.begin(words)
        await self.do(f"release after {words!r}", self.session.release)
        await self.answered(words)

    async def answered(self, words: str) -> None:
        with trio.move_on_after(PATIENCE) as scope:
            while not await self._is_answered():  # noqa: ASYNC110 a condition over many things
                await trio.sleep(0.1)
        if scope.cancelled_caught:
            self.missed.append(words)

    async def told(self) -> None:
        """Wait until the model said what a tool in the background came to."""
        with trio.move_on_after(PATIENCE) as scope:
            while not any(  # noqa: ASYNC110
                item.role == "system" for item in self.session.conversation.items
            ):
                await trio.sleep(0.1)
        if scope.cancelled_caught:
            self.missed.append("news")
        else:
            await self.answered("news")

    async def until_heard(self, ms: int) -> None:
        """Wait until so much of an answer that goes on was heard, or until it is over."""
        with trio.move_on_after(PATIENCE):
            while not (  # noqa: ASYNC110
                await self._is_answered(drained=False) and (self.session.conversation.items[-1].heard_ms or 0) >= ms
            ):
                await trio.sleep(0.1)

    async def _is_answered(self, *, drained: bool = True) -> bool:
        if drained:
            await self.session.drained()
        items = self.session.conversation.items
        last = items[-1] if items else None
        heard = sum(item.role == "user" for item in items) >= self.said
        return heard and last is not None and last.role == "assistant"

    async def _ask(self, words: str) -> str:
        return (await self.session.ask(words)).text

    async def _generate(self, words: str) -> str:
        response = await self.session.generate(words)
        await response.done()
        return response.text

    async def _note(self, words: str, outcome: Awaitable[str]) -> None:
        try:
            self.asked[words] = await outcome
        except RealtimeError as error:
            self.asked[words] = error


# Tools


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    await trio.sleep(0.3)
    return f"{word} is three"


@tool
async def add(one: int, other: int) -> int:
    """Add two numbers."""
    await trio.sleep(0.1)
    return one + other


class Gate:
    """What a tool in the background waits for."""

    def __init__(self) -> None:
        self.opened = trio.Event()


@tool(background=True)
async def survey(of: str, gate: Injected[Gate]) -> str:
    """Take as long as it takes."""
    await gate.opened.wait()
    return f"all {of} are fine"


@tool(on_interrupt="detach")
async def wander() -> str:
    """Take a moment."""
    await trio.sleep(1)
    return "back"


@tool
async def fail(context: ToolContext) -> str:
    """Fail."""
    context.progress("at it")
    raise ValueError("as it does")


TOOLS = (look_up, add, survey, wander, fail)


# Conversations


async def typed(talk: Talk) -> None:
    await talk.ask("What is 6 times 7?")
    await talk.ask('Please call look_up {"word": "trio"} and call add {"one": 2, "other": 3}')
    await talk.ask("Count to ten.")
    await talk.ask("Please call fail {}")
    await talk.ask("What is 6 times 8?")


async def edited(talk: Talk) -> None:
    """Items are put in and taken out between the questions."""
    session = talk.session
    await talk.ask("What is 2 times 3?")
    first = session.conversation.items[0]
    new = events.Message(role="user", content=[events.InputText(text="I am Ann.")], id="item_ann")
    await talk.do("insert", lambda: session.create_item(new, previous_item_id="root"))
    system = events.Message(role="system", content=[events.InputText(text="Be brief.")], id="item_system")
    await talk.do("append", lambda: session.create_item(system))
    await talk.do("update", lambda: session.update(instructions="Be very brief."))
    await talk.ask("What is 2 times 4?")
    await talk.do("delete", lambda: session.delete_item(first.id))
    await talk.do("delete Ann", lambda: session.delete_item("item_ann"))
    await talk.ask("What is 2 times 5?")
    await talk.do("retrieve", lambda: session.retrieve_item(session.conversation.items[-1].id))
    await talk.do("note", lambda: session.send_text("A note.", when="now_silently"))
    await talk.ask("What is 2 times 6?")


async def beside(talk: Talk) -> None:
    """What is generated beside the conversation, at the same time."""
    for number in range(2, 5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.generate, f"What is {number} times 2?")
            nursery.start_soon(talk.generate, f"What is {number} times 3?")
            nursery.start_soon(talk.ask, f"What is {number} times 4?")


async def background(talk: Talk) -> None:
    await talk.ask('Please call survey {"of": "ships"}')
    await talk.ask("What is 6 times 7?")
    talk.gate.opened.set()
    await talk.told()
    await talk.ask("Thank you")


async def by_voice(talk: Talk) -> None:
    await talk.say("what is six times seven")
    await talk.say('please call look_up {"word": "trio"}')
    await talk.say("count to eight")
    await talk.say("what is six times eight")


async def keyed(talk: Talk) -> None:
    await talk.key("what is six times seven")
    await talk.key('please call look_up {"word": "trio"}')
    await talk.key("what is six times eight")


async def barging_in(talk: Talk) -> None:
    await talk.begin("count to eight")
    await talk.until_heard(700)
    await talk.say("what is six times seven")
    await talk.say("thank you")


async def read_aloud(talk: Talk) -> None:
    """Typed questions, spoken answers, and lines of the program's own, after a greeting."""
    await talk.answered("greeting")
    await talk.ask("What is 6 times 7?")
    await talk.do("say", lambda: talk.session.say("Please hold the line."))
    await talk.ask("Please call wander {}")
    await talk.ask("Count to eight.")


async def own_sound(talk: Talk) -> None:
    """Without a device: the program appends and commits, and asks for the answer."""
    session = talk.session
    for words in ("what is six times seven", 'please call look_up {"word": "trio"}', "what is six times eight"):
        sound = spoken(words)
        for start in range(0, len(sound), 4800):
            await talk.do(f"append {start} of {words!r}", functools.partial(session.append_audio, sound[start:][:4800]))
        await talk.do(f"commit {words!r}", session.commit_audio)
        await talk.do(f"respond to {words!r}", functools.partial(_respond, session))
        talk.said += 1
        await talk.answered(words)


async def _respond(session: Session) -> None:
    await (await session.respond()).done()


async def streamed(talk: Talk) -> None:
    """Somebody reads every response as it comes, and each ends."""
    read: list[str] = []

    async def read_all() -> None:
        async with talk.session.responses() as responses:
            async for response in responses:
                words = [piece async for piece in response.text_deltas]
                read.append("".join(words))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_all)
        for number in range(4):
            await talk.ask(f"What is {number} times 9?")
        with trio.move_on_after(PATIENCE):
            while not read or "27" not in read[-1]:  # noqa: ASYNC110
                await trio.sleep(0.1)
        talk.asked["read"] = read[-1]
        nursery.cancel_scope.cancel()


async def handed_over(talk: Talk) -> None:
    session = talk.session
    await talk.ask("What is 2 times 3?")
    await talk.do("Ann", lambda: session.become(Agent("Ann", instructions="You are Ann.", tools=[add])))
    await talk.ask('Please call add {"one": 2, "other": 3}')
    await talk.do("more", lambda: session.add_tools(look_up))
    await talk.ask('Please call look_up {"word": "trio"}')
    await talk.do("fewer", lambda: session.remove_tools("add"))
    await talk.ask("What is 2 times 7?")
    talk.asked["tools"] = " ".join(sorted(str(tool.name) for tool in session.config.tools or []))  # type: ignore[union-attr]
    talk.asked["instructions"] = str(session.config.instructions)


async def let_pass(text: GuardedText) -> None:
    """Think about what is going to be said."""
    await trio.sleep(0.05)


async def hosted(talk: Talk) -> None:
    """Tools that the server calls."""
    await talk.do("ready", lambda: talk.session.mcp_ready("docs"))
    await talk.ask('Please call find {"word": "trio"}')
    await talk.ask("What is 2 times 3?")


async def find(word: str) -> str:
    """Find a word."""
    return f"{word} is three"


DOCS = events.McpTool(server_label="docs", server_url="https://docs.example/mcp", require_approval="never")


@attrs.frozen
class Conversation:
    """How one is held.

    Attributes:
        body: What the user does.
        voice: Whether there is a device.
        options: The keywords of `open_session`.
        server: Those of `open_server`.
    """

    body: Callable[[Talk], Awaitable[None]]
    voice: bool = False
    options: Mapping[str, Any] = attrs.Factory(dict)
    server: Mapping[str, Any] = attrs.Factory(dict)


VOICE = {"turn_detection": "server_vad", "transcription": "gpt-4o-mini-transcribe"}

CONVERSATIONS: Mapping[str, Conversation] = {
    "typed": Conversation(typed),
    "edited": Conversation(edited),
    "beside": Conversation(beside),
    "background": Conversation(background),
    "by_voice": Conversation(by_voice, voice=True, options=VOICE),
    "not_transcribed": Conversation(by_voice, voice=True, options={"turn_detection": "server_vad"}),
    "keyed": Conversation(keyed, voice=True, options={**VOICE, "turn_detection": None}),
    "barging_in": Conversation(barging_in, voice=True, options=VOICE),
    "in_doubt": Conversation(barging_in, voice=True, options={**VOICE, "interruption": "confirm"}),
    "never_interrupted": Conversation(barging_in, voice=True, options={**VOICE, "interruption": "never"}),
    "read_aloud": Conversation(read_aloud, voice=True, options={**VOICE, "greeting": "Say hello."}),
    "own_sound": Conversation(own_sound, options={"turn_detection": None, "transcription": "gpt-4o-mini-transcribe"}),
    "streamed": Conversation(streamed),
    "handed_over": Conversation(handed_over),
    "guarded": Conversation(typed, options={"guard": let_pass}),
    "guarded_voice": Conversation(by_voice, voice=True, options={**VOICE, "guard": let_pass}),
    "hosted": Conversation(hosted, options={"tools": [DOCS]}, server={"mcp": {"docs": [find]}}),
}

"""The life of one session for hours: what is said and done is drawn at random, from a seed, and checked as it goes.

Whoever runs it opens the session (`TOOLS` and a `ClockedDevice` are part of it), and says for how long. How much memory
and how many tasks it takes is looked at elsewhere (`flatness.py`).
"""

import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator

import attrs
import trio

from realtime_trio import (
    ConnectionClosed,
    Reconnected,
    ReplyLost,
    ResponseFailed,
    ServerError,
    Session,
    ToolContext,
    tool,
)
from realtime_trio.audio import ClockedDevice

PATIENCE = 300.0  # seconds that anything may take before it counts as a hang
KEPT = 60  # items of the conversation that are kept: what is older is deleted, as a program does that runs for days
LOOKED_AT = 6  # items that are compared with the server's each time


def speech(ms: int) -> bytes:
    """Make a voiced sound, loud enough for any turn detection."""
    samples = (round(8000 * math.sin(2 * math.pi * 180 * n / 24_000)) for n in range(24 * ms))
    return b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)


SPEECH = {ms: speech(ms) for ms in (700, 1100)}


@tool
async def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: Where.
    """
    await trio.sleep(len(city) % 4 * 0.7)
    return f"rain in {city}"


@tool
async def look_up(word: str) -> str:
    """Look a word up.

    Args:
        word: Which.
    """
    await trio.sleep(0.3)
    return f"{word} is a word"


@tool(on_interrupt="cancel")
async def search(words: str) -> str:
    """Search, until somebody speaks.

    Args:
        words: What for.
    """
    await trio.sleep(3)
    return f"nothing about {words}"


@tool(on_interrupt="detach")
async def order(dish: str) -> str:
    """Order something; it goes on when somebody speaks.

    Args:
        dish: What.
    """
    await trio.sleep(4)
    return f"{dish} is on its way"


@tool(background=True)
async def bake(seconds: float, context: ToolContext) -> str:
    """Bake a cake, beside everything else.

    Args:
        seconds: How long.
        context: Who asks.
    """
    context.progress("it is in the oven")
    await trio.sleep(seconds)
    return "the cake is done"


TOOLS = (weather, look_up, search, order, bake)
QUESTIONS = (
    "What is twelve times three?",
    "What is the weather in Paris?",
    "What is the weather in Lima?",
    "Count to three.",
    "What can you do?",
    "Say hello.",
    'Please call look_up {"word": "trio"} and call weather {"city": "Rome"}',
    'Please call search {"words": "cakes"}',
    'Please call bake {"seconds": 4}',
    'Please call order {"dish": "soup"} and call bake {"seconds": 1}',
)
LONG = ("Count to thirty.", "Tell me a story.")


@attrs.define
class Counts:
    """What happened so far.

    Attributes:
        turns: By their kind.
        answers: Replies to what was asked, by how they ended.
        calls: Function calls that had their output, exactly one.
        compared: Items that were the same here and at the server.
        notices: What the session told, by its name.
        wrong: What should not have been.
    """

    turns: Counter[str] = attrs.field(factory=Counter)
    answers: Counter[str] = attrs.field(factory=Counter)
    calls: int = 0
    compared: int = 0
    notices: Counter[str] = attrs.field(factory=Counter)
    wrong: list[str] = attrs.field(factory=list)

    def add(self, other: "Counts") -> None:
        self.turns += other.turns
        self.answers += other.answers
        self.calls += other.calls
        self.compared += other.compared
        self.notices += other.notices
        self.wrong += other.wrong


@attrs.define(eq=False)
class Life:
    """One session's.

    Attributes:
        session: Whose.
        device: Before which somebody speaks.
        random: Draws everything.
        silence: The longest that nothing is said, in seconds.
        history: What the server's brain was told of the conversation; None where it is in another process.
        counts: What happened so far.
    """

    session: Session
    device: ClockedDevice
    random: random.Random
    silence: float = 60.0
    history: Callable[[], tuple] | None = None
    counts: Counts = attrs.field(factory=Counts)
    _latest: deque[object] = attrs.field(
        factory=lambda: deque(maxlen=20), init=False
    )  # notices, for the words of a failure
    _left_out: dict[str, None] = attrs.field(factory=dict, init=False)  # items that a new link was not given
    _calls_seen: dict[str, None] = attrs.field(factory=dict, init=False)

    async def run(self, until: float, resting: Callable[[], Awaitable[object]]) -> None:
        """Live until a moment of Trio's time.

        Args:
            until: Until when.
            resting: Called between two turns, when nothing is going on.
        """
        actions = {
            self.ask: 5,
            self.speak: 4,
            self.break_in: 3,
            self.interrupt: 2,
            self.ask_at_once: 1,
            self.ask_beside: 1,
            self.break_off: 1,
            self.send_texts: 1,
            self.change: 1,
        }
        while trio.current_time() < until:
            (action,) = self.random.choices(list(actions), list(actions.values()))
            name = action.__name__
            self.counts.turns[name] += 1
            with trio.move_on_after(PATIENCE) as patience:
                await action()
                await self.rest()
                await self.check()
                await self.tidy()
            assert not patience.cancelled_caught, f"{name} and what follows took longer than {PATIENCE} s"
            await resting()
            await trio.sleep(self.random.uniform(0, self.silence))

    async def listen(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Count what the session tells beside the wire's events."""
        async with self.session.events() as events:
            task_status.started()
            async for event in events:
                if isinstance(event, Reconnected):
                    self.counts.notices["lost links" if event.reason == "lost" else "old links"] += 1
                    self._left_out.update(dict.fromkeys(one.item_id for one in event.left_out))
                    self.counts.notices["left out"] += len(event.left_out)
                    self.counts.notices["dropped ms"] += event.dropped_audio_ms
                    self._latest.append(event)
                    if self.history is not None:
                        self.history()  # what the link before was asked: some of it may not have come about
                elif attrs.has(type(event)):
                    self._latest.append(event)
                    self.counts.notices[type(event).__name__] += 1
                    assert not isinstance(event, ReplyLost), event

    # What is done

    async def ask(self) -> None:
        await self._ask(self.random.choice(QUESTIONS))

    async def _ask(self, text: str, **options: object) -> None:
        try:
            reply = await self.session.ask(text, **options)
        except ResponseFailed as problem:  # reported
            self.counts.answers[type(problem).__name__] += 1
            return
        self.counts.answers[reply.status] += 1
        assert reply.text or reply.status != "completed", f"no answer to {text!r}: {reply}"

    async def speak(self) -> None:
        async with self.session.responses() as responses:
            await self._utter()
            response = await responses.receive()
            await response.heard()
            self.counts.answers[response.status or "?"] += 1

    async def _utter(self) -> None:
        await self.device.speak(SPEECH[self.random.choice(list(SPEECH))] + bytes(48 * 900)).captured()

    async def break_in(self) -> None:
        """Somebody speaks while an answer is heard, or a tool runs."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, self.random.choice(LONG + QUESTIONS[-3:]))
            await trio.sleep(self.random.uniform(0.2, 8))
            await self._utter()

    async def interrupt(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, self.random.choice(LONG))
            await trio.sleep(self.random.uniform(0, 6))
            await self.session.interrupt()

    async def ask_at_once(self) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(self._ask, self.random.choice(QUESTIONS))

    async def ask_beside(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask, LONG[0])
            beside = await self.session.generate("What is 2 times 2?")
            try:
                await beside.done()
            except ConnectionClosed:  # reported: nobody asks for it again
                self.counts.answers["beside lost"] += 1
            else:
                assert beside.text, beside

    async def break_off(self) -> None:
        """The program loses interest."""
        with trio.move_on_after(self.random.uniform(0, 4)):
            await self._ask(self.random.choice(LONG))

    async def send_texts(self) -> None:
        await self.session.send_text("I am Ann.", when="now_silently")
        await self.session.say("Please hold the line.")
        await self._ask("Stop. What is 3 times 3?", when="interrupt")

    async def change(self) -> None:
        await self.session.update(instructions=f"Be number {self.random.randrange(1000)}.")
        self.session.mute()
        await trio.sleep(1)
        self.session.unmute()

    # What has to hold

    async def rest(self) -> None:
        """Wait until nothing is going on."""
        while True:
            await self.session.drained()
            tools = self.session.statistics().tools
            if not (tools.waiting or tools.running or tools.telling):
                break
            await trio.sleep(1)
        await trio.sleep(3)  # what a call in the background came to is told when it has been quiet for a while
        await self.session.drained()

    async def check(self) -> None:
        """See that every call has one output, and that both sides have the same conversation."""
        while (
            self.session.statistics().tools.open
        ):  # a turn that a link lost may be taken by the next, when all is quiet
            await self.rest()
        items = self.session.conversation.items
        history = () if self.history is None else self.history()
        outputs = Counter(item.call_id for item in items if item.type == "function_call_output")
        for item in items:
            # a call that is cut off with its response is neither run nor answered
            if item.type == "function_call" and self._is_made(item.response_id):
                self._expect(outputs[item.call_id] == 1, f"{item} has {outputs[item.call_id]} outputs; {self._latest}")
                self.counts.calls += item.id not in self._calls_seen
                self._calls_seen[item.id] = None
        for known in (self._calls_seen, self._left_out):
            for seen in list(itertools.islice(known, max(0, len(known) - KEPT))):
                del known[seen]
        for item in items[-LOOKED_AT:]:
            before = _words(item)
            try:
                there = await self.session.retrieve_item(item.id)
            except ServerError:  # what a new link was not given
                given = item.id not in self._left_out and item.heard_text
                self._expect(not given, f"the server does not have {item}; {self._latest}")
                continue
            after = _wire_words(there)
            cut = item.role == "assistant" and before.startswith(after)  # a new link has what was heard
            self._expect(before == after or cut, f"{item} is {there} at the server")
            self.counts.compared += 1
        self._compare(history, items)

    def _expect(self, holds: bool, words: str) -> None:  # noqa: FBT001
        """Note what should not be; life goes on."""
        if not holds:
            self.counts.wrong.append(words)
            print("WRONG:", words, flush=True)

    def _is_made(self, response_id: str | None) -> bool:
        return response_id is not None and self.session.conversation.response_status(response_id) == "completed"

    def _compare(self, history: tuple, items: tuple) -> None:
        """Hold the whole conversation against what the server's brain was told of it, which may be a turn behind.

        The brain is told the outputs that come while it speaks behind what it says; so the assistant's words have no
        place in the order.
        """
        ours = [_words(item) for item in items]
        position = 0
        for seen in history:
            words = _seen_words(seen)  # none, where the assistant was cut
            said_here = getattr(seen, "role", "") == "assistant"
            if said_here:
                known = any(one.startswith(words) for one in ours)
                self._expect(known, f"the server has {words!r}, and we do not: {ours}")
            elif words:
                known = words in ours[position:]
                self._expect(known, f"the server has {words!r}, and we do not there: {ours}")
                position = ours.index(words, position) + 1 if known else position
            self.counts.compared += 1

    async def tidy(self) -> None:
        """Delete what is older than a program remembers."""
        items = self.session.conversation.items
        for item in items[: max(0, len(items) - KEPT)]:
            await self.session.delete_item(item.id)
        if self.history is not None:
            self.history()  # what was asked meanwhile has items that are deleted now


def _words(item) -> str:
    if item.type in {"function_call", "function_call_output"}:
        return (item.arguments if item.type == "function_call" else item.output) or ""
    return item.generated_text


def _wire_words(item) -> str:
    if item.type in {"function_call", "function_call_output"}:
        return (item.arguments if item.type == "function_call" else item.output) or ""
    words: Iterator[str] = (
        getattr(part, "text", None) or getattr(part, "transcript", None) or "" for part in item.content
    )
    return "".join(words)


def _seen_words(seen) -> str:
    return str(getattr(seen, "output", None) or getattr(seen, "arguments", None) or getattr(seen, "text", None) or "")

"""Ledger, device and interruptions together: what the server is told is what came out of the speaker, to the sample.

Every sample has a number, so that what came out is known by name. The device is the real ring with the real reports;
only its fade is left out, since it would change the numbers (its length counts all the same).
"""

import struct
from collections import deque
from unittest import mock

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime_trio import events
from realtime_trio.audio import ring as ring_module
from realtime_trio.audio.playout import Played, Playout
from realtime_trio.core.interrupter import Interrupter
from realtime_trio.core.interruption import Delete, Truncate
from realtime_trio.core.playout import SAMPLE_RATE, SAMPLES_PER_MS, PartKey, PlayoutLedger

BLOCK = 240  # 10 ms: as long as a fade
RING = 1200
LATENCY = 360  # samples between handing over and the speaker
E = {"event_id": "e"}


@attrs.define(eq=False)
class Made:
    """A response as the server made it."""

    id: str
    items: dict[str, list[PartKey]] = attrs.Factory(dict)  # with their parts
    texts: set[PartKey] = attrs.Factory(set)
    done: bool = False
    interrupted: bool = False


@attrs.define(eq=False)
class Server:
    """What the server believes was heard."""

    truncated: dict[tuple[str, int], int] = attrs.Factory(dict)
    deleted: set[str] = attrs.Factory(set)

    @property
    def touched(self) -> set[str]:
        return self.deleted | {item_id for item_id, _ in self.truncated}

    def take(self, repair: Delete | Truncate) -> None:
        """Each item is deleted once, or each of its parts is cut once."""
        assert repair.item_id not in self.deleted
        if isinstance(repair, Delete):
            assert repair.item_id not in self.touched
            self.deleted.add(repair.item_id)
        else:
            assert (repair.item_id, repair.content_index) not in self.truncated
            self.truncated[repair.item_id, repair.content_index] = repair.audio_end_ms


class TalkMachine(RuleBasedStateMachine):
    """Random talks: several answers queued, gaps, restarts, interruptions, pauses, and reports that come late."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = mock.patch.object(ring_module, "fade_out", lambda pcm: pcm)
        self.patch.start()
        self.ledger = PlayoutLedger()
        self.interrupter = Interrupter(self.ledger)
        self.device = Playout(block_ms=BLOCK / 24, ring_ms=RING / 24, latency_ms=LATENCY / 24)
        self.server = Server()
        self.made: list[Made] = []
        self.names: dict[PartKey, list[int]] = {}  # all that the server sent of each part
        self.finished: set[PartKey] = set()
        self.name = 0
        self.clock = 0  # samples
        self.out: list[tuple[int, int]] = []  # number, and when it leaves the speaker
        self.lost: set[int] = set()  # handed over to hardware that went away before they sounded
        self.reports: deque[Played] = deque()

    # what the server does

    def _tell(self, event: events.ServerEvent) -> None:
        self.interrupter.handle(event)
        self._repair()

    def _repair(self) -> None:
        for repair in self.interrupter.repairs():
            self.server.take(repair)

    def _generating(self) -> Made | None:
        return self.made[-1] if self.made and not self.made[-1].done else None

    @rule()
    def response(self):
        """A new one only when the last is done, as the server does it."""
        if self._generating() is None:
            made = Made(f"r{len(self.made)}")
            self.made.append(made)
            value = events.Response(id=made.id, status="in_progress", conversation_id="c")
            self._tell(events.ResponseCreated(**E, response=value))

    @precondition(lambda self: self._generating())
    @rule(text=st.booleans(), new_item=st.booleans())
    def part(self, text, new_item):
        """The next part, of the same item or of a new one."""
        made = self._generating()
        if new_item or not made.items:
            made.items[f"{made.id}i{len(made.items)}"] = []
        item_id, parts = list(made.items.items())[-1]
        part = PartKey(made.id, item_id, len(parts))
        parts.append(part)
        if text:
            made.texts.add(part)
        value = events.TextPart(text="") if text else events.AudioPart(transcript="")
        self._tell(events.ResponseContentPartAdded(**self._at(part), part=value))

    def _at(self, part):
        place = {"item_id": part.item_id, "output_index": 0, "content_index": part.content_index}
        return {**E, "response_id": part.response_id, **place}

    def _sounding(self) -> PartKey | None:
        made = self._generating()
        if made is None or not made.items:
            return None
        part = list(made.items.values())[-1][-1]
        return None if part in made.texts or part in self.finished else part

    @precondition(lambda self: self._sounding())
    @rule(samples=st.integers(1, 2400), times=st.integers(1, 3))
    def delta(self, samples, times):
        made, part = self._generating(), self._sounding()
        for _ in range(times):
            if self.name + samples > 60_000:
                return
            numbers = range(self.name + 1, self.name + samples + 1)
            self.name += samples
            self.names.setdefault(part, []).extend(numbers)
            pcm = struct.pack(f"<{samples}H", *numbers)
            kept = self.ledger.receive(part, pcm)

            assert kept is not made.interrupted

            self._tell(events.ResponseOutputAudioDelta(**self._at(part), delta=pcm))

    @precondition(lambda self: self._sounding())
    @rule()
    def audio_done(self):
        part = self._sounding()
        self.finished.add(part)
        self.ledger.finish(part)
        self._tell(events.ResponseOutputAudioDone(**self._at(part)))

    @precondition(lambda self: self._generating())
    @rule()
    def response_done(self):
        made = self._generating()
        made.done = True
        self.ledger.end(made.id)
        status = "cancelled" if made.interrupted else "completed"
        value = events.Response(id=made.id, status=status, conversation_id="c")
        self._tell(events.ResponseDone(**E, response=value))

    # what the session does

    @rule()
    def feed(self):
        self.device.write(self.ledger.take(self.device.room))

    @rule(server_cancels=st.booleans())
    def interrupt(self, server_cancels):
        speaking = self.interrupter.is_speaking
        plan = self.interrupter.begin("test", now=self._now(), server_cancels=server_cancels)

        assert bool(plan) == speaking

        if plan:
            self.device.cut(self.ledger.cut(plan.response_ids))
        for made in self.made:
            if made.id in plan.response_ids:
                assert not made.interrupted
                made.interrupted = True
        self._repair()

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def interrupt_one(self, data):
        """As leaving its block early does: the others go on, from the same sample."""
        made = data.draw(st.sampled_from(self.made))
        plan = self.interrupter.begin("test", now=self._now(), server_cancels=False, response_ids=[made.id])
        if plan:
            self.device.cut(self.ledger.cut(plan.response_ids))
            made.interrupted = True
        self._repair()

    @rule()
    def pause(self):
        self.device.cut(self.ledger.cut(()))

    # what the device does

    def _now(self) -> float:
        return self.clock / SAMPLE_RATE

    @rule(blocks=st.integers(1, 4), deliver=st.booleans())
    def play(self, blocks, deliver):
        self._pass(blocks, available=True)
        if deliver:
            self.deliver()

    def _pass(self, blocks, *, available):
        for _ in range(blocks):
            block = (self.device.take if available else self.device.idle)(self._now())
            for n, (number,) in enumerate(struct.iter_unpack("<H", block.pcm)):
                if number:
                    self.out.append((number, self.clock + n + 1 + LATENCY))
            self.reports.append(block)
            self.clock += BLOCK

    @rule()
    def deliver(self):
        while self.reports:
            block = self.reports.popleft()
            if block.cut is not None:
                self.ledger.cut_report(block.cut.generation, block.cut.samples, block.cut.until)
            self.ledger.report(block.position.generation, block.position.samples, block.position.until)
            self._repair()

    @rule(blocks=st.integers(0, 20), deliver=st.booleans())
    def restart(self, blocks, deliver):
        """The hardware goes away with what it had been handed, and comes back; what was not handed over waits."""
        self.lost |= {number for number, at in self.out if at > self.clock}
        self._pass(blocks, available=False)
        if deliver:
            self.deliver()

    # what must be true

    def _handed(self, now: float = float("inf")) -> set[int]:
        return {number for number, at in self.out if at <= now}

    @invariant()
    def nothing_comes_out_twice_or_out_of_order(self):
        came_out = [number for number, _ in self.out]

        assert len(came_out) == len(set(came_out))
        handed = set(came_out)
        for numbers in self.names.values():
            count = sum(number in handed for number in numbers)

            assert handed.issuperset(numbers[:count])

    @invariant()
    def heard_is_what_left_the_speaker(self):
        """While reports are on their way less is known, never more. What was lost on the way counts as gone by."""
        for later in (0, LATENCY // 2, 10 * LATENCY):
            left = self._handed(self.clock + later)
            for part, numbers in self.names.items():
                heard = self.ledger.heard_samples(part, (self.clock + later) / SAMPLE_RATE)
                truth = sum(number in left for number in numbers)

                assert heard <= truth if self.reports else heard == truth
                assert heard - sum(number in left - self.lost for number in numbers) <= len(self.lost)

    @invariant()
    def cut_is_all_that_was_handed_over(self):
        handed = self._handed()
        for part, numbers in self.names.items():
            cut = self.ledger.cut_samples(part)
            if cut is not None:
                assert cut == sum(number in handed for number in numbers)

    @invariant()
    def only_what_was_interrupted_is_repaired(self):
        for made in self.made:
            if not made.interrupted:
                assert self.server.touched.isdisjoint(made.items)

    def teardown(self):
        """In the end all is known: the server's conversation ends where the listener's did, item for item."""
        try:
            if self.made and not self.made[-1].done:
                self.response_done()
            for _ in range(400):
                self.feed()
                self.play(1, deliver=True)
                if self.ledger.drained(self._now()):
                    break

            assert self.ledger.drained(self._now())
            handed = self._handed()
            for made in self.made:
                for parts in made.items.values():
                    self._compare(made, parts, handed)
        finally:
            self.patch.stop()

    def _compare(self, made: Made, parts: list[PartKey], handed: set[int]) -> None:
        item_id = parts[0].item_id
        sounding = [part for part in parts if part not in made.texts]
        came_out = {part: sum(number in handed for number in self.names.get(part, [])) for part in sounding}
        if not made.interrupted:
            assert all(came_out[part] == len(self.names.get(part, [])) for part in sounding)
            return
        unheard = all(count < SAMPLES_PER_MS for count in came_out.values())
        if item_id in self.server.deleted:
            assert unheard  # text that is written behind it later goes with it
            return
        assert not unheard or len(sounding) < len(parts)
        for part in sounding:
            told = self.server.truncated.get((item_id, part.content_index))
            whole = came_out[part] == len(self.names.get(part, [])) and part in self.finished
            assert told == came_out[part] // SAMPLES_PER_MS or (
                whole and told is None
            )  # unless told before `done` came


TestTalkMachine = TalkMachine.TestCase
TestTalkMachine.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)

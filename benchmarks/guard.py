"""What a guard costs, and whether what it stops is silent: against the offline server, which knows when it says what.

- *Whether it is silent.* Texts are spoken by the server's voices; every word of them is forbidden in its turn. How much
  of it is heard is reckoned with the guard's core alone (`core/guard.py`) and a speaker without delay: words come with
  their sound, ahead of it or behind it, sound as fast as it is spoken or faster. Some of the words are then forbidden
  in whole sessions with a device, in virtual time, and counted in what was played.
- *What it costs*, in real time over a socket: from the question to the first sound, what of that was the guard, and how
  long the speaker was silent in the middle of the answer.

The voices' sound is replaced by one that is never silent, so that every sample of silence was not spoken.
`--quick` is a few words and one answer each, to see that it works: its figures mean nothing.
"""

import itertools
import math
import random
import statistics
import sys
from pathlib import Path

import attrs
import numpy as np
import trio
import trio.testing

from realtime_trio import open_server, open_session
from realtime_trio.audio import ClockedDevice
from realtime_trio.core.guard import GuardedPart
from realtime_trio.server.babble import BabbleVoice
from realtime_trio.server.espeak import espeak_source, why_no_espeak
from realtime_trio.server.seams import Speech

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from heard_text import SENTENCE, TEXTS, VOICES, speaks
from interruption_clients import Tape
from measuring import machine, progress
from numbered import AUDIBLE, SAMPLES_PER_MS, samples_of

WORDS = 24  # that are forbidden in whole sessions
ROUNDS = 4
LEADS = (0, 100, 200, 300, 500)
PRICED = (0, 200, 500)
DELAYS = (0.0, 0.05, 0.3)
SPEEDS = (1.0, 1.5, 4.0)
AHEAD = {"with their sound": 0, "2 s ahead": 2000, "0.3 s behind": -300}  # ms
CHUNK_MS = 200.0  # as the server sends sound
CUT_MS = 30  # a block and a fade may come out after a stop
LOUD = (8_000).to_bytes(2, "little")
BLOCK_MS = 10


class Known:
    """Speaks what was rendered beforehand."""

    def __init__(self, speeches):
        self._speeches = speeches

    async def speak(self, text, *, voice, speed=1.0):  # noqa: ARG002
        """Look it up."""
        await trio.lowlevel.checkpoint()
        return self._speeches[text, voice]


async def render(quick):
    """Have all texts spoken, by each voice: the sentences, and when they are said."""
    voices = {"babble": BabbleVoice()}
    speeches = {}

    async def by(kind, voice):
        for text, name in itertools.product(TEXTS, VOICES[: 1 if quick else 2]):
            for sentence in SENTENCE.findall(text):
                speech = await voice.speak(sentence, voice=name)
                speeches[sentence, f"{kind}-{name}"] = Speech(LOUD * (len(speech.pcm) // 2), speech.words)

    await by("babble", voices["babble"])
    if why_no_espeak() is None:
        async with espeak_source().open() as voice:
            await by("espeak", voice)
    return speeches


# Whether it is silent


def words_of(text, speeches, voice):
    """List the words of a text, each with the millisecond at which it begins; and how long all of it is."""
    words, begin = [], 0.0
    for sentence in SENTENCE.findall(text):
        speech = speeches[sentence, voice]
        words += [(word.text, begin + word.start / SAMPLES_PER_MS) for word in speech.words]
        begin += len(speech.pcm) / 2 / SAMPLES_PER_MS
    return words, begin


def arrivals(words, length, ahead):
    """Order words and sound as they come: each word before the chunk in which it begins, or so much earlier.

    White space goes before a word, as the real server has it: that a word is whole is known when the next one comes.
    """
    waiting, at = [(begin - ahead, f" {text.strip()}") for text, begin in words], 0.0
    while at < length:
        chunk = min(CHUNK_MS, length - at)
        while waiting and waiting[0][0] < at + chunk:
            yield waiting.pop(0)[1]
        yield chunk
        at += chunk
    yield from (text for _, text in waiting)


@attrs.define
class Course:
    """What a guard that lets everything pass does for one text: its verdicts, and what may be played when."""

    lead: float
    delay: float
    part: GuardedPart = attrs.field(init=False)
    verdicts: list = attrs.Factory(list)  # when, up to which character, and how many ms that allows
    played: list = attrs.Factory(list)  # when, and how many ms may be played from then on
    _busy: tuple | None = None

    def __attrs_post_init__(self):
        self.part = GuardedPart(self.lead)

    def run(self, coming, speed):
        """Have the events come at their times, in seconds; sound so many times faster than it is spoken."""
        now = 0.0
        for event in coming:
            if isinstance(event, str):
                self.part.add_words(event)
            else:
                now += event / speed / 1000
                self._answer(now)
                self.part.add_sound(event)
                self._note(now)
            self._ask(now)
        self.part.finish()
        self._note(now)
        self._ask(now)
        self._answer(math.inf)
        return self

    def _ask(self, now):
        if self._busy is None and self.part.waits:
            self._busy = now + self.delay, self.part.unjudged
            if not self.delay:
                self._answer(now)

    def _answer(self, now):
        while self._busy is not None and self._busy[0] <= now:
            (at, until), self._busy = self._busy, None
            self.part.let_pass(self.part.text[:until])
            self.verdicts.append((at, until, self.part.allowed_ms))
            self._note(at)
            self._ask(at)

    def _note(self, now):
        self.played.append((now, min(self.part.allowed_ms, self.part.received_ms)))

    def audible(self, place, begin):
        """Tell how many ms of a word are heard when the guard stops at it."""
        allowed = max((ms for _, until, ms in self.verdicts if until <= place), default=0.0)
        stopped = next(at for at, until, _ in self.verdicts if until > place)
        position = before = free = 0.0
        for now, limit in self.played:
            if now >= stopped:
                break
            position = min(free, position + (now - before) * 1000)
            before, free = now, max(free, min(limit, allowed))
        return max(0.0, min(free, position + (stopped - before) * 1000 + CUT_MS) - begin)


def measure_silence(speeches, *, quick):
    """Print how much is heard of forbidden words, for every word of every text and voice."""
    spoken = [
        words_of(text, speeches, voice)
        for voice in sorted({voice for _, voice in speeches})
        for text in TEXTS[: 1 if quick else None]
    ]
    number = sum(len(words) for words, _ in spoken)
    print(f"\nHow much of a forbidden word is heard, {number} words: the share of them of which any is, worst in ms")
    print(f"  {'speed of generation, words, guard':<40}" + "".join(f"{f'lead {lead} ms':>16}" for lead in LEADS))
    for speed, (order, ahead), delay in itertools.product(SPEEDS, AHEAD.items(), DELAYS[::2]):
        shown = ""
        for lead in LEADS:
            heard = []
            for words, length in spoken:
                course, place = Course(lead, delay).run(arrivals(words, length, ahead), speed), 0
                for text, begin in words:
                    heard.append(course.audible(place + 1, begin))
                    place += 1 + len(text.strip())
            shown += f"{sum(one > 0 for one in heard) / len(heard):>11.2%} {max(heard):4.0f}"
        print(f"  {f'{speed:g} times, {order}, {delay * 1000:.0f} ms':<40}{shown}", flush=True)


async def forbid(speeches, case, lead, delay, speed):
    """Have a session in which the words of a text are forbidden from a place on: how many ms came out."""
    voice, number, place, _ = case
    tape = Tape()

    async def guard(text):
        await trio.sleep(delay)
        return "forbidden" if len(text.text) > place else None

    async with (
        open_server(listen=False, speed=speed, brain=speaks, voice=Known(speeches)) as server,
        open_session(
            connect=server.connect,
            url=server.url,
            audio=ClockedDevice(block_ms=BLOCK_MS, recorder=tape),
            voice=voice,
            guard=guard,
            guard_lead_ms=lead,
        ) as session,
    ):
        reply = await session.ask(str(number))
        assert reply.interruption.reason == "guard"
    return np.count_nonzero(np.abs(samples_of(tape.played).astype(int)) > AUDIBLE) / SAMPLES_PER_MS


def measure_sessions(speeches, *, quick):
    """Print the same for some words in whole sessions, with the default lead."""
    chance, known = random.Random(4), []
    for voice, number in itertools.product(sorted({voice for _, voice in speeches}), range(3)):
        place = 0
        for text, begin in words_of(TEXTS[number], speeches, voice)[0]:
            known.append((voice, number, place, begin))
            place += len(text)
    cases = chance.sample(known, 2 if quick else WORDS)
    print(f"\nThe same in sessions with a device, {len(cases)} words, lead 200 ms")
    for speed, delay in itertools.product(SPEEDS[::2], DELAYS[::2]):
        heard = []
        for case in cases:
            clock = trio.testing.MockClock(autojump_threshold=0)
            heard.append(max(0.0, trio.run(forbid, speeches, case, 200, delay, speed, clock=clock) - case[-1]))
        share = sum(one > 0 for one in heard) / len(heard)
        print(f"  {f'{speed:g} times, {delay * 1000:.0f} ms':<40}{share:>11.2%} {max(heard):4.0f}", flush=True)


# What it costs


async def answer(url, voice, number, price, found):
    """Have one text spoken, at a lead and with a delay: the latency, and the silence in the middle."""
    lead, delay = price
    tape = Tape()

    async def guard(text):  # noqa: ARG001
        await trio.sleep(delay)

    async with open_session(
        url=url,
        audio=ClockedDevice(block_ms=BLOCK_MS, recorder=tape),
        voice=voice,
        guard=None if delay is None else guard,
        guard_lead_ms=lead,
    ) as session:
        (response,) = (await session.ask(str(number))).responses
    sounds = np.flatnonzero(np.abs(samples_of(tape.played).astype(int)) > AUDIBLE)
    silent = (sounds[-1] - sounds[0] + 1 - len(sounds)) / SAMPLES_PER_MS
    pauses = int((np.diff(sounds) > 1).sum())
    found.append((response.latency.total_ms, response.latency.guard_ms, silent, pauses))


async def measure_price(speeches, *, quick):
    """Print what a guard costs, at both speeds of generation."""
    voice = max({voice for _, voice in speeches})
    combinations = [(0, None), *itertools.product(PRICED, DELAYS)]
    for speed in SPEEDS[:0:-1]:
        found = {one: [] for one in combinations}
        async with open_server(speed=speed, brain=speaks, voice=Known(speeches), recogniser="none") as server:
            for number in range(1 if quick else ROUNDS):
                progress(f"answers at {speed:g} times the speed of speech, {number + 1}")
                async with trio.open_nursery() as nursery:
                    for price in combinations:
                        nursery.start_soon(answer, server.url, voice, number, price, found[price])
        print(f"\nAnswers at {speed:g} times the speed of speech, medians of {1 if quick else ROUNDS}")
        print(f"  {'':<26} {'first sound':>13} {'the guard':>11} {'silence within':>16} {'pauses':>8}")
        for (lead, delay), values in found.items():
            name = "no guard" if delay is None else f"{delay * 1000:.0f} ms guard, lead {lead} ms"
            first, guard, silent, pauses = (statistics.median(column) for column in zip(*values, strict=True))
            print(f"  {name:<26} {first:>10.0f} ms {guard:>8.0f} ms {silent:>13.0f} ms {pauses:>8.0f}")


def main():
    """Measure both."""
    quick = "--quick" in sys.argv
    print(machine("realtime_trio", "trio"))
    speeches = trio.run(lambda: render(quick))
    trio.run(lambda: measure_price(speeches, quick=quick))
    measure_silence(speeches, quick=quick)
    measure_sessions(speeches, quick=quick)
    print(flush=True)


if __name__ == "__main__":
    main()

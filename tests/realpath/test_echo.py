"""A loudspeaker and a microphone in one room: the assistant does not hear itself, and a person is heard over it."""

from pathlib import Path

import numpy as np
import pytest

from .program import open_talk
from .signals import FADE, RATE, came_out, level_dbfs, read_wav, show, sound_begins, sound_ends, sounding

pytestmark = pytest.mark.slow

TORONTO = Path(__file__).parents[1] / "data" / "toronto.wav"
ECHO = 0.5  # then the assistant is as loud in the microphone as the person of the recording
LONG = 60  # seconds
BLOCK = RATE // 50
ATTEMPTS = 3
# more than a minute, with any voice
TALE = """
The lighthouse on the northern cape was built in eighteen ninety one. Every evening the keeper climbed two hundred and
twelve steps with a can of oil. In winter the wind was so strong that he had to crawl. His daughter kept the book of
ships, and wrote down every sail that passed before noon. One morning in March she saw a boat without a crew. It lay low
in the water and turned slowly, as if somebody were still looking for a way home. They rowed out together and found a
cat, a clock, and a letter in a language that neither of them could read. The clock was still going. For many years
people came to the cape to look at the letter, and each of them read something else in it. A teacher thought that it was
a recipe for bread. A sailor said that it named a harbour far in the south. The priest was sure that it was a song, and
he sang it twice. The keeper listened to them all, poured tea, and said nothing. When the lamp was changed for an
electric one, he took the letter down from the wall and put it into the old can of oil. Then he closed the lid, carried
it down all of the steps, and buried it under the apple tree. The cat lived for another eleven years. Nobody has dug
under the tree since then, although everybody in the village knows exactly where it stands. On quiet evenings, when the
wind comes from the land, you can hear the clock. It is four minutes slow by now, and nobody wants to set it right.
That is the whole story of the lighthouse, as it was told to me by the woman who sells the tickets.
"""


async def test_a_minute_of_its_own_loud_echo_does_not_interrupt_the_assistant(pulse, tmp_path):
    await pulse.add_echo(ECHO)

    for attempt in range(1, ATTEMPTS + 1):
        state, events = await speak_for_long(pulse, tmp_path)
        show(state=state, events=events)
        if not events or not state["underruns"] or attempt == ATTEMPTS:
            break  # with underruns, the machine was too busy to play a minute of sound: the room's echo came in pieces

    assert not events, f"{state}"
    assert state["path"], "there is an echo"
    assert state["return_loss_db"] > 20


async def speak_for_long(pulse, folder):
    """Have the assistant speak for `LONG`; give the program's state then, and by what it interrupted itself."""
    async with (
        pulse.record() as speaker,
        pulse.record("mic") as microphone,
        open_talk(pulse.environment, folder, answers=[TALE]) as program,
    ):
        await program.next("ready")
        await program.do("ask", text="Tell me a story.")
        await speaker.sound()
        begin = sound_begins(speaker.samples)
        await speaker.until(
            lambda samples: len(samples) > begin + LONG * RATE or bool(program.all("Interrupted")),
            "it was not recorded",
            limit=3 * LONG,
        )
        await program.do("state")
        state = await program.next("state")
        if program.all("Interrupted"):
            return state, program.all("Interrupted")

        assert not program.all("heard"), "it still speaks"
        played, echo = (recording.samples[begin : begin + LONG * RATE] for recording in (speaker, microphone))
        assert np.count_nonzero(sounding(played[-3 * RATE :])) > RATE / 4, "all the while"
        assert level_dbfs(echo) == pytest.approx(level_dbfs(played) + 20 * np.log10(ECHO), abs=1), "with a loud echo"
        return state, program.all("input_audio_buffer.speech_started")


async def test_without_a_canceller_it_interrupts_itself_in_the_same_room(pulse, tmp_path):
    """Else the test above would prove nothing."""
    await pulse.add_echo(ECHO)

    async with open_talk(pulse.environment, tmp_path, answers=[TALE], session={"echo": "off"}) as program:
        await program.next("ready")
        await program.do("ask", text="Tell me a story.")
        interrupted = await program.next("Interrupted")

    assert interrupted["reason"] == "speech_started"
    assert 0 < sum(part["heard_ms"] for part in interrupted["parts"]) < LONG * 1000


async def test_a_person_who_speaks_over_it_stops_it(pulse, tmp_path):
    await pulse.add_echo(ECHO)

    async with (
        pulse.record() as speaker,
        open_talk(pulse.environment, tmp_path, answers=[TALE, "I see."]) as program,
    ):
        await program.next("ready")
        await program.do("ask", text="Tell me a story.")
        await speaker.sound(seconds=3)
        said_from = speaker.length
        await pulse.play(TORONTO)
        truncated = await program.next("truncated")
        answered = await program.next("heard")
        await program.next("heard")
        await speaker.silence(0.5)
        await program.do("state")
        state = await program.next("state")

    assert len(program.all("Interrupted")) == 1
    assert answered["interrupted"]
    kept = read_wav(Path(truncated["wav"]))
    assert len(kept) * 1000 / RATE == pytest.approx(truncated["audio_end_ms"], abs=1)
    recorded = speaker.samples[: said_from + 4 * RATE]  # its answer to the person comes later than that
    heard, alike = came_out(recorded, kept, sure=0.98)
    assert alike > 0.9, "what the server keeps was played"
    assert said_from < sound_ends(recorded) < said_from + 3 * RATE, "it stopped while the person spoke"
    audible = sound_ends(kept[:-FADE])
    show(told_less_heard_ms=(audible - heard) * 1000 / RATE, alike=alike, state=state)
    # ALSA drops what it was given when it underruns; how much, nobody knows
    slack = RATE // 4 if state["underruns"] else BLOCK + FADE
    assert abs(audible - heard) <= slack, "and to its end"

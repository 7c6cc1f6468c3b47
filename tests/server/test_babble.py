"""The babble voice speaks any text, always alike, without clocks, threads or processes."""

import numpy as np
import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.server.babble import BabbleVoice, babble_source
from realtime_trio.server.seams import SAMPLE_RATE


def speak(text, voice="alloy", speed=1.0):
    async def main():
        return await BabbleVoice().speak(text, voice=voice, speed=speed)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_it_takes_no_time(autojump_clock):
    """Opening and speaking wait for nothing, so a test clock does not move."""
    async with babble_source().open() as voice:
        speech = await voice.speak("Hello there, what time is it?", voice="alloy")

    assert trio.current_time() == 0
    assert 1 < len(speech.pcm) / 2 / SAMPLE_RATE < 4


@given(text=st.text(max_size=60), voice=st.text(max_size=10))
@settings(deadline=None)
def test_words_are_the_text_and_lie_in_the_sound(text, voice):
    speech = speak(text, voice)

    assert "".join(word.text for word in speech.words) == text
    starts = [word.start for word in speech.words]
    assert starts == sorted(starts)
    assert all(0 <= start <= len(speech.pcm) // 2 for start in starts)
    assert len(speech.pcm) % 2 == 0


def test_the_same_words_sound_the_same():
    assert speak("count to twenty") == speak("count to twenty")
    assert speak("count to twenty", "a voice of no name") == speak("count to twenty", "a voice of no name")


def test_every_voice_has_its_own_timbre():
    voices = ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar", "someone"]

    assert len({speak("hello", voice).pcm for voice in voices}) == len(voices)


def test_it_is_loud_but_not_clipped():
    samples = np.frombuffer(speak("Hello there, how are you today?").pcm, "<i2").astype(float)

    assert samples.std() > 1000
    assert abs(samples).max() < 32767


@pytest.mark.parametrize("speed", [0.25, 0.5, 1.5])
def test_speed_divides_the_length(speed):
    normal, changed = speak("one two three four"), speak("one two three four", speed=speed)

    assert len(changed.pcm) == pytest.approx(len(normal.pcm) / speed, rel=0.01)


def test_figures_are_as_long_as_their_names():
    """A digit is not swallowed."""
    assert len(speak("12").pcm) == len(speak("onetwo").pcm)


def test_nothing_to_say_is_silent():
    assert speak("").pcm == b""
    assert speak("").words == ()
    assert not np.frombuffer(speak("?!").pcm, "<i2").any()


def test_sound_stays_out_of_reprs():
    assert repr(speak("hi").pcm) not in repr(speak("hi"))
    assert "bytes>" in repr(speak("hi"))

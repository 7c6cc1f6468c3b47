"""espeak-ng speaks from a process of its own, which is always replaced and never left behind."""

import os
import sys

import numpy as np
import pytest
import trio

from realtime_trio.errors import AudioError
from realtime_trio.server import espeak as module
from realtime_trio.server import speech
from realtime_trio.server.child import Child, try_child
from realtime_trio.server.espeak import EspeakVoice
from realtime_trio.server.seams import SAMPLE_RATE
from realtime_trio.server.turn_detection import EnergyTurnDetector


@pytest.fixture
def espeak():
    pytest.importorskip("espeakng_loader", reason="the extra [offline] is not installed")


@pytest.fixture
async def child(espeak):
    library, data = module._files()
    child = Child("espeak-ng", module._command(library, data))
    async with child.running():
        yield child


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_it_speaks(espeak):
    """The sound is loud, of a plausible length, and one turn to the turn detection."""
    async with EspeakVoice.open() as voice:
        spoken = await voice.speak("What is the weather in Paris?", voice="alloy")

    samples = np.frombuffer(spoken.pcm, "<i2").astype(float)
    assert 1 < len(samples) / SAMPLE_RATE < 4
    assert samples.std() > 1000
    assert len(EnergyTurnDetector().feed(bytes(SAMPLE_RATE) + spoken.pcm + bytes(2 * SAMPLE_RATE))) == 2


@pytest.mark.parametrize(
    "text", ["Hello there, it is 12:30.", "  What\u2019s up\nin Zürich 😀?! ", "one", "?!", "", "  ", "a\0b"]
)
async def test_words_are_the_text_and_lie_in_the_sound(espeak, text):
    async with EspeakVoice.open() as voice:
        spoken = await voice.speak(text, voice="marin")

    assert "".join(word.text for word in spoken.words) == text
    starts = [word.start for word in spoken.words]
    assert starts == sorted(starts)
    assert all(0 <= start <= len(spoken.pcm) // 2 for start in starts)


async def test_words_begin_where_they_are_heard(espeak):
    """The second word begins after a first one that takes a second to say."""
    async with EspeakVoice.open() as voice:
        spoken = await voice.speak("internationalization now", voice="alloy")
        alone = await voice.speak("internationalization", voice="alloy")

    assert spoken.words[1].start == pytest.approx(len(alone.pcm) / 2, rel=0.35)


async def test_voices_differ_and_speed_counts(espeak):
    voices = ["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"]
    async with EspeakVoice.open() as voice:
        sounds = {(await voice.speak("hello", voice=name)).pcm for name in voices}
        assert (await voice.speak("hello", voice="a name of no voice")).pcm
        normal = await voice.speak("one two three", voice="ash")
        fast = await voice.speak("one two three", voice="ash", speed=1.5)

    assert len(sounds) == len(voices)
    assert len(fast.pcm) < 0.8 * len(normal.pcm)


async def test_many_may_speak_at_once(espeak):
    """Each gets its own words."""
    texts = [f"number {number}" for number in range(8)]
    found = {}

    async with EspeakVoice.open() as voice:

        async def speak(text):
            found[text] = await voice.speak(text, voice="alloy")

        async with trio.open_nursery() as nursery:
            for text in texts:
                nursery.start_soon(speak, text)

    assert all("".join(word.text for word in spoken.words) == text for text, spoken in found.items())
    assert len({spoken.pcm for spoken in found.values()}) == len(texts)


async def test_a_cancelled_text_leaves_the_voice_usable(child):
    voice = EspeakVoice(child)
    before = child.pid
    with trio.CancelScope() as scope:
        scope.cancel()
        await voice.speak("one", voice="alloy")
    with trio.move_on_after(0.005) as scope:
        await voice.speak("one two " * 2000, voice="alloy")

    assert scope.cancelled_caught
    assert gone(before)
    assert (await voice.speak("one", voice="alloy")).pcm


async def test_a_process_that_died_is_replaced(child):
    voice = EspeakVoice(child)
    before = child.pid
    os.kill(before, 9)

    assert (await voice.speak("one", voice="alloy")).pcm
    assert child.pid != before


async def test_no_process_is_left_behind(espeak):
    library, data = module._files()
    child = Child("espeak-ng", module._command(library, data))
    async with child.running():
        pid = child.pid

    assert gone(pid)


async def test_a_data_path_that_is_too_long_gets_a_short_one(espeak, tmp_path, monkeypatch):
    """Its own buffers hold 160 characters."""
    library, data = module._files()
    deep = tmp_path / ("x" * 100) / ("y" * 100)
    deep.mkdir(parents=True)
    (deep / "espeak-ng-data").symlink_to(data)
    monkeypatch.setattr(module, "_files", lambda: (library, str(deep / "espeak-ng-data")))

    async with EspeakVoice.open() as voice:
        assert (await voice.speak("one", voice="alloy")).pcm


async def test_what_fails_is_said(espeak):
    library, _ = module._files()

    assert "espeak_Initialize" in try_child(module._command(library, "/no/such/folder"))
    with pytest.raises(AudioError, match="espeak_Initialize"):
        async with Child("espeak-ng", module._command(library, "/no/such/folder")).running():
            pass
    with pytest.raises(AudioError, match="does not start"):
        async with Child("nothing", [sys.executable, "-c", "pass"]).running():
            pass


async def test_a_child_that_answers_nothing_is_given_up():
    """In bounded time, with an error that names it, and without leaving it behind."""
    silent = "import time; print('{}', flush=True); time.sleep(1000)"
    child = Child("a mute", [sys.executable, "-c", silent], limit=0.5)
    async with child.running():
        pid = child.pid
        with pytest.raises(AudioError, match="a mute did not answer"):
            await child.ask({})

    assert gone(pid)


async def test_a_child_that_dies_twice_is_an_error():
    dying = "import sys; print('{}', flush=True); sys.stdin.readline()"
    child = Child("a mayfly", [sys.executable, "-c", dying])
    async with child.running():
        with pytest.raises(AudioError, match="died twice"):
            await child.ask({})


async def test_without_the_package_the_voice_babbles(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    module.why_no_espeak.cache_clear()
    try:
        assert "realtime_trio[offline]" in module.why_no_espeak()
        assert "babble" in speech.default_voice().description
        with pytest.raises(AudioError, match="not installed"):
            async with EspeakVoice.open():
                pass
    finally:
        module.why_no_espeak.cache_clear()


def test_the_default_is_chosen_by_what_works(espeak):
    assert "espeak-ng" in speech.default_voice().description

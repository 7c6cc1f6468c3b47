"""The recogniser that knows one voice understands what is really in the sound, and nothing else."""

import numpy as np
import pytest

from realtime_trio.audio.g711 import law
from realtime_trio.server.babble import BabbleVoice
from realtime_trio.testing import KnownVoice

ROOM = bytes(2 * 24_000)


@pytest.fixture
async def speak():
    voice = BabbleVoice()

    async def speak(text, **options):
        return await voice.speak(text, voice="ash", **options)

    return speak


@pytest.fixture
async def known(speak):
    known = KnownVoice()
    for text in ("Count to five.", "count to nine", "what is the weather in Lima", "stop"):
        known.learn(await speak(text))
    return known


async def test_it_tells_likes_apart(known, speak):
    for text in ("count to nine", "Count to five."):
        sound = ROOM + (await speak(text)).pcm + ROOM
        assert (await known.recognise(sound)).text == text.lower().strip(".")


async def test_it_hears_several_in_their_order_and_the_same_twice(known, speak):
    stop, count = (await speak("stop")).pcm, (await speak("count to nine")).pcm

    assert (await known.recognise(ROOM + stop + ROOM + count + ROOM + stop)).text == "stop count to nine stop"


async def test_what_was_cut_off_is_not_understood(known, speak):
    speech = await speak("what is the weather in Lima")
    weather = speech.words[3].start * 2

    assert (await known.recognise(speech.pcm[:weather])).text == "what is the"
    assert (await known.recognise(speech.pcm[weather:] + ROOM)).text == "weather in lima"


async def test_what_nobody_told_it_is_not_understood(speak):
    known = KnownVoice()
    known.learn(await speak("what is the weather in Lima"))
    for pcm in (ROOM, (await speak("Good morning everybody!")).pcm, b""):
        transcript = await known.recognise(pcm)
        assert (transcript.text, transcript.certain) == ("", False)


async def test_a_telephone_and_noise_do_no_harm(known, speak):
    speech = (await speak("what is the weather in Lima")).pcm
    noise = np.random.default_rng(5).normal(0, 500, len(speech) // 2)
    noisy = (np.frombuffer(speech, "<i2") * 0.5 + noise).astype("<i2").tobytes()

    assert (await known.recognise(noisy)).text == "what is the weather in lima"
    mu_law = law("audio/pcmu")
    line = np.repeat(mu_law.expand(mu_law.compress(np.frombuffer(speech, "<i2")[::3])), 3).astype("<i2").tobytes()
    assert (await known.recognise(line)).text == "what is the weather in lima"


async def test_it_knows_whether_more_follows(speak):
    known = KnownVoice()
    first, last = await speak("what is"), await speak("two plus two")
    known.learn(first, last=False)
    known.learn(last)

    begun, whole = await known.overhear(first.pcm), await known.overhear(first.pcm + ROOM + last.pcm)

    assert (begun.text, begun.certain) == ("what is \u2026", False)
    assert (whole.text, whole.certain) == ("what is two plus two", True)
    assert (await known.overhear(last.pcm[: len(last.pcm) // 4 * 2])).text.endswith("\u2026")
    assert (await known.overhear(ROOM)).text == ""


async def test_what_it_learned_long_ago_is_forgotten(known, speak):
    stop = await speak("stop")
    for number in range(40):
        known.learn(await speak(f"number {number}"))

    assert (await known.recognise(stop.pcm)).text != "stop"
    known.learn(stop)
    assert (await known.recognise(stop.pcm)).text == "stop"

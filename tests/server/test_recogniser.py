"""What is said in the grammar's words is understood; the rest is a guess that says so. No process is left behind."""

import os
import wave
from pathlib import Path

import pytest
import trio

from realtime_trio.errors import AudioError
from realtime_trio.server import recogniser as module
from realtime_trio.server import speech
from realtime_trio.server.brain import SUGGESTIONS, RulesBrain
from realtime_trio.server.child import Child
from realtime_trio.server.espeak import EspeakVoice
from realtime_trio.server.grammar import CITIES, in_grammar
from realtime_trio.server.recogniser import SphinxRecogniser
from realtime_trio.server.seams import SAMPLE_RATE, BrainRequest, Said, ToolCall, ToolSpec, Transcript
from realtime_trio.server.turn_detection import EnergyTurnDetector

SENTENCES = [
    "what time is it",
    "tell me the time",
    "what day is it today",
    "what is the date",
    "what is the weather in Paris",
    "what's the weather like in Toronto",
    "how warm is it in Lima",
    "what is the weather in New York",
    "count to ten",
    "count to twenty",
    "please count to thirty",
    "what is twelve times three",
    "how much is one hundred minus forty two",
    "what is eighty one divided by nine",
    "repeat after me hello world",
    "hello",
    "thank you",
    "stop",
    "how are you",
    "what can you do",
]


@pytest.fixture
def sphinx():
    pytest.importorskip("pocketsphinx", reason="the extra [offline] is not installed, or has no wheel for this Python")


@pytest.fixture
def espeak():
    pytest.importorskip("espeakng_loader", reason="the extra [offline] is not installed")


def turn_of(pcm):
    """Give the one turn that the default turn detection finds in a sound."""
    timeline = bytes(SAMPLE_RATE) + pcm + bytes(2 * SAMPLE_RATE)
    started, stopped = EnergyTurnDetector().feed(timeline)
    return timeline[2 * started.start : 2 * stopped.end]


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
async def test_sentences_survive_the_whole_way(sphinx, espeak):
    """Voice, turn detection, recogniser: most sentences exactly, and none lost on the way."""
    exact = []
    async with EspeakVoice.open() as voice, SphinxRecogniser.open() as recogniser:
        for sentence in SENTENCES:
            speech = await voice.speak(sentence, voice="ash")
            transcript = await recogniser.recognise(turn_of(speech.pcm))
            exact.append(transcript == Transcript(sentence.lower()))

    assert sum(exact) >= 18, [sentence for sentence, right in zip(SENTENCES, exact, strict=True) if not right]


@pytest.mark.slow
async def test_other_speech_is_uncertain(sphinx):
    """The recording of a person, who says nothing of the grammar, comes with the words of free dictation."""
    with wave.open(str(Path(__file__).parents[1] / "data" / "toronto.wav")) as file:
        pcm = file.readframes(file.getnframes())
    async with SphinxRecogniser.open() as recogniser:
        transcript = await recogniser.recognise(turn_of(pcm))

    assert not transcript.certain
    assert "response" in transcript.text


@pytest.mark.slow
async def test_silence_and_scraps_are_uncertain(sphinx):
    async with SphinxRecogniser.open() as recogniser:
        for pcm in (b"", bytes(100), bytes(SAMPLE_RATE * 2)):
            assert not (await recogniser.recognise(pcm)).certain


@pytest.mark.slow
async def test_it_outlives_cancellation_and_the_death_of_its_process(sphinx):
    child = Child("pocketsphinx", module._command())
    recogniser = SphinxRecogniser(child)
    async with child.running():
        first = child.pid
        with trio.move_on_after(0.01) as scope:
            await recogniser.recognise(bytes(10 * SAMPLE_RATE))
        assert scope.cancelled_caught
        assert gone(first)
        await recogniser.recognise(bytes(SAMPLE_RATE))
        second = child.pid
        os.kill(second, 9)
        await recogniser.recognise(bytes(SAMPLE_RATE))
        third = child.pid

    assert len({first, second, third}) == 3
    assert gone(second)
    assert gone(third)


async def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    module.why_no_sphinx.cache_clear()
    try:
        assert "realtime_trio[offline]" in module.why_no_sphinx()
        assert speech.default_recogniser() is None
        with pytest.raises(AudioError, match="not installed"):
            async with SphinxRecogniser.open():
                pass
    finally:
        module.why_no_sphinx.cache_clear()


@pytest.mark.slow
def test_the_default_is_chosen_by_what_works(sphinx):
    assert "pocketsphinx" in speech.default_recogniser().description


@pytest.mark.parametrize("sentence", [*SENTENCES, *SUGGESTIONS])
def test_the_grammar_holds_what_people_are_told_to_say(sentence):
    assert in_grammar(sentence.lower())


@pytest.mark.parametrize(
    "text", ["", "count to", "what is one divided by", "hello count", "what is the weather in atlantis"]
)
def test_parts_and_foreign_words_are_not_in_the_grammar(text):
    assert not in_grammar(text)


def sentences():
    """Give one sentence of each pattern of the grammar, and each city."""
    yield from (f"what is the weather in {city}" for city in CITIES)
    yield from ("what's the time", "what time is it now", "what's today's date", "count from two to nine")
    yield from (f"calculate seven {sign} two" for sign in ("plus", "minus", "times", "multiplied by", "divided by"))
    yield from SENTENCES
    yield from ["good morning", "goodbye", "good night", "thanks", "never mind", "yes", "no", "hi there", "help"]
    yield from ["what is your name", "what are you", "be quiet", "please stop", "count down from ten"]
    yield from ["how cold is it in oslo today", "please repeat after me i am a stand in"]
    yield "what is the temperature in rome"


@pytest.mark.parametrize("sentence", list(sentences()))
async def test_the_brain_has_an_answer_to_the_whole_grammar(sentence, autojump_clock):
    """What can be understood is also answered, not met by the line for everything else."""
    assert in_grammar(sentence.lower())
    tool = ToolSpec(name="weather", parameters={"properties": {"city": {"type": "string"}}, "required": ["city"]})
    request = BrainRequest(history=(Said(role="user", text=sentence),), tools=(tool,))
    pieces = [piece async for piece in RulesBrain()(request)]

    assert pieces
    assert not any("no rule for that" in piece for piece in pieces if isinstance(piece, str))
    if "weather" in sentence or "temperature" in sentence:
        assert isinstance(pieces[0], ToolCall)

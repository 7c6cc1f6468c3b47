"""How many words `heard_text` is wrong by, against the offline server, which knows when each word is spoken.

Texts are spoken by the server's voices and received over a connection. The events are then given to the mirror in the
order in which they came, and in others: all words before the sound, all of them behind it, a sentence at a time before
its sound, or two seconds ahead of it. At random moments of each text the words called heard are counted, and compared
with those that had been spoken to their end. "Cut off" is a response that was cancelled with a second of sound beyond
that moment on its way: then nothing says how long the whole would have been.

Beside it what is obvious: a word counts as heard once all sound was heard that had come before it.

`--quick` takes few moments of two texts, to see that it works.
"""

import itertools
import math
import random
import re
import sys
from pathlib import Path

import numpy as np
import trio

from realtime_trio import events, open_connection, open_server
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.playout import PartKey
from realtime_trio.server.babble import BabbleVoice
from realtime_trio.server.espeak import espeak_source, why_no_espeak

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from measuring import machine, percentile, progress

TEXTS = (
    (
        "Toronto? It is fifteen degrees there, with light rain and a gentle wind from the lake. You may want to "
        "take an umbrella, and perhaps a warm jacket for the evening."
    ),
    (
        "Sure! Here is what I found: the museum opens at ten, closes at six, and is free on Wednesdays after "
        "four. Would you like me to book tickets for you? I can also look for a good restaurant nearby."
    ),
    (
        "The answer is 42. To be precise: 6 times 7 is 42, and 12 plus 30 is 42 as well. In 2024 the price was "
        "$19.99, which is about 18 euros."
    ),
    (
        "Once upon a time, there was a little fox who lived at the edge of a big, dark forest. Every night, the "
        "fox would climb the hill, look at the stars, and wonder what was on the other side. One evening, she met"
        " an old owl. Where are you going, the owl asked. I don't know yet, said the fox, but I will tell you "
        "when I get there. And so she walked, and walked, until the forest ended and the sea began."
    ),
    (
        "Photosynthesis is the process by which green plants, algae and some bacteria convert light energy into "
        "chemical energy. During this process carbon dioxide and water are turned into glucose and oxygen. "
        "Chlorophyll, the green pigment in the leaves, absorbs mostly blue and red light, and reflects green "
        "light. That is why leaves look green to us. Without photosynthesis there would be hardly any oxygen in "
        "the atmosphere, and life as we know it would not exist."
    ),
)
MOMENTS = 60  # of each text and voice
VOICES = ("marin", "cedar")
BYTES_PER_MS = 48
AHEAD_MS = 1000  # of sound, when a response is cut off
SENTENCE = re.compile(r".*?[.!?](?:\s+|$)")


async def speaks(request):
    """Say the text whose number was typed, sentence by sentence."""
    for sentence in SENTENCE.findall(TEXTS[int(request.history[-1].text)]):
        yield sentence


async def receive(connection, server, number):
    """Have a text spoken: the events of its one part, and its words with the samples at which they begin."""
    await connection.send(events.ConversationItemCreate(item=events.user_message(str(number))))
    await connection.send(events.ResponseCreate())
    taken = []
    while True:
        event = await connection.receive()
        match event:
            case events.ResponseOutputAudioDelta() | events.ResponseOutputAudioTranscriptDelta():
                taken.append(event)
            case events.ResponseDone():
                return taken, server.spoken_words(taken[0].item_id)
            case events.Error(error=error):
                raise RuntimeError(error.message)


def ends_of(words, sound):
    """Tell when each word was spoken to its end, in ms: where it is no longer loud, before the next begins."""
    loud = np.abs(np.frombuffer(sound, dtype="<i2").astype(np.int32))
    starts = [word.start for word in words] + [len(loud)]
    first = 0
    while first < len(words):  # words that the voice reports as one are as long as they are written
        last = first + 1
        while last < len(words) and starts[last] == starts[first]:
            last += 1
        written = np.cumsum([0] + [len(word.text) for word in words[first:last]])
        begin, end = starts[first], starts[last]
        for n in range(first, last):
            starts[n] = begin + int((end - begin) * written[n - first] / written[-1])
        first = last
    ends = []
    for begin, end in itertools.pairwise(starts):
        sounding = np.flatnonzero(loud[begin:end] > loud.max() * 0.02)
        ends.append((begin + (sounding[-1] + 1 if len(sounding) else 0)) / 24)
    return ends


def in_order(order, taken, words):
    """Rearrange the events of a part."""
    sound = [event for event in taken if isinstance(event, events.ResponseOutputAudioDelta)]
    spoken = [event for event in taken if isinstance(event, events.ResponseOutputAudioTranscriptDelta)]
    match order:
        case "as it comes":
            return taken
        case "words first":
            return spoken + sound
        case "words last":
            return sound + spoken
        case "sentence by sentence":
            due, until = [], 0.0
            for event, word in zip(spoken, words, strict=True):
                if not due or due[-1][1].delta.rstrip()[-1] in ".!?":
                    until = word.start / 24
                due.append((until, event))
        case "two seconds ahead":
            due = [(word.start / 24 - 2000, event) for event, word in zip(spoken, words, strict=True)]
    merged, at = [], 0.0
    for piece in sound:
        while due and due[0][0] < at + len(piece.delta) / BYTES_PER_MS / 2:
            merged.append(due.pop(0)[1])
        merged.append(piece)
        at += len(piece.delta) / BYTES_PER_MS
    return merged + [event for _, event in due]


ORDERS = ("as it comes", "two seconds ahead", "sentence by sentence", "words first", "words last")


def begun(item_id):
    item = events.Message(role="assistant", id=item_id, status="in_progress", content=[])
    return events.ConversationItemAdded(event_id="e", item=item, previous_item_id=None)


def heard(conversation, taken, moment, *, cut_off):
    """Count the words that the mirror calls heard at a moment."""
    item_id, received = taken[0].item_id, 0.0
    conversation.apply(begun(item_id))
    for event in taken:
        if cut_off and received > moment + AHEAD_MS:
            break
        conversation.apply(event)
        if isinstance(event, events.ResponseOutputAudioDelta):
            received += len(event.delta) / BYTES_PER_MS
    status = "incomplete" if cut_off else "completed"
    item = events.Message(role="assistant", id=item_id, status=status, content=[events.OutputAudio()])
    conversation.apply(events.ConversationItemDone(event_id="e", item=item))
    part = PartKey(taken[0].response_id, item_id, 0)
    conversation.set_heard(part, int(moment))
    return len(conversation.words(part)[1].split())


def by_arrival(taken, moment):
    """Count the words before which no sound had come that is not heard."""
    received, count = 0.0, 0
    for event in taken:
        if isinstance(event, events.ResponseOutputAudioDelta):
            received += len(event.delta) / BYTES_PER_MS
        elif received < moment:
            count += len(event.delta.split())
    return count


def errors_of(taken, words, moments):
    """Count the words that are wrong, for each order of events and way to estimate."""
    sound = b"".join(event.delta for event in taken if isinstance(event, events.ResponseOutputAudioDelta))
    ends = ends_of(words, sound)
    for order in ORDERS:
        arrived = in_order(order, taken, words)
        for moment in moments:
            truth = sum(end <= moment * ends[-1] for end in ends)
            yield (order, "heard_text"), abs(heard(Conversation(), arrived, moment * ends[-1], cut_off=False) - truth)
            yield (order, "by arrival"), abs(by_arrival(arrived, moment * ends[-1]) - truth)
            if order != "words last":
                off = heard(Conversation(), arrived, moment * ends[-1], cut_off=True) - truth
                yield (order, "heard_text, cut off"), abs(off)


async def measure(voice, *, quick):
    chance, found = random.Random(3), {}
    async with open_server(voice=voice, speed=math.inf, brain=speaks, recogniser="none") as server:
        for name in VOICES[:1] if quick else VOICES:
            async with open_connection(url=server.url, api_key="none") as connection:
                audio = events.SessionAudio(output=events.AudioOutput(voice=name))
                await connection.send(events.SessionUpdate(session=events.RealtimeSession(audio=audio)))
                for number in range(2 if quick else len(TEXTS)):
                    progress(f"text {number + 1} by {name}")
                    taken, words = await receive(connection, server, number)
                    moments = [chance.random() for _ in range(5 if quick else MOMENTS)]
                    for key, wrong in errors_of(taken, words, moments):
                        found.setdefault(key, []).append(wrong)
    return found


def main():
    quick = "--quick" in sys.argv
    print(machine("realtime_trio"))
    voices = {"babble": BabbleVoice()}
    if why_no_espeak() is None:
        voices["espeak-ng"] = espeak_source()
    for name, voice in voices.items():
        found = trio.run(lambda voice=voice: measure(voice, quick=quick))
        print(f"\nWords wrong, {name} voice, {len(next(iter(found.values())))} moments: median, p90, worst, mean")
        for (order, way), wrong in found.items():
            median, high = percentile(wrong, 50), percentile(wrong, 90)
            mean = sum(wrong) / len(wrong)
            print(f"  {order:<20}  {way:<19}  {median:4.0f} {high:4.0f} {max(wrong):4.0f} {mean:6.2f}")
    print(flush=True)


if __name__ == "__main__":
    main()

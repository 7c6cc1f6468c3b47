"""How wrong `heard_text` is, against the offline server, which knows when it speaks each word."""

import math
import random

import pytest

from realtime_trio import events, open_connection, open_server
from realtime_trio.core.conversation import Conversation
from realtime_trio.core.playout import PartKey

TEXT = (
    "Sure! Here is what I found: the museum opens at ten, closes at six, and is free on Wednesdays after four. ",
    "Would you like me to book tickets for you? ",
    "I can also look for a good restaurant nearby, or a quiet park, if you would rather sit in the sun. ",
    "In 2024 the price was 19 dollars, which is about 18 euros. ",
    "By the way, the story of its founder is a strange one, and a guide will tell it to whoever asks.",
)


async def speak(request):
    for sentence in TEXT:
        yield sentence


async def spoken():
    """Have the text spoken: the events of its part, and the ms at which its words begin."""
    async with (
        open_server(listen=False, speed=math.inf, brain=speak) as server,
        open_connection(connect=server.connect) as connection,
    ):
        await connection.send(events.ConversationItemCreate(item=events.user_message("Tell me.")))
        await connection.send(events.ResponseCreate())
        taken = []
        while not isinstance(event := await connection.receive(), events.ResponseDone):
            if isinstance(event, events.ResponseOutputAudioDelta | events.ResponseOutputAudioTranscriptDelta):
                taken.append(event)
        return taken, [word.start / 24 for word in server.spoken_words(taken[0].item_id)]


def length(event):
    return len(event.delta) / 48


def rearranged(taken, begins, ahead):
    """Have the words come so many ms ahead of their sound; None leaves them as they came."""
    if ahead is None:
        return taken
    words = [event for event in taken if isinstance(event, events.ResponseOutputAudioTranscriptDelta)]
    due, arrived, at = list(zip(begins, words, strict=True)), [], 0.0
    for event in taken:
        if isinstance(event, events.ResponseOutputAudioDelta):
            while due and due[0][0] - ahead < at:
                arrived.append(due.pop(0)[1])
            arrived.append(event)
            at += length(event)
    return arrived + [event for _, event in due]


def item(status, content=()):
    return events.Message(role="assistant", id="a", status=status, content=list(content))


def words_heard(taken, ms):
    conversation = Conversation()
    conversation.apply(events.ConversationItemAdded(event_id="e", item=item("in_progress"), previous_item_id=None))
    for event in taken:
        kind = type(event)
        conversation.apply(
            kind(event_id="e", response_id="r", item_id="a", output_index=0, content_index=0, delta=event.delta)
        )
    conversation.apply(events.ConversationItemDone(event_id="e", item=item("completed", [events.OutputAudio()])))
    conversation.set_heard(PartKey("r", "a", 0), ms)
    return len(conversation.get("a").heard_text.split())


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [None, 2000, -700, math.inf, -math.inf])
async def test_at_random_moments_it_is_right_to_a_word_or_two(autojump_clock, ahead):
    """However far the words are ahead of their sound, or behind it. The word that is being said counts either way."""
    taken, begins = await spoken()
    whole = sum(length(event) for event in taken if isinstance(event, events.ResponseOutputAudioDelta))
    arrived = rearranged(taken, begins, ahead)
    chance, wrong = random.Random(5), []
    for _ in range(120):
        ms = chance.randint(1, int(whole) - 1)
        said = sum(following <= ms for following in [*begins[1:], whole])
        begun = sum(begin <= ms for begin in begins)
        heard = words_heard(arrived, ms)
        wrong.append(max(said - heard, heard - begun, 0))
    wrong.sort()

    assert words_heard(arrived, int(whole)) == len(begins)
    assert wrong[len(wrong) * 9 // 10] <= 1
    assert wrong[-1] <= 2

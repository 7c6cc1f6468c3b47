"""What is counted equals what the server says, whatever is missing, repeated or out of order; and what it costs."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.core.prices import Prices
from realtime_trio.core.usage import Meter, ResponseUsage, SessionUsage, Tokens, TranscriptionTotal, count
from realtime_trio.errors import ConfigurationError
from realtime_trio.events import (
    UNSET,
    CachedTokenDetails,
    ConversationItemAdded,
    ConversationItemDeleted,
    ConversationItemDone,
    ConversationItemInputAudioTranscriptionCompleted,
    DurationUsage,
    InputAudioBufferCommitted,
    InputAudioBufferTimeoutTriggered,
    InputTokenDetails,
    OutputTokenDetails,
    Response,
    ResponseCreated,
    ResponseDone,
    TokenUsage,
    TranscriptionInputTokenDetails,
    Usage,
    user_message,
)

PRICES = Prices(
    input_text="0.60",
    input_audio=10,
    input_image="0.80",
    cached_text="0.06",
    cached_audio="0.30",
    cached_image="0.08",
    output_text="2.40",
    output_audio=20,
    transcription_text=1,
    transcription_audio="1.25",
    transcription_output=5,
    transcription_minute="0.006",
)
"""Invented."""


def done(response_id, usage, status="completed", conversation_id="conv"):
    response = Response(id=response_id, status=status, conversation_id=conversation_id, usage=usage)
    return ResponseDone(event_id=f"e_{response_id}", response=response)


def transcribed(item_id, usage):
    return ConversationItemInputAudioTranscriptionCompleted(
        event_id="e", item_id=item_id, content_index=0, transcript="", usage=usage
    )


def metered(*events):
    meter = Meter()
    for event in events:
        meter.handle(event)
    return meter.usage()


numbers = st.integers(0, 100_000)
maybe = st.none() | st.just(UNSET) | numbers | st.integers(-3, -1)


@st.composite
def consistent(draw):
    """Usage as the documentation has it: the parts add up, and what was cached is part of the input."""
    text, audio, image = draw(numbers), draw(numbers), draw(numbers)
    cached = [draw(st.integers(0, most)) for most in (text, audio, image)]
    said, spoken = draw(numbers), draw(numbers)
    return Usage(
        total_tokens=text + audio + image + said + spoken,
        input_tokens=text + audio + image,
        output_tokens=said + spoken,
        input_token_details=InputTokenDetails(
            text_tokens=text,
            audio_tokens=audio,
            image_tokens=image,
            cached_tokens=sum(cached),
            cached_tokens_details=CachedTokenDetails(
                text_tokens=cached[0], audio_tokens=cached[1], image_tokens=cached[2]
            ),
        ),
        output_token_details=OutputTokenDetails(text_tokens=said, audio_tokens=spoken),
    )


cached_details = st.builds(CachedTokenDetails, text_tokens=maybe, audio_tokens=maybe, image_tokens=maybe)
input_details = st.builds(
    InputTokenDetails,
    text_tokens=maybe,
    audio_tokens=maybe,
    image_tokens=maybe,
    cached_tokens=maybe,
    cached_tokens_details=st.none() | st.just(UNSET) | cached_details,
)
output_details = st.builds(OutputTokenDetails, text_tokens=maybe, audio_tokens=maybe)
puzzling = st.builds(
    Usage,
    total_tokens=maybe,
    input_tokens=maybe,
    output_tokens=maybe,
    input_token_details=st.none() | st.just(UNSET) | input_details,
    output_token_details=st.none() | st.just(UNSET) | output_details,
)


@given(consistent())
def test_consistent_usage_is_taken_as_it_is(usage):
    counted = count(usage)
    details = usage.input_token_details

    assert counted == ResponseUsage(
        Tokens(details.text_tokens, details.audio_tokens, details.image_tokens),
        Tokens(
            details.cached_tokens_details.text_tokens,
            details.cached_tokens_details.audio_tokens,
            details.cached_tokens_details.image_tokens,
        ),
        Tokens(usage.output_token_details.text_tokens, usage.output_token_details.audio_tokens),
    )
    assert counted.total_tokens == usage.total_tokens


@given(puzzling)
def test_the_servers_totals_win_and_what_was_cached_is_part_of_the_input(usage):
    counted = count(usage)
    known_in, known_out, known_total, known_cached = (
        isinstance(value, int) and value >= 0
        for value in (
            usage.input_tokens,
            usage.output_tokens,
            usage.total_tokens,
            usage.input_token_details and usage.input_token_details.cached_tokens,
        )
    )

    if known_in:
        assert counted.input.total == usage.input_tokens
    if known_out:
        assert counted.output.total == usage.output_tokens
    if known_total and not (known_in and known_out):
        assert counted.total_tokens >= usage.total_tokens
    if known_cached:
        assert counted.cached.total == min(usage.input_token_details.cached_tokens, counted.input.total)
    for kind in ("text", "audio", "image", "unknown"):
        assert 0 <= getattr(counted.cached, kind) <= getattr(counted.input, kind)
        assert getattr(counted.output, kind) >= 0


@given(st.lists(consistent(), max_size=6), st.randoms(), st.data())
def test_each_is_counted_once_in_any_order(usages, random, data):
    """However often the server says it; also beside the conversation, and whatever the status."""
    events = [
        done(
            f"r{number}",
            usage,
            data.draw(st.sampled_from(["completed", "failed", "incomplete", "cancelled"])),
            data.draw(st.sampled_from([None, "conv"])),
        )
        for number, usage in enumerate(usages)
    ]
    repeated = events + data.draw(st.lists(st.sampled_from(events), max_size=4) if events else st.just([]))
    random.shuffle(repeated)

    used = metered(*repeated)

    assert used == metered(*events)
    assert used.responses == len(usages)
    assert used.total_tokens == sum(usage.total_tokens for usage in usages)
    assert used.input_tokens == sum(usage.input_tokens for usage in usages)
    assert used.output_tokens == sum(usage.output_tokens for usage in usages)
    assert used.cached_tokens == sum(usage.input_token_details.cached_tokens for usage in usages)


@given(st.lists(consistent(), max_size=5))
def test_costs_add_up_exactly(usages):
    """No share of a cent is lost between the responses and the session."""
    used = metered(*(done(f"r{number}", usage) for number, usage in enumerate(usages)))

    assert PRICES.cost(used) == sum((PRICES.cost(usage) for usage in usages), Decimal(0))


@given(numbers, st.decimals(0, 1000, allow_nan=False, places=9), st.integers(0, 1000))
def test_a_cost_is_linear(tokens, price, factor):
    """Twice the tokens cost twice as much; so they do at twice the price."""

    def cost(number, at):
        table = Prices(input_text=at, input_audio=0, output_text=0, output_audio=0)
        return table.cost(Usage(input_tokens=number, input_token_details=InputTokenDetails(text_tokens=number)))

    assert cost(tokens * factor, price) == cost(tokens, price) * factor == cost(tokens, price * factor)
    assert cost(1_000_000, price) == price


def test_details_that_are_missing():
    """Nothing is guessed, and nothing lost."""
    counted = count(Usage(total_tokens=7, input_tokens=3, output_tokens=4))

    assert counted == ResponseUsage(Tokens(unknown=3), Tokens(), Tokens(unknown=4))


@pytest.mark.parametrize(
    ("usage", "ins", "outs"),
    [
        (Usage(total_tokens=7, input_tokens=3), 3, 4),
        (Usage(total_tokens=7, output_tokens=3), 4, 3),
        (Usage(total_tokens=7), 0, 7),
        (Usage(total_tokens=7, input_token_details=InputTokenDetails(text_tokens=2)), 2, 5),
        (Usage(output_token_details=OutputTokenDetails(text_tokens=2)), 0, 2),
        (Usage(total_tokens=99, input_tokens=3, output_tokens=4), 3, 4),
        (Usage(), 0, 0),
        (None, 0, 0),
    ],
)
def test_a_total_that_is_missing_is_what_the_others_leave(usage, ins, outs):
    counted = count(usage)

    assert (counted.input.total, counted.output.total) == (ins, outs)


def test_details_that_are_too_much():
    """The cheapest goes first, so that the cost is not shown too low."""
    details = InputTokenDetails(text_tokens=5, audio_tokens=5, image_tokens=5)

    assert count(Usage(input_tokens=7, input_token_details=details)).input == Tokens(text=0, audio=5, image=2)


def test_cached_tokens_without_details():
    """They are taken for text, as far as there is any: a cached token of text saves the least."""
    details = InputTokenDetails(text_tokens=5, audio_tokens=5, cached_tokens=7)

    assert count(Usage(input_tokens=10, input_token_details=details)).cached == Tokens(text=5, audio=2)


def test_a_response_without_an_id_or_usage():
    """It is a response all the same."""
    nameless = ResponseDone(event_id="e1", response=Response(status="failed"))

    used = metered(nameless, nameless, done("r1", UNSET), done("r1", Usage(input_tokens=1, output_tokens=0)))

    assert (used.responses, used.total_tokens) == (2, 1)


def test_transcription_is_counted_apart():
    """By tokens or by time, each item once."""
    tokens = TokenUsage(
        input_tokens=10,
        output_tokens=4,
        total_tokens=14,
        input_token_details=TranscriptionInputTokenDetails(text_tokens=3, audio_tokens=7),
    )
    events = [
        transcribed("a", tokens),
        transcribed("b", DurationUsage(seconds=0.1)),
        transcribed("c", DurationUsage(seconds=0.2)),
        transcribed("d", DurationUsage(seconds=-1)),
        transcribed("a", tokens),
    ]
    for order in itertools.permutations(events):
        used = metered(*order)

        assert used.transcription == TranscriptionTotal(Tokens(text=3, audio=7), 4, Decimal("0.3"), 4)
        assert used.total_tokens == 0

    assert used.transcription.total_tokens == 14
    # 3 x 1 + 7 x 1.25 + 4 x 5 for a million, and 0.3 s at 0.006 a minute
    assert PRICES.cost(used) == Decimal("0.00003175") + Decimal("0.00003")


def test_a_cost_by_hand():
    """What is cached is not paid for twice."""
    usage = Usage(
        input_tokens=1000,
        output_tokens=500,
        input_token_details=InputTokenDetails(
            text_tokens=600,
            audio_tokens=400,
            cached_tokens=300,
            cached_tokens_details=CachedTokenDetails(text_tokens=200, audio_tokens=100),
        ),
        output_token_details=OutputTokenDetails(text_tokens=100, audio_tokens=400),
    )

    # 400 x 0.6 + 300 x 10 + 200 x 0.06 + 100 x 0.3 + 100 x 2.4 + 400 x 20
    assert PRICES.cost(usage) == Decimal("0.011522")


def test_prices_that_are_not_given():
    """Nothing is shown cheaper than it is: other kinds cost what the dearest costs, and the cache saves nothing."""
    plain = Prices(input_text=1, input_audio=10, output_text=2, output_audio=20)
    million = 1_000_000

    assert plain.cost(SessionUsage(input=Tokens(image=million))) == 10
    assert plain.cost(SessionUsage(input=Tokens(unknown=million))) == 10
    assert plain.cost(SessionUsage(output=Tokens(unknown=million))) == 20
    assert plain.cost(SessionUsage(input=Tokens(audio=million), cached=Tokens(audio=million))) == 10
    assert plain.cost(SessionUsage(transcription=TranscriptionTotal(Tokens(audio=5), 5, Decimal(60)))) == 0
    assert plain.cost(None) == 0


def test_a_float_is_taken_as_it_is_written():
    one_tenth = Prices(input_text=0.1, input_audio=0, output_text=0, output_audio=0)

    assert one_tenth.input_text == Decimal("0.1")
    assert str(one_tenth.cost(SessionUsage(input=Tokens(text=3)))) == "3E-7"


@pytest.mark.parametrize("wrong", ["free", -1, float("nan"), "Infinity", None, True, b"1"])
def test_what_is_no_price_is_refused_by_its_name(wrong):
    with pytest.raises(ConfigurationError, match="output_audio"):
        Prices(input_text=0, input_audio=0, output_text=0, output_audio=wrong)


def test_what_is_no_optional_price_is_refused_too():
    with pytest.raises(ConfigurationError, match="cached_text"):
        Prices(input_text=0, input_audio=0, output_text=0, output_audio=0, cached_text="?")


def created(response_id, conversation_id="conv"):
    return ResponseCreated(event_id="e", response=Response(id=response_id, conversation_id=conversation_id))


def said(item_id, kind=ConversationItemAdded):
    return kind(event_id="e", item=user_message("x", id=item_id))


def committed(item_id):
    return InputAudioBufferCommitted(event_id="e", item_id=item_id)


@pytest.mark.parametrize(
    ("events", "turns"),
    [
        pytest.param([said("a"), said("a", ConversationItemDone), created("r1")], 1, id="typed"),
        pytest.param([committed("a"), created("r1"), said("a"), created("r2")], 1, id="spoken"),
        pytest.param([said("a"), committed("b"), created("r1")], 1, id="two things, one answer"),
        pytest.param([said("a"), created("r1"), created("r2")], 1, id="a tool's reply"),
        pytest.param([said("a"), created("r1"), said("b"), created("r2")], 2, id="two"),
        pytest.param([said("a")], 0, id="not answered"),
        pytest.param([created("r1")], 0, id="nothing said"),
        pytest.param([said("a"), created("r1", None)], 0, id="beside the conversation"),
        pytest.param(
            [committed("a"), ConversationItemDeleted(event_id="e", item_id="a"), created("r1")], 0, id="a noise"
        ),
        pytest.param(
            [
                InputAudioBufferTimeoutTriggered(event_id="e", item_id="a", audio_start_ms=0, audio_end_ms=9),
                committed("a"),
                created("r1"),
            ],
            0,
            id="silence",
        ),
    ],
)
def test_a_turn_is_what_the_model_began_to_answer(events, turns):
    assert metered(*events).turns == turns


def test_what_was_there_before_is_no_turn():
    meter = Meter()
    meter.handle(said("a"))
    meter.begin()
    meter.handle(created("r1"))

    assert meter.turns == 0

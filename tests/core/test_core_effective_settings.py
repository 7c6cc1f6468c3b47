"""What a new link is configured with: every update that the server acknowledged, and nothing else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio import events
from realtime_trio.core.effective_settings import EffectiveSettings, merged

UPDATED = events.SessionUpdated(event_id="e", session=events.RealtimeSession(instructions="the server's own words"))


def refused(event_id):
    details = events.ErrorDetails(type="invalid_request_error", message="no", event_id=event_id)
    return events.Error(event_id="e", error=details)


def session(**fields):
    return events.RealtimeSession(**fields)


def audio_input(**fields):
    return session(audio=events.SessionAudio(input=events.AudioInput(**fields)))


MAYBE = [st.just(events.UNSET), st.none()]
INPUTS = st.builds(
    events.AudioInput,
    turn_detection=st.one_of(
        *MAYBE,
        st.builds(
            events.ServerVad,
            threshold=st.one_of(*MAYBE, st.sampled_from([0.1, 0.9])),
            silence_duration_ms=st.one_of(*MAYBE, st.integers(1, 3)),
        ),
    ),
    noise_reduction=st.one_of(*MAYBE, st.builds(events.NoiseReduction, type=st.sampled_from(["near_field"]))),
)
UPDATES = st.builds(
    events.RealtimeSession,
    instructions=st.one_of(*MAYBE, st.sampled_from(["", "a", "b"])),
    output_modalities=st.one_of(st.just(events.UNSET), st.just(["text"])),
    audio=st.one_of(
        st.just(events.UNSET),
        st.builds(
            events.SessionAudio,
            input=st.one_of(st.just(events.UNSET), INPUTS),
            output=st.one_of(
                st.just(events.UNSET),
                st.builds(
                    events.AudioOutput,
                    voice=st.one_of(st.just(events.UNSET), st.sampled_from(["marin", "cedar"])),
                    speed=st.one_of(st.just(events.UNSET), st.floats(0.25, 1.5)),
                ),
            ),
        ),
    ),
    extra=st.one_of(st.just(events.UNSET), st.dictionaries(st.sampled_from("xyz"), st.integers(0, 3), min_size=1)),
)


def as_json(value):
    """How the wire would show it: by another way than the merge takes."""
    return json.loads(events.encode(events.SessionUpdate(session=value)))["session"]


def json_merged(before, update):
    if not (isinstance(before, dict) and isinstance(update, dict)):
        return update
    return {**before, **{name: json_merged(before.get(name), value) for name, value in update.items()}}


@given(st.lists(UPDATES, max_size=6))
def test_what_is_in_effect_is_the_sum_of_the_updates_as_json(updates):
    settings, expected = EffectiveSettings(), {"type": "realtime"}
    for number, update in enumerate(updates):
        settings.sent(str(number), update)
        settings.handle(UPDATED)
        expected = json_merged(expected, as_json(update))

    assert as_json(settings.effective()) == expected


@given(UPDATES, UPDATES)
def test_to_say_it_twice_is_to_say_it_once(before, update):
    once = merged(before, update)

    assert merged(once, update) == once
    assert merged(before, session()) == before
    assert merged(session(), update) == update


@given(st.lists(st.tuples(UPDATES, st.sampled_from(["taken", "refused", "waits"])), max_size=6))
def test_only_what_was_acknowledged_counts(updates):
    """What was refused leaves no trace; what waits counts where it is asked for."""
    settings, certain, all_of_it = EffectiveSettings(), session(), session()
    for number, (update, _) in enumerate(updates):
        settings.sent(str(number), update)
    for number, (_, fate) in enumerate(updates):
        if fate == "refused":
            settings.handle(refused(str(number)))
    left = [(update, fate) for update, fate in updates if fate != "refused"]
    taken = sum(fate == "taken" for _, fate in left)  # the server answers in order
    for number, (update, _) in enumerate(left):
        if number < taken:
            settings.handle(UPDATED)
            certain = merged(certain, update)
        all_of_it = merged(all_of_it, update)

    assert settings.effective() == certain
    assert settings.effective(with_pending=True) == all_of_it


def test_the_servers_echo_is_not_believed():
    settings = EffectiveSettings()

    settings.handle(UPDATED)
    settings.sent("1", session(instructions="mine"))
    settings.handle(UPDATED)
    settings.handle(UPDATED)

    assert settings.effective() == session(instructions="mine")


@pytest.mark.parametrize("foreign", ["of another call", None, events.UNSET])
def test_somebody_elses_error_refuses_nothing(foreign):
    settings = EffectiveSettings()
    settings.sent("1", session(instructions="mine"))

    settings.handle(refused(foreign))
    settings.handle(UPDATED)

    assert settings.effective() == session(instructions="mine")


def test_empty_values_clear_and_absent_ones_stay():
    before = session(instructions="a", tools=[events.FunctionTool(name="f")], audio=None, max_output_tokens=9)

    after = merged(before, session(instructions="", tools=[], tracing=None))

    assert after == session(instructions="", tools=[], audio=None, max_output_tokens=9, tracing=None)


@pytest.mark.parametrize(
    ("before", "update"),
    [
        (audio_input(format=events.PCM16), audio_input(format=events.PCMU)),
        (
            audio_input(transcription=events.AudioTranscription(model="gpt-transcribe", keywords=["Trio"])),
            audio_input(transcription=events.AudioTranscription(model="whisper-1")),
        ),
        (
            audio_input(turn_detection=events.ServerVad(threshold=0.9)),
            audio_input(turn_detection=events.SemanticVad(eagerness="low")),
        ),
        (session(prompt=events.Prompt(id="one", version="2")), session(prompt=events.Prompt(id="two"))),
        (
            session(tool_choice=events.ToolChoiceMcp(server_label="a", name="b")),
            session(tool_choice=events.ToolChoiceMcp(server_label="a")),
        ),
        (
            session(tools=[events.FunctionTool(name="f", description="d")]),
            session(tools=[events.FunctionTool(name="f")]),
        ),
    ],
    ids=["format", "transcription", "turn detection", "prompt", "tool choice", "tools"],
)
def test_another_thing_takes_the_place_of_the_old_one(before, update):
    """Its options would not fit it, and the server would refuse them on a new link."""
    assert merged(before, update) == update


def test_the_same_thing_keeps_its_options():
    before = audio_input(
        transcription=events.AudioTranscription(model="whisper-1", language="en"),
        noise_reduction=events.NoiseReduction(type="near_field", strength=0.5),
    )
    update = audio_input(
        transcription=events.AudioTranscription(prompt="names"),
        noise_reduction=events.NoiseReduction(type="far_field"),
    )

    assert merged(before, update) == audio_input(
        transcription=events.AudioTranscription(model="whisper-1", language="en", prompt="names"),
        noise_reduction=events.NoiseReduction(type="far_field", strength=0.5),
    )


def test_who_the_old_session_was_is_not_told_to_the_new_one():
    """A program may have taken its settings from what the server said of another session."""
    settings = EffectiveSettings()
    settings.sent("1", session(id="sess_1", object="realtime.session", expires_at=12, model="m"))
    settings.handle(UPDATED)

    assert settings.effective() == session(model="m")


def test_a_new_link_begins_with_what_it_was_told():
    """Answers to what was sent on the old one do not come any more, and none of the new one's is taken for them."""
    settings = EffectiveSettings()
    settings.sent("1", session(instructions="a"))
    settings.handle(UPDATED)
    settings.sent("2", session(instructions="b"))

    settings.begin_link(settings.effective(with_pending=True))
    settings.sent("3", session(max_output_tokens=9))
    settings.handle(UPDATED)

    assert settings.effective() == session(instructions="b", max_output_tokens=9)

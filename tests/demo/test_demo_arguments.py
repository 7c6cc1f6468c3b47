"""The demo's command line."""

from pathlib import Path

import pytest

from realtime_trio.demo.arguments import Options, parse


def test_nothing_given_is_the_offline_talk():
    assert parse([]) == Options(live=False, input=None, record=Path("conversation.wav"), typed=False)


def test_a_recording_and_where_the_sound_goes():
    given = parse(["--live", "--input", "a.wav", "--record", "b.wav"])

    assert given == Options(live=True, input=Path("a.wav"), record=Path("b.wav"))


def test_a_sound_card_is_chosen_by_number_or_by_name():
    given = parse(["--input-device", "3", "--output-device", "USB Audio", "--push-to-talk", "--echo", "off"])

    assert given == Options(input_device=3, output_device="USB Audio", push_to_talk=True, echo="off")


@pytest.mark.parametrize("mode", [["--headless"], ["--typed"], ["--input", "a.wav"]])
def test_some_modes_leave_sound_hardware_alone(mode):
    assert parse(mode).without_hardware
    assert not parse([]).without_hardware


@pytest.mark.parametrize(
    "wrong",
    [
        ["--input"],
        ["--speaker"],
        ["--input", "a.wav", "--typed"],
        ["--headless", "--typed"],
        ["a.wav"],
        ["--echo", "loud"],
        ["--interruption", "maybe"],
        ["--headless", "--push-to-talk"],
        ["--typed", "--input-device", "3"],
        ["--input", "a.wav", "--output-device", "USB"],
    ],
)
def test_what_makes_no_sense_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as refused:
        parse(wrong)

    assert refused.value.code == 2
    assert "usage: python -m realtime_trio.demo" in capsys.readouterr().err


def test_help_says_how_it_ends_and_which_keys_there_are(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])

    assert ended.value.code == 0
    words = capsys.readouterr().out
    assert "Ctrl-D" in words
    assert "m mutes the microphone" in words

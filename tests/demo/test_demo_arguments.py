"""The demo's command line."""

from pathlib import Path

import pytest

from realtime_trio.demo.arguments import Options, parse


def test_nothing_given_is_the_offline_talk():
    assert parse([]) == Options(live=False, input=None, record=Path("conversation.wav"), typed=False)


def test_headless_is_the_only_mode_and_changes_nothing():
    assert parse(["--headless"]) == parse([])


def test_everything_given():
    given = parse(["--live", "--input", "a.wav", "--record", "b.wav"])

    assert given == Options(live=True, input=Path("a.wav"), record=Path("b.wav"))


@pytest.mark.parametrize("wrong", [["--input"], ["--speaker"], ["--input", "a.wav", "--typed"], ["a.wav"]])
def test_what_makes_no_sense_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as refused:
        parse(wrong)

    assert refused.value.code == 2
    assert "usage: python -m realtime_trio.demo" in capsys.readouterr().err


def test_help_says_how_it_ends(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])

    assert ended.value.code == 0
    assert "Ctrl-D" in capsys.readouterr().out

"""What a server says is shown without credentials: those that look like one, and those that are known."""

import pytest

from realtime_trio.errors import redact

KEY = "9f8e7d6c5b4a39281706"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (KEY, "[redacted]"),
        (f"wrong key {KEY}!", "wrong key [redacted]!"),
        (f"{KEY} is not {KEY}", "[redacted] is not [redacted]"),
        ("wrong key 9f8e7d6c", "wrong key [redacted]"),
        ("wrong key 9f8e7d6c... here", "wrong key [redacted] here"),
        ("it ends with 281706", "it ends with [redacted]"),
        ("wrong key 9f8e7***1706.", "wrong key [redacted]."),
        ("wrong key ****1706", "wrong key [redacted]"),
        ("wrong key 9f8e…", "wrong key [redacted]"),
        ("wrong key 9f8exxxxxxxxxxxx1706", "wrong key [redacted]"),
        ("wrong key 9f8e7d6c**********281706", "wrong key [redacted]"),
        ("number 9f8 of 17065, and so on... 06", "number 9f8 of 17065, and so on... 06"),
        ("a ** b, c ... d", "a ** b, c ... d"),
        ("", ""),
    ],
)
def test_a_known_key_and_its_pieces_are_not_shown_whatever_it_looks_like(said, shown):
    assert redact(said, KEY) == shown


def test_what_looks_like_a_key_is_not_shown_without_being_known():
    assert redact("sk-proj-ab***wxyz and Bearer abc") == "[redacted] and [redacted]"


@pytest.mark.parametrize("secret", ["", "a", "test"])
def test_what_is_too_short_to_be_a_key_does_not_eat_words(secret):
    assert redact("a test of words", secret) == "a test of words"

"""The simulated room: what arrives, when, and how strong."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_trio.audio import Room


def test_one_arrival_is_delayed_and_weaker():
    loud = np.full(100, 10_000, "<i2").tobytes()

    heard = np.frombuffer(Room(delay_ms=1, gain_db=-20)(loud), "<i2")

    assert heard.tolist() == [0] * 24 + [1000] * 76


def test_reflections():
    room = Room(delay_ms=0, gain_db=0, response=[0.5, 0, -0.25])

    heard = np.frombuffer(room(np.array([1000, 0, 0, 0, 2000], "<i2").tobytes()), "<i2")

    assert heard.tolist() == [500, 0, -250, 0, 1000]


@given(lengths=st.lists(st.integers(0, 700), max_size=6), seed=st.integers(0, 1000))
def test_pieces_make_no_difference(lengths, seed):
    rng = np.random.default_rng(seed)
    response = rng.normal(size=50) * 0.1
    sound = rng.integers(-20_000, 20_000, sum(lengths)).astype("<i2").tobytes()
    whole, pieces = Room(20, -6, response), Room(20, -6, response)

    heard, at = b"", 0
    for length in lengths:
        heard += pieces(sound[2 * at : 2 * (at + length)])
        at += length

    assert heard == whole(sound)


def test_too_loud_is_limited():
    assert np.frombuffer(Room(0, 20)(np.full(9, -30_000, "<i2").tobytes()), "<i2").tolist() == [-32768] * 9


@pytest.mark.parametrize("options", [{"delay_ms": -1}, {"response": []}])
def test_what_no_room_does(options):
    with pytest.raises(ValueError, match="delay_ms must not be negative"):
        Room(**options)

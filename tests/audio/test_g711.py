"""G.711: the numbers of the standard, and streams whose positions can be counted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_trio.audio.g711 import Decoder, Encoder, WireCodec, law

KINDS = ["audio/pcmu", "audio/pcma"]
kinds = pytest.mark.parametrize("kind", KINDS)


def samples(pcm: bytes) -> np.ndarray:
    return np.frombuffer(pcm, "<i2").astype(float)


def tone(rate: int, hertz: float = 440) -> np.ndarray:
    return np.rint(8000 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)).astype("<i2")


def tone_and_rest(heard: np.ndarray, rate: int, hertz: float = 440) -> tuple[float, float, float]:
    """Tell the amplitude of a tone, how many samples late it is, and how many dB it is above everything else."""
    angle = 2 * np.pi * hertz * np.arange(len(heard)) / rate
    middle = slice(len(heard) // 10, -len(heard) // 10)
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)[middle]
    weights, *_ = np.linalg.lstsq(basis, heard[middle], rcond=None)
    fitted = basis @ weights
    late = -math.atan2(weights[1], weights[0]) / (2 * np.pi * hertz) * rate
    return math.hypot(*weights), late, 10 * math.log10(np.mean(fitted**2) / np.mean((heard[middle] - fitted) ** 2))


@pytest.mark.parametrize(
    ("kind", "code", "value"),
    [
        ("audio/pcmu", 0x00, -32124),
        ("audio/pcmu", 0x80, 32124),
        ("audio/pcmu", 0xFF, 0),
        ("audio/pcmu", 0x7F, 0),
        ("audio/pcmu", 0xF0, 120),
        ("audio/pcma", 0x55, -8),
        ("audio/pcma", 0xD5, 8),
        ("audio/pcma", 0xAA, 32256),
        ("audio/pcma", 0x2A, -32256),
    ],
)
def test_codes_have_the_values_of_the_standard(kind, code, value):
    assert law(kind).values[code] == value


@pytest.mark.parametrize(
    ("kind", "sample", "code"),
    [
        ("audio/pcmu", 0, 0xFF),
        ("audio/pcmu", -1, 0x7F),
        ("audio/pcmu", 3, 0xFF),
        ("audio/pcmu", 4, 0xFE),
        ("audio/pcmu", 32767, 0x80),
        ("audio/pcmu", -32768, 0x00),
        ("audio/pcmu", 1000, 0xCE),
        ("audio/pcma", 0, 0xD5),
        ("audio/pcma", -1, 0x55),
        ("audio/pcma", 32767, 0xAA),
        ("audio/pcma", -32768, 0x2A),
        ("audio/pcma", 1000, 0xFA),
    ],
)
def test_samples_have_the_codes_of_the_standard(kind, sample, code):
    assert law(kind).compress(np.array([sample], dtype=np.int16)) == bytes([code])


@kinds
def test_every_code_comes_back_from_its_value(kind):
    codes = bytes(range(256))
    back = law(kind).compress(law(kind).expand(codes))

    twice_zero = {0x7F} if kind == "audio/pcmu" else set()  # mu-law has a zero for each sign
    assert {mine for mine, other in zip(codes, back, strict=True) if mine != other} == twice_zero


@kinds
def test_every_sample_is_as_near_as_its_segment_allows(kind):
    """The step of a code is at most a sixteenth of where its segment begins, so half of it 3 % of the sample."""
    every = np.arange(-32768, 32768).astype(np.int16)
    back = law(kind).expand(law(kind).compress(every)).astype(int)

    wanted = np.clip(every.astype(int), -32635, 32635)  # mu-law knows nothing louder
    assert (np.abs(back - wanted) <= np.abs(wanted) / 32 + 8).all()
    assert (np.diff(back) >= 0).all()


@settings(deadline=None)
@given(kind=st.sampled_from(KINDS), pieces=st.lists(st.binary(max_size=700), max_size=10))
def test_every_byte_gives_three_samples_and_pieces_make_no_difference(kind, pieces):
    decoder, at_once = Decoder(kind), Decoder(kind)
    heard, received = b"", 0
    for piece in pieces:
        heard += decoder.decode(piece)
        received += len(piece)
        assert len(heard) // 2 <= 3 * received, "no position may be named that was not received"
        assert 3 * received - len(heard) // 2 <= 720
    heard += decoder.finish()

    assert len(heard) // 2 == 3 * received
    assert heard == at_once.decode(b"".join(pieces)) + at_once.finish()


@settings(deadline=None)
@given(kind=st.sampled_from(KINDS), lengths=st.lists(st.integers(0, 2000), max_size=10))
def test_every_three_samples_give_a_byte(kind, lengths):
    encoder, sent, given = Encoder(kind), b"", 0
    for length in lengths:
        sent += encoder.encode(b"\x01\x02" * length)
        given += length
        assert 0 <= given / 3 - len(sent) + 0.5 <= 202
    sent += encoder.finish()

    assert len(sent) == (2 * given + 3) // 6


@kinds
def test_a_tone_comes_through_in_its_place(kind):
    decoder, encoder = Decoder(kind), Encoder(kind)

    heard = samples(decoder.decode(law(kind).compress(tone(8000))) + decoder.finish())
    sent = law(kind).expand(encoder.encode(tone(24_000).tobytes()) + encoder.finish())

    for sound, rate in ((heard, 24_000), (sent, 8000)):
        amplitude, late, purity = tone_and_rest(sound, rate)
        assert amplitude == pytest.approx(8000, rel=0.01)
        assert abs(late) < 2
        assert purity > 33


@kinds
def test_silence_stays_silence(kind):
    decoder, encoder = Decoder(kind), Encoder(kind)
    sent = encoder.encode(bytes(48_000)) + encoder.finish()

    assert set(sent) == {0xFF if kind == "audio/pcmu" else 0xD5}
    assert np.abs(samples(decoder.decode(sent))).max() <= 12  # A-law has no zero: its smallest step is 8


@kinds
def test_a_codec_has_one_way_up_and_as_many_down_as_there_are_parts(kind):
    codec = WireCodec(kind)
    pcm = tone(24_000).tobytes()
    sent = codec.encode(pcm) + codec.finish()
    again = codec.encode(pcm) + codec.finish()
    first, second = codec.decoder(), codec.decoder()

    assert sent == again, "after finish it begins anew"
    assert first.decode(sent[:4000]) == second.decode(sent[:4000]), "one part leaves nothing behind in another"
    assert len(first.finish()) > 0


def test_anything_else_is_refused():
    for maker in (WireCodec, Encoder, Decoder, law):
        with pytest.raises(ValueError, match="audio/pcmu or audio/pcma"):
            maker("audio/opus")
    with pytest.raises(ValueError, match="frames of 2"):
        Encoder("audio/pcmu").encode(b"\0")

"""What usage costs, by the user's own table: none is shipped, because prices change and nobody would notice here."""

from collections.abc import Iterable
from decimal import Context, Decimal, InvalidOperation
from typing import Any, TypeAlias, cast

import attrs

from realtime_trio.errors import ConfigurationError
from realtime_trio.events import Usage

from .border import check_text
from .usage import ResponseUsage, SessionUsage, Tokens, TranscriptionTotal, count

__all__ = ["Amount", "Prices", "exact", "is_amount"]

Amount: TypeAlias = Decimal | int | float | str
"""A number. A float is taken as it is written: 0.1 is one tenth, exactly."""

_EXACT = Context(prec=200)
_FINE = Context(prec=28)
_MILLION = 6  # decimal places
_SECONDS = Decimal(60)


def exact(value: Amount) -> Decimal:
    """Take a number as it is written; what is none stays what it is, for `is_amount` to refuse."""
    try:
        if not isinstance(value, bool) and isinstance(value, Decimal | int | float | str):
            return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        pass
    return cast("Decimal", value)


def is_amount(value: object) -> bool:
    """Tell whether this is a number that is not below 0."""
    return isinstance(value, Decimal) and value.is_finite() and value >= 0


def _exact_or_none(value: Amount | None) -> Decimal | None:
    return None if value is None else exact(value)


def _check(_: "Prices", field: "attrs.Attribute[Any]", value: object) -> None:
    if value is not None and not is_amount(value):
        raise ConfigurationError(f"the price {field.name} is a number that is not below 0, not {value!r}")


def _check_given(prices: "Prices", field: "attrs.Attribute[Any]", value: object) -> None:
    if value is None:
        raise ConfigurationError(f"the price {field.name} is a number, not None")
    _check(prices, field, value)


def _check_currency(_: object, __: object, value: object) -> None:
    check_text("the currency", value, empty=False)


@attrs.frozen(kw_only=True)
class Prices:
    """What the user's contract says that usage costs.

    Each price is for a million tokens, in one currency; `transcription_minute` is for a minute. A price is a `Decimal`,
    an int, a text or a float as it is written. From a file: `Prices(**tomllib.load(file)["prices"])`.

    Attributes:
        input_text: Of text that the model reads.
        input_audio: Of sound that it hears.
        output_text: Of text that it writes.
        output_audio: Of sound that it speaks.
        input_image: Of images; without it the dearer of `input_text` and `input_audio`.
        cached_text: Of text from the cache; without it `input_text`.
        cached_audio: Of sound from the cache; without it `input_audio`.
        cached_image: Of images from the cache; without it the price of images.
        transcription_text: Of text that the transcription reads. The transcription is counted as far as its prices are
            given, and costs nothing without them.
        transcription_audio: Of sound that it hears.
        transcription_output: Of text that it writes.
        transcription_minute: Of a minute of speech, where the transcription is paid for by time.
        currency: What it is called, for people.

    Raises:
        ConfigurationError: A price is no number, or below 0, or the currency no text.
    """

    input_text: Decimal = attrs.field(converter=exact, validator=_check_given)
    input_audio: Decimal = attrs.field(converter=exact, validator=_check_given)
    output_text: Decimal = attrs.field(converter=exact, validator=_check_given)
    output_audio: Decimal = attrs.field(converter=exact, validator=_check_given)
    input_image: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    cached_text: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    cached_audio: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    cached_image: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    transcription_text: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    transcription_audio: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    transcription_output: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    transcription_minute: Decimal | None = attrs.field(default=None, converter=_exact_or_none, validator=_check)
    currency: str = attrs.field(default="USD", validator=_check_currency)

    def cost(self, usage: SessionUsage | Usage | None) -> Decimal:
        """Tell what this costs: exactly, but for seconds of which a minute's price has no exact share.

        Tokens of unknown kind cost as much as the dearest, so that a cost is not shown too low.

        Args:
            usage: Of a session, with its transcription; or of a response, as the server gave it.
        """
        if not isinstance(usage, SessionUsage):
            return self._of_responses(count(usage))
        responses = self._of_responses(ResponseUsage(usage.input, usage.cached, usage.output))
        return _EXACT.add(responses, self._of_transcription(usage.transcription))

    def _of_responses(self, usage: ResponseUsage) -> Decimal:
        image = max(self.input_text, self.input_audio) if self.input_image is None else self.input_image
        full = {"text": self.input_text, "audio": self.input_audio, "image": image}
        lower = {"text": self.cached_text, "audio": self.cached_audio, "image": self.cached_image}
        cached = {kind: full[kind] if price is None else price for kind, price in lower.items()}
        fresh = Tokens(
            usage.input.text - usage.cached.text,
            usage.input.audio - usage.cached.audio,
            usage.input.image - usage.cached.image,
            usage.input.unknown - usage.cached.unknown,
        )
        written = {"text": self.output_text, "audio": self.output_audio}
        costs = (_of(fresh, full), _of(usage.cached, cached), _of(usage.output, written))
        return _sum(costs).scaleb(-_MILLION, _EXACT)

    def _of_transcription(self, usage: TranscriptionTotal) -> Decimal:
        read = {"text": self.transcription_text or Decimal(0), "audio": self.transcription_audio or Decimal(0)}
        written = _EXACT.multiply(usage.output, self.transcription_output or Decimal(0))
        tokens = _EXACT.add(_of(usage.input, read), written).scaleb(-_MILLION, _EXACT)
        minutes = _EXACT.multiply(usage.seconds, self.transcription_minute or Decimal(0))
        return _EXACT.add(tokens, _FINE.divide(minutes, _SECONDS))


def _of(tokens: Tokens, prices: dict[str, Decimal]) -> Decimal:
    """Multiply each kind with its price; what has none costs as much as the dearest."""
    dearest = max(prices.values())
    kinds = (("text", tokens.text), ("audio", tokens.audio), ("image", tokens.image), ("unknown", tokens.unknown))
    return _sum(_EXACT.multiply(number, prices.get(kind, dearest)) for kind, number in kinds)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for one in amounts:
        total = _EXACT.add(total, one)
    return total

"""The second way in: what the strict decoder refused, read part by part, keeping all that can be kept.

Theory of operation. An object is split into its members without reading them (`msgspec.Raw`). Each member is then tried
with the strict decoder of its own field, so that what is sound costs nothing extra; only the member at fault is taken
apart further. So one unknown field in an audio delta costs a few microseconds, and one odd item does not cost a whole
`response.done`. What cannot be kept in its place becomes data:

- an unknown field goes to `extra`; an object of unknown type becomes an `Unknown…`;
- `1.0` is taken for an integer; a `type` that the schemas call optional is guessed from the fields beside it.

If the text came from a server (`lenient`), one odd leaf must not cost the event either, because a session waits for
what the event says. So, with a note of the place each time:

- an object of a known type that does not fit becomes an `Unknown…`, where its field has one;
- an element of such a list that is no object at all becomes one too, so that the indexes of its neighbours stay right;
- an optional field that does not fit stays `UNSET`, and what came goes to the `extra` of its object, under its name;
- of a map of texts the pairs that fit stay, and only the others go to `extra`, under the field's name: the client's own
  mark in a response's `metadata` is found whatever else a server puts there.

All of it is written back by `encode`. What is left is a `Misfit` in a required field, and the event a `MalformedEvent`;
from a client, whom the server tells which parameter is wrong, so is every misfit.

Repairs of the text itself (surrogates, byte order mark) and the scan of what is nested too deeply are in `repair`.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Raw

from realtime_trio.errors import RemoteProtocolError

from ._base import EventBase, ServerEventBase, Shape
from .guess import guess
from .repair import outline, repair_surrogates
from .unknown import MalformedEvent, Unknown, UnknownEvent

__all__ = ["Misfit", "Salvage"]

_split = msgspec.json.Decoder(dict[str, Raw]).decode
_split_list = msgspec.json.Decoder(list[Raw]).decode
_read_any = msgspec.json.Decoder().decode
_read_str = msgspec.json.Decoder(str).decode
_read_float = msgspec.json.Decoder(float).decode
_LARGEST_INT = 2**63

_NOT_AN_EVENT = "what arrived is not a JSON object with a string `type`"


class Misfit(Exception):
    """A member does not fit its field. Never leaves this module."""

    def __init__(self, problem: str, *, code: str = "invalid_value") -> None:
        super().__init__(problem)
        self.problem = problem
        self.code = code
        self.path: list[str] = []  # from the innermost outwards

    @classmethod
    def of(cls, error: msgspec.ValidationError) -> "Misfit":
        """Make one from what the decoder says, without the place that it names: that is within the member."""
        problem = str(error).partition(" - at ")[0]
        return cls(problem, code="invalid_type" if problem.startswith("Expected") else "invalid_value")

    def at(self, step: str) -> "Misfit":
        """Add where it is in the next object outwards."""
        self.path.append(step)
        return self

    @property
    def param(self) -> str:
        """Where it is in the event."""
        return "".join(reversed(self.path)).removeprefix(".")


class _Reading:
    """One text being read: the rules that apply to it, and the repairs so far."""

    def __init__(self, *, lenient: bool, translation: bool) -> None:
        self.lenient = lenient
        self.translation = translation
        self.notes: list[str] = []
        self.path: list[str] = []  # to the member being read, from the event inwards
        self.role: str | None = None  # of the message whose parts are being read

    def note_misfit(self, kept: str, misfit: Misfit, since: int) -> None:
        """Note where and how a misfit was kept, in place of the notes about its parts: those are as they came."""
        place = "".join([*self.path, *reversed(misfit.path)]).removeprefix(".")
        self.notes[since:] = [f"kept {kept}: {place}: {misfit.problem}"]


class Salvage:
    """Reads what the strict decoder refused.

    Args:
        events: The classes of the known events.
        lenient: The text comes from a server: an object that does not fit is kept as an unknown one.
        translation: It comes from the client of a translation session, whose `session` has no `type`.
    """

    def __init__(self, events: Iterable[type[EventBase]], *, lenient: bool = False, translation: bool = False) -> None:
        self._events = {str(cls.__struct_config__.tag): cls for cls in events}
        self._lenient = lenient
        self._translation = translation

    def read(self, text: str | bytes) -> EventBase | UnknownEvent | MalformedEvent:
        """Read a text, whatever it is.

        Raises:
            RemoteProtocolError: It is not a JSON object with a string `type`.
        """
        notes: list[str] = []
        if isinstance(text, bytes):
            try:
                text = text.decode()
            except UnicodeDecodeError:
                raise RemoteProtocolError("what arrived is not UTF-8") from None
        if text.startswith("\ufeff"):
            text = text.removeprefix("\ufeff")
            notes.append("byte order mark removed")
        try:
            return self._read(text, notes)
        except (msgspec.DecodeError, UnicodeError):
            repaired = repair_surrogates(text)
            if repaired == text:
                raise RemoteProtocolError(_NOT_AN_EVENT) from None
        notes.append("lone surrogate replaced")
        try:
            return self._read(repaired, notes)
        except msgspec.DecodeError:
            raise RemoteProtocolError(_NOT_AN_EVENT) from None

    def _read(self, text: str, notes: list[str]) -> EventBase | UnknownEvent | MalformedEvent:
        members: dict[str, Raw] = {}
        try:
            members = _split(text)
            name = _read_str(members.get("type", b"null"))
        except msgspec.ValidationError:
            raise RemoteProtocolError(_NOT_AN_EVENT) from None
        except RecursionError:
            return self._too_deep(text, notes)
        reading = _Reading(lenient=self._lenient, translation=self._translation)
        try:
            if (cls := self._events.get(name)) is None:
                return UnknownEvent(
                    type=name, data=_read_unknown(text), event_id=_event_id(members), notes=tuple(notes)
                )
            event: EventBase = _build(cls, members, reading)
        except Misfit as misfit:
            return MalformedEvent(
                type=name,
                json=text,
                problem=f"{misfit.param}: {misfit.problem}" if misfit.path else misfit.problem,
                param=misfit.param or UNSET,
                code=misfit.code,
                event_id=_event_id(members),
                notes=tuple(notes),
            )
        except RecursionError:
            return self._too_deep(text, notes)
        if notes or reading.notes:
            event = msgspec.structs.replace(event, notes=(*notes, *reading.notes))
        return event

    def _too_deep(self, text: str, notes: list[str]) -> MalformedEvent:
        members = outline(text)
        if members is None or "type" not in members:
            raise RemoteProtocolError(_NOT_AN_EVENT)
        return MalformedEvent(
            type=members["type"],
            json=text,
            problem="nested too deeply",
            event_id=members.get("event_id", UNSET),
            notes=tuple(notes),
        )


def _event_id(members: dict[str, Raw]) -> Any:
    try:
        return _read_str(members["event_id"])
    except (KeyError, msgspec.ValidationError):
        return UNSET


def _read_unknown(raw: Raw | str) -> Any:
    try:
        return _read_any(raw)
    except msgspec.ValidationError as error:  # a number beyond all limits
        raise Misfit.of(error) from None


def _build(cls: Any, members: dict[str, Raw], reading: _Reading) -> Any:
    """Make a value of a class from the members of an object."""
    fields, required = _plan(cls)
    tagged = cls.__struct_config__.tag is not None
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for name, raw in members.items():
        since = len(reading.notes)
        reading.path.append("." + name)
        try:
            if name in fields:
                values[name] = fields[name].read(raw, reading)
            elif name != "type" or not tagged:
                extra[name] = _read_unknown(raw)
        except Misfit as misfit:
            if reading.lenient and name in fields and name not in required:
                values |= _set_aside(name, fields[name], raw, extra, misfit)
                reading.note_misfit("in extra", misfit, since)
            elif not (reading.lenient and name == "event_id" and _is_null(raw)):
                raise misfit.at("." + name) from None
        finally:
            reading.path.pop()
    for name in required:
        if name not in values:
            values[name] = _missing(cls, name, reading)
    if extra:
        values["extra"] = extra
    return cls(**values)


def _missing(cls: Any, name: str, reading: _Reading) -> str:
    """Return what stands for a required field that is not there.

    Raises:
        Misfit: Nothing does.
    """
    if not (reading.lenient and name == "event_id" and issubclass(cls, ServerEventBase)):
        raise Misfit("missing", code="missing_required_parameter").at("." + name)
    reading.notes.append("event_id missing")
    return ""


def _set_aside(name: str, field: "_Field", raw: Raw, extra: dict[str, Any], misfit: Misfit) -> dict[str, Any]:
    """Put what does not fit an optional field into `extra`, and return the field with what does fit, if it has parts.

    Raises:
        Misfit: The given one, if what came cannot be kept as data either.
    """
    try:
        whole = _read_unknown(raw)
    except Misfit:
        raise misfit.at("." + name) from None
    if not (field.texts and isinstance(whole, dict)):
        extra[name] = whole
        return {}
    extra[name] = {key: item for key, item in whole.items() if not isinstance(item, str)}
    return {name: {key: item for key, item in whole.items() if isinstance(item, str)}}


@cache
def _plan(cls: Any) -> tuple[dict[str, "_Field"], tuple[str, ...]]:
    """Return the fields of a class that have a place on the wire, and which of them must be there."""
    hints = get_type_hints(cls)
    fields = [field for field in msgspec.structs.fields(cls) if field.name not in ("extra", "notes")]
    return {field.name: _field(hints[field.name]) for field in fields}, tuple(
        field.name for field in fields if field.required
    )


class _Field:
    """Reads one member by the type of its field."""

    def __init__(self, annotation: Any) -> None:
        kinds = [kind for kind in (get_args(annotation) or (annotation,)) if kind is not msgspec.UnsetType]
        if get_origin(annotation) in (list, dict):
            kinds = [annotation]
        self._strict = msgspec.json.Decoder(_union(kinds)).decode
        self.texts = dict[str, str] in kinds
        self._integer = int in kinds and float not in kinds
        self._element = next((_field(get_args(kind)[0]) for kind in kinds if get_origin(kind) is list), None)
        shapes = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Shape)]
        self.unknown: type[Unknown] | None = next((kind for kind in shapes if issubclass(kind, Unknown)), None)
        known = [kind for kind in shapes if not issubclass(kind, Unknown)]
        self._plain = next((kind for kind in known if kind.__struct_config__.tag is None), None)
        self._tagged = {str(kind.__struct_config__.tag): kind for kind in known if kind.__struct_config__.tag}

    def read(self, raw: Raw, reading: _Reading) -> Any:
        """Read a member.

        Raises:
            Misfit: It is not of the field's type.
        """
        try:
            return self._strict(raw)
        except msgspec.ValidationError as error:
            misfit = Misfit.of(error)
        first = memoryview(raw)[0:1].tobytes()
        if first == b"{":
            if self._plain is not None:
                return _build(self._plain, _split(raw), reading)
            if self._tagged:
                return self._read_tagged(raw, reading)
        elif first == b"[" and self._element is not None:
            return self._read_list(raw, reading, self._element)
        elif self._integer and (number := _whole(raw)) is not None:
            return number
        raise misfit

    def _read_list(self, raw: Raw, reading: _Reading, element: "_Field") -> list[Any]:
        values = []
        for index, item in enumerate(_split_list(raw)):
            since = len(reading.notes)
            reading.path.append(f"[{index}]")
            try:
                values.append(element.read(item, reading))
            except Misfit as misfit:
                if not reading.lenient or element.unknown is None:
                    raise misfit.at(f"[{index}]") from None
                values.append(element.unknown(type="", data={}, element=_read_unknown(item)))
                reading.note_misfit("as data", misfit, since)
            finally:
                reading.path.pop()
        return values

    def _read_tagged(self, raw: Raw, reading: _Reading) -> Any:
        members = _split(raw)
        since = len(reading.notes)
        name = ""
        try:
            if not _is_null(members.get("type")):
                name = self._read_tag(members["type"])
                cls = self._tagged.get(name)
            else:
                cls = guess(
                    self._tagged, members, reading.role, lenient=reading.lenient, translation=reading.translation
                )
                if cls is None:
                    raise Misfit("missing", code="missing_required_parameter").at(".type")
                if not reading.translation:  # there it is the rule
                    reading.notes.append(f"type missing, taken as {cls.__struct_config__.tag}")
            if cls is not None:
                outer = reading.role
                if "role" in members and "content" in members:
                    reading.role = _role(members["role"])
                try:
                    return _build(cls, members, reading)
                finally:
                    reading.role = outer
            if self.unknown is None:
                raise Misfit("not one of the known types").at(".type")
        except Misfit as misfit:
            if self.unknown is None or not reading.lenient:
                raise
            reading.note_misfit("as data", misfit, since)
        return self.unknown(type=name, data=_read_unknown(raw))

    @staticmethod
    def _read_tag(raw: Raw) -> str:
        try:
            return _read_str(raw)
        except msgspec.ValidationError as error:
            raise Misfit.of(error).at(".type") from None


def _union(kinds: list[Any]) -> Any:
    result = kinds[0]
    for kind in kinds[1:]:
        result = result | kind
    return result


def _is_null(raw: Raw | None) -> bool:
    return raw is None or memoryview(raw).tobytes() == b"null"


def _role(raw: Raw) -> str | None:
    try:
        return _read_str(raw)
    except msgspec.ValidationError:
        return None


def _whole(raw: Raw) -> int | None:
    """Return the integer that a number like `1.0` stands for."""
    try:
        number = _read_float(raw)
    except msgspec.ValidationError:
        return None
    return int(number) if number.is_integer() and abs(number) < _LARGEST_INT else None


_field = cache(_Field)

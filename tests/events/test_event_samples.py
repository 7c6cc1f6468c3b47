"""Every event of the SDK's models is read with nothing lost.

Documented as changed: a nested `type` that is missing or null, where the schemas call it optional, is written back as
what it was taken for, and `notes` says so.
"""

import json

import pytest

from realtime_trio import events
from realtime_trio.events import decode, decode_client, encode

PAIRS = [
    (direction, kind, events.wire_type(cls))
    for direction, table in (("client", events.CLIENT_EVENTS), ("server", events.SERVER_EVENTS))
    for kind in ("realtime", "translation")
    for cls in table[kind]
]


def differences(before, after, path=""):
    """Return the paths at which JSON values differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        missing = object()
        return [
            found
            for name in before.keys() | after.keys()
            for found in differences(before.get(name, missing), after.get(name, missing), f"{path}.{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            found
            for index, pair in enumerate(zip(before, after, strict=True))
            for found in differences(*pair, f"{path}[{index}]")
        ]
    return [] if before == after and isinstance(before, bool) == isinstance(after, bool) else [path]


@pytest.mark.parametrize(("direction", "kind", "name"), PAIRS, ids=lambda value: value)
def test_nothing_is_lost(samples, direction, kind, name):
    """Decoded to the right class, encoded to the same JSON, whichever alternatives are chosen."""
    for sample in samples[direction, kind, name]:
        text = json.dumps(sample)
        event = decode(text) if direction == "server" else decode_client(text, kind=kind)

        assert events.wire_type(type(event)) == name
        filled = [note for note in event.notes if note.startswith("type missing, taken as ")]
        assert len(filled) == len(event.notes)
        changed = differences(sample, json.loads(encode(event)))
        assert len(changed) == len(filled)
        assert all(path.endswith(".type") for path in changed)


@pytest.mark.parametrize(("direction", "kind", "name"), PAIRS, ids=lambda value: value)
def test_no_documented_field_is_unknown(samples, direction, kind, name):
    """Each field of the SDK's models has a place of its own in ours.

    Except within message parts, where the SDK has one model with the fields of all types of part.
    """

    def extras(value, inside):
        if isinstance(value, events.InputText | events.InputAudio | events.InputImage):
            return []
        if isinstance(value, events.OutputText | events.OutputAudio):
            return []
        if isinstance(value, list):
            return [found for item in value for found in extras(item, inside)]
        if not hasattr(value, "__struct_fields__"):
            return []
        found = [] if value.extra is events.UNSET else [(type(value).__name__, name) for name in value.extra]
        for field in value.__struct_fields__:
            found += extras(getattr(value, field), inside)
        return found

    for sample in samples[direction, kind, name]:
        text = json.dumps(sample)
        event = decode(text) if direction == "server" else decode_client(text, kind=kind)
        assert extras(event, name) == []
        assert "Unknown" not in repr(event)

"""A short run of what `nox -s fuzz` runs for as long as one likes: mutated lines of a server, and anything at all."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).parents[1] / "fuzz"


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", FUZZ / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


targets, corpus = load("targets"), load("corpus")
IDS = ["resp_1", "resp_2", "item_1", "item_2", "item_4", "call_1", "conv_1", "", "\ud800"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(IDS) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "item", "x"]), inner),
    max_leaves=5,
)


def places(value, path=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in pairs:
        yield (*path, step)
        yield from places(inner, (*path, step))


@st.composite
def mutated(draw) -> str:
    """One line with up to three of its members left out, replaced, or given somebody else's id."""
    line = json.loads(json.dumps(draw(st.sampled_from(corpus.LINES))))
    for _ in range(draw(st.integers(0, 3))):
        *path, last = draw(st.sampled_from(list(places(line)) or [("type",)]))
        holder = line
        for step in path:
            holder = holder[step]
        if draw(st.booleans()):
            holder[last] = draw(st.sampled_from(IDS) | JSON)
        elif isinstance(holder, dict):
            holder.pop(last, None)
    return json.dumps({"event_id": "event_9", **line})


LINES = st.lists(mutated() | JSON.map(json.dumps) | st.text(max_size=20), min_size=1, max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(LINES)
def test_a_session_survives_mutated_events(lines):
    """Left out, wrong, swapped, doubled, out of order: no crash, no hang, no exception that is not ours."""
    targets.session("\n".join(lines).encode("utf-8", "replace"))


@settings(max_examples=300)
@given(mutated().map(str.encode) | st.binary(max_size=200))
def test_the_decoder_survives_mutated_events(data):
    targets.decoder(data)


@pytest.mark.parametrize("name", ["decoder", "session"])
def test_the_corpus_goes_through_whole(name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["corpus.py", str(tmp_path)])
    corpus.main()

    files = sorted(tmp_path.iterdir())
    assert len(files) == len(corpus.LINES) + 1
    for file in files:
        targets.TARGETS[name](file.read_bytes())

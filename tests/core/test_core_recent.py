"""A set with an end."""

from realtime_trio.core.recent import Recent


def test_the_oldest_go():
    recent = Recent[str](2)
    for name in ("a", "b", "a", "c"):
        recent.add(name)

    assert list(recent) == ["b", "c"]
    assert ("a" in recent, "b" in recent, len(recent)) == (False, True, 2)


def test_names_can_be_taken_out():
    recent = Recent[str](2)
    recent.add("a")
    recent.discard("a")
    recent.discard("b")
    recent.add("c")
    recent.clear()

    assert len(recent) == 0

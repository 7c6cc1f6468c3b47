"""docs/fidelity.md tells every guess, and no others."""

import re
from pathlib import Path

from realtime_trio.server import guesses

PAGE = Path(__file__).parents[2] / "docs" / "fidelity.md"


def test_the_page_lists_every_guess():
    table = PAGE.read_text(encoding="utf-8").split("## What is guessed")[1].split("##")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(guesses.__all__) == sorted(re.findall(r"`([A-Z_]+)`", " ".join(rows)))

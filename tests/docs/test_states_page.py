"""docs/states.md shows the tables that run."""

import re
import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_tables_give():
    drawn = runpy.run_path(str(DOCS / "draw_states.py"))["page"]()

    assert (DOCS / "states.md").read_text(encoding="utf-8") == drawn, "run python docs/draw_states.py"


def test_every_arrow_is_between_states_that_mermaid_knows():
    """A name with a space or a quote in it would draw something else, or nothing."""
    diagrams = re.findall(r"```mermaid\n(.*?)```", (DOCS / "states.md").read_text(encoding="utf-8"), flags=re.DOTALL)

    assert len(diagrams) == 3
    for diagram in diagrams:
        first, *lines = diagram.splitlines()
        assert first == "stateDiagram-v2"
        for line in lines:
            assert re.fullmatch(r'    (state "[^"]+" as \w+|(\[\*\]|\w+) --> (\[\*\]|\w+)(: [\w ,\'<>/]+)?)', line)

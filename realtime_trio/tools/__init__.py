"""Functions that a model may call: declaring one with `@tool`, and running one call safely.

Made from a signature (`signature.py`, `schema.py`) or from a JSON Schema written by hand (`by_hand.py`); given to the
session in a `Toolbox`. When a call runs, in which scope and under which policy, and how its output reaches the model,
is the session's business.

What a call comes to here, always exactly one of:

| the call | the model is told | `ToolOutcome.failure` |
|---|---|---|
| returns | a `str` as it is; `"done"` where the function declares `-> None`; anything else as JSON | None |
| raises `ToolError`, alone or several out of its own nursery | the errors' own words, redacted | None |
| names an unknown tool, or has bad arguments | what is wrong, and what there is; the function does not run | None |
| needs what the session cannot give | that it failed, and what it needs; the function does not run | the exception |
| raises anything else, or returns what JSON cannot hold | that it failed: class and words, redacted | the exception |
| is cancelled | nothing: `trio.Cancelled` and `KeyboardInterrupt` pass | |
"""

from .declaring import Tool as Tool
from .declaring import tool as tool
from .injection import CallId as CallId
from .injection import Injected as Injected
from .toolbox import DEFAULT_THREADS as DEFAULT_THREADS
from .toolbox import Toolbox as Toolbox
from .toolbox import ToolOutcome as ToolOutcome

__all__ = ["DEFAULT_THREADS", "CallId", "Injected", "Tool", "ToolOutcome", "Toolbox", "tool"]

"""Recordings looked at again: as a timeline, checked, as a page to look at and listen to.

`python -m realtime_trio.replay` is the command. How a recording becomes a test stands in `realtime_trio.testing`.
"""

from .checking import Finding, check
from .story import Part, Played, Story, ToolRun, Trouble, Turn
from .telling import tell
from .timeline import Moment, timeline

__all__ = ["Finding", "Moment", "Part", "Played", "Story", "ToolRun", "Trouble", "Turn", "check", "tell", "timeline"]

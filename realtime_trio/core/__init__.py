"""The rules of a conversation as pure state machines.

Time and events are arguments, results are values. No Trio, no clock and no thread in here: those are the session's.
"""

__all__: list[str] = []

"""Draws docs/states.md from the tables of states in the code: `python docs/draw_states.py` writes it anew."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

from realtime_trio.core import floor_states, request_states, tool_call

PAGE = Path(__file__).with_name("states.md")

INTRODUCTION = """\
# Who may speak, and what becomes of a call: three tables, drawn

Drawn by `python docs/draw_states.py` from the tables in the code, which are what runs; a test fails when this page is
not what they give. An arrow says what happens. What leaves a state as it is, is left out.
"""

REQUEST = """\
## A request for a reply
The table: `realtime_trio/core/request_states.py`. Who makes things happen: `core/arbiter.py` and `core/replies.py`.

Everything that wants the model to speak (`ask`, `say`, `send_text`, a greeting, the outputs of a batch of tools, a turn
by key) makes a request, and each request goes this way by itself. How to read it:

- The way down the middle is the usual one: owed, asked, settled, over. At most one request at a time is asked.
- *Rejected* ("conversation already has an active response") leads back to owed, as often as it takes, so nobody is told
  of it. A response that *came to nothing* (it failed, or was cut before any of it was heard) leads back once; the
  second time, or where asking again cannot help, the request is given up.
- *Shared*: one response can be the reply to several requests. That is how what is owed while the user speaks is
  answered together with what they said.
- A `response.create` cannot be taken back once it was sent. Recalled, stopped and abandoned say what is to be done with
  its response when that comes.
- All ways end in one of three states: over, given up (the asker is told: an exception, or the notice `ReplyLost`), or
  forgotten (the asker left).
"""

FLOOR = """\
## The floor
The table: `realtime_trio/core/floor_states.py`. Who makes things happen: `core/floor.py`.

Nothing is asked for unless the floor is nobody's. How to read it:

- Each state but the key's ends by itself, so a server that forgets to say that speech stopped silences nobody for ever.
- *Promised* is the moment between the end of a turn and the `response.created` that turn detection is about to send. To
  ask then would only be rejected.
- While a key is held, no event of the server's changes anything. Only the key itself, the loss of the microphone, or
  turn detection turned on does.
- A lost link frees the floor, but nothing is asked for before there is a new one. What the user was saying is sent
  again then; turn detection gets the moment of a promise to notice it.
"""

CALL = """\
## A tool call
The table: `realtime_trio/core/tool_call.py`. Who makes things happen: `session/tool_calls.py`.

The model waits for exactly one output of each completed call. How to read it:

- The way down the middle is the usual one: received, queued, running, delivering, over. A tool with an approval hook
  makes a detour; one without a limit on how many run at once leaves the queue at once.
- Whatever settles a call first counts: returned, timed out, refused, cancelled. What comes second has no arrow.
- *Detached* calls have got their one output, which says that they go on. What they come to later is reported as news,
  when both sides are quiet.
- *Session ended* leads to the end from wherever a call may spend some time: nothing can be sent any more, and the
  program is told.
"""


def page() -> str:
    """Give the whole page."""
    parts = [(REQUEST, request_states), (FLOOR, floor_states), (CALL, tool_call)]
    return INTRODUCTION + "".join(f"\n{prose}\n{_diagram(table)}\n{_meanings(table.STATES)}" for prose, table in parts)


def _diagram(table: ModuleType) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{state}" as {_name(state)}' for state in table.STATES if _name(state) != state]
    lines.append(f"    [*] --> {_name(table.FIRST)}")
    lines += _arrows(table.TRANSITIONS)
    lines += [f"    {_name(state)} --> [*]" for state in table.STATES if state in getattr(table, "ENDS", ())]
    return "\n".join([*lines, "```\n"])


def _arrows(transitions: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """One arrow for all that leads from one state to another."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, trigger), after in transitions.items():
        if before != after:
            arrows.setdefault((before, after), []).append(trigger)
    for (before, after), triggers in arrows.items():
        yield f"    {_name(before)} --> {_name(after)}: {'<br/>'.join(triggers)}"


def _meanings(states: Mapping[str, str]) -> str:
    return (
        "\n".join(["| state | |", "|---|---|", *(f"| {state} | {meaning} |" for state, meaning in states.items())])
        + "\n"
    )


def _name(state: str) -> str:
    """Name a state as Mermaid can."""
    return state.replace(" ", "_").replace("'", "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Does the assistant hear itself, and does it hear the user? In simulated rooms, against what others do about echo.

Twelve rooms that each are hard in one way, five more drawn by a seed that nothing was tuned on, and headphones. In
every room the assistant speaks alone for a minute (half of it before anything is known of the room), and the user says
seven things over it. Counted are stretches of 5 s in which nobody but the assistant spoke and a turn was detected
(false interruptions), phrases that no turn was detected in (missed), how long that took from the beginning of the
phrase, and the CPU that the chain took per second of sound. Rooms stand in `echo_rooms`, the judge in `echo_judging`.

All chains hear the same sound and the same judge. Playback goes on when a turn is detected, which no session would do.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out
from echo_judging import PREROLL, Chain, Verdict, canceller_alone, half_duplex, judge, nothing, our_chain, rms_gate
from echo_rooms import BLOCK, HEADPHONES, MAIN, RATE, STRETCH_S, Lengths, Room, Scene, drawn, scene, speech
from measuring import machine, percentile, progress

from realtime_trio.audio import EchoCancellation
from realtime_trio.audio.echo_cancellers import LivekitCanceller, PywebrtcCanceller

SEED, HELD_OUT_SEED = 20, 2027
AIMS = "aims of realtime_trio: false <= 2 %, missed <= 2 %, CPU <= 1.5 %"
OURS = "realtime_trio"


@attrs.frozen
class Candidate:
    """One way to deal with echo."""

    chain: Chain
    preroll: int = PREROLL


@attrs.define
class Tally:
    """What one candidate did in several scenes."""

    verdicts: list[tuple[Room, Verdict]] = attrs.field(factory=list)
    cpu: float = 0.0
    seconds: float = 0.0

    def of(self, chosen: Callable[[Room], bool]) -> Verdict:
        """Add up the rooms that are chosen."""
        those = [verdict for room, verdict in self.verdicts if chosen(room)]
        return Verdict(
            sum(verdict.stretches for verdict in those),
            sum(verdict.false for verdict in those),
            sum(verdict.phrases for verdict in those),
            tuple(latency for verdict in those for latency in verdict.latencies_ms),
        )


def candidates() -> dict[str, Candidate]:
    """List the library's chain on every canceller that is installed, and what it is measured against."""
    backends = {"pywebrtc-audio": PywebrtcCanceller}
    if find_spec("livekit"):
        backends["livekit"] = LivekitCanceller
    chains = {
        OURS if name == "pywebrtc-audio" else f"{OURS} on {name}": Candidate(
            our_chain(lambda make=make, name=name: EchoCancellation(make, backend=name))
        )
        for name, make in backends.items()
    }
    return chains | {
        "pywebrtc-audio alone": Candidate(canceller_alone(PywebrtcCanceller)),
        "no canceller": Candidate(nothing),
        "half duplex": Candidate(half_duplex, preroll=0),
        "gate: mic > 0.6 of speaker": Candidate(rms_gate),
    }


def measure(candidate: Candidate, tally: Tally, played: Scene) -> None:
    """Let one candidate hear one scene."""
    begin = time.process_time()
    decisions = list(candidate.chain(played))
    tally.cpu += time.process_time() - begin
    tally.seconds += len(played.captured) / RATE
    tally.verdicts.append((played.room, judge(played, iter(decisions), candidate.preroll)))


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:5.1f} % ({part:3}/{whole})" if whole else " " * 17


def row(name: str, tally: Tally, width: int) -> str:
    """Say in one line how a candidate fared; in brackets what means nothing, because its microphone is always loud."""
    main = tally.of(lambda room: not room.held_out and not room.silent)
    others = tally.of(lambda room: room.held_out)
    latencies = (*main.latencies_ms, *others.latencies_ms)
    deaf = main.false > main.stretches / 2
    took = f"{statistics.median(latencies):5.0f} / {percentile(latencies, 90):4.0f}" if latencies else "    - /    -"
    missed = f"{share(main.missed, main.phrases)}  {share(others.missed, others.phrases)}"
    if deaf:
        missed, took = f"{'[hears the echo]':<36}", "      -     "
    return (
        f"  {name:<{width}}  {share(main.false, main.stretches)}  {share(others.false, others.stretches)}"
        f"  {missed}  {took}  {100 * tally.cpu / tally.seconds:6.2f} %"
    )


def report(tallies: dict[str, Tally], speech_by: str) -> None:
    """Print the table, and where the library's own chain failed."""
    width = max(len(name) for name in tallies)
    rooms = tallies[OURS].verdicts
    print(f"\nEcho: {len(rooms)} rooms, stretches of {STRETCH_S:.0f} s, speech by {speech_by} and one recorded person")
    print(
        f"  {'':<{width}}  {'false interruptions':<36}  {'missed phrases':<36}  latency, ms  CPU of a core\n"
        f"  {'':<{width}}  {'12 rooms':<17}  {'held out':<17}  {'12 rooms':<17}  {'held out':<17}  median / p90"
    )
    for name, tally in tallies.items():
        print(row(name, tally, width))
    print(f"  {AIMS}\n\n  where {OURS} failed, and with headphones:")
    for room, verdict in rooms:
        if verdict.false or verdict.missed or room.silent:
            failed = f"false {verdict.false:2}/{verdict.stretches}, missed {verdict.missed}/{verdict.phrases}"
            print(f"    {room.name:<22} {failed}   {particulars(room)}")
    print(flush=True)


def particulars(room: Room) -> str:
    """Name what is not as in the plainest room."""
    plain = Room("")
    return ", ".join(
        f"{field.name} {getattr(room, field.name)}"
        for field in attrs.fields(Room)
        if field.name not in {"name", "held_out"} and getattr(room, field.name) != getattr(plain, field.name)
    )


def main() -> None:
    """Measure all candidates in all rooms and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three rooms, and little is said in them")
    parser.add_argument("--seed", type=int, default=SEED, help="draws what is said, when, by whom, and the noise")
    parser.add_argument("--held-out-seed", type=int, default=HELD_OUT_SEED, help="draws the five rooms")
    options = parser.parse_args()

    print(machine(OURS, "pywebrtc-audio", *(["livekit"] if find_spec("livekit") else [])))
    lengths = Lengths(alone=2, phrases=2) if options.quick else Lengths()
    held_out = drawn(options.held_out_seed)
    rooms = (MAIN[1], MAIN[4], held_out[0]) if options.quick else (*MAIN, *held_out, HEADPHONES)
    progress("speaking")
    said = speech()
    tallies = {name: Tally() for name in candidates()}
    for number, room in enumerate(rooms):
        progress(f"room {number + 1} of {len(rooms)}: {room.name}")
        played = scene(room, said, options.seed, lengths)
        assert len(played.captured) % BLOCK == 0
        for name, candidate in candidates().items():
            measure(candidate, tallies[name], played)
    report(tallies, said.voice)


if __name__ == "__main__":
    main()

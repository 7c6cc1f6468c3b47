"""`python -m realtime_trio.replay`: from the command line to an exit code."""

import argparse
import io
import math
import os
import sys
import tempfile
from pathlib import Path

from realtime_trio.errors import RealtimeError
from realtime_trio.recording import RecordedSession, find_recordings, read_recording
from realtime_trio.replay import check, tell, timeline
from realtime_trio.replay.timeline import Moment, summary

_WELL, _FOUND, _FAILED = 0, 1, 2

_ABOUT = """\
Look at sessions that were recorded with open_session(record=FOLDER).

Without options, one recording is printed as a timeline: when who said what, tool calls and
their outputs, interruptions, how long each answer took, and everything that went wrong. Times are
seconds since the recording began; a line that begins with ! tells of something that went wrong.
A folder that holds recordings is listed.

With --play the user's side is played against the offline server, and what came of that is printed
in the same way. It needs no key, no network and no device, and no more time than it takes to
reckon.
"""
_CODES = """\
exit codes:
  0  all is well
  1  --check found something
  2  there is no such recording, or it cannot be read, written or played to its end

examples:
  python -m realtime_trio.replay recordings            list what is there
  python -m realtime_trio.replay recordings/monday     print it
  python -m realtime_trio.replay --check recordings    check all of them
  python -m realtime_trio.replay --html it.html recordings/monday
  python -m realtime_trio.replay --html it.html --from 3600 --to 3900 recordings/monday
  python -m realtime_trio.replay --play recordings/monday
"""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for.

    Args:
        arguments: Instead of the command line's.

    Returns:
        The exit code.
    """
    options = _parse(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a model may say more than this screen can show
    try:
        return _run(options)
    except BrokenPipeError:  # whoever read this has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (RealtimeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return _FAILED


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m realtime_trio.replay",
        description=_ABOUT,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a recording, or a folder that holds some")
    parser.add_argument(
        "--check",
        action="store_true",
        help="say whether the recording is whole (every line, all the audio), and whether the session went well: every "
        "response ended, every tool call has one output, every sample was heard or cut, no errors",
    )
    parser.add_argument(
        "--html",
        metavar="OUT.html",
        type=Path,
        help="write one page to look at and listen to, with the sound in it (about 4 MB a minute): what was heard "
        "against what was generated, tool calls, interruptions, latency; click to play from there",
    )
    parser.add_argument("--from", dest="begin", metavar="S", type=float, help="with --html: begin at this second")
    parser.add_argument("--to", dest="end", metavar="S", type=float, help="with --html: end at this second")
    parser.add_argument(
        "--play",
        action="store_true",
        help="play what the user said and typed against the offline server, at the times of then, and print the "
        "timeline of what came of it: the server understands what was understood then, and answers by its own rules",
    )
    options = parser.parse_args(arguments)
    if sum(map(bool, (options.check, options.html, options.play))) > 1:
        parser.error("--check, --html and --play are different questions: ask one at a time")
    if not options.html and (options.begin, options.end) != (None, None):
        parser.error("--from and --to choose what --html shows: add --html OUT.html")
    return options


def _run(options: argparse.Namespace) -> int:
    sessions = find_recordings(options.folder)
    if not sessions:
        print(f"error: {options.folder} holds no recordings", file=sys.stderr)
        return _FAILED
    if options.check:
        # not all(): every one of them is to be checked
        return _WELL if min([_check(session) for session in sessions]) else _FOUND
    if options.html:
        return _write_page(options, sessions)
    if options.play:
        return _play(sessions)
    if sessions[0].path == options.folder:
        _print(sessions[0])
    else:
        for session in sessions:
            _list(session)
    return _WELL


def _write_page(options: argparse.Namespace, sessions: list[RecordedSession]) -> int:
    path: Path = options.html
    if len(sessions) > 1:
        print(f"error: --html shows one recording: name one of {len(sessions)} that are there", file=sys.stderr)
        return _FAILED
    from realtime_trio.replay.page import render  # loads numpy

    pieces = render(sessions[0], options.begin or 0.0, math.inf if options.end is None else options.end)
    first = next(pieces)  # what cannot be rendered leaves an older page as it is
    with path.open("w", encoding="utf-8") as file:
        file.write(first)
        file.writelines(pieces)
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return _WELL


def _play(sessions: list[RecordedSession]) -> int:
    if len(sessions) > 1:
        print(f"error: --play plays one recording: name one of {len(sessions)} that are there", file=sys.stderr)
        return _FAILED
    import trio.testing

    from realtime_trio.replay.playing import play  # loads the offline server

    (session,) = sessions
    problem: Exception | None = None
    with tempfile.TemporaryDirectory(prefix="realtime_trio-") as folder:
        again = Path(folder) / "again"
        try:
            # in memory nothing is waited for but time, and that is jumped over
            trio.run(play, session, again, clock=trio.testing.MockClock(autojump_threshold=0))
        except (RealtimeError, AssertionError) as error:
            problem = error
        if again.is_dir():
            _print(read_recording(again))
            print()
    if problem is not None:
        print(f"error: {session.path} was not played to its end: {problem}", file=sys.stderr)
        return _FAILED
    length = tell(session).length
    print(f"{session.path} ({length:.1f} s) was played to its end against the offline server; nothing of it is kept")
    return _WELL


def _check(session: RecordedSession) -> bool:
    found = check(session)
    for finding in found:
        at = "" if finding.at is None else f"{finding.at:.3f} s: "
        print(f"{session.path}: {finding.kind}: {at}{finding.words}")
    if not found:
        print(f"{session.path}: all is well")
    return not found


def _list(session: RecordedSession) -> None:
    story = tell(session)
    first = next((turn.text for turn in story.turns if turn.text), "")
    print(f"{session.path}  {story.header.get('began')}  {story.length:.1f} s  {next(summary(story))}")
    if first:
        print(f'    "{first}"')


def _print(session: RecordedSession) -> None:
    story = tell(session)
    moments = timeline(story)
    width = max(len(moment.who) for moment in moments)
    for moment in moments:
        print(_line(moment, width))
    print()
    for line in summary(story):
        print(line)


def _line(moment: Moment, width: int) -> str:
    indent = " " * (width + 13)
    words = moment.words.replace("\n", "\n" + indent)
    return f"{'!' if moment.wrong else ' '} {moment.at:9.3f}  {moment.who:<{width}} {words}"


if __name__ == "__main__":
    sys.exit(main())

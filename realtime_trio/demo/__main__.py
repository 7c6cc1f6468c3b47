"""`python -m realtime_trio.demo`: from the command line to an exit code. What is done is in `running.py`."""

import io
import logging
import os
import shutil
import sys

_INTERRUPTED = 130


def main() -> int:
    """Run the demo and say how it ended, in one line when it could not begin.

    Returns:
        The exit code.
    """
    try:
        return _run()
    except KeyboardInterrupt:  # before or after the talk; in it, Ctrl-C is a signal that ends the talk
        return _INTERRUPTED
    except BrokenPipeError:  # whoever read this has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run() -> int:
    # here, so that Ctrl-C is also caught while these are loaded
    import trio

    from realtime_trio.demo.arguments import parse
    from realtime_trio.demo.lines import can_be_drawn_on, wants_colour
    from realtime_trio.demo.running import run
    from realtime_trio.demo.stage import Terminal
    from realtime_trio.demo.typed import is_ours
    from realtime_trio.errors import InternalError, RealtimeError

    options = parse()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a model may say more than this screen can show
    # what the session would log is shown as a line of the talk
    logging.getLogger("realtime_trio.session").addHandler(logging.NullHandler())
    logging.getLogger("realtime_trio.session").propagate = False
    # likewise a voice or a recogniser that failed, which our own server warns of; its crashes are still logged
    logging.getLogger("realtime_trio.server").setLevel(logging.ERROR)

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    keyboard = sys.stdin is not None and sys.stdin.isatty() and is_ours(sys.stdin.fileno())
    terminal = Terminal(
        write=write,
        colour=wants_colour(sys.stdout),
        keyboard=keyboard,
        full_screen=keyboard and can_be_drawn_on(sys.stdout),
        width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None,
    )
    try:
        return trio.run(run, options, terminal)
    except InternalError:
        raise  # with its traceback: to be reported
    except RealtimeError as error:  # it could not begin: what goes wrong later is a line of the talk
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

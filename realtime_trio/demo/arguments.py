"""The demo's command line."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import attrs

__all__ = ["Options", "parse"]

_DESCRIPTION = """\
A talk with OpenAI's Realtime API, or with the offline stand-in (rules on this machine, not the real model), to see
and to hear. A simulated user asks questions and speaks over an answer; the sound goes to a WAV file. No sound card
and no key are needed."""

_EPILOG = """\
At a terminal you can join in: each line that you type is a turn of yours; it interrupts what is being said. After the
talk the program waits 15 s for a line. Once you have typed one, it goes on until Ctrl-D (the end of the input) or
Ctrl-C. Where the input is no terminal, it is not read (but see --typed), and the program ends by itself.

Exit code: 0 after a whole talk, 1 when something went wrong on the way, 2 when it could not begin, 130 after Ctrl-C.
"""


@attrs.frozen(kw_only=True)
class Options:
    """What was asked for.

    Attributes:
        live: Whether to talk to the real service.
        input: A recording that is the microphone, instead of the simulated user.
        record: Where the sound goes.
        typed: Whether there is no simulated user, only typed lines.
    """

    live: bool = False
    input: Path | None = None
    record: Path = Path("conversation.wav")
    typed: bool = False


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read a command line.

    Args:
        arguments: Its words; the program's own by default.

    Returns:
        The options.

    Raises:
        SystemExit: It asks for help, or makes no sense.
    """
    parser = argparse.ArgumentParser(
        prog="python -m realtime_trio.demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--headless", action="store_true", help="without sound devices: the only mode as yet")
    parser.add_argument(
        "--live", action="store_true", help="talk to OpenAI, with the key in OPENAI_API_KEY or .env (this costs money)"
    )
    user = parser.add_mutually_exclusive_group()
    user.add_argument(
        "--input", type=Path, metavar="FILE.wav", help="a recording as the microphone, instead of the simulated user"
    )
    user.add_argument(
        "--typed", action="store_true", help="no simulated user: only what you type, or pipe in, a line a turn"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE.wav", default=Options().record, help="where the sound goes (%(default)s)"
    )
    given = parser.parse_args(arguments)
    return Options(live=given.live, input=given.input, record=given.record, typed=given.typed)

"""The demo's command line."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import attrs

__all__ = ["Options", "parse"]

Echo: TypeAlias = Literal["auto", "half_duplex", "off"]
Policy: TypeAlias = Literal["immediate", "confirm", "never"]

_DESCRIPTION = """\
A talk with OpenAI's Realtime API, or with the offline stand-in (rules on this machine, not the real model), to see
and to hear. With a microphone and a speaker you talk with it, and over it. Without, or with --headless, a simulated
user asks questions and speaks over an answer. The sound goes to a WAV file. No sound card and no key are needed."""

_EPILOG = """\
With a sound card these keys work: m mutes the microphone, i interrupts, q ends the talk, and with --push-to-talk the
space bar begins and ends a turn (a terminal does not tell when a key is let go, so press it again).

Without one you can join in at a terminal: each line that you type is a turn of yours; it interrupts what is being said.
After the talk the program waits 15 s for a line. Once you have typed one, it goes on until Ctrl-D (the end of the
input) or Ctrl-C. Where the input is no terminal, it is not read (but see --typed), and the program ends by itself.

Exit code: 0 after a whole talk, 1 when something went wrong on the way, 2 when it could not begin, 130 after Ctrl-C.
"""


@attrs.frozen(kw_only=True)
class Options:
    """What was asked for.

    Attributes:
        live: Whether to talk to the real service.
        headless: Whether to leave sound hardware alone.
        input: A recording that is the microphone, instead of the simulated user.
        record: Where the sound goes.
        typed: Whether there is no simulated user, only typed lines.
        list_devices: Whether to list the sound devices, and nothing else.
        input_device: The microphone, by index or name; None for the default.
        output_device: The speaker, likewise.
        push_to_talk: Whether a key opens the microphone, instead of turn detection.
        echo: What keeps the microphone free of the speaker.
        interruption: What speech does that begins while the assistant speaks.
        greeting: What the assistant is told so that it speaks first; None to let the user begin.
    """

    live: bool = False
    headless: bool = False
    input: Path | None = None
    record: Path = Path("conversation.wav")
    typed: bool = False
    list_devices: bool = False
    input_device: int | str | None = None
    output_device: int | str | None = None
    push_to_talk: bool = False
    echo: Echo = "auto"
    interruption: Policy = "immediate"
    greeting: str | None = None

    @property
    def without_hardware(self) -> bool:
        """Whether no sound hardware is wanted."""
        return self.headless or self.typed or self.input is not None

    @property
    def names_hardware(self) -> bool:
        """Whether some is wanted that is not simply the default."""
        return self.push_to_talk or self.input_device is not None or self.output_device is not None


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
    parser.add_argument(
        "--live", action="store_true", help="talk to OpenAI, with the key in OPENAI_API_KEY or .env (this costs money)"
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE.wav", default=Options().record, help="where the sound goes (%(default)s)"
    )
    parser.add_argument(
        "--greeting", metavar="WORDS", help="let the assistant speak first, as these words tell it: 'Say hello.'"
    )
    _add_sound_card(parser)
    _add_without(parser)
    given = Options(**vars(parser.parse_args(arguments)))
    if given.without_hardware and given.names_hardware:
        parser.error("--headless, --input and --typed use no sound device: leave out what names one, or --push-to-talk")
    return given


def _add_sound_card(parser: argparse.ArgumentParser) -> None:
    with_card = parser.add_argument_group("with a sound card")
    with_card.add_argument("--list-devices", action="store_true", help="list the sound devices, and do nothing else")
    with_card.add_argument(
        "--input-device", type=_device, metavar="DEVICE", help="the microphone: its number, or part of its name"
    )
    with_card.add_argument("--output-device", type=_device, metavar="DEVICE", help="the speaker, likewise")
    with_card.add_argument("--push-to-talk", action="store_true", help="the space bar opens and closes the microphone")
    with_card.add_argument(
        "--echo",
        choices=["auto", "off", "half_duplex"],
        default="auto",
        help="cancel the speaker's echo (auto), do not (off: headphones, or the system does it), or close the "
        "microphone while the assistant speaks (half_duplex)",
    )
    with_card.add_argument(
        "--interruption",
        choices=["immediate", "confirm", "never"],
        default="immediate",
        help="what the assistant does when you speak over it: stop, pause until it is sure that you mean it, or finish "
        "first (%(default)s)",
    )


def _add_without(parser: argparse.ArgumentParser) -> None:
    without = parser.add_argument_group("without a sound card").add_mutually_exclusive_group()
    without.add_argument("--headless", action="store_true", help="a simulated user talks, also where there is one")
    without.add_argument(
        "--input", type=Path, metavar="FILE.wav", help="a recording as the microphone, instead of the simulated user"
    )
    without.add_argument(
        "--typed", action="store_true", help="no simulated user: only what you type, or pipe in, a line a turn"
    )


def _device(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text

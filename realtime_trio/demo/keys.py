"""Single keys from a terminal, while the talk goes on, on Unix and on Windows.

What a key leads to is decided in `sound_card.py`. Whole typed lines are `typed.py`'s.
"""

import contextlib
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Literal, Self, TypeAlias

import trio

from .typed import is_ours

__all__ = ["Key", "KeyReader", "Keys", "open_keys", "waiting_signs"]

Key: TypeAlias = Literal["talk", "mute", "interrupt", "quit"]
"""What a key means."""

_MEANINGS: dict[str, Key] = {" ": "talk", "m": "mute", "i": "interrupt", "q": "quit", "\x03": "quit", "\x04": "quit"}
# what arrow keys, function keys and the mouse send: not keys of ours, though letters may be in it
_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\[O])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_LONGEST_SEQUENCE = 32  # characters: what is longer is no sequence, and nobody waits for its end
_SPECIAL = "\0\xe0"  # on Windows: the next character says which special key it was
_CHUNK = 256  # bytes
_IFLAG, _LFLAG, _CC = 0, 3, 6  # places in what termios gives
_POLL = 0.05  # seconds between two looks at a Windows console
_ELSEWHERE = 0.5  # seconds between two looks at whether this program has the terminal again


class KeyReader:
    """Finds the keys that mean something in what a terminal sends, piece by piece."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> Iterator[Key]:
        """Take what was received.

        Args:
            text: Any piece of it; sequences of special keys may be torn.

        Yields:
            The keys, in order.
        """
        text = self._held + text
        unfinished = _UNFINISHED.search(text)
        self._held = unfinished.group() if unfinished and len(unfinished.group()) < _LONGEST_SEQUENCE else ""
        text = _SEQUENCE.sub("", text[: len(text) - len(self._held)])
        for sign in text:
            if key := _MEANINGS.get(sign.lower()):
                yield key

    def feed_console(self, signs: str) -> Iterator[Key]:
        """Take what a Windows console gave.

        Args:
            signs: Its characters; a special key is two of them, which may come apart.

        Yields:
            The keys, in order.
        """
        for sign in signs:
            if self._held:
                self._held = ""
            elif sign in _SPECIAL:
                self._held = sign
            elif key := _MEANINGS.get(sign.lower()):
                yield key


class Keys:
    """The keys of a terminal as they are pressed. One task uses it; `async for` gives them until the terminal is gone.

    Args:
        stdin: The file descriptor of the terminal.
    """

    def __init__(self, stdin: int) -> None:
        self._stdin = stdin
        self._reader = KeyReader()
        self._pressed: deque[Key] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Key:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    async def receive(self) -> Key:
        """Wait for the next key.

        Raises:
            trio.EndOfChannel: The terminal is gone.

        Cancellation:
            Safe: no key is lost.
        """
        while not self._pressed:
            self._pressed.extend(await self._read())
        return self._pressed.popleft()

    if sys.platform == "win32":

        async def _read(self) -> Iterator[Key]:
            import msvcrt

            await trio.sleep(_POLL)  # a console cannot be waited for
            return self._reader.feed_console(waiting_signs(msvcrt.kbhit, msvcrt.getwch))

    else:

        async def _read(self) -> Iterator[Key]:
            await trio.lowlevel.wait_readable(self._stdin)
            if not is_ours(self._stdin):
                await trio.sleep(_ELSEWHERE)
                return iter(())
            try:
                data = os.read(self._stdin, _CHUNK)
            except OSError:  # what is left of a terminal whose window was closed
                data = b""
            if not data:
                raise trio.EndOfChannel
            return self._reader.feed(data.decode("latin-1"))  # whatever it speaks, our keys are ASCII


@contextmanager
def open_keys(stdin: int = 0) -> Generator[Keys]:
    """Let a terminal give single keys, unseen, until the block is left; then it is as it was.

    Ctrl-C remains a signal. Ctrl-Z and Ctrl-S do nothing meanwhile: a microphone is open, and who stops the program or
    its output by mistake would find it deaf.

    Args:
        stdin: The file descriptor of the terminal.

    Yields:
        The keys.
    """
    if sys.platform == "win32":
        yield Keys(stdin)
        return

    import termios

    before = termios.tcgetattr(stdin)
    now = termios.tcgetattr(stdin)
    now[_IFLAG] &= ~termios.IXON  # Ctrl-S would stop the screen
    now[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
    now[_CC][termios.VMIN], now[_CC][termios.VTIME] = 1, 0
    now[_CC][termios.VSUSP] = os.fpathconf(stdin, "PC_VDISABLE").to_bytes()
    try:
        termios.tcsetattr(stdin, termios.TCSADRAIN, now)
        yield Keys(stdin)
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def waiting_signs(is_there: Callable[[], bool], take: Callable[[], str]) -> str:
    """Take all the characters that wait at a Windows console.

    Args:
        is_there: Tells whether one waits: `msvcrt.kbhit`.
        take: Takes it: `msvcrt.getwch`.
    """
    signs = ""
    while is_there():
        signs += take()
    return signs

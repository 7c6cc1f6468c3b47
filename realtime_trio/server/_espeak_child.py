"""The child process in which espeak-ng speaks: requests on standard input, sound on standard output.

Run by file path with the standard library alone (`python -I -S`), which starts in some 20 ms; `espeak` holds the other
end. espeak-ng is free software under GPL version 3 and comes from the user's own `espeakng-loader`: it is loaded here,
in a program of its own, and spoken to over pipes.

Arguments: the library's path, the data directory (together with what espeak-ng appends at most 160 characters, else
it is silently not found).
Messages (as `child` says): `{"text", "voice", "rate", "pitch"}` in; `{"words"}` out and PCM16 behind it.
`words` are pairs: where the word begins in the text (characters), where in the sound (samples). The first line out is
`{"sample_rate"}`. Any failure is a line `{"error"}` and the end of the process.
"""

import ctypes
import json
import signal
import sys
from typing import Any

__all__: list[str] = []

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS; 1 (RETRIEVAL) is asynchronous and loses sound
_DONT_EXIT = 0x8000  # without it a failing espeak_Initialize ends the process by itself
_RATE, _PITCH = 1, 3
_CHARACTERS = 1  # POS_CHARACTER
_UTF8, _ENDPAUSE = 1, 0x1000
_EVENT_LIST_END, _EVENT_WORD = 0, 1


class _Event(ctypes.Structure):
    """`espeak_EVENT` of espeak-ng 1.52's speak_lib.h; the union at its end is 8 bytes that are not looked at."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # characters, counted from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class _Engine:
    """espeak-ng's C interface, as far as it is needed."""

    def __init__(self, library: str, data: str) -> None:
        self._c = ctypes.CDLL(library)
        self.sample_rate: int = self._c.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
        if self.sample_rate <= 0:
            raise RuntimeError(f"espeak_Initialize gave {self.sample_rate} for {data}")
        self._pcm = bytearray()
        self._words: list[tuple[int, int]] = []
        self._callback = _Callback(self._take)  # kept: the C side holds a bare pointer to it
        self._c.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count:
            self._pcm += ctypes.string_at(samples, 2 * count)
        index = 0
        while events[index].type != _EVENT_LIST_END:
            event = events[index]
            if event.type == _EVENT_WORD:
                self._words.append((event.text_position - 1, event.audio_position * self.sample_rate // 1000))
            index += 1
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int) -> tuple[list[tuple[int, int]], bytes]:
        self._pcm.clear()
        self._words.clear()
        if self._c.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"no voice {voice}")
        self._c.espeak_SetParameter(_RATE, rate, 0)
        self._c.espeak_SetParameter(_PITCH, pitch, 0)
        encoded = text.encode() + b"\0"
        flags = _UTF8 | _ENDPAUSE
        failed = (
            self._c.espeak_Synth(encoded, ctypes.c_size_t(len(encoded)), 0, _CHARACTERS, 0, flags, None, None)
            or self._c.espeak_Synchronize()
        )
        if failed:
            raise RuntimeError(f"espeak_Synth gave {failed}")
        return self._words, bytes(self._pcm)


def _say(header: dict[str, Any], body: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n" + body)
    sys.stdout.buffer.flush()


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides when we end
    try:
        engine = _Engine(*sys.argv[1:])
        _say({"sample_rate": engine.sample_rate})
        for line in sys.stdin.buffer:
            request = json.loads(line)
            request.pop("bytes")  # nothing follows a text
            words, pcm = engine.speak(**request)
            _say({"words": words, "bytes": len(pcm)}, pcm)
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        _say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    _main()

"""The child process in which pocketsphinx listens: sound on standard input, words on standard output.

Run by file path (`python -I -S`) and spoken to by `recogniser`. A process of its own because decoding holds Python's
lock for up to a quarter of the sound's length, and takes 130 MB.

Arguments: the folder that holds the package `pocketsphinx`, the grammar (JSGF), the same with beginnings of sentences.
Messages (as `child` says): `{"search"}` in and PCM16 at 16 kHz behind it; `search` is "grammar", "so_far" (the
second grammar) or "free" (dictation).
Out: `{"text", "score", "seconds"}`: `text` null when nothing fits; how well it fits, as a logarithm (of no unit); how
much of the sound it explains. The first line out is `{}`. Any failure is a line `{"error"}` and the end of the process.
"""

import json
import math
import os
import signal
import sys
from typing import Any

__all__: list[str] = []


class _Engine:
    """One decoder with two searches; its model comes with the package."""

    def __init__(self, folder: str, grammar: str, so_far: str) -> None:
        sys.path.append(folder)
        import pocketsphinx  # type: ignore[import-not-found,import-untyped,unused-ignore]

        model = os.path.join(pocketsphinx.get_model_path(), "en-us")  # noqa: PTH118 - pathlib would cost start-up time
        self._decoder: Any = pocketsphinx.Decoder(lm=None, samprate=16_000, pip=0.3, loglevel="FATAL")
        self._decoder.add_jsgf_string("grammar", grammar)
        self._decoder.add_jsgf_string("so_far", so_far)
        self._decoder.add_lm_file("free", os.path.join(model, "en-us.lm.bin"))  # noqa: PTH118

    def listen(self, search: str, pcm: bytes) -> dict[str, Any]:
        self._decoder.activate_search(search)
        self._decoder.start_utt()
        self._decoder.process_raw(pcm, no_search=False, full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        if found is None or not found.hypstr:
            return {"text": None, "score": 0.0, "seconds": 0.0}
        frames = max(segment.end_frame for segment in self._decoder.seg())
        return {"text": found.hypstr, "score": math.log(max(found.score, 1e-300)), "seconds": (frames + 1) / 100}


def _say(header: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    sys.stdout.buffer.flush()


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole terminal; the parent decides when we end
    try:
        engine = _Engine(*sys.argv[1:])
        _say({})
        while line := sys.stdin.buffer.readline():
            request = json.loads(line)
            _say(engine.listen(request["search"], sys.stdin.buffer.read(request["bytes"])))
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told
        _say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    _main()

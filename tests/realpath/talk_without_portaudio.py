"""`talk.py` on a machine where PortAudio is not installed: nobody finds the library."""

import ctypes.util
import runpy
from pathlib import Path

ctypes.util.find_library = lambda _: None
runpy.run_path(str(Path(__file__).with_name("talk.py")), run_name="__main__")

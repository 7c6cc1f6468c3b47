"""The benchmarks can be started, however Python is. What they measure is not judged here."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["decode", "imports", "sessions"])
def test_they_find_what_they_share_also_with_a_safe_path(name, tmp_path):
    program = f"import runpy; runpy.run_path({str(BENCHMARKS / f'{name}.py')!r}, run_name='loaded')"

    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.stderr, done.returncode) == ("", 0)

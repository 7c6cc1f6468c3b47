"""A page in headless Chromium: what it looks like after its own script, and another one, have run."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium to open the page in: apt-get install chromium"
)


def run_in_page(page: str, script: str, folder: Path) -> dict:
    """Open a page, run a script behind its own, and give what it put into `result`.

    Nothing can be loaded from a network, and whatever the page complains of fails the test.
    """
    harness = f"<script>{{const result = {{}};\n{script}\ndocument.title = JSON.stringify(result);}}</script></body>"
    path = folder / "page.html"
    path.write_text(page.replace("</body>", harness), encoding="utf-8")
    answer = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--autoplay-policy=no-user-gesture-required", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr", "--window-size=1200,1000", f"--user-data-dir={folder / 'profile'}",
            "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    complaints = [line for line in answer.stderr.splitlines() if "CONSOLE" in line]
    assert not complaints, complaints
    title = re.search(r"<title>(.*?)</title>", answer.stdout, re.DOTALL)
    assert title is not None, answer.stdout[:2000]
    unescaped = title[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(unescaped)

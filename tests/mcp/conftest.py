"""Real MCP servers, made with the official package, in processes of their own."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from realtime_trio.mcp import StdioServer

SHOP = Path(__file__).parent / "shop.py"


@pytest.fixture
def shop():
    def shop(*how, **options):
        return StdioServer(sys.executable, str(SHOP), "stdio", *how, **options)

    return shop


@pytest.fixture
def http_shop():
    """Start one at a port of this machine; gives the process and the URL."""

    @contextmanager
    def http_shop(port=0):
        with subprocess.Popen(
            [sys.executable, str(SHOP), "http", str(port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                port = int(process.stdout.readline())
                yield process, f"http://127.0.0.1:{port}/mcp"
            finally:
                process.kill()

    return http_shop


@pytest.fixture
def is_running():
    """Whether a process still exists, after a moment in which it may yet go."""

    async def is_running(process_id):
        with trio.move_on_after(2):
            while True:
                try:
                    os.kill(process_id, 0)
                except ProcessLookupError:
                    return False
                await trio.sleep(0.01)
        return True

    return is_running

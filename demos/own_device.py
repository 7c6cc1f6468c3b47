"""An audio device of your own, a telephone over UDP: python demos/own_device.py (docs/devices.md goes into it)."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from realtime_trio import DeviceUnavailable, open_server, open_session
from realtime_trio.audio import Playout
from realtime_trio.device import AudioBlock


class Phone(Playout):
    """A line with 20 ms of 24 kHz PCM16 in each datagram. What concerns the speaker, Playout has."""

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(latency_ms=60)  # until the caller hears what is sent, as well as we know
        self.address = address

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Phone"]:
        """Call the number. A session does this."""
        with socket.socket(type=socket.SOCK_DGRAM) as self.line:
            self.line.connect(self.address)
            self.line.settimeout(0)
            self.due = trio.current_time()
            yield self

    async def receive_block(self) -> AudioBlock:
        """Let 20 ms pass: what the caller said in, what the session wrote out."""
        await trio.sleep_until(self.due + 0.02)
        self.due += 0.02
        played, captured = self.take(self.due), bytes(960)
        try:
            with suppress(BlockingIOError):  # silence, if the caller's datagram has not come in time
                self.line.send(played.pcm)
                captured = self.line.recv(960)
        except OSError as error:
            raise DeviceUnavailable(f"the caller has hung up ({error}): wait for the next call") from error
        return AudioBlock(captured, self.due - 0.02, played.position, played.cut)


async def main() -> None:
    async def listen() -> None:
        while not any(await caller.recv(960)):  # silence
            pass
        print("caller:    I hear you!")

    print("Talking to an offline server (rules, not the real model) over a telephone line.")
    with trio.socket.socket(type=socket.SOCK_DGRAM) as caller:
        await caller.bind(("127.0.0.1", 0))
        async with open_server() as server, trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            async with open_session(url=server.url, audio=Phone(caller.getsockname())) as session:
                print("assistant:", (await session.ask("What is twelve times three?")).text)


if __name__ == "__main__":
    trio.run(main)

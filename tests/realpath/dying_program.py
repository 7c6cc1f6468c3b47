"""A program in trouble: its peer is dead, its device in the middle of a word, its tool hangs. SIGUSR1 makes it fail.

The first argument says what the tool is: "async", or "sync" for one that runs in a thread; the second, where the peer
listens; a third one, "card", takes the sound card. With "peer" alone it is that peer.
"""

import base64
import logging
import signal
import sys
import time

import trio

from realtime_trio import open_session, tool
from realtime_trio.audio import SoundCard
from realtime_trio.testing import FakeDevice, open_scripted_peer


@tool(name="hang")
async def hang() -> None:
    """Wait for ever."""
    sys.stdout.write("the tool runs\n")
    sys.stdout.flush()
    await trio.sleep_forever()


@tool(name="hang")
def hang_in_a_thread() -> None:
    """Wait for long, in a thread, where nobody can stop it."""
    sys.stdout.write("the tool runs\n")
    sys.stdout.flush()
    time.sleep(3600)


async def fall_silent(peer):
    """Begin a session, say something and have the tool called; then neither read nor answer."""
    await peer.greet()
    call = {
        "type": "function_call",
        "id": "item_1",
        "call_id": "call_1",
        "name": "hang",
        "arguments": "{}",
        "status": "completed",
    }
    part = {"response_id": "resp_1", "item_id": "item_0", "output_index": 0, "content_index": 0}
    await peer.send("response.created", response={"id": "resp_1", "conversation_id": "conv_1"})
    await peer.send("response.output_audio.delta", **part, delta=base64.b64encode(bytes(48_000)).decode())
    done = {"id": "resp_1", "status": "completed", "conversation_id": "conv_1", "output": [call]}
    await peer.send("response.done", response=done)
    peer.never_answer_close()
    peer.never_answer_pings()
    peer.stall()


async def be_the_peer() -> None:
    async with open_scripted_peer(fall_silent, port=0) as peer:
        sys.stdout.write(f"{peer.url}\n")
        sys.stdout.flush()
        await trio.sleep_forever()


async def main(tool, url: str, device) -> None:
    logging.basicConfig(level=logging.WARNING)
    try:
        async with open_session(url=url, audio=device, tools=[tool]):
            with trio.open_signal_receiver(signal.SIGUSR1) as signals:
                async for _ in signals:
                    raise RuntimeError("the body's")
    finally:
        if isinstance(device, SoundCard) or not device.is_open:
            sys.stderr.write("the device is closed\n")


if __name__ == "__main__":
    if sys.argv[1] == "peer":
        trio.run(be_the_peer)
    else:
        # nobody drives the fake: it never says that the sound is out, as hardware that hangs
        device = SoundCard() if "card" in sys.argv else FakeDevice()
        trio.run(main, hang if sys.argv[1] == "async" else hang_in_a_thread, sys.argv[2], device)

"""A server that costs next to nothing: it sends frames encoded beforehand on time, and throws away what it gets.

It speaks just enough WebSocket (RFC 6455) and Realtime for a session to open: `session.created`, an answer to
`session.update`, then one response whose audio deltas come every 100 ms until the client leaves. Run it with a number
of seconds; it prints its port. With the path of a file as well, it writes a certificate authority of its own there, and
listens with TLS on a second port. Nothing here is measured: it runs in a process of its own.
"""

import base64
import hashlib
import json
import random
import re
import ssl
import struct
import sys

import trio

PERIOD = 0.1  # seconds between audio deltas
DELTA_PCM = random.Random(3).randbytes(int(PERIOD * 24_000) * 2)
CONVERSATION, RESPONSE, ITEM = "conv_1", "resp_1", "item_1"
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
DETECTION = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
    "create_response": True,
    "interrupt_response": True,
}
SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "gpt-realtime",
    "output_modalities": ["audio"],
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 24000}, "turn_detection": DETECTION},
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
}


def frame(opcode, payload):
    """Encode one unfragmented frame as servers send it: not masked."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


def event(kind, **fields):
    """Encode one event as a frame."""
    return frame(TEXT, json.dumps({"type": kind, "event_id": f"event_{kind}", **fields}).encode())


PLACE = {"response_id": RESPONSE, "item_id": ITEM, "output_index": 0, "content_index": 0}
ANSWER = {"object": "realtime.response", "id": RESPONSE, "status": "in_progress", "output": []}
MESSAGE = {"id": ITEM, "object": "realtime.item", "type": "message", "role": "assistant", "status": "in_progress"}
CREATED = event("session.created", session=SESSION)
BEGIN = b"".join(
    [
        event("response.created", response=ANSWER | {"conversation_id": CONVERSATION}),
        event("response.output_item.added", response_id=RESPONSE, output_index=0, item=MESSAGE | {"content": []}),
        event("conversation.item.added", previous_item_id=None, item=MESSAGE | {"content": []}),
        event("response.content_part.added", **PLACE, part={"type": "audio", "transcript": ""}),
    ]
)
DELTA = event("response.output_audio.delta", **PLACE, delta=base64.b64encode(DELTA_PCM).decode())


async def take(stream, buffer, size):
    """Take so many bytes from the stream."""
    while len(buffer) < size:
        data = await stream.receive_some(65_536)
        if not data:
            raise EOFError
        buffer += data
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


async def answer_handshake(stream, buffer):
    """Accept whatever asks for a WebSocket."""
    while b"\r\n\r\n" not in buffer:
        more = await stream.receive_some(65_536)
        if not more:
            raise EOFError("it hung up in the middle of the handshake")
        buffer += more
    request, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    buffer[:] = rest
    key = re.search(rb"(?i)sec-websocket-key:\s*(\S+)", request)[1]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324 - RFC
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


async def take_frame(stream, buffer):
    """Take one frame; only short ones are unmasked, since long ones are audio that nobody looks at."""
    first, second = await take(stream, buffer, 2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", await take(stream, buffer, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", await take(stream, buffer, 8))
    mask = await take(stream, buffer, 4)
    payload = await take(stream, buffer, size)
    if size < 1_200:
        payload = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
    return first & 0x0F, payload


async def serve(stream):
    """Serve one client until it leaves."""
    buffer = bytearray()
    sending = trio.Lock()

    async def send(data):
        async with sending:
            await stream.send_all(data)

    async def pace():
        due = trio.current_time() + PERIOD
        await send(BEGIN)
        while True:
            await trio.sleep_until(due)
            await send(DELTA)
            due += PERIOD

    try:
        await answer_handshake(stream, buffer)
        await send(CREATED)
        async with trio.open_nursery() as nursery:
            talking = False
            while (frame_in := await take_frame(stream, buffer))[0] != CLOSE:
                opcode, payload = frame_in
                if opcode == PING:
                    await send(frame(PONG, payload))
                elif b'"session.update"' in payload:
                    await send(event("session.updated", session=SESSION))
                elif opcode == TEXT and not talking:  # the first block of audio
                    talking = True
                    nursery.start_soon(pace)
            nursery.cancel_scope.cancel()
        await stream.send_all(frame(CLOSE, b"\x03\xe8"))
    except* (EOFError, trio.BrokenResourceError):
        pass


def certified(path):
    """Make a TLS context for this machine, and leave the authority that vouches for it in a file."""
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(path)
    return context


async def main(seconds, authority=None):
    """Serve for so many seconds at most."""
    with trio.move_on_after(float(seconds)):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        if authority is not None:
            (plain,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
            listeners.append(trio.SSLListener(plain, certified(authority), https_compatible=True))
        sockets = [
            one.transport_listener.socket if isinstance(one, trio.SSLListener) else one.socket for one in listeners
        ]
        print(*(socket.getsockname()[1] for socket in sockets), flush=True)
        await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])

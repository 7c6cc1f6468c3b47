"""Typed lines are read whole, from whatever the standard input is, without a terminal's mode being touched."""

import os

import trio

from realtime_trio.demo.typed import read_lines


async def lines_of(stdin: int) -> list[str]:
    send, receive = trio.open_memory_channel[str](0)
    lines: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, send, stdin)
        lines += [line async for line in receive]
    return lines


async def test_lines_from_a_pipe_come_whole_and_the_last_needs_no_end():
    reading, writing = os.pipe()
    try:
        os.write(writing, b"what time is it\n\ncount to tw")
        os.write(writing, "enty\r\nvielen Dank für".encode())
        os.close(writing)

        assert await lines_of(reading) == ["what time is it", "", "count to twenty", "vielen Dank für"]
    finally:
        os.close(reading)


async def test_lines_from_a_file(tmp_path):
    """A file cannot be waited for as a pipe can; it is read all the same."""
    path = tmp_path / "lines.txt"
    path.write_text("hello\nworld\n", encoding="utf-8")

    with path.open("rb") as file:
        assert await lines_of(file.fileno()) == ["hello", "world"]


async def test_waiting_for_a_line_can_be_cancelled():
    """Nobody typing must not keep the program from ending."""
    reading, writing = os.pipe()
    send, receive = trio.open_memory_channel[str](0)
    try:
        with trio.move_on_after(0.05) as scope:
            await read_lines(send, reading)

        assert scope.cancelled_caught
        assert [line async for line in receive] == []
    finally:
        os.close(reading)
        os.close(writing)

"""From the microphone to the wire, and back: echo control, gate, formats, and hardware that comes and goes."""

import base64
import logging
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager

import attrs
import pytest
import trio

from realtime_trio import AudioError, ConfigurationError, events, open_session
from realtime_trio.device import AudioBlock, CleanBlock, EchoState, Position
from realtime_trio.session import DeviceChanged, EchoNotCancelled
from realtime_trio.testing import FakeDevice


@attrs.define(eq=False)
class Control:
    """An echo control that does what a test says, and remembers what it was given."""

    half_duplex: bool = False
    level_dbfs: float = -60.0
    playing: bool = False
    cleaned: Callable[[bytes], bytes] = bytes  # what it makes of the microphone's sound
    captured: bytearray = attrs.field(factory=bytearray)
    played: bytearray = attrs.field(factory=bytearray)
    resets: int = 0

    def process(self, captured: bytes, played: bytes) -> CleanBlock:
        self.captured += captured
        self.played += played
        return CleanBlock(self.cleaned(captured), self.level_dbfs, self.playing or any(played))

    def reset(self) -> None:
        self.resets += 1

    def state(self) -> EchoState:
        return EchoState("scripted", return_loss_db=30.0)


def appended(talk) -> bytes:
    """All sound that was sent so far."""
    return b"".join(
        base64.b64decode(event["audio"]) for event in talk.peer.received if event["type"] == "input_audio_buffer.append"
    )


@pytest.fixture
def open_echoing(open_voice):
    """A session whose microphone may hear its speaker."""

    def open_echoing(**options):
        return open_voice(device=FakeDevice(output_latency_ms=30, echoes=True), drain=False, **options)

    return open_echoing


async def test_the_reference_is_always_given_silence_too(autojump_clock, open_echoing, tone):
    """Every block, in pairs: a canceller that misses some loses its place."""
    control = Control()
    async with open_echoing(echo=control) as talk:
        await trio.sleep(0.5)
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(500))
        await trio.sleep(1)
        assert len(control.played) == len(control.captured)
        assert len(appended(talk)) / 48 == pytest.approx(1500 + 300, abs=25)  # what was held back went first
        assert control.played == talk.device.played[: len(control.played)]
        assert talk.session.sound().echo == EchoState("scripted", return_loss_db=30.0)
        talk.session.interrupt()
        await trio.sleep(0.5)
        assert control.resets == 0  # what was learnt about the room holds


async def test_what_is_sent_is_without_echo(autojump_clock, open_echoing, tone):
    """Not what was captured: neither at once nor, held back by the gate, later."""
    control = Control(cleaned=lambda pcm: (7).to_bytes(2, "little") * (len(pcm) // 2))
    async with open_echoing(echo=control, turn_detection="server_vad") as talk:
        talk.device.speak(base64.b64decode(tone(3000, 700)))
        await trio.sleep(0.5)
        control.playing = True
        await trio.sleep(1)
        control.playing = False
        await trio.sleep(0.5)
        assert any(control.captured)
        samples = memoryview(appended(talk)).cast("h").tolist()
        assert set(samples) == {7, 0}  # nothing of the 700
        assert samples.count(7) / 24 == pytest.approx(500 + 300 + 500, abs=40)


async def test_while_it_plays_only_a_loud_voice_passes(autojump_clock, open_echoing, tone):
    """What is not let through is silence at the same pace; when the voice is known, its beginning comes too."""
    control = Control()
    async with open_echoing(echo=control, turn_detection="server_vad") as talk:
        control.playing = True
        talk.device.speak(base64.b64decode(tone(5000, 700)))
        await trio.sleep(1)
        assert not any(appended(talk))
        assert not talk.session.sound().gate_open
        control.level_dbfs = -20.0  # the user speaks up
        await trio.sleep(1)
        sent = appended(talk)
        loud_ms = sent.count((700).to_bytes(2, "little")) / 24
        assert talk.session.sound().gate_open
        assert 1000 - 20 <= loud_ms <= 1300  # all of it: being sure takes less than the 300 ms that are kept
        control.level_dbfs, control.playing = -60.0, False
        await trio.sleep(2)
        assert len(appended(talk)) / 48 == pytest.approx(4000 + 300, abs=40)


async def test_half_duplex_closes_the_microphone_and_keeps_nothing(autojump_clock, open_echoing, tone):
    """The speaker's sound is never sent, not even as what came just before."""
    control = Control(half_duplex=True, level_dbfs=-10)
    async with open_echoing(echo=control, turn_detection="server_vad") as talk:
        talk.device.speak(base64.b64decode(tone(3000, 700)))
        control.playing = True
        await trio.sleep(1)
        assert not any(appended(talk))
        control.playing = False
        await trio.sleep(1)
        assert appended(talk).count((700).to_bytes(2, "little")) / 24 == pytest.approx(1000, abs=40)


async def test_without_a_canceller_it_says_so(autojump_clock, open_echoing, monkeypatch, caplog):
    """In a notice and in the log: nobody is to wonder why they cannot interrupt."""
    for name in ("pywebrtc_audio", "livekit"):
        monkeypatch.setitem(sys.modules, name, None)
    with caplog.at_level(logging.WARNING, "realtime_trio.session"):
        async with open_echoing() as talk:
            notice = await talk.session.events(EchoNotCancelled).receive()
            assert "pip install" in notice.words
            assert talk.session.sound().echo is not None
    assert "pip install" in caplog.text


async def test_a_canceller_that_fails_in_mid_session_is_announced(autojump_clock, open_echoing, monkeypatch):
    """From then on the microphone is closed while something plays; the user is told why."""
    control = Control()
    monkeypatch.setattr("realtime_trio.audio.echo.make_echo", lambda _: control)
    async with open_echoing() as talk:
        notices = talk.session.events(EchoNotCancelled)
        await trio.sleep(1)
        control.half_duplex = True
        assert "nobody can interrupt by speaking" in (await notices.receive()).words
        with trio.move_on_after(1) as nothing_more:
            await notices.receive()
        assert nothing_more.cancelled_caught


@pytest.mark.parametrize("echo", ["off", "half_duplex"])
async def test_what_was_asked_for_is_not_announced(autojump_clock, open_echoing, caplog, echo):
    with caplog.at_level(logging.WARNING, "realtime_trio.session"):
        async with open_echoing(echo=echo) as talk:
            await trio.sleep(0.5)
            state = talk.session.sound().echo
            assert (None if state is None else state.backend) == {"off": None, "half_duplex": "half duplex"}[echo]
    assert caplog.text == ""


async def test_a_device_that_hears_nothing_of_itself_is_left_alone(autojump_clock, open_voice, tone):
    """A file or a telephone has no echo: nothing is made, nothing gated. Who asked for it is told."""
    control = Control(half_duplex=True, playing=True)
    async with open_voice(echo=control, turn_detection="server_vad", drain=False) as talk:
        assert "played" in (await talk.session.events(EchoNotCancelled).receive()).words
        talk.device.speak(base64.b64decode(tone(500, 700)))
        await trio.sleep(1)
        assert appended(talk).count((700).to_bytes(2, "little")) / 24 == 500
        assert control.captured == b""


async def test_when_speech_ended_is_known_also_after_sound_was_dropped(autojump_clock, open_voice, tone):
    """A slow uplink loses sound that waits to be sent: the server's milliseconds then count without it."""
    async with open_voice(turn_detection="server_vad", drain=False) as talk:
        responses = talk.session.responses()
        await trio.sleep(1)
        talk.peer.stall()
        await trio.sleep(3)
        said = talk.device.speak(base64.b64decode(tone(200, 700)))  # it waits behind what is dropped
        spoken_until = await said.captured()
        await trio.sleep(1)
        talk.peer.resume()
        await trio.sleep(1)
        assert talk.session.statistics().input.dropped_ms > 1000
        end = appended(talk).rindex((700).to_bytes(2, "little")) / 48  # on the server's timeline
        await talk.peer.send("input_audio_buffer.speech_stopped", audio_end_ms=round(end) + 500, item_id="item_u")
        await talk.created(None, "resp_1")
        assert (await responses.receive()).speech_ended_at == pytest.approx(spoken_until, abs=0.002)


async def test_hardware_that_goes_and_comes_back(autojump_clock, open_echoing, tone):
    """The session is told, lives on, frees the floor, and begins with a fresh echo control."""
    control = Control()
    async with open_echoing(echo=control, turn_detection="server_vad") as talk, trio.open_nursery() as nursery:
        changes = talk.session.events(DeviceChanged)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        nursery.start_soon(talk.session.send_text, "Hello?")
        await talk.acknowledge()
        await talk.peer.expect_nothing(2)  # the user has the floor
        talk.device.change(False, "unplugged")
        await talk.created(await talk.peer.expect("response.create"), "resp_1")
        await talk.done("resp_1")
        assert await changes.receive() == DeviceChanged(available=False, words="unplugged")
        assert control.resets == 0
        talk.device.change(True, "back")
        assert await changes.receive() == DeviceChanged(available=True, words="back")
        assert control.resets == 1


async def test_a_normal_end_does_not_wait_for_hardware_that_is_gone(autojump_clock, open_talk, tone):
    """What was generated cannot be heard: the block ends all the same, soon."""
    device = FakeDevice()  # it never plays: nobody runs it
    async with open_talk(audio=device) as talk:
        talk.peer.ignored.add("input_audio_buffer.append")
        await talk.created(None, "resp_1")
        await talk.audio("resp_1", tone(1000))
        await talk.audio_done("resp_1")
        await talk.done("resp_1")
        device.change(False, "unplugged")
        device.step()
        await trio.sleep(0.1)
        left = trio.current_time()
    assert trio.current_time() - left == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
async def test_a_device_in_a_session_that_speaks_g711(autojump_clock, open_voice, kind, tone):
    """What is said arrives as bytes of 8 kHz; what comes is heard, and cut, to the millisecond."""
    silent = {"audio/pcmu": b"\xff", "audio/pcma": b"\xd5"}[kind]
    form = {"format": {"type": kind}}
    options = {"config": {"audio": {"input": form, "output": form}}, "turn_detection": "server_vad", "drain": False}
    async with open_voice(**options) as talk:
        talk.device.speak(base64.b64decode(tone(500, 8000)))
        await trio.sleep(1.5)
        sent = appended(talk)
        assert len(sent) / 8 == pytest.approx(1500, abs=60)
        assert len(sent) - sent.count(silent) == pytest.approx(4000, abs=500)

        await talk.created(None, "resp_1")
        loud = base64.b64encode(bytes([0x30]) * 8 * 3000).decode()
        await talk.audio("resp_1", loud)
        await trio.sleep(1.01)
        await talk.peer.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="item_u")
        truncate = await talk.peer.expect("conversation.item.truncate", item_id="item_a")
        await trio.sleep(0.5)
        heard = [sample for sample in memoryview(bytes(talk.device.played)).cast("h") if abs(sample) > 2]
        assert truncate["audio_end_ms"] == pytest.approx(len(heard) / 24, abs=3)

        responses = talk.session.responses()
        await talk.created(None, "resp_2")
        await talk.audio("resp_2", loud, "item_b")
        await talk.audio_done("resp_2", "item_b")
        await talk.done("resp_2")
        response = await responses.receive()
        await response.heard()
        assert sum(len(piece) for piece in response.audio_chunks.entries) == 24_000  # as the wire has it


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
@pytest.mark.parametrize("status", ["completed", "failed"])
async def test_no_sample_of_an_answer_in_g711_is_lost(autojump_clock, open_voice, kind, status):
    """What the resampler holds back is played too: at the end of a part, and of a response that fails in its middle."""
    form = {"format": {"type": kind}}
    async with open_voice(config={"audio": {"output": form}}, drain=False) as talk:
        responses = talk.session.responses()
        await talk.created(None, "resp_1")
        for item_id in ("item_a", "item_b"):
            await talk.audio("resp_1", base64.b64encode(bytes([0x30]) * 4001).decode(), item_id)
            if status == "completed":
                await talk.audio_done("resp_1", item_id)
        await talk.done("resp_1", status=status)
        response = await responses.receive()
        await response.heard()
        await talk.session.drained()
        assert len(talk.device.written) == 2 * 2 * 4001 * 3  # two parts; two bytes a sample, three samples a byte


async def test_manual_turns_in_g711_end_with_all_that_was_said(autojump_clock, open_voice, tone):
    """No end of a word stays in the resampler: the commit comes after the last byte."""
    form = {"format": {"type": "audio/pcmu"}}
    async with open_voice(config={"audio": {"input": form}}, turn_detection=None, drain=False) as talk:
        await trio.sleep(0.51)  # between two blocks
        talk.session.press()
        await talk.peer.expect("input_audio_buffer.clear")
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk.session.release)
            await talk.peer.expect("input_audio_buffer.commit")
            sent = appended(talk)
            assert talk.peer.received[-1]["type"] == "input_audio_buffer.commit"
            # 300 ms of pre-roll, and 51 blocks: the key went down and up in the middle of one
            assert len(sent) == 8 * (300 + 51 * 20)
            await talk.peer.send("input_audio_buffer.committed", item_id="item_u", previous_item_id=None)
            await talk.created(await talk.peer.expect("response.create"), "resp_1")
            await talk.done("resp_1")


async def test_turning_turn_detection_off_and_on(autojump_clock, open_voice, tone):
    """What is sent follows the configuration in effect."""
    async with open_voice(turn_detection="server_vad", drain=False) as talk:
        await trio.sleep(0.5)
        await talk.session.update(turn_detection=None)
        before = len(appended(talk))
        await trio.sleep(1)
        assert len(appended(talk)) - before <= 960
        await talk.session.update(turn_detection=events.ServerVad())
        await trio.sleep(1)
        assert (len(appended(talk)) - before) / 48 == pytest.approx(1000, abs=40)


@pytest.mark.parametrize("captured", [b"123", "text", None])
async def test_a_device_that_gives_no_samples_is_named(autojump_clock, open_talk, captured):
    """The server would take it for noise, without a word."""

    class Odd(FakeDevice):
        async def receive_block(self):
            return AudioBlock(captured or bytearray(4), 0.0, Position(0, 0, 0.0))

        @asynccontextmanager
        async def open(self):
            yield self

    with pytest.raises(AudioError, match=r"AudioBlock\.captured|half a sample"):
        async with open_talk(audio=Odd(), drain=False):
            await trio.sleep(1)


async def test_a_class_is_no_device(open_talk):
    with pytest.raises(ConfigurationError, match=r"FakeDevice\(\)"):
        async with open_session(audio=FakeDevice):
            pass


async def test_what_goes_wrong_in_closing_a_device_is_raised(autojump_clock, open_talk):
    """A recording that could not be finished is not lost in silence; another exception keeps its place."""

    class Unclosable(FakeDevice):
        @asynccontextmanager
        async def open(self):
            try:
                async with FakeDevice().open() as stream:
                    yield stream
            finally:
                raise OSError("the recording could not be finished")

    with pytest.raises(OSError, match="recording"):
        async with open_talk(audio=Unclosable(), drain=False):
            await trio.sleep(1)
    with pytest.raises(KeyError) as caught:
        async with open_talk(audio=Unclosable(), drain=False):
            raise KeyError("mine")
    assert any("recording" in note for note in caught.value.__notes__)

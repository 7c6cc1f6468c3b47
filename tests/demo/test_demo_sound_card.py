"""The talk with microphone and speaker, in memory: what is seen of it, what the keys do, and what is recorded."""

import re
import wave
from contextlib import asynccontextmanager, contextmanager
from itertools import groupby

import attrs
import numpy as np
import pytest
import trio

from realtime_trio.audio import ClockedDevice, DeviceStatistics
from realtime_trio.demo import display as display_module
from realtime_trio.demo import sound_card as sound_card_module
from realtime_trio.demo import stage as stage_module
from realtime_trio.demo.arguments import Options
from realtime_trio.demo.recording import LateRecorder
from realtime_trio.demo.sound_card import SoundCardTalk
from realtime_trio.demo.stage import Stage, Terminal
from realtime_trio.demo.summary import sound_rows, transcript
from realtime_trio.device import AudioBlock, DeviceChange, EchoState
from realtime_trio.errors import ConfigurationError
from realtime_trio.opening import open_session
from realtime_trio.server import Speech, SpokenWord, Transcript, open_server
from realtime_trio.testing import Cut, open_faulty_proxy

WORD = 7_200  # samples: 300 ms
RATE = 24_000


class ToneVoice:
    """Speaks without a silent sample, a word every 300 ms."""

    async def speak(self, text, *, voice, speed=1.0):
        await trio.lowlevel.checkpoint()
        words = text.split()
        tone = np.where(np.arange(WORD * len(words)) // 40 % 2, 4000, -4000).astype("<i2")
        return Speech(tone.tobytes(), tuple(SpokenWord(f"{word} ", index * WORD) for index, word in enumerate(words)))


class Hears:
    """A recogniser that knows beforehand what will be said: one thing after the other, the last again and again."""

    def __init__(self, *texts):
        self._texts = list(texts)

    async def recognise(self, pcm):
        await trio.lowlevel.checkpoint()
        return Transcript(self._texts.pop(0) if len(self._texts) > 1 else self._texts[0])


def syllables(seconds):
    """Make something that turn detection takes for a voice: loud, with short pauses."""
    at = np.arange(round(seconds * RATE))
    loud = np.sin(2 * np.pi * 180 * at / RATE) * (at % 6_000 < 4_500)
    return np.rint(3000 * loud).astype("<i2").tobytes()


class LosableDevice(ClockedDevice):
    """A device that says, when told to, that its hardware went away, or came back."""

    def __init__(self, **options):
        super().__init__(**options)
        self.changes = []

    @asynccontextmanager
    async def _opened(self):
        async with super()._opened() as stream:
            receive = stream.receive_block

            async def receive_block() -> AudioBlock:
                block = await receive()
                return attrs.evolve(block, change=self.changes.pop(0)) if self.changes else block

            stream.receive_block = receive_block
            yield stream


class Seat:
    """One user before the demo."""

    def __init__(self, talk, device, shown, press):
        self.talk = talk
        self.device = device
        self.press = press
        self.views = []
        self._shown = shown

    @property
    def text(self):
        return "".join(self._shown)

    @property
    def record(self):
        return self.talk.stage.record

    @property
    def phases(self):
        return [phase for phase, _ in groupby(view.phase for view in self.views)]

    async def say(self, seconds=1.0):
        await self.device.speak(syllables(seconds)).captured()

    async def until(self, what, limit=20):
        with trio.fail_after(limit):
            while not what():  # noqa: ASYNC110 - what is waited for is told by nobody
                await trio.sleep(0.02)

    async def until_seen(self, **attributes):
        await self.until(
            lambda: self.views and all(getattr(self.views[-1], name) == value for name, value in attributes.items())
        )


@pytest.fixture
def seats(monkeypatch, tmp_path):
    """Open a talk whose server, clock, keys and screen are in memory."""

    @asynccontextmanager
    async def open_seat(*, says=("count to twenty",), keyboard=True, full_screen=True, **options):
        shown, proxies = [], {}
        press, keys = trio.open_memory_channel(10)

        @asynccontextmanager
        async def server(*, recogniser):
            assert recogniser is None
            async with (
                open_server(listen=False, recogniser=Hears(*says), voice=ToneVoice()) as opened,
                open_faulty_proxy(opened) as proxies["newest"],
            ):
                monkeypatch.setattr(stage_module, "open_session", lambda *, url, **rest: open_session(
                    connect=proxies["newest"].connect, **rest
                ))  # fmt: skip
                yield opened

        @asynccontextmanager
        async def screen(look, *, stdout):
            async def draw():
                while True:
                    seat.views.append(look())
                    await trio.sleep(1 / 15)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(draw)
                yield
                nursery.cancel_scope.cancel()

        @contextmanager
        def opened_keys(stdin):
            yield keys

        monkeypatch.setattr(stage_module, "open_server", server)
        monkeypatch.setattr(display_module, "open_display", screen)
        monkeypatch.setattr(sound_card_module, "open_keys", opened_keys)
        device = LosableDevice(output_latency_ms=40)
        with LateRecorder(tmp_path / "talk.wav") as recorder:
            stage = Stage(
                options=Options(record=tmp_path / "talk.wav", echo="off", **options),
                terminal=Terminal(write=shown.append, keyboard=keyboard, full_screen=full_screen),
                recorder=recorder,
                live=None,
            )
            seat = Seat(SoundCardTalk(stage, device, "USB Audio (ALSA)"), device, shown, press.send_nowait)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(seat.talk.run)
                await seat.until(lambda: stage.began)
                seat.network = proxies["newest"]
                yield seat
                press.close()  # as when the window is closed: then, too, it ends

    return open_seat


def channels(path):
    with wave.open(str(path)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    return sound[:, 0].astype(int), sound[:, 1].astype(int)


async def test_a_turn_is_seen_from_listening_to_the_answer(seats, autojump_clock):
    async with seats(says=("what is two plus two",)) as seat:
        await seat.until_seen(phase="listening")
        await seat.say()
        await seat.until_seen(phase="speaking")
        await seat.until_seen(phase="listening", assistant_speaks=False)
        seat.press("quit")

    assert seat.phases[:4] == ["listening", "thinking", "speaking", "listening"]
    assert any(view.user_speaks for view in seat.views)
    assert max(view.microphone_dbfs for view in seat.views) == pytest.approx(-24, abs=4)
    last = seat.views[-1]
    assert [(entry.who, entry.words.strip()) for entry in last.entries] == [
        ("user", "what is two plus two"),
        ("assistant", "2 plus 2 is 4."),
    ]
    assert last.server == "offline stand-in (rules, not the real model)"
    assert "count to twenty" in last.hints
    assert "sound      USB Audio (ALSA)" in seat.text


async def test_words_are_lit_as_they_are_heard(seats, autojump_clock):
    """A word takes 300 ms here, so it is known which was heard when."""
    async with seats() as seat:
        await seat.say()
        await seat.until_seen(phase="speaking")
        counts = []
        for _ in range(3):
            await trio.sleep(1.5)
            entry = seat.views[-1].entries[-1]
            counts.append(len(entry.words[: entry.heard].split()))
        seat.press("quit")

    assert counts == pytest.approx([5, 10, 15], abs=2)


async def test_the_key_for_interrupting_stops_the_answer_and_marks_the_place(seats, autojump_clock):
    async with seats() as seat:
        await seat.say()
        await seat.until_seen(phase="speaking")
        await trio.sleep(2.0)
        seat.press("interrupt")
        await seat.until_seen(phase="interrupted")
        await trio.sleep(3.0)
        entries = seat.views[-1].entries
        seat.press("quit")

    answer = next(entry for entry in entries if entry.who == "assistant")
    assert answer.cut
    heard = answer.words[: answer.heard].split()
    assert len(heard) == pytest.approx(7, abs=1)
    assert heard[:2] == ["One,", "two,"]
    assert entries[-1].words.startswith("a key was pressed; heard 2.")
    (line,) = [line for line in transcript(entries) if "assistant" in line]
    assert f"{heard[-1]} // " in line
    (interruption,) = seat.record.interruptions
    assert [interruption.cut_ms] == list(seat.record.told_ms.values()), "the server was told the same"


async def test_quitting_stops_what_is_being_said_and_tells_how_far_it_came(seats, autojump_clock):
    async with seats() as seat:
        await seat.say()
        await seat.until_seen(phase="speaking")
        await trio.sleep(1.0)
        seat.press("quit")
        began = trio.current_time()

    assert trio.current_time() - began < 2
    assert len(seat.record.interruptions) == 1
    assert seat.talk.stage.lines.entries()[-2].cut


async def test_a_doubtful_interruption_is_seen_as_one(seats, autojump_clock):
    """The assistant pauses, takes it for no interruption, and goes on."""
    async with seats(says=("count to twenty", "uh-huh"), interruption="confirm") as seat:
        await seat.say()
        await seat.until_seen(phase="speaking")
        await trio.sleep(1.0)
        await seat.say(0.3)
        await seat.until_seen(phase="speaking", user_speaks=False)
        await trio.sleep(1.0)
        phases = seat.phases
        entries = seat.views[-1].entries
        seat.press("quit")

    assert phases[-3:] == ["speaking", "paused", "speaking"]
    assert entries[-1].who == "resumed"
    assert not any(entry.cut for entry in entries)


async def test_who_is_muted_is_neither_heard_nor_recorded(seats, autojump_clock, tmp_path):
    async with seats() as seat:
        seat.press("mute")
        await seat.until_seen(phase="muted", microphone="muted")
        await seat.say()
        await trio.sleep(2)
        assert seat.views[-1].microphone_dbfs == -np.inf
        seat.press("mute")
        await seat.until_seen(microphone="open")
        seat.press("quit")

    assert seat.record.turns == []
    user, _ = channels(tmp_path / "talk.wav")
    assert not user.any()


async def test_both_sides_are_recorded(seats, autojump_clock, tmp_path):
    async with seats(says=("what is two plus two",)) as seat:
        await seat.say()
        await seat.until_seen(phase="speaking")
        await seat.until_seen(phase="listening")
        seat.press("quit")

    user, _ = channels(tmp_path / "talk.wav")
    assert np.count_nonzero(user) > 0.5 * RATE


async def test_space_begins_and_ends_a_turn(seats, autojump_clock):
    async with seats(says=("what is two plus two",), push_to_talk=True) as seat:
        await seat.until_seen(phase="ready", microphone="closed", push_to_talk=True)
        await seat.say()  # to nobody
        seat.press("talk")
        await seat.until_seen(user_speaks=True, microphone="open")
        await seat.say()
        seat.press("talk")
        await seat.until_seen(phase="speaking")
        await seat.until_seen(phase="ready")
        seat.press("quit")

    (turn,) = seat.record.turns
    assert turn.said == "what is two plus two"
    assert turn.latency is not None


async def test_a_tap_on_the_space_bar_is_explained(seats, autojump_clock):
    async with seats(push_to_talk=True) as seat:
        seat.press("talk")
        seat.press("talk")
        await seat.until(lambda: seat.views and seat.views[-1].entries)
        (entry,) = seat.views[-1].entries
        seat.press("quit")

    assert entry.words.startswith("too short: ")
    assert seat.record.turns == seat.record.problems == []


async def test_space_means_nothing_where_turn_detection_listens(seats, autojump_clock):
    async with seats() as seat:
        seat.press("talk")
        await trio.sleep(0.5)
        seat.press("quit")

    assert seat.record.problems == []


async def test_push_to_talk_without_keys_is_refused(seats, autojump_clock):
    with pytest.raises(ConfigurationError, match="needs the keys of a terminal"):
        async with seats(push_to_talk=True, keyboard=False, full_screen=False):
            pass


async def test_a_lost_device_is_seen_with_its_cure_and_is_no_failure(seats, autojump_clock):
    async with seats() as seat:
        seat.device.changes.append(DeviceChange(False, "the device 'USB Audio' is gone: plug it in again"))
        await seat.until_seen(phase="device lost", microphone="lost")
        notice = seat.views[-1].notice
        seat.device.changes.append(DeviceChange(True, "the device 'USB Audio' is there again"))
        await seat.until_seen(phase="listening", microphone="open", notice="")
        seat.press("quit")

    assert notice == "the device 'USB Audio' is gone: plug it in again"
    assert seat.record.losses == 1
    assert seat.record.problems == []
    assert [entry.who for entry in seat.views[-1].entries] == ["device", "device"]


async def test_a_lost_connection_is_seen_until_there_is_another(seats, autojump_clock):
    async with seats() as seat:
        await seat.say()
        await seat.until_seen(phase="speaking")
        seat.network.plan({2: Cut(), 3: Cut()})  # two attempts are in vain
        seat.network.strike(Cut())
        await seat.until_seen(phase="disconnected")
        await seat.until_seen(phase="listening")
        seat.press("quit")

    lost, back = [entry.words for entry in seat.views[-1].entries if entry.who == "link"]
    assert lost == "connection lost, trying again..."
    assert re.fullmatch(r"back after \d\.\d s: 2 items restored, what was being said ends there", back)
    assert len(seat.record.gaps_ms) == 1
    assert seat.record.problems == []


async def test_without_a_screen_a_lost_connection_is_two_lines(seats, autojump_clock):
    async with seats(full_screen=False) as seat:
        await seat.say()
        await seat.until(lambda: "assistant" in seat.text)
        seat.network.strike(Cut())
        await seat.until(lambda: "back after" in seat.text)
        seat.press("quit")

    lost, back = re.findall(r"^ *\d+\.\d s  link +(.*)$", seat.text, re.MULTILINE)
    assert lost == "connection lost, trying again..."
    assert re.fullmatch(r"back after \d\.\d s: 2 items restored, what was being said ends there", back)


async def test_without_a_screen_it_is_lines(seats, autojump_clock):
    async with seats(says=("what is two plus two",), full_screen=False) as seat:
        await seat.say()
        await seat.until(lambda: "2 plus 2 is 4." in seat.text)
        seat.press("mute")
        await seat.until(lambda: "muted" in seat.text)
        seat.press("mute")
        await seat.until(lambda: "microphone open" in seat.text)
        seat.press("quit")

    assert "Keys: m mutes, i interrupts, q quits." in seat.text
    assert "user        what is two plus two\n" in seat.text


async def test_the_window_may_simply_be_closed(seats, autojump_clock):
    async with seats() as seat:
        await seat.until_seen(phase="listening")

    assert seat.record.problems == []


def test_the_sound_is_summed_up():
    rows = dict(sound_rows(DeviceStatistics(100, 2, 3, 4), EchoState("livekit", 30.2, True, 64)))

    assert rows["sound"] == "100 blocks: 2 times too late for the speaker, 3 blocks missed, 4 without the device"
    assert rows["echo"] == "30 dB taken out, 64 ms away; livekit"
    assert list(rows) == ["sound", "echo"]


def test_what_is_unusual_about_the_sound_card_is_told():
    statistics = DeviceStatistics(
        100, 0, 0, corrections=1, realignments=2, failures=3, streams="separate", rates=(44_100, 48_000)
    )

    assert dict(sound_rows(statistics, None))[""] == (
        "microphone and speaker are two streams; converted from 44100 Hz and to 48000 Hz; "
        "their clocks differ, corrected once; aligned anew 2 times; "
        "failed 3 times in the library: please report this"
    )
    usual = DeviceStatistics(100, 0, 0, streams="duplex", rates=(24_000, 24_000))
    assert "" not in dict(sound_rows(usual, None))

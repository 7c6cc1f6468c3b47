"""The page of a recording: what a person can see, click and hear on it, in a real browser."""

import re

import numpy as np
import pytest
import trio

from realtime_trio import open_server, open_session
from realtime_trio.recording import read_recording
from realtime_trio.replay import tell
from realtime_trio.replay.__main__ import main
from realtime_trio.replay.page import render
from realtime_trio.replay.tracks import Window, make_tracks

from .chromium import needs_chromium, run_in_page
from .talks import talk, voice


@pytest.fixture
async def page(folder, autojump_clock):
    await talk(folder)
    return "".join(render(read_recording(folder)))


async def test_the_page_loads_nothing(page):
    """No address in it but in what was said, and a policy that forbids to load any."""
    without_data = re.sub(r'<script type="(application/json|text/plain)".*?</script>', "", page, flags=re.DOTALL)

    assert "default-src 'none'" in without_data
    assert not re.search(r"https?://|\bsrc\s*=|\bhref\s*=|url\(|@import|\bfetch\(|XMLHttpRequest", without_data)


async def test_the_tracks_are_what_was_said_and_heard(page, folder):
    session = read_recording(folder)
    story = tell(session)
    tracks = make_tracks(session, story, Window(0, story.length))

    assert tracks.heard
    spoken = np.flatnonzero(tracks.user) / 24_000
    assert spoken.size == pytest.approx(3 * 24_000, rel=0.01)
    users = [turn for turn in story.turns if turn.who == "user"]
    assert spoken[0] == pytest.approx(users[0].at, abs=0.4)
    for part in story.parts:
        first, last = round(part.played[0].begins * 24_000), round(part.played[-1].until * 24_000)
        assert np.abs(tracks.assistant[first - 24_00 : first - 720]).max(initial=0) == 0
        assert np.abs(tracks.assistant[first:last]).max() > 1000
        assert np.abs(tracks.assistant[last + 720 : last + 2400]).max(initial=0) == 0


@needs_chromium
async def test_the_page_shows_all_of_the_session(page, folder, tmp_path):
    story = tell(read_recording(folder))
    script = """
      result.ready = document.documentElement.dataset.ready;
      result.problem = document.getElementById("problem").hidden;
      result.rows = [...document.querySelectorAll("#moments tr")].map((row) => row.textContent);
      result.summary = document.getElementById("summary").textContent;
      const picture = pen.getImageData(0, 0, view.width, view.height).data, scale = window.devicePixelRatio;
      const seen = (at, lane) => {
        const [top, bottom] = LANES[lane], found = [];
        for (let y = top + 18; y < bottom; y++) {
          const start = 4 * (Math.round(y * scale) * view.width + Math.round(x(at) * scale));
          if (picture[start + 3]) found.push([...picture.slice(start, start + 3)].join());
        }
        return found;
      };
      const byte = (text, n) => parseInt(text.slice(n, n + 2), 16);
      const rgb = (name) => [1, 3, 5].map((n) => byte(colour(name).trim(), n)).join();
      const most = (begins, until, lane, name) => {
        let count = 0;
        for (let n = 0; n < 50; n++) if (seen(begins + (until - begins) * n / 50, lane).includes(rgb(name))) count++;
        return count;
      };
      const cut = data.cuts[0];
      result.heardGreen = most(cut.at - 1.5, cut.at - 0.1, "assistant", "assistant");
      result.heardGrey = most(cut.at - 1.5, cut.at - 0.1, "assistant", "unheard");
      result.unheardGrey = most(cut.at + 0.1, cut.until - 0.1, "assistant", "unheard");
      result.user = most(data.turns[0].at + 0.4, data.turns[0].at + 1, "user", "user");
      result.lengths = [user.samples.length, assistant.samples.length, ...clips.map((clip) => clip.samples.length)];
      const loudness = (samples) => Math.sqrt(samples.reduce((sum, one) => sum + one * one, 0) / samples.length);
      result.loudness = [loudness(user.samples), loudness(assistant.samples)];
    """
    result = run_in_page(page, script, tmp_path)

    assert (result["ready"], result["problem"]) == ("yes", True)
    text = "\n".join(result["rows"])
    for words in ('"count to twenty"', "get_weather", "speech_started, heard:", "ms until it was heard", "cancelled"):
        assert words in text
    assert "1 interruption" in result["summary"]
    assert result["heardGreen"] > 20
    assert result["heardGrey"] == 0
    assert result["unheardGrey"] > 5
    assert result["user"] > 20
    tracks = make_tracks(read_recording(folder), story, Window(0, story.length))
    (cut,) = [part for part in story.parts if part.cut is not None]
    assert result["lengths"] == [len(tracks.user), len(tracks.assistant), cut.samples]
    for heard, track in zip(result["loudness"], (tracks.user, tracks.assistant), strict=True):
        assert heard == pytest.approx(np.sqrt(np.mean((track / 32768) ** 2)), rel=0.02)


@needs_chromium
async def test_a_click_plays_from_there(page, tmp_path):
    script = """
      const at = (seconds) => {
        const box = view.getBoundingClientRect();
        const where = {clientX: box.left + x(seconds), clientY: box.top + 50, pointerId: 1};
        view.setPointerCapture = () => {};
        view.dispatchEvent(new PointerEvent("pointerdown", where));
        view.dispatchEvent(new PointerEvent("pointerup", where));
      };
      at(5);
      result.canvas = [source !== null, position, document.getElementById("play").textContent];
      document.getElementById("play").click();
      result.paused = [source === null, document.getElementById("play").textContent];
      const row = rows.find((one) => one.textContent.includes("count to twenty"));
      row.click();
      result.row = [source !== null, position, Number(row.dataset.at), row.classList.contains("now")];
      document.querySelector("[data-clip]").click();
      result.clip = [source !== null, inClip, startedFrom, data.cuts[0].sample / RATE];
      stop();
      document.getElementById("hear-user").click();
      result.muted = gains.map((gain) => gain.gain.value);
      document.getElementById("closer").click();
      result.closer = span / LENGTH;
      document.getElementById("all").click();
      result.all = [from, span / LENGTH];
      document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true}));
      const before = position;
      document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
      result.moved = position - before;
    """
    result = run_in_page(page, script, tmp_path)

    assert result["canvas"] == [True, pytest.approx(5, abs=0.05), "Pause"]
    assert result["paused"] == [True, "Play"]
    playing, position, at, marked = result["row"]
    assert (playing, position, marked) == (True, at, True)
    playing, in_clip, begins, cut = result["clip"]
    assert (playing, in_clip, begins) == (True, True, pytest.approx(cut))
    assert result["muted"] == [0, 1]
    assert result["closer"] == pytest.approx(0.5)
    assert result["all"] == [0, 1]
    assert result["moved"] == pytest.approx(5)


@needs_chromium
async def test_what_was_said_is_text_and_never_markup(folder, tmp_path, autojump_clock):
    hostile = "</script><script>document.body.dataset.broken = 'yes'</script><img src=x onerror=alert(1)> & <!-- "
    async with (
        open_server(listen=False) as server,
        open_session(connect=server.connect, url=server.url, record=folder) as session,
    ):
        await session.ask(hostile)

    page = "".join(render(read_recording(folder)))
    script = """
      result.broken = document.body.dataset.broken ?? null;
      result.images = document.images.length;
      result.rows = [...document.querySelectorAll("#moments tr")].map((row) => row.textContent).join("\\n");
    """
    result = run_in_page(page, script, tmp_path)

    assert (result["broken"], result["images"]) == (None, 0)
    assert hostile in result["rows"]


async def test_without_a_device_the_sound_of_the_wire_is_shown(folder, autojump_clock):
    async with (
        open_server(listen=False) as server,
        open_session(
            connect=server.connect, url=server.url, record=folder, modality="audio", turn_detection=None
        ) as session,
    ):
        await trio.sleep(1)
        await session.append_audio(voice(500))
        await trio.sleep(1)
        await session.append_audio(voice(500))
        await session.commit_audio()
        await session.ask("Say hello.")

    recording = read_recording(folder)
    tracks = make_tracks(recording, tell(recording), Window(0, tell(recording).length))
    assert not tracks.heard
    spoken = np.flatnonzero(tracks.user) / 24_000
    assert spoken[0] == pytest.approx(0.5, abs=0.1)
    assert spoken[-1] == pytest.approx(2, abs=0.1)
    assert np.abs(tracks.assistant).max() > 1000
    page = "".join(render(recording))
    assert "nobody knows what was heard" in page


async def test_the_command_writes_the_page(page, folder, tmp_path, capsys):
    out = tmp_path / "it.html"

    assert main(["--html", str(out), str(folder)]) == 0
    assert out.read_text(encoding="utf-8") == page
    assert str(out) in capsys.readouterr().out
    assert main(["--html", str(tmp_path / "no" / "it.html"), str(folder)]) == 2


async def test_a_page_shows_one_recording(tmp_path, capsys, autojump_clock):
    await talk(tmp_path / "one")
    await talk(tmp_path / "two")

    assert main(["--html", str(tmp_path / "it.html"), str(tmp_path)]) == 2
    assert "name one of 2" in capsys.readouterr().err


@needs_chromium
async def test_a_stretch_of_a_recording_is_a_page_with_the_recordings_times(folder, tmp_path, autojump_clock):
    await talk(folder)
    session = read_recording(folder)
    story = tell(session)
    counting = next(turn for turn in story.turns if turn.text == "count to twenty")
    begin, end = counting.at - 0.5, counting.at + 1.0

    out = tmp_path / "it.html"
    assert main(["--html", str(out), "--from", str(begin), "--to", str(end), str(folder)]) == 0
    script = """
      result.rows = rows.map((row) => row.textContent);
      result.length = LENGTH;
      rows[0].click();
      result.position = document.getElementById("position").textContent;
      result.turns = data.turns.length;
    """
    result = run_in_page(out.read_text(encoding="utf-8"), script, tmp_path)

    assert [row.startswith(f"{counting.at:.3f}user") for row in result["rows"]] == [True]
    assert result["length"] == pytest.approx(2.0)  # with half a second of room
    assert result["position"].split()[0] == f"{counting.at:.2f}"
    whole, part = (make_tracks(session, story, window) for window in (Window(0, story.length), Window(begin, end)))
    first = round(begin * 24_000)
    for side in ("user", "assistant"):
        samples = getattr(part, side)
        np.testing.assert_array_equal(samples, getattr(whole, side)[first : first + len(samples)])
    assert np.abs(part.user).max() > 1000


async def test_a_page_is_not_made_of_hours_nor_of_nothing(folder, tmp_path, capsys, autojump_clock):
    """A laptop that slept makes a recording of hours with a gap in it: neither takes the memory of hours."""
    await talk(folder)
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    (folder / "events.jsonl").write_text("".join(lines) + '{"at": 90000.0, "kind": "sent", "link": 1, "text": ""}\n')
    out = tmp_path / "it.html"

    assert main(["--html", str(out), str(folder)]) == 2
    assert "25.0 hours are too much for one page" in capsys.readouterr().err
    assert main(["--html", str(out), "--from", "95000", str(folder)]) == 2
    assert "there is nothing from 95000" in capsys.readouterr().err
    assert not out.exists()
    assert main(["--html", str(out), "--from", "89990", str(folder)]) == 0
    assert out.stat().st_size < 2e6
    with pytest.raises(SystemExit):
        main(["--from", "3", str(folder)])
    assert "add --html" in capsys.readouterr().err

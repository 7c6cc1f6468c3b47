"""Where there is no sound, an error says what to do about it, and the program ends cleanly."""

import pytest

from .program import open_talk
from .pulse import environment

pytestmark = pytest.mark.slow


async def refusal(folder, env, **options):
    """Start a talk that cannot begin; give the error and what else was written."""
    async with open_talk(env, folder, answers=["Hello."], **options) as program:
        error = await program.next("error")
        assert await program.finish() == 2
    assert "Traceback" not in program.stderr
    return error["kind"], error["words"]


@pytest.mark.usefixtures("installed")
async def test_without_any_device(tmp_path):
    kind, words = await refusal(tmp_path, environment(tmp_path, server=f"unix:{tmp_path}/nobody"))

    assert kind == "DeviceUnavailable"
    assert "plug one in, or start the sound server" in words


async def test_without_portaudio(tmp_path):
    nothing = environment(tmp_path, server=f"unix:{tmp_path}/nobody")

    kind, words = await refusal(tmp_path, nothing, program="talk_without_portaudio.py")

    assert kind == "DeviceUnavailable"
    assert "libportaudio2" in words


async def test_with_a_name_that_no_device_has(pulse, tmp_path):
    kind, words = await refusal(tmp_path, pulse.environment, card={"output": "gramophone"})

    assert kind == "DeviceUnavailable"
    assert "'gramophone'" in words
    assert "'default, ALSA'" in words, "it says what there is"

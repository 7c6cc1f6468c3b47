"""No credential gets into a recording: the whole folder is searched, for keys and for pieces of them."""

import base64

import pytest
import trio

from realtime_trio import ConnectError, Recording, events, open_session, tool
from realtime_trio.recording import read_recording

KEY = "sk-proj-" + "Qm7vT2xW9aLrB4nZc8Ks"  # invented, like all of them
CLIENT_SECRET = "ek_" + "3kVt9wPq2xLmZr8bYc5d"
PLAIN_KEY = "Zt5GhQ0pWm3"  # of a server that gives keys of any form
MCP_TOKEN = "mcptoken-8Hq2LrVw91"
MCP_HEADER = "headersecret-77aaXyZ"
URL_TOKEN = "urltoken-5512abcd"


def pieces(secret: str, length: int = 8) -> set[str]:
    return {secret[start : start + length] for start in range(len(secret) - length + 1)}


def found(folder, secret: str) -> list[str]:
    """Name the pieces of a secret that any file of a folder holds, as text or as what base64 makes of it."""
    content = b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    assert content
    wanted = pieces(secret) | {base64.b64encode(secret.encode()).decode().rstrip("=")}
    return [piece for piece in wanted if piece.encode() in content]


@tool
async def tell_key() -> str:
    """Tell what must not be told."""
    return f"the key is {KEY}"


async def record_all(open_recorded):
    """A session in which everybody says what they should not."""
    hosted = events.McpTool(
        server_label="docs",
        server_url=f"https://mcp.example/sse?token={URL_TOKEN}",
        authorization=MCP_TOKEN,
        headers={"X-Api-Key": MCP_HEADER},
    )
    async with open_recorded(
        api_key=KEY, headers={"api-key-2": "x"}, tools=[hosted, tell_key], instructions=f"Never say {KEY}."
    ) as (_, answers):
        peer = answers.peer
        await peer.send(
            "error",
            error={"type": "invalid_request_error", "code": "x", "message": f"Incorrect key: {KEY[:12]}***{KEY[-4:]}"},
        )
        await peer.send("error", error={"type": "x", "code": "y", "message": f"Authorization: Bearer {PLAIN_KEY}"})
        await peer.send("client.secret", client_secret={"value": CLIENT_SECRET, "expires_at": 1}, api_key=PLAIN_KEY)
        await peer.send("echo", words=f"I was given {MCP_TOKEN} and {MCP_HEADER}, and {KEY}", **{KEY: "a name"})
        await peer.send_text(f"no JSON: {KEY}")
        await peer.send("text", parts=[{"nested": [f"bearer {PLAIN_KEY}"]}])
        call = {"type": "function_call", "id": "item_c", "call_id": "call_1", "name": "tell_key", "arguments": "{}",
                "status": "completed"}  # fmt: skip
        await answers.created()
        await answers.done("resp_1", call)
        event = await peer.expect("conversation.item.create")
        for kind in ("added", "done"):
            await peer.send(f"conversation.item.{kind}", item=event["item"], previous_item_id=None)
        await trio.sleep(1)
        await peer.send("words", text="The user said hello.")
        await trio.sleep(1)


@pytest.mark.parametrize("secret", [KEY, CLIENT_SECRET, PLAIN_KEY, MCP_TOKEN, MCP_HEADER, URL_TOKEN])
async def test_no_piece_of_a_credential_is_recorded(secret, open_recorded, folder, autojump_clock):
    await record_all(open_recorded)

    assert found(folder, secret) == []


async def test_the_rest_is_recorded(open_recorded, folder, autojump_clock):
    """Otherwise the test above would be content with an empty folder."""
    await record_all(open_recorded)

    text = (folder / "events.jsonl").read_text()
    assert "The user said hello." in text
    assert "Never say [redacted]" in text
    assert '"server_label":"docs"' in text
    assert "mcp.example" in text
    assert "X-Api-Key" in text
    kinds = [entry.type for entry in read_recording(folder).entries() if entry.kind == "received"]
    assert kinds.count("error") == 2
    assert "client.secret" in kinds


async def test_a_schema_that_speaks_of_credentials_is_left_alone(open_recorded, lines, autojump_clock):
    schema = {"type": "object", "properties": {"headers": {"type": "string"}, "authorization": {"type": "string"}}}
    declared = events.FunctionTool(name="fetch", parameters=schema)
    async with open_recorded(config={"tools": [{"type": "function", "name": "fetch", "parameters": schema}]}):
        pass

    (update,) = [entry.event for entry in lines("sent") if entry.type == "session.update"]
    assert update["session"]["tools"][0]["parameters"] == declared.parameters


async def test_a_function_of_the_users_own_is_asked_as_well(open_recorded, folder, autojump_clock):
    def without_names(text: str) -> str:
        return text.replace("Ada", "[name]")

    record = Recording(folder, redact=without_names)
    async with open_recorded(record=record, api_key=KEY, instructions=f"You talk with Ada. {KEY}"):
        pass

    text = (folder / "events.jsonl").read_text()
    assert "You talk with [name]. [redacted]" in text
    assert "Ada" not in text


async def test_redaction_can_be_switched_off(open_recorded, folder, autojump_clock):
    async with open_recorded(record=Recording(folder, redact=False), instructions=f"Never say {CLIENT_SECRET}."):
        pass

    assert CLIENT_SECRET in (folder / "events.jsonl").read_text()
    assert read_recording(folder).header["redacted"] is False


async def test_the_handshake_is_not_recorded(folder):
    """The key goes there, and a refusal may quote it."""
    with pytest.raises(ConnectError):
        async with open_session(url=f"ws://127.0.0.1:9/v1?token={URL_TOKEN}", api_key=KEY, record=folder):
            pass

    assert found(folder, KEY) == []
    assert found(folder, URL_TOKEN) == []

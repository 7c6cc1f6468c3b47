"""The tools of an MCP server at a URL: against a real one, in another process."""

import pytest
import trio

from realtime_trio import ConfigurationError, McpUnavailable
from realtime_trio.mcp import HttpServer, open_mcp

pytestmark = pytest.mark.slow


async def test_its_tools_are_called_with_the_headers_and_their_changes_seen(http_shop):
    with http_shop() as (_, url):
        async with open_mcp(HttpServer(url, headers={"Authorization": "Bearer right"})) as toolset:
            tools = {tool.name: tool for tool in toolset}

            assert await tools["add"].run('{"a": 1, "b": 2}') == "3"
            assert await tools["whoami"].run("") == "Bearer right"
            assert repr(toolset).startswith(f"<McpToolset {url}: add, ")
            await tools["restock"].run("")
            with trio.fail_after(30):
                await toolset.changed()
            assert "sell" in [tool.name for tool in toolset]


async def test_calls_after_the_end_say_so(http_shop):
    with http_shop() as (_, url):
        async with open_mcp(HttpServer(url), include=["add"]) as toolset:
            (add,) = toolset

        with pytest.raises(McpUnavailable, match="was left: stay inside"):
            await add.run('{"a": 1, "b": 2}')


async def test_a_wrong_key_is_told_without_the_key(http_shop):
    with http_shop() as (_, url), pytest.raises(McpUnavailable, match="HTTP status 401: check the headers") as caught:
        async with open_mcp(HttpServer(url, headers={"Authorization": "Bearer wrong"})):
            pass

    assert "wrong" not in str(caught.value)


async def test_nobody_there_is_told():
    with pytest.raises(McpUnavailable, match=r"http://127.0.0.1:1/mcp cannot be reached: .* Does it run\?"):
        async with open_mcp(HttpServer("http://127.0.0.1:1/mcp")):
            pass


async def test_a_server_that_went_away_is_connected_to_again_when_it_is_back(http_shop):
    with http_shop() as (process, url):
        async with open_mcp(HttpServer(url), startup_timeout=20) as toolset:
            tools = {tool.name: tool for tool in toolset}
            lost = []

            async def wait():
                with pytest.raises(McpUnavailable) as caught:
                    await tools["slow"].run("")
                lost.append(caught.value)

            with trio.fail_after(60):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wait)
                    while await tools["add"].run('{"a": 1, "b": 2}') != "3":
                        pass
                    process.kill()
                assert lost, "who waited was told"
                with pytest.raises(McpUnavailable, match=r"ended|cannot be reached"):
                    await tools["add"].run('{"a": 1, "b": 2}')
                with http_shop(int(url.split(":")[2].partition("/")[0])):
                    assert await tools["add"].run('{"a": 1, "b": 2}') == "3"


async def test_what_the_body_raises_comes_out_as_it_is(http_shop):
    error = KeyError("mine")
    with http_shop() as (_, url), pytest.raises(KeyError) as caught:
        async with open_mcp(HttpServer(url)):
            raise error

    assert caught.value is error


@pytest.mark.parametrize("url", ["", "shop.example", "ftp://shop.example", "http://", None, "http://[::1"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ConfigurationError, match="begins with http"):
        HttpServer(url)


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("http://shop.example/mcp", {"Authorization": "Bearer x"}),
        ("http://me:secret@shop.example/mcp", None),
        ("http://shop.example/mcp?key=secret", None),
    ],
)
def test_credentials_do_not_travel_in_plain_text(url, headers):
    with pytest.raises(ConfigurationError, match=r"in plain text to shop\.example: use https") as caught:
        HttpServer(url, headers=headers)

    assert "secret" not in str(caught.value)
    assert HttpServer(url, headers=headers, allow_insecure=True).url == url
    assert HttpServer(url.replace("shop.example", "127.0.0.1"), headers=headers)


def test_neither_headers_nor_credentials_in_the_url_are_shown():
    server = HttpServer("https://me:hushhush@shop.example/mcp?key=abcdefgh", headers={"Authorization": "Bearer right"})

    assert repr(server) == "<HttpServer https://shop.example/mcp?key=…>"

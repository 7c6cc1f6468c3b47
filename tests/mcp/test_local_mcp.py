"""The tools of an MCP server of one's own: against a real one, over its standard input and output."""

import json
import sys
from functools import partial

import pytest
import trio

from realtime_trio import ConfigurationError, McpUnavailable, Toolbox, ToolError
from realtime_trio.mcp import McpToolset, StdioServer, open_mcp
from realtime_trio.session import ToolContext, ToolPolicy

pytestmark = pytest.mark.slow


def named(toolset, name):
    return next(tool for tool in toolset if tool.name == name)


async def test_a_servers_tools_are_tools_here(shop):
    async with open_mcp(shop()) as toolset:
        assert isinstance(toolset, McpToolset)
        assert toolset.instructions == "Things are sold here."
        add = named(toolset, "add")

        assert add.description == "Add two numbers."
        assert add.parameters["required"] == ["a", "b"]
        assert await add.run('{"a": 1, "b": 2}') == "3"


async def test_arguments_are_checked_before_the_server_is_asked(shop):
    async with open_mcp(shop()) as toolset:
        with pytest.raises(ToolError, match=r"do not fit: Expected `integer`, got `string` - at `\$.a`"):
            await named(toolset, "add").run('{"a": "1", "b": 2}')

        assert await named(toolset, "seen").run("") == '{"result":[]}', "no call came"


async def test_what_a_result_becomes_for_the_model(shop):
    async with open_mcp(shop()) as toolset:
        tools = {tool.name: tool for tool in toolset}

        assert await tools["price"].run('{"item": "tea"}') == '{"item":"tea","euros":3.5}', "said once"
        assert await tools["picture"].run("") == "[an image (image/png) of 12 kB, which cannot be passed on]"
        assert await tools["jingle"].run("") == "[a sound (audio/wav) of 300 bytes, which cannot be passed on]"
        assert (await tools["shelf"].run("")).splitlines() == [
            "Three things:",
            "tea, coffee",
            "[a file (image/png) file:///a.bin?key=… of 3 bytes, which cannot be passed on]",
            "[a link to catalogue, https://shop.example/all: all that there is]",
            '{"count":3}',
        ]


async def test_an_error_of_the_tool_is_told_to_the_model(shop):
    async with open_mcp(shop()) as toolset:
        with pytest.raises(ToolError, match=r"Error: .*the shop is closed"):
            await named(toolset, "refuse").run("")


async def test_a_cancelled_call_is_cancelled_at_the_server(shop):
    reported, half = [], trio.Event()

    def report(text, speak):
        reported.append((text, speak))
        if text == "half of it":
            half.set()

    async with open_mcp(shop()) as toolset, trio.open_nursery() as nursery:
        tools = {tool.name: tool for tool in toolset}
        context = ToolContext(None, "call_1", "slow", report=report)
        nursery.start_soon(partial(tools["slow"].run, "", context=context))
        with trio.fail_after(30):
            await half.wait()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                # the server hears of it before it hears the next request, and needs a moment to obey
                while "slow cancelled" not in await tools["seen"].run(""):  # noqa: ASYNC110
                    await trio.sleep(0.01)
    assert reported == [("1 of 4", False), ("half of it", False)]


async def test_changed_tools_are_seen(shop):
    async with open_mcp(shop()) as toolset:
        before = [tool.name for tool in toolset]
        await named(toolset, "restock").run("")
        with trio.fail_after(10):
            await toolset.changed()

        assert [tool.name for tool in toolset] == [*before, "sell"]
        assert await named(toolset, "sell").run("") == "sold"
        with trio.move_on_after(0.1) as scope:
            await toolset.changed()
        assert scope.cancelled_caught, "it was seen"


async def test_all_pages_are_read_and_names_made_legal(shop):
    async with open_mcp(shop("pages"), prefix="p.", exclude=["tool.7"]) as toolset:
        names = [tool.name for tool in toolset]

        assert len(toolset) == 99
        assert names[:8] == [f"p_tool_{number}" for number in (0, 1, 2, 3, 4, 5, 6, 8)]
        assert await named(toolset, "p_tool_99").run('{"n": 5}') == "tool.99 {'n': 5}"


async def test_some_tools_and_a_policy_for_all(shop):
    async with open_mcp(shop(), include=["add", "price"], prefix="shop_", timeout=3, approve=True) as toolset:
        assert repr(toolset) == "<McpToolset python shop.py: shop_add, shop_price>".replace("python", python())
        assert {tool.policy for tool in toolset} == {ToolPolicy(timeout=3, approve=True)}


def python():
    return sys.executable.rpartition("/")[2]


@pytest.mark.parametrize("options", [{"include": ["ad"]}, {"exclude": ["ad"]}])
async def test_a_name_that_is_misspelt_is_told(shop, options):
    with pytest.raises(ConfigurationError, match="has no tool 'ad': it has add, die, environment"):
        async with open_mcp(shop(), **options):
            pass


@pytest.mark.parametrize(
    ("exclude", "words"),
    [
        ([], "the tool 'twisted' of the MCP server .* refers to '#/no'.* exclude=\\['twisted'\\]"),
        (["twisted"], "two tools that would both be called 'a_b': .* exclude=\\['a/b'\\]"),
    ],
)
async def test_a_tool_that_cannot_be_told_to_a_model_is_named(shop, exclude, words):
    with pytest.raises(ConfigurationError, match=words):
        async with open_mcp(shop("odd"), exclude=exclude):
            pass


async def test_an_answer_that_is_wrong_is_a_crash_and_a_refusal_is_words_for_the_model(shop):
    async with open_mcp(shop("odd"), include=["liar", "broken"]) as toolset:
        with pytest.raises(McpUnavailable, match="answered liar with what is not allowed") as caught:
            await named(toolset, "liar").run("")
        assert "abcdefgh" not in str(caught.value)
        with pytest.raises(ToolError, match="Error: broken was refused: out of order"):
            await named(toolset, "broken").run("")


async def test_tools_that_are_not_listed_as_mcp_has_it_are_told_at_the_start(shop):
    with pytest.raises(McpUnavailable, match=r"MCP server \S+ shop.py did not list its tools as MCP has it") as caught:
        async with open_mcp(shop("unlisted")):
            pass

    assert "hush" not in str(caught.value)


async def test_a_change_to_tools_that_are_not_listed_as_mcp_has_it_leaves_those_there_were(shop):
    async with open_mcp(shop("relisted")) as toolset:
        with trio.fail_after(30):
            assert await named(toolset, "restock").run("") == "here"
            with pytest.raises(McpUnavailable, match="did not list its tools as MCP has it"):
                await toolset.changed()

        assert await named(toolset, "restock").run("") == "here"


# How it begins and ends


@pytest.mark.parametrize(
    ("server", "words"),
    [
        (StdioServer("no-such-program"), "MCP server no-such-program cannot be started: No such file"),
        (StdioServer(sys.executable, "-c", "pass"), "ended before it answered: .* standard error .* env="),
        (StdioServer("cat"), "MCP server cat does not speak MCP as it should"),
    ],
)
async def test_a_server_that_does_not_start_is_named_with_a_cure(server, words):
    with pytest.raises(McpUnavailable, match=words):
        async with open_mcp(server):
            pass


async def test_what_it_writes_to_its_standard_error_goes_where_one_wants(tmp_path):
    with (tmp_path / "errors").open("w+") as errors:  # noqa: ASYNC230 a moment in a test
        broken = StdioServer(sys.executable, "-c", "import no_such_module", stderr=errors)
        with pytest.raises(McpUnavailable, match="ended before it answered"):
            async with open_mcp(broken):
                pass
        errors.seek(0)

        assert "no_such_module" in errors.read()


@pytest.mark.parametrize("how", ["silent", "deaf"])
async def test_a_server_that_does_not_answer_is_given_up_and_ended(shop, how):
    with trio.fail_after(30), pytest.raises(McpUnavailable, match=r"did not answer within 0.3 s"):
        async with open_mcp(shop(how), startup_timeout=0.3):
            pass


async def test_it_is_given_its_environment_and_directory_and_nothing_else(shop, tmp_path, monkeypatch):
    monkeypatch.setenv("OURS", "hush")
    async with open_mcp(shop(env={"ITS": "own"}, cwd=tmp_path)) as toolset:
        environment = named(toolset, "environment")

        assert await environment.run('{"name": "ITS"}') == f"own {tmp_path.resolve()}"
        assert await environment.run('{"name": "OURS"}') == f"None {tmp_path.resolve()}"


async def test_a_server_that_dies_fails_its_calls_and_nothing_else(shop):
    async with open_mcp(shop()) as toolset:
        tools = {tool.name: tool for tool in toolset}
        waiting = []

        async def wait():
            with pytest.raises(McpUnavailable) as caught:
                await tools["slow"].run("")
            waiting.append(str(caught.value))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(0.2)
            with pytest.raises(McpUnavailable, match="ended before it answered"):
                await tools["die"].run("")
        with pytest.raises(McpUnavailable, match=r"shop\.py has ended, and is not started again"):
            await tools["add"].run('{"a": 1, "b": 2}')

        assert "ended before it answered" in waiting[0]


class _Mine(Exception):
    pass


@pytest.mark.parametrize("error", [_Mine("x"), ExceptionGroup("mine", [_Mine("x")]), KeyboardInterrupt()])
async def test_what_the_body_raises_comes_out_as_it_is_and_no_process_is_left(shop, is_running, error):
    with pytest.raises(type(error)) as caught:
        async with open_mcp(shop()) as toolset:
            process = int(await named(toolset, "process").run(""))
            raise error

    assert caught.value is error
    assert not await is_running(process)


async def test_no_process_is_left_after_a_cancellation(shop, is_running):
    with trio.CancelScope() as scope:
        async with open_mcp(shop()) as toolset:
            process = int(await named(toolset, "process").run(""))
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
    assert not await is_running(process)


# At the border


async def test_without_the_package_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'realtime_trio\[mcp\]'"):
        async with open_mcp(StdioServer("x")):
            pass


@pytest.mark.parametrize(
    "make",
    [
        lambda: StdioServer(""),
        lambda: StdioServer("python", 3),
        lambda: StdioServer("python\0"),
        lambda: StdioServer("python", env={"A": 1}),
        lambda: StdioServer("python", env=["A"]),
    ],
)
def test_what_is_no_command_is_refused(make):
    with pytest.raises(ConfigurationError):
        make()


@pytest.mark.parametrize(
    "options",
    [{"server": "python server.py"}, {"startup_timeout": 0}, {"include": "add"}, {"exclude": "add"}, {"timeout": -1}],
)
async def test_what_does_not_fit_is_refused(shop, options):
    with pytest.raises(ConfigurationError):
        async with open_mcp(options.pop("server", shop()), **options):
            pass


def test_neither_arguments_nor_variables_are_shown():
    server = StdioServer("serve", "--key", "sk-secret", env={"KEY": "hushhush"})

    assert repr(server) == "<StdioServer serve>"
    assert "hushhush" not in json.dumps(str(server))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": "x"}, r"open_mcp\(\): timeout is a number of seconds above 0"),
        ({"bogus": 1}, r"open_mcp\(\): there is no option 'bogus'"),
        ({"prefix": 5}, "prefix is a text, not int"),
        ({"on_interrupt": "x"}, r"open_mcp\(\): on_interrupt is"),
        ({"startup_timeout": True}, "startup_timeout is a number of seconds"),
        ({"include": 5}, "include is a list of names"),
        ({"exclude": [5]}, "exclude is a list of names"),
    ],
)
async def test_options_are_checked_before_the_server_is_started(options, words):
    with pytest.raises(ConfigurationError, match=words):
        async with open_mcp(StdioServer("/there/is/no/such/program"), **options):
            raise AssertionError


async def test_a_call_behind_the_block_is_told_so(shop):
    async with open_mcp(shop()) as toolset:
        add = named(toolset, "add")
    with pytest.raises(McpUnavailable, match=r"is closed, for its `async with open_mcp\(...\)` was left"):
        await add.run('{"a": 1, "b": 2}')


async def test_two_servers_with_the_same_tools_are_told_apart_by_a_prefix(shop):
    async with open_mcp(shop()) as one, open_mcp(shop()) as other:
        with pytest.raises(ConfigurationError, match=r"two tools have the name .*open_mcp\(..., prefix='...'\)"):
            Toolbox([*one, *other])

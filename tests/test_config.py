"""Settings: where they are looked for, what is refused at the border, and that the key stays out of sight."""

import os
import pickle
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import realtime_trio
from realtime_trio.config import Secret, is_loopback, resolve, secrets_in, shown_url
from realtime_trio.errors import ConfigurationError

KEY = "sk-" + "proj-abcdefghijklmnop"  # in two, so that nobody takes it for a real one
FILLED_IN = ["sk-filled", "https://example.org/v1", "a-model", "org", "proj"]  # in the order of .env.template


@pytest.fixture
def env_file(tmp_path):
    """Where `.env` would be; there is none yet."""
    return tmp_path / ".env"


def settings(env_file, environ=None, **arguments):
    return resolve(environ=environ or {}, env_file=env_file, **arguments)


def header(found, name):
    return [value for other, value in found.headers if other == name]


def test_an_argument_wins_over_the_environment_and_that_over_the_file(env_file):
    env_file.write_text("OPENAI_API_KEY=sk-file\nOPENAI_ORG_ID=org-file\nOPENAI_PROJECT_ID=proj-file\n")
    found = settings(env_file, {"OPENAI_API_KEY": "sk-environ", "OPENAI_ORG_ID": "org-environ"}, api_key="sk-argument")

    assert header(found, "Authorization") == ["Bearer sk-argument"]
    assert header(found, "OpenAI-Organization") == ["org-environ"]
    assert header(found, "OpenAI-Project") == ["proj-file"]


def test_empty_means_unset(env_file):
    env_file.write_text("OPENAI_API_KEY=sk-file\nOPENAI_BASE_URL=\n")
    found = settings(env_file, {"OPENAI_API_KEY": "", "OPENAI_ORG_ID": ""}, api_key="", url="", organization="")

    assert found.api_key == Secret("sk-file")
    assert found.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"
    assert header(found, "OpenAI-Organization") == []


def test_the_env_file_of_the_working_directory_is_read_and_the_environment_left_alone(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("\ufeffOPENAI_API_KEY=sk-here\nOTHER=x\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)

    assert resolve().api_key == Secret("sk-here")
    assert dict(os.environ) == before


def test_an_env_file_above_the_working_directory_is_not_found(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("OPENAI_API_KEY=sk-above\n")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    with pytest.raises(ConfigurationError):
        resolve()


def test_an_env_file_that_is_no_text_is_named(env_file):
    env_file.write_bytes(b"OPENAI_API_KEY=\xff\xfe\n")

    with pytest.raises(ConfigurationError, match=r"\.env cannot be read: UnicodeDecodeError"):
        settings(env_file)


def test_without_key_and_url_the_ways_out_are_named(env_file):
    with pytest.raises(ConfigurationError) as caught:
        settings(env_file)

    for way_out in ("OPENAI_API_KEY", "api_key=", "url=", "OPENAI_BASE_URL", "open_server()"):
        assert way_out in str(caught.value)


def test_who_brings_the_link_needs_neither_key_nor_url(env_file):
    found = settings(env_file, {"HTTPS_PROXY": "http://proxy"}, own_link=True)

    assert (found.api_key, header(found, "Authorization")) == (None, [])


@pytest.mark.parametrize(
    ("url", "kind", "whole"),
    [
        ("https://api.openai.com/v1", "realtime", "wss://api.openai.com/v1/realtime?model=gpt-realtime-2.1"),
        ("https://eu.api.openai.com/v1/", "realtime", "wss://eu.api.openai.com/v1/realtime?model=gpt-realtime-2.1"),
        ("wss://h/v1/realtime", "realtime", "wss://h/v1/realtime?model=gpt-realtime-2.1"),
        ("wss://h/v1/realtime?model=x", "realtime", "wss://h/v1/realtime?model=x"),
        ("wss://h/v1/realtime?call_id=rtc_1", "realtime", "wss://h/v1/realtime?call_id=rtc_1"),
        (
            "wss://r.openai.azure.com/openai/realtime?api-version=1&deployment=d",
            "realtime",
            "wss://r.openai.azure.com/openai/realtime?api-version=1&deployment=d",
        ),
        ("ws://127.0.0.1:8000", "realtime", "ws://127.0.0.1:8000/v1/realtime?model=gpt-realtime-2.1"),
        ("http://127.0.0.1:8000/v1", "realtime", "ws://127.0.0.1:8000/v1/realtime?model=gpt-realtime-2.1"),
        ("ws://[::1]:8000/v1", "realtime", "ws://[::1]:8000/v1/realtime?model=gpt-realtime-2.1"),
        ("wss://gateway/its/own", "realtime", "wss://gateway/its/own?model=gpt-realtime-2.1"),
        ("https://gateway/its/own", "realtime", "wss://gateway/its/own/realtime?model=gpt-realtime-2.1"),
        ("https://h/v1", "transcription", "wss://h/v1/realtime?intent=transcription"),
        ("wss://h/v1/realtime?intent=transcription", "transcription", "wss://h/v1/realtime?intent=transcription"),
        ("https://h/v1", "translation", "wss://h/v1/realtime/translations?model=gpt-realtime-translate"),
        ("wss://h/v1/realtime", "translation", "wss://h/v1/realtime/translations?model=gpt-realtime-translate"),
        ("wss://h/v1/realtime/translations", "translation", "wss://h/v1/realtime/translations?model=gpt-realtime-translate"),
    ],
)  # fmt: skip
def test_urls_are_completed(env_file, url, kind, whole):
    """As an argument and as OPENAI_BASE_URL alike."""
    assert settings(env_file, url=url, kind=kind, api_key=KEY).url == whole
    assert settings(env_file, {"OPENAI_BASE_URL": url}, kind=kind, api_key=KEY).url == whole


def test_the_model_comes_from_argument_url_environment_in_this_order(env_file):
    environ = {"OPENAI_REALTIME_MODEL": "from-environ"}

    assert settings(env_file, environ, api_key=KEY).model == "from-environ"
    assert settings(env_file, environ, api_key=KEY, url="wss://h/realtime?model=from-url").model == "from-url"
    assert settings(env_file, environ, api_key=KEY, model="a b&c").url.endswith("?model=a+b%26c")
    assert settings(env_file, environ, api_key=KEY, kind="translation").model == "gpt-realtime-translate"
    assert settings(env_file, environ, api_key=KEY, kind="transcription").model is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "chat"}, "kind='chat' is none of"),
        ({"url": "localhost:8000"}, "has to begin with wss://"),
        ({"url": "ftp://h/v1"}, "has to begin with wss://"),
        ({"url": "wss:///v1"}, "has to begin with wss://"),
        ({"url": "wss://h:0/v1"}, "port that does not exist"),
        ({"url": "wss://h:99999/v1"}, "malformed"),
        ({"url": "wss://h:x/v1"}, "malformed"),
        ({"url": "wss://[::1/v1"}, "malformed"),
        ({"url": "wss://h/v1\r\nX: y"}, "line break"),
        ({"url": "wss://h/ü"}, "%-encoded"),
        ({"url": "wss://me:hunter2@h/v1"}, "user name or a password"),
        ({"url": "wss://h/v1#x"}, "fragment"),
        ({"url": "wss://h/realtime?model=a", "model": "b"}, "contradicts the URL"),
        ({"url": "wss://h/realtime?call_id=c", "model": "b"}, "contradicts a URL with call_id"),
        ({"url": "wss://h/realtime/translations"}, "contradicts the URL"),
        ({"url": b"wss://h"}, "url= is a bytes"),
        ({"model": 3}, "model= is a int"),
        ({"api_key": f"{KEY}\n"}, "API key"),
        ({"api_key": f"{KEY} x"}, "API key"),
        ({"api_key": "schlüssel"}, "API key"),
        ({"organization": "org\r\nX: y"}, "line break"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "line break"),
        ({"headers": {"X-A": ""}}, "is empty"),
        ({"headers": {"X A": "a"}}, "no HTTP header can have"),
        ({"headers": [("X-A", 1)]}, "not a string"),
        ({"headers": 5}, "mapping or pairs"),
        ({"headers": [("X-A", "a", "b")]}, "mapping or pairs"),
        ({"headers": {"OpenAI-Beta": "realtime=v1"}}, "switched off"),
        ({"headers": {"Sec-WebSocket-Key": "x"}}, "belongs to the WebSocket handshake"),
        ({"headers": {"Host": "x"}}, "belongs to the WebSocket handshake"),
        ({"headers": {"authorization": "Bearer x"}, "api_key": KEY}, "contradict each other"),
    ],
)
def test_what_cannot_work_is_refused_at_the_border(env_file, arguments, words):
    with pytest.raises(ConfigurationError) as caught:
        settings(env_file, **{"api_key": KEY, **arguments})

    assert words in str(caught.value)
    assert "abcdefghij" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_error_in_a_key_names_where_it_came_from(env_file):
    env_file.write_text(f'OPENAI_API_KEY="{KEY}\n"\n')

    with pytest.raises(ConfigurationError, match=r"OPENAI_API_KEY in .*\.env"):
        settings(env_file)
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY in the environment"):
        settings(env_file, {"OPENAI_API_KEY": f" {KEY}"})


def test_openai_wants_a_key_and_others_may_not(env_file):
    with pytest.raises(ConfigurationError, match=r"api\.openai\.com wants an API key"):
        settings(env_file, url="wss://api.openai.com/v1/realtime")

    assert settings(env_file, url="wss://notopenai.com/v1").api_key is None


def test_credentials_go_in_plain_text_to_this_machine_only(env_file):
    for arguments in ({"api_key": KEY}, {"headers": {"api-key": "x"}}, {"headers": {"Cookie": "a=b"}}):
        with pytest.raises(ConfigurationError, match=r"plain text to example\.org"):
            settings(env_file, url="ws://example.org/v1", **arguments)
        assert settings(env_file, url="ws://example.org/v1", allow_insecure=True, **arguments)
        assert settings(env_file, url="ws://localhost:1/v1", **arguments)
    assert settings(env_file, url="ws://example.org/v1").api_key is None


@pytest.mark.parametrize("scheme", ["ws", "http"])
@pytest.mark.parametrize(
    "query",
    [
        "api-key=SECRET&access_token=abc",
        "model=m&%74oken=SECRET",
        "api-version=1&code=SECRET",
        "SECRET",
        "model=m&SECRET",
    ],
)
def test_a_credential_in_the_query_goes_in_plain_text_to_this_machine_only(env_file, scheme, query):
    """Whatever is not shown of a URL may be one."""
    url = f"{scheme}://10.1.1.1/v1?{query}"
    with pytest.raises(ConfigurationError, match=r"plain text to 10\.1\.1\.1") as caught:
        settings(env_file, url=url)
    assert "SECRET" not in str(caught.value)
    assert "abc" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="plain text"):
        settings(env_file, {"OPENAI_BASE_URL": url})
    assert settings(env_file, url=url, allow_insecure=True)
    assert settings(env_file, url=url, own_link=True)
    assert settings(env_file, url=f"{scheme}://127.0.0.1:1/v1?{query}")
    assert settings(env_file, url=f"wss://10.1.1.1/v1?{query}")


def test_a_query_without_credentials_may_go_in_plain_text(env_file):
    for query in ("model=m", "call_id=c", "api-version=1&deployment=d", "api-key=", "intent=transcription"):
        assert settings(env_file, url=f"ws://10.1.1.1/v1?{query}").api_key is None
    assert settings(env_file, url="ws://10.1.1.1/v1", kind="transcription")


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("a.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("", False),
    ],
)
def test_this_machine_is_known_by_its_names(host, verdict):
    assert is_loopback(host) is verdict


def test_a_header_of_ones_own_stands_for_ours(env_file):
    found = settings(
        env_file,
        {"OPENAI_API_KEY": KEY},
        url="wss://r.openai.azure.com/openai/v1",
        headers=[("api-key", "azure"), ("user-agent", "mine"), ("X-A", "1"), ("X-A", "2")],
    )

    assert found.headers == (("api-key", "azure"), ("user-agent", "mine"), ("X-A", "1"), ("X-A", "2"))
    assert found.api_key is None


def test_the_user_agent_says_who_we_are_and_nothing_of_the_beta(env_file):
    found = settings(env_file, api_key=KEY)

    assert found.headers == (
        ("User-Agent", f"realtime_trio/{realtime_trio.__version__}"),
        ("Authorization", f"Bearer {KEY}"),
    )


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_is_refused_clearly(env_file, name):
    with pytest.raises(ConfigurationError, match=f"{name} names a proxy for api.openai.com"):
        settings(env_file, {name: "http://user:hunter2@proxy:3128"}, api_key=KEY)


@pytest.mark.parametrize("exempt", ["*", "api.openai.com", ".openai.com", "x, openai.com", "api.openai.com:443"])
def test_no_proxy_is_honoured(env_file, exempt):
    assert settings(env_file, {"HTTPS_PROXY": "http://proxy", "no_proxy": exempt}, api_key=KEY)


@pytest.mark.parametrize("exempt", ["", "i.openai.com", "api.openai.com:80", "openai.org", ","])
def test_no_proxy_is_not_stretched(env_file, exempt):
    with pytest.raises(ConfigurationError):
        settings(env_file, {"HTTPS_PROXY": "http://proxy", "NO_PROXY": exempt}, api_key=KEY)


def test_a_proxy_for_the_other_scheme_or_for_this_machine_is_none_of_ours(env_file):
    assert settings(env_file, {"HTTP_PROXY": "http://proxy"}, api_key=KEY)
    assert settings(env_file, {"HTTPS_PROXY": "http://proxy", "HTTP_PROXY": "p"}, url="ws://127.0.0.1:1/v1")
    with pytest.raises(ConfigurationError, match="HTTP_PROXY"):
        settings(env_file, {"HTTP_PROXY": "http://proxy"}, url="ws://example.org/v1")


KEYS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80)


@given(KEYS)
def test_what_is_shown_does_not_depend_on_the_key(key):
    """If the words are the same for every key, nothing of it can be in them."""

    def shown(secret):
        found = resolve(api_key=secret, environ={}, headers={"X-Token": secret}, url="wss://h/v1/realtime")
        assert found.api_key.reveal() == secret
        assert ("Authorization", f"Bearer {secret}") in found.headers
        return f"{found!r} {found} {found.api_key} {found.api_key!r}"

    assert shown(key) == shown("another")


def test_a_secret_keeps_itself_to_itself():
    secret = Secret(KEY)

    assert (str(secret), f"{secret}", repr([secret])) == ("Secret(…)", "Secret(…)", "[Secret(…)]")
    assert (secret == Secret(KEY), secret == KEY, secret == Secret("x")) == (True, False, False)
    assert len({secret, Secret(KEY)}) == 1
    with pytest.raises(TypeError) as caught:
        pickle.dumps(secret)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_what_is_secret_in_a_handshake_is_known():
    url = "wss://h/v1/realtime?model=m&api-key=one&code=a%20b"
    headers = [("Authorization", "Bearer two"), ("X-Api-Key", "three"), ("Cookie", "four=five; six"), ("X", "seven")]
    assert secrets_in(url, headers) == ("one", "a b", "two", "three", "four=five; six")


def test_a_url_is_shown_without_what_may_be_secret():
    assert shown_url("wss://me:pw@h:1/p?model=m&token=t#f") == "wss://h:1/p?model=m&token=…"
    assert shown_url("wss://h/p?a-key-without-a-name&model=m&empty=") == "wss://h/p?…&model=m&empty=…"
    assert shown_url("wss://h/p") == "wss://h/p"


def test_the_template_names_what_is_looked_for(env_file):
    """Filled in, each line of it has its effect. The wheel does not carry it, so it is looked for beside the tests."""
    template = Path(__file__).parent.parent / ".env.template"
    if not template.exists():
        pytest.skip("no checkout: .env.template is not beside the tests")
    names = re.findall(r"^#?(OPENAI_\w+)=$", template.read_text(encoding="utf-8"), flags=re.MULTILINE)
    env_file.write_text("".join(f"{name}={value}\n" for name, value in zip(names, FILLED_IN, strict=True)))

    found = settings(env_file)

    assert found.url == "wss://example.org/v1/realtime?model=a-model"
    assert found.headers[1:] == (
        ("Authorization", "Bearer sk-filled"),
        ("OpenAI-Organization", "org"),
        ("OpenAI-Project", "proj"),
    )

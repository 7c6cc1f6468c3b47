"""What a tool's policy and its context may be, apart from a session."""

import math

import pytest
import trio

from realtime_trio import ConfigurationError, ToolContext, ToolPolicy


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1.5}, "timeout"),
        ({"timeout": "10"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": math.inf}, "timeout"),
        ({"on_interrupt": "abort"}, "on_interrupt"),
        ({"on_interrupt": None}, "on_interrupt"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 1.5}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"background": 1}, "background"),
        ({"approve": "yes"}, "approve"),
        ({"filler": " "}, "filler"),
        ({"filler": 5}, "filler"),
        ({"filler_after": -1}, "filler_after"),
        ({"filler_after": math.nan}, "filler_after"),
        ({"background": True, "on_interrupt": "cancel"}, "on_interrupt='cancel'"),
        ({"background": True, "on_interrupt": "detach"}, "on_interrupt='detach'"),
        ({"background": True, "filler": "One moment."}, "filler"),
    ],
)
def test_a_policy_that_cannot_be_is_refused_by_name(options, culprit):
    with pytest.raises(ConfigurationError, match=culprit):
        ToolPolicy(**options)


def test_a_policy_says_nothing_by_default():
    policy = ToolPolicy()

    assert (policy.timeout, policy.on_interrupt, policy.concurrency) == (None, "finish", None)
    assert (policy.background, policy.filler, policy.filler_after, policy.approve) == (False, None, 2.0, False)


async def test_progress_comes_from_tasks_and_threads_in_order():
    """Without waiting, and without knowing where one is."""
    reports = []
    context = ToolContext(None, "call_1", "search", report=lambda text, speak: reports.append((text, speak)))

    def work():
        context.progress("two")
        context.progress("three", speak=True)

    context.progress("one")
    await trio.to_thread.run_sync(work)

    assert reports == [("one", False), ("two", False), ("three", True)]


async def test_progress_is_a_text_and_says_so_where_it_is_called():
    """In the tool, not where it would be published."""
    context = ToolContext(None, "call_1", "search")

    with pytest.raises(TypeError, match="int"):
        context.progress(5)
    with pytest.raises(TypeError, match="bytes"):
        await trio.to_thread.run_sync(context.progress, b"half")


def test_a_context_serves_without_a_session():
    """A tool can be tested as the function that it is; and the thread of a session that is gone does no harm."""
    left = []

    async def make():
        left.append(ToolContext(None, "call_1", "search"))

    ToolContext(None, "call_1", "search").progress("half")
    trio.run(make)
    left[0].progress("too late")

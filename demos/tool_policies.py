"""Tools with policies: a time limit, an approval, work in the background, and what an interruption does to a call.

    python demos/tool_policies.py

It needs no key and talks to nobody else: the offline server is in here, too, and calls what it is told to call.
"""

import trio

from realtime_trio import ToolCancelled, ToolContext, ToolFinished, ToolProgress, open_server, open_session, tool
from realtime_trio.session import ApprovalRequest, ToolStarted


@tool(timeout=0.5, on_interrupt="cancel")  # "finish" is the default; "detach" goes on in the background
async def ask_archive() -> str:
    """Ask the archive, which never answers."""
    await trio.sleep_forever()


@tool(approve=True)
async def order(dish: str) -> str:
    """Order something to eat."""
    return f"{dish} is on its way"


async def allow(request: ApprovalRequest) -> bool | str:
    return request.arguments == '{"dish": "soup"}' or "only soup is left"  # True, False, or why not


@tool(background=True)  # the model is told at once that it goes on, and the result when nobody speaks
async def print_report(context: ToolContext) -> str:
    """Print the report."""
    for page in (1, 2):
        context.progress(f"page {page} of 2")  # with speak=True it is also said
        await trio.sleep(0.2)
    return "the report is printed"


async def main() -> None:
    print("Talking to an offline server (rules, not the real model).")
    tools = (ask_archive, order, print_report)
    async with open_server() as server, open_session(url=server.url, tools=tools, approve=allow) as session:
        for text in ("call ask_archive {}", 'call order {"dish": "cake"}', 'call order {"dish": "soup"}'):
            print(f"you: {text}\nassistant: {(await session.ask(text)).text}")
        async with session.events(ToolStarted, ToolProgress, ToolCancelled, ToolFinished) as events:
            await session.send_text("call print_report {}")
            async for event in events:
                print(event)
                if isinstance(event, ToolFinished):
                    await session.drained()  # the assistant tells of it
                    print("assistant:", session.conversation.items[-1].text)
                    await session.send_text("call ask_archive {}")
                elif isinstance(event, ToolStarted) and event.name == "ask_archive":
                    session.interrupt()  # as the user's speech would
                elif isinstance(event, ToolCancelled):
                    break


if __name__ == "__main__":
    trio.run(main)

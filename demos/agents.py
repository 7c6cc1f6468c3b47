"""Several agents: the reception hands over to the billing desk by a tool, and the conversation goes along.

    python demos/agents.py

It talks to OpenAI, or to OPENAI_BASE_URL; where the settings do not suffice for that, to the offline stand-in.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from realtime_trio import Agent, ConfigurationError, ToolContext, open_server, open_session, tool
from realtime_trio.config import resolve, shown_url


@tool
async def open_invoices() -> dict[str, float]:
    """Tell what the caller has not paid yet: invoices, in euros."""
    return {"invoice 7": 12.5, "invoice 9": 40.0}


@tool
async def transfer_to_billing(context: ToolContext) -> str:
    """Hand the caller over to the billing desk."""
    await context.session.become(BILLING)  # acknowledged: it is the billing desk that replies to this output
    return "You are the billing desk now. Ask what you can do."


BILLING = Agent("billing", instructions="You are the billing desk. Be brief.", tools=[open_invoices])
RECEPTION = Agent("reception", instructions="You are the reception. Be brief.", tools=[transfer_to_billing])


@asynccontextmanager
async def find_server() -> AsyncIterator[str | None]:
    """Give a URL; None stands for that of the environment or `.env`, by default OpenAI's."""
    try:
        print("Talking to", shown_url(resolve().url))
    except ConfigurationError as error:
        print(f"Talking to the offline stand-in (rules, not the real model): {str(error).partition('. ')[0]}.")
    else:
        yield None
        return
    async with open_server() as server:
        yield server.url


async def main() -> None:
    async with find_server() as url, open_session(url=url, agent=RECEPTION) as session:
        for text in ("Hello!", "I want to pay: call transfer_to_billing {}", "What is open? call open_invoices {}"):
            print("you:", text)
            reply = await session.ask(text)
            print(f"{session.agent.name if session.agent else 'nobody'}: {reply.text}")


if __name__ == "__main__":
    trio.run(main)

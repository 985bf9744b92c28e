"""What most checks have in common: a call that was greeted, and a question that is answered. Judges no words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..checking import Failed, Server, Skipped
from ..dial import DialError
from ..report import Answer
from ..retell import CallEnded, FakeRetell, Superseded

__all__ = ["QUESTION", "answered", "asked", "barrier", "begun", "connected", "greeted", "needs_pings"]

QUESTION = "Hello, can you tell me in two sentences how you can help me today?"
"""A question every agent has something to say to, and more than a word."""


@asynccontextmanager
async def greeted(server: Server, **more: Any) -> AsyncIterator[FakeRetell]:
    """A call past its begin message."""
    async with connected(server, **more) as retell:
        await begun(server, retell)
        yield retell


@asynccontextmanager
async def connected(server: Server, **more: Any) -> AsyncIterator[FakeRetell]:
    """A call whose socket is open."""
    try:
        async with server.call(**more) as retell:
            yield retell
    except DialError as exc:
        raise Failed(str(exc)) from None
    except CallEnded as exc:
        raise Failed(f"the server ended the call: {exc}") from None


async def begun(server: Server, retell: FakeRetell) -> str:
    """Wait for the begin message and return its text."""
    try:
        return await retell.greeting(timeout_s=server.patience.begin_s)
    except TimeoutError:
        raise Failed(f"id 0 was not completed within {server.patience.begin_s:g} s") from None


async def answered(server: Server, retell: FakeRetell, response_id: int) -> Answer:
    """Wait for the completion of one id."""
    limit_s = server.patience.answer_s
    try:
        await retell.piece(response_id, timeout_s=limit_s)
        return await retell.answer(response_id, timeout_s=limit_s)
    except TimeoutError:
        exchange = retell.rules.exchanges[response_id]
        what = f"only {len(exchange.pieces)} pieces, no completion" if exchange.pieces else "nothing"
        raise Failed(f"id {response_id}: {what} after {limit_s:g} s") from None
    except Superseded as exc:
        raise Failed(str(exc)) from None


async def asked(server: Server, retell: FakeRetell, text: str = QUESTION) -> Answer:
    """Ask and wait for the answer."""
    return await answered(server, retell, await retell.request(text))


async def barrier(server: Server, retell: FakeRetell) -> None:
    """Let everything settle that the server had sent before it read what we sent.

    Where the server echoes pings the echo proves it; the silence after is for what it sends later.
    """
    if retell.rules.options.auto_reconnect:
        try:
            await retell.ping(timeout_s=5.0)
        except TimeoutError:
            raise Failed("a ping_pong was not echoed within 5 s") from None
    await retell.quiet(server.patience.settle_s)


def needs_pings(retell: FakeRetell) -> None:
    """Skip the check on a server that has not asked for pings."""
    if not retell.rules.options.auto_reconnect:
        raise Skipped("config.auto_reconnect is off: Retell sends no pings")

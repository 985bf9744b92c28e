"""A server of the fault bench: ours, with the model of numbered words and a side effect that leaves a line in a file.

python -m bench.harness.faults.server --name s1 --port 8080 --http-port 9080 --effects FILE [--redis-url URL]

It leaves on SIGTERM as `retell_ws serve` does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import cyclopts
import msgspec
import orjson
import uvloop

from bench.harness.faults.checks import GREETING
from bench.harness.faults.history import Row
from bench.harness.faults.model import DONE, NumberedModel
from retell_ws import Agent
from retell_ws.blueprints import running
from retell_ws.consuming import Consuming
from retell_ws.log import configure
from retell_ws.run import _spare_the_collector
from retell_ws.settings import load

TOOL_S = 0.2
"""Seconds the side effect takes before it happens, and as many after."""


def agent_of(name: str, effects: Path, transfers: Mapping[str, str] | None = None) -> Agent:
    """Make the agent of one server.

    Args:
        name: The server's.
        effects: Where the side effect is written down, a line each, by all servers.
        transfers: Whom it may hand a caller on to, by label.
    """
    agent = Agent(
        "You are Ana, the receptionist of Harbor Clinic.", greeting=GREETING, max_tokens=1000, transfers=transfers
    )

    @agent.tool
    async def book(key: str) -> str:
        """Book what was asked for.

        Args:
            key: What.
        """
        await asyncio.sleep(TOOL_S)
        row = Row(time.monotonic(), "ran", call=int(key[1:].partition("q")[0]), server=name, text=key)
        await asyncio.to_thread(_append, effects, msgspec.json.encode(row) + b"\n")
        await asyncio.sleep(TOOL_S)
        return DONE

    return agent


def _append(path: Path, line: bytes) -> None:
    """Write a line in one go: those of several processes do not mix."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


async def serving(agent: Agent, flags: dict[str, object], model: NumberedModel) -> None:
    """Serve until SIGTERM, as `retell_ws serve` does."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    settings = load(flags)
    async with Consuming() as beside, running(agent, settings, model=model, hands_on=False) as server:
        beside.start(settings)
        _spare_the_collector()
        ready = {"ready": True, "ws": server.address, "http": server.http_address}
        sys.stdout.write(orjson.dumps(ready).decode() + "\n")
        sys.stdout.flush()
        await stop.wait()
        await server.drain()


def main(
    *,
    name: str,
    port: int,
    http_port: int,
    effects: Path,
    redis_url: str = "",
    ttft_ms: float = 150,
    spacing_ms: float = 40,
    drain_s: float = 5.0,
    speculate: bool = False,
) -> None:
    """Serve until SIGTERM.

    Args:
        name: Of the server.
        port: Of the call port.
        http_port: Of the second port.
        effects: Where the side effect is written down.
        redis_url: Of the store; empty for calls kept in memory.
        ttft_ms: The model's time to the first token.
        spacing_ms: Its time between two.
        drain_s: How long calls may go on after SIGTERM.
        speculate: Ask the model before Retell asks.
    """
    flags: dict[str, object] = {
        "port": port,
        "http_port": http_port,
        "drain_s": drain_s,
        "speculate": speculate,
        "log_level": "warning",
        "max_calls": 2000,
    }
    if redis_url:
        flags |= {"blueprint": "distributed", "redis_url": redis_url}
    configure("warning")
    model = NumberedModel(ttft_ms=ttft_ms, spacing_ms=spacing_ms)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving(agent_of(name, effects), flags, model))


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    app()

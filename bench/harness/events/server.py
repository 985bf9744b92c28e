"""A server of the events bench: that of the fault bench, with any settings and somebody to hand callers on to.

python -m bench.harness.events.server --name s1 --port 8080 --http-port 9080 --effects FILE --settings JSON
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import cyclopts
import orjson
import uvloop

from bench.harness.faults.model import NumberedModel
from bench.harness.faults.server import agent_of, serving
from retell_ws.log import configure

__all__ = ["HUMAN", "NUMBER"]

HUMAN: Final = "the nurse"
"""Whom a caller may be handed on to."""

NUMBER: Final = "+14155550142"


def main(
    *,
    name: str,
    port: int,
    http_port: int,
    effects: Path,
    settings: str,
    ttft_ms: float = 150,
    spacing_ms: float = 40,
) -> None:
    """Serve until SIGTERM.

    Args:
        name: Of the server.
        port: Of the call port.
        http_port: Of the second port.
        effects: Where the side effect is written down.
        settings: Further settings, as a JSON object.
        ttft_ms: The model's time to the first token.
        spacing_ms: Its time between two.
    """
    flags: dict[str, object] = {
        "port": port,
        "http_port": http_port,
        "speculate": False,
        "log_level": "warning",
        "max_calls": 2000,
        **orjson.loads(settings),
    }
    configure("warning")
    model = NumberedModel(ttft_ms=ttft_ms, spacing_ms=spacing_ms)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving(agent_of(name, effects, {HUMAN: NUMBER}), flags, model))


if __name__ == "__main__":
    app = cyclopts.App(help=__doc__)
    app.default(main)
    app()

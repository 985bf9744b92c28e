"""FakeAnthropic: the Messages API on this machine, playing answers and faults by the clock. Never asks a model.

    python -m retell_ws.testing.fake_anthropic --port 8800 --ttft-ms 300

prints one JSON line, `{"ready": true, "url": "http://127.0.0.1:8800"}`, and runs until SIGTERM, or until its stdin
closes when that is a pipe, so that it does not outlive whoever started it. Any key is accepted.

    POST   /v1/messages   a streamed answer; one that is empty and not streamed, for `max_tokens: 0`
    POST   /control       a JSON object of `fake_anthropic_faults.Play`'s fields, and `reset`
    GET    /log           what happened to each request, see `fake_anthropic_server.Entry`
    GET    /totals        their sums, see `fake_anthropic_totals.Totals`
    DELETE /log           forget it, and the totals
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from typing import Final

import msgspec
import orjson
import uvloop

from .fake_anthropic_faults import FAULTS, Play
from .fake_anthropic_process import FakeAnthropic, FakeAnthropicProcess
from .fake_anthropic_server import FakeApi
from .first_tokens import FirstTokens
from .lifetime import told_to_stop

__all__ = ["FakeAnthropic", "FakeAnthropicProcess", "main"]

BACKLOG: Final = 4096
"""A bench opens a thousand connections at one time."""


def main(arguments: list[str] | None = None) -> None:
    """Run until told to stop.

    Args:
        arguments: The command line's, without the program's name.
    """
    defaults = Play()
    parser = argparse.ArgumentParser(
        prog="fake_anthropic",
        description="The Messages API on this machine, with faults.",
        epilog="Faults: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items()),
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ttft-ms", type=float, default=defaults.ttft_ms)
    parser.add_argument(
        "--first-tokens", metavar="JSON", type=_first_tokens, default=None, help="draw the time to the first token"
    )
    parser.add_argument("--deltas", type=int, default=None, help="canned words instead of the scripted answer")
    parser.add_argument("--spacing-ms", type=float, default=defaults.spacing_ms)
    parser.add_argument("--fault", choices=FAULTS, metavar="NAME")
    parser.add_argument("--fault-s", type=float, default=defaults.fault_s)
    parser.add_argument("--ping-ms", type=float, default=defaults.ping_ms)
    parser.add_argument("--stamp", action="store_true", help="times in the first delta")
    parser.add_argument("--text", help="what to say")
    options = vars(parser.parse_args(arguments))
    host, port = options.pop("host"), options.pop("port")
    uvloop.run(_serve(host, port, Play(**options)))


def _first_tokens(given: str) -> FirstTokens:
    """Read fields of `FirstTokens`; a ValueError becomes the parser's."""
    return msgspec.json.decode(given, type=FirstTokens)


async def _serve(host: str, port: int, play: Play) -> None:
    loop = asyncio.get_running_loop()
    api = FakeApi(play)
    try:
        server = await loop.create_server(api.protocol, host, port, backlog=BACKLOG)
    except OSError as exc:
        sys.exit(f"fake_anthropic: cannot listen on {host}:{port}: {exc.strerror or exc}")
    with told_to_stop() as stop:
        gc.collect()
        gc.freeze()  # a pass over what never dies would show in the pace
        port = server.sockets[0].getsockname()[1]
        sys.stdout.buffer.write(orjson.dumps({"ready": True, "url": f"http://{host}:{port}"}) + b"\n")
        sys.stdout.flush()
        await stop.wait()
    server.close()
    api.close()
    await server.wait_closed()


if __name__ == "__main__":
    main()

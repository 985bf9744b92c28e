"""The floor's servers: raw TCP, no WebSocket, no JSON. They do nothing but pass bytes on.

A relay stands where the server stands: what it reads whole it sends on, and what comes back it sends back. An
echo stands where the model stands: it answers every request after the model's time to first token with its
receive and write times. Together they are two loopback round trips at the pace of one call.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from typing import cast

import orjson
import uvloop

REPLY_BYTES = 120
"""About one frame with one word; the two times and blanks."""


class Echo(asyncio.Protocol):
    """Answers each request after `ttft_s`."""

    def __init__(self, request_bytes: int, ttft_s: float) -> None:
        self._request_bytes = request_bytes
        self._ttft_s = ttft_s
        self._read = 0
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Count until the request is whole."""
        self._read += len(data)
        if self._read >= self._request_bytes:
            self._read = 0
            now = time.monotonic_ns()
            if self._ttft_s:
                asyncio.get_running_loop().call_later(self._ttft_s, self._answer, now)
            else:
                self._answer(now)

    def _answer(self, received_ns: int) -> None:
        if self._transport is not None:
            times = b"%d,%d " % (received_ns, time.monotonic_ns())
            self._transport.write(times.ljust(REPLY_BYTES))


class Relay(asyncio.Protocol):
    """Passes whole requests up and whole replies down, for one caller."""

    def __init__(self, request_bytes: int) -> None:
        self._request_bytes = request_bytes
        self._held = b""
        self._caller: asyncio.WriteTransport | None = None
        self.upstream: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the caller's transport."""
        self._caller = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Send a whole request up."""
        self._held += data
        if len(self._held) >= self._request_bytes and self.upstream is not None:
            self.upstream.write(self._held)
            self._held = b""

    def reply(self, data: bytes) -> None:
        """Send a reply down."""
        if self._caller is not None:
            self._caller.write(data)


class Upstream(asyncio.Protocol):
    """The relay's connection to the echo."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    def data_received(self, data: bytes) -> None:
        """Hand it back."""
        self._relay.reply(data)


async def run(options: argparse.Namespace) -> None:
    """Serve until stdin closes or a signal ends the process."""
    loop = asyncio.get_running_loop()
    if options.to:
        relay = Relay(options.request_bytes)
        upstream, _ = await loop.create_connection(lambda: Upstream(relay), "127.0.0.1", options.to)
        relay.upstream = upstream
        server = await loop.create_server(lambda: relay, "127.0.0.1", 0)
    else:
        server = await loop.create_server(lambda: Echo(options.request_bytes, options.ttft_ms / 1000), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(orjson.dumps({"ready": True, "port": port}).decode() + "\n")
    sys.stdout.flush()
    gc.freeze()
    async with server:
        await server.serve_forever()


def main() -> None:
    """Read the flags and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--to", type=int, default=0, help="port of the echo; without it this is the echo")
    parser.add_argument("--request-bytes", type=int, required=True)
    parser.add_argument("--ttft-ms", type=float, default=0.0)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""How a peer starts: its client of the SDK, its garbage collector and its ready line. It serves nothing itself."""

from __future__ import annotations

import gc
import sys

import httpx2
import orjson
from anthropic import AsyncAnthropic, DefaultAsyncHttpxClient

__all__ = ["announce", "default_client", "tune_gc", "tuned_client"]

KEEPALIVE_S = 300
"""A caller speaks every few seconds; the SDK's own 5 s would reconnect on most turns."""


def default_client(base_url: str, api_key: str) -> AsyncAnthropic:
    """Make the client as the SDK's README does: its own pool of 100 kept connections, 5 s each."""
    return AsyncAnthropic(base_url=base_url, api_key=api_key)


def tuned_client(base_url: str, api_key: str) -> AsyncAnthropic:
    """Make the client with its pool at its best for voice: every connection kept, none refused, no retries."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_S)
    return AsyncAnthropic(
        base_url=base_url,
        api_key=api_key,
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(limits=limits),
    )


def tune_gc() -> None:
    """Keep the garbage collector off everything imported so far, and make its passes rare."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def announce(port: int) -> None:
    """Print the ready line: one line of JSON on stdout, as `retell_ws serve` does."""
    line = orjson.dumps({"ready": True, "ws": f"ws://127.0.0.1:{port}/llm-websocket"})
    sys.stdout.write(line.decode() + "\n")
    sys.stdout.flush()

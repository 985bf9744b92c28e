"""A server in the shape of Retell's Python demo: FastAPI, uvicorn, the official SDK. It never repairs that shape.

Written for this bench from a description of the demo. What is kept of it, on purpose, because most servers in
the field were grown from it:

* every message is handled in a task of its own that nobody holds;
* the begin message goes out on every accept, also when Retell redials;
* an old answer is noticed after its frame was sent, so one stale frame leaves;
* an old answer is not cancelled: it ends when its next delta comes, however long that takes, and its stream is
  closed by nobody but the garbage collector;
* a failing model leaves the turn without its completion;
* messages travel as dicts through `json`.

`--best` gives it everything that settings can give; the shape stays.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from typing import Any

import uvicorn
from anthropic import AsyncAnthropic
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from bench.peers import startup

INSTRUCTIONS = "You are Ana, the receptionist of Harbor Clinic. Answer in one or two short sentences."
GREETING = "Harbor Clinic, this is Ana. How can I help?"
REMINDER = "(The caller has been silent for a while. Check in.)"


def to_messages(request: dict[str, Any]) -> list[dict[str, str]]:
    """Turn a Retell request into the model's messages, the caller's side as `user`."""
    messages: list[dict[str, str]] = []
    for utterance in request["transcript"]:
        role = "assistant" if utterance["role"] == "agent" else "user"
        content = utterance["content"].strip() or "..."
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += " " + content
        else:
            messages.append({"role": role, "content": content})
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": "(The call begins.)"})
    if request["interaction_type"] == "reminder_required" or not messages:
        messages.append({"role": "user", "content": REMINDER})
    return messages


def build(options: argparse.Namespace) -> FastAPI:
    """Make the application."""
    app = FastAPI()
    key = os.environ.get("ANTHROPIC_API_KEY", "none")
    make = startup.tuned_client if options.best else startup.default_client
    shared = make(options.base_url, key) if options.shared_client else None

    @app.websocket("/llm-websocket/{call_id}")
    async def llm_websocket(websocket: WebSocket, call_id: str) -> None:
        await websocket.accept()
        client: AsyncAnthropic = shared or make(options.base_url, key)
        latest_id = 0

        async def handle(message: dict[str, Any]) -> None:
            nonlocal latest_id
            try:
                match message["interaction_type"]:
                    case "ping_pong":
                        pong = {"response_type": "ping_pong", "timestamp": message["timestamp"]}
                        await websocket.send_json(pong)
                    case "response_required" | "reminder_required":
                        latest_id = message["response_id"]
                        await answer(message)
            except Exception as exc:
                print(f"{call_id}: {exc!r}", file=sys.stderr)

        async def answer(message: dict[str, Any]) -> None:
            mine = message["response_id"]
            messages: Any = to_messages(message)
            stream = await client.messages.create(
                model=options.model, max_tokens=256, system=INSTRUCTIONS, messages=messages, stream=True
            )
            async for event in stream:
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    await websocket.send_json(frame(mine, event.delta.text, complete=False))
                    if mine < latest_id:
                        return  # the stream is left to the garbage collector
            await websocket.send_json(frame(mine, "", complete=True))

        wanted = {"auto_reconnect": True, "call_details": True, "transcript_with_tool_calls": False}
        await websocket.send_json({"response_type": "config", "config": wanted})
        await websocket.send_json(frame(0, GREETING, complete=True))
        with contextlib.suppress(WebSocketDisconnect):
            async for message in websocket.iter_json():
                asyncio.create_task(handle(message))  # noqa: RUF006 - nobody holds it: the shape under test

    return app


def frame(response_id: int, content: str, *, complete: bool) -> dict[str, Any]:
    """One `response` message as a dict."""
    return {
        "response_type": "response",
        "response_id": response_id,
        "content": content,
        "content_complete": complete,
        "end_call": False,
    }


class AnnouncingServer(uvicorn.Server):
    """Uvicorn that prints the ready line once it listens."""

    def __init__(self, config: uvicorn.Config, *, port: int, tuned: bool) -> None:
        super().__init__(config)
        self._port = port
        self._tuned = tuned

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then tell."""
        await super().startup(sockets)
        if self._tuned:
            startup.tune_gc()
        startup.announce(self._port)


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="claude-haiku-5-5")
    clients = parser.add_mutually_exclusive_group()
    clients.add_argument("--shared-client", dest="shared_client", action="store_true", default=True)
    clients.add_argument("--client-per-call", dest="shared_client", action="store_false")
    parser.add_argument("--best", action="store_true", help="the best settings of every part")
    options = parser.parse_args()

    listener = socket.create_server(("127.0.0.1", options.port), backlog=2048)
    app = build(options)
    if options.best:
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            log_level="warning",
            access_log=False,
        )
    else:
        config = uvicorn.Config(app, log_level="warning")
    server = AnnouncingServer(config, port=listener.getsockname()[1], tuned=options.best)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()

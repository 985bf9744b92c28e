"""A careful server on `websockets`, uvloop, msgspec and the official SDK. It never leaves the SDK's public API.

What a good engineer writes in a day: one reader per call that never waits for the model, at most one turn per
call, the old turn cancelled (which closes its stream), staleness checked before the send, a completion also
when the model fails. It is tuned like the other stacks: one client with kept connections, no compression, a
frozen garbage collector. What separates it from ours is the SDK.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import Any

import msgspec
import uvloop
from anthropic import APIError, AsyncAnthropic
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.peers import startup

INSTRUCTIONS = "You are Ana, the receptionist of Harbor Clinic. Answer in one or two short sentences."
GREETING = "Harbor Clinic, this is Ana. How can I help?"
APOLOGY = "Sorry, I lost my thought there. Could you say that again?"
SILENCE = "(The caller has been silent for a while. Check in.)"


class Message(msgspec.Struct, gc=False):
    """Any message of Retell's, as far as this server reads it."""

    interaction_type: str
    response_id: int = 0
    timestamp: int = 0
    transcript: msgspec.Raw = msgspec.Raw(b"[]")


class Utterance(msgspec.Struct, gc=False):
    """One utterance of the transcript."""

    role: str
    content: str = ""


class Response(msgspec.Struct, tag_field="response_type", tag="response", gc=False):
    """A piece of an answer."""

    response_id: int
    content: str
    content_complete: bool


class Pong(msgspec.Struct, tag_field="response_type", tag="ping_pong", gc=False):
    """The echo of a ping."""

    timestamp: int


_message = msgspec.json.Decoder(Message)
_transcript = msgspec.json.Decoder(list[Utterance])
_encode = msgspec.json.Encoder().encode
_CONFIG = _encode(
    {
        "response_type": "config",
        "config": {"auto_reconnect": True, "call_details": False, "transcript_with_tool_calls": False},
    }
)


def to_messages(message: Message) -> list[dict[str, str]]:
    """Turn a Retell request into the model's messages."""
    messages: list[dict[str, str]] = []
    for utterance in _transcript.decode(message.transcript):
        role = "assistant" if utterance.role == "agent" else "user"
        content = utterance.content.strip() or "..."
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += " " + content
        else:
            messages.append({"role": role, "content": content})
    if messages and messages[0]["role"] == "assistant":
        messages.insert(0, {"role": "user", "content": "(The call begins.)"})
    if message.interaction_type == "reminder_required" or not messages:
        messages.append({"role": "user", "content": SILENCE})
    return messages


class Caller:
    """One call: its socket, its latest id, its one turn."""

    def __init__(self, ws: ServerConnection, client: AsyncAnthropic, model: str) -> None:
        self._ws = ws
        self._client = client
        self._model = model
        self._latest_id = 0
        self._turn: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read until the socket closes; the turn ends with it."""
        await self._ws.send(_CONFIG, text=True)
        await self._ws.send(_encode(Response(0, GREETING, True)), text=True)
        async with asyncio.TaskGroup() as tasks:
            try:
                while True:
                    message = _message.decode(await self._ws.recv(decode=False))
                    match message.interaction_type:
                        case "ping_pong":
                            await self._ws.send(_encode(Pong(message.timestamp)), text=True)
                        case "response_required" | "reminder_required":
                            self._latest_id = message.response_id
                            if self._turn is not None:
                                self._turn.cancel()
                            self._turn = tasks.create_task(self._answer(message))
            except ConnectionClosed:
                if self._turn is not None:
                    self._turn.cancel()

    async def _answer(self, message: Message) -> None:
        mine = message.response_id
        messages: Any = to_messages(message)
        try:
            try:
                async with await self._client.messages.create(
                    model=self._model, max_tokens=256, system=INSTRUCTIONS, messages=messages, stream=True
                ) as stream:
                    async for event in stream:
                        if event.type == "content_block_delta" and event.delta.type == "text_delta":
                            if mine != self._latest_id:
                                return
                            await self._ws.send(_encode(Response(mine, event.delta.text, False)), text=True)
                last = ""
            except APIError:
                last = APOLOGY
            if mine == self._latest_id:
                await self._ws.send(_encode(Response(mine, last, True)), text=True)
        except ConnectionClosed:
            return


async def run(port: int, base_url: str, model: str) -> None:
    """Serve until SIGTERM or SIGINT."""
    client = startup.tuned_client(base_url, os.environ.get("ANTHROPIC_API_KEY", "none"))

    async def handler(ws: ServerConnection) -> None:
        await Caller(ws, client, model).run()

    stopped = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stopped.set)
    async with serve(
        handler, "127.0.0.1", port, compression=None, ping_interval=None, max_size=4 << 20, backlog=2048
    ) as server:
        startup.tune_gc()
        startup.announce(next(iter(server.sockets)).getsockname()[1])
        await stopped.wait()


def main() -> None:
    """Read the flags and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="claude-haiku-5-5")
    options = parser.parse_args()
    uvloop.run(run(options.port, options.base_url, options.model))


if __name__ == "__main__":
    main()

"""A small custom-LLM server for tests, right by default, with one fault for every check that must be able to fail.

It is written apart from the package on purpose: only the `websockets` library and the standard JSON are shared, so a
mistake of ours is not made on both ends.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from .tasks import Call, pressed, task

GREETING = "Harbor Clinic, this is Ana."
PIECES = (
    "I can book, ",
    "move or cancel ",
    "an appointment for you. ",
    "I can also tell you ",
    "when we are open, ",
    "and where to find us ",
    "in the old harbor.",
)
PATH = "/llm-websocket/"
KINDS = {"ping_pong", "call_details", "update_only", "response_required", "reminder_required"}


class Scripted:
    """The server.

    Args:
        faults: Names of what it does wrong; see where each is read, here and in `tasks.py`.
        gap_s: Seconds between two pieces of an answer.
    """

    def __init__(self, *faults: str, gap_s: float = 0.01) -> None:
        self.faults = set(faults)
        self.gap_s = gap_s
        self.calls: dict[str, Call] = {}
        self.broken = False
        self.open = 0
        self.received: list[dict[str, Any]] = []
        self.tasks: set[asyncio.Task[Any]] = set()

    def does(self, fault: str) -> bool:
        return fault in self.faults

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        owner = self

        class Fragile(ServerConnection):
            def connection_lost(self, exc: Exception | None) -> None:
                if owner.does("dies_of_half_a_handshake") and self.request is None:
                    owner.broken = True
                super().connection_lost(exc)

        async with serve(
            self.handle,
            "127.0.0.1",
            0,
            process_request=self.admit,
            compression=None,
            ping_interval=None,
            close_timeout=0.2,
            max_size=100_000 if self.does("small_limit") else 16 * 2**20,
            create_connection=Fragile,
        ) as server:
            port = server.sockets[0].getsockname()[1]
            try:
                yield f"ws://127.0.0.1:{port}{PATH[:-1]}"
            finally:
                for task in self.tasks:
                    task.cancel()
                await asyncio.gather(*self.tasks, return_exceptions=True)
                for call in self.calls.values():
                    for socket in [*call.older, *([call.socket] if call.socket else [])]:
                        socket.transport.abort()

    async def admit(self, socket: ServerConnection, request: Request) -> Response | None:
        path, _, query = request.path.partition("?")
        call_id = path.rpartition("/")[2]
        known = self.calls.get(call_id)
        refused = (
            (not path.startswith(PATH) and not self.does("any_path"))
            or (self.does("strict_call_id") and not re.fullmatch("call_[0-9a-f]{27}", call_id))
            or (self.does("no_query") and bool(query))
            or (self.does("refuses_redials") and known is not None)
            or (self.does("two_redials") and known is not None and known.sockets > 2)
            or (self.does("ten_calls") and self.open >= 10)
            or self.broken
        )
        if self.does("slow_accept"):
            await asyncio.sleep(1.2)
        return socket.respond(HTTPStatus.NOT_FOUND, "") if refused else None

    async def handle(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        call_id = socket.request.path.partition("?")[0].rpartition("/")[2]
        call = self.calls.setdefault(call_id, Call())
        if call.socket is not None:
            call.older.append(call.socket)
        call.socket, call.sockets = socket, call.sockets + 1
        self.open += 1
        try:
            await self.opening(socket, call)
            call.attached.set()
            async for data in socket:
                if await self.take(socket, call, data):
                    if call.turn is not None:
                        await call.turn
                    await socket.close(1000)
        except ConnectionClosed:
            pass
        finally:
            self.open -= 1
            if call.socket is socket:
                call.socket = None
                call.attached.clear()
                if self.does("forgets_turns") and call.turn is not None:
                    call.turn.cancel()
                if self.does("forgets_calls"):
                    asyncio.get_running_loop().call_later(0.05, self.calls.pop, call_id, None)
            if self.does("dies_of_a_drop") and socket.close_code == 1006:
                self.broken = True
        with suppress(ConnectionClosed):
            await socket.wait_closed()

    async def opening(self, socket: ServerConnection, call: Call) -> None:
        config = {"auto_reconnect": True, "call_details": True, "transcript_with_tool_calls": not self.does("no_keys")}
        frame = {"response_type": "config", "config": config}
        wants_config = not self.does("no_config") and not (self.does("config_once") and call.sockets > 1)
        if wants_config and not self.does("late_config"):
            await self.send(socket, frame)
        if self.does("needs_details"):
            async for data in socket:
                if json.loads(data)["interaction_type"] == "call_details":
                    break
        text = "" if call.greeted and not self.does("greets_again") else GREETING
        if not self.does("mute"):
            call.greeted = True
            await self.say(socket, 0, text, complete=True)
        if self.does("greets_twice"):
            await self.say(socket, 0, text, complete=True)
        if wants_config and self.does("late_config"):
            await self.send(socket, frame)
        if self.does("deaf"):
            socket.transport.pause_reading()

    async def take(self, socket: ServerConnection, call: Call, data: str | bytes) -> bool:
        """Act on one message; True closes the socket with 1000."""
        try:
            message = json.loads(data)
            kind = message["interaction_type"]
            if not isinstance(kind, str):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError) as exc:
            if self.does("closes_on_bad_json"):
                raise
            if self.does("closes_on_deep_json") and isinstance(exc, RecursionError):
                raise
            return self.does("hangs_up_on_garbage")
        if kind not in KINDS:
            if self.does("closes_on_unknown_kinds"):
                raise ValueError(kind)
            return False
        self.received.append(message)
        if self.does("closes_on_nulls") and None in message.values() and "turntaking" in message:
            raise ValueError("null")
        if kind == "call_details" and self.does("closes_on_sparse_details"):
            if message["call"] is None or "new_field" in message["call"]:
                raise ValueError("details")
        if kind == "call_details":
            call.details = message["call"] or {}
        if kind == "ping_pong":
            await self.pong(socket, message)
        elif kind == "update_only":
            if self.does("slow_updates"):
                await asyncio.sleep(0.012)
            if call.turn is not None and (
                self.does("updates_cancel")
                and "turntaking" not in message
                or self.does("user_turn_cancels")
                and message.get("turntaking") == "user_turn"
                or self.does("keys_cancel")
                and bool(pressed(message))
            ):
                call.turn.cancel()
        elif kind in ("response_required", "reminder_required"):
            response_id = message.get("response_id")
            if type(response_id) is not int:
                if self.does("closes_on_wrong_types"):
                    raise TypeError("response_id")
                return False
            await self.requested(call, response_id, message)
            return self.does("hangs_up") and response_id == 1
        return False

    async def pong(self, socket: ServerConnection, message: dict[str, Any]) -> None:
        timestamp = message.get("timestamp")
        if type(timestamp) is not int:
            return
        if self.does("slow_pongs"):
            await asyncio.sleep(0.6)
        if self.does("own_clock"):
            timestamp += 1
        for _ in range(2 if self.does("two_pongs") else 1):
            await self.send(socket, {"response_type": "ping_pong", "timestamp": timestamp})

    async def requested(self, call: Call, response_id: int, message: dict[str, Any]) -> None:
        transcript = message.get("transcript") or []
        last = transcript[-1] if transcript else {}
        text = last.get("content", "") if isinstance(last, dict) else ""
        if self.does("indexes_last"):
            transcript[-1]
        roles = [item.get("role") for item in transcript]
        texts = [str(item.get("content", "")) for item in transcript]
        unanswerable = (
            (self.does("refuses_unknown_fields") and "priority" in message)
            or (self.does("refuses_trailing_spaces") and any(not text.strip() for text in texts if text))
            or (self.does("refuses_empty_text") and text == "" and bool(transcript))
            or (self.does("drops_noise") and text == "(unintelligible audio)")
            or (self.does("ascii_only") and not text.isascii())
            or (self.does("alternating_roles") and any(a == b for a, b in zip(roles, roles[1:], strict=False)))
            or (self.does("known_roles") and bool({*roles} - {"agent", "user"}))
            or (self.does("refuses_tool_items") and bool(message.get("transcript_with_tool_calls")))
            or (self.does("refuses_keys") and bool(pressed(message)))
            or (self.does("few_keys") and len(pressed(message)) > 50)
            or (self.does("strict_keys") and not all(isinstance(key, str) and key for key in pressed(message)))
            or (self.does("deaf_when_leaving") and call.leaves is not None)
            or (self.does("ignores_reminders") and message["interaction_type"] == "reminder_required")
            or (self.does("tires") and response_id > 3)
            or (self.does("debounces") and bool(call.last_text) and text.startswith(call.last_text))
        )
        call.last_text = text
        if unanswerable:
            call.latest = max(call.latest, response_id)
            return
        if response_id == call.latest and not self.does("answers_duplicates"):
            return
        if response_id < call.latest and not self.does("answers_lower_ids"):
            return
        call.latest = response_id
        if call.turn is not None and not self.does("stale") and not (self.does("stale_tools") and call.books):
            call.turn.cancel()
        call.sent[response_id] = 0
        call.turn = self.spawn(task(self, call, response_id, message) or self.turn(call, response_id))
        if self.does("blocks") or (self.does("awaits_tools") and "book" in text):
            await call.turn

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        running = asyncio.create_task(coroutine)
        self.tasks.add(running)
        running.add_done_callback(self.tasks.discard)
        return running

    async def turn(self, call: Call, response_id: int) -> None:
        pieces = [] if self.does("silent") else ["".join(PIECES)] if self.does("one_piece") else [*PIECES]
        if self.does("never_completes"):
            pieces.clear()
        if self.does("cumulative"):
            pieces.append("".join(pieces))
        if self.does("slow_first"):
            await asyncio.sleep(5)
        number = response_id + 1 if self.does("wrong_id") else response_id
        sockets = call.sockets
        while call.sent[response_id] < len(pieces):
            await asyncio.sleep(0.15 if self.does("blocks") else self.gap_s)
            piece = pieces[call.sent[response_id]]
            call.sent[response_id] += 1
            if self.does("restarts_turns") and call.sockets > sockets:
                call.sent[response_id], sockets = 0, call.sockets
                continue
            await self.say_to(call, number, piece)
        if self.does("never_completes"):
            return
        await self.oddities(call, response_id)
        await self.say_to(call, number, "", complete=True)
        if self.does("completes_twice"):
            await self.say_to(call, number, "", complete=True)
        if self.does("text_after_completion"):
            await self.say_to(call, number, "Bye.")

    async def oddities(self, call: Call, response_id: int) -> None:
        socket = call.socket
        if socket is None:
            return
        if self.does("binary"):
            await socket.send(b"\x00\x01")
        if self.does("plain_text"):
            await socket.send("hello")
        if self.does("string_booleans"):
            frame = {"response_type": "response", "response_id": response_id, "content": "", "content_complete": "true"}
            await self.send(socket, frame)
        if self.does("invents_ids"):
            await self.say(socket, 999, "Hello?")

    async def say_to(self, call: Call, response_id: int, text: str, *, complete: bool = False, **fields: Any) -> None:
        """Say it on the call's socket, waiting for a redial if need be."""
        while True:
            if call.socket is None or not call.attached.is_set():
                await call.attached.wait()
            assert call.socket is not None
            try:
                if self.does("mixes_calls"):
                    for other in self.calls.values():
                        if other is not call and other.socket is not None:
                            await self.say(other.socket, response_id, text, complete=complete)
                if self.does("old_sockets"):
                    for older in call.older:
                        with suppress(ConnectionClosed):
                            await self.say(older, response_id, text, complete=complete)
                await self.say(call.socket, response_id, text, complete=complete, **fields)
                return
            except ConnectionClosed:
                call.attached.clear()

    async def send_to(self, call: Call, message: dict[str, Any]) -> None:
        """Send it on the call's socket, waiting for a redial if need be."""
        while True:
            await call.attached.wait()
            assert call.socket is not None
            try:
                await self.send(call.socket, message)
                return
            except ConnectionClosed:
                call.attached.clear()

    async def say(
        self, socket: ServerConnection, response_id: int, text: str, *, complete: bool = False, **fields: Any
    ) -> None:
        frame = {
            "response_type": "response",
            "response_id": response_id,
            "content": text,
            "content_complete": complete,
            "end_call": False,
            "transfer_number": None,
            **fields,
        }
        if self.does("unnamed"):
            del frame["response_type"]
        await self.send(socket, frame)

    async def send(self, socket: ServerConnection, message: dict[str, Any]) -> None:
        await socket.send(json.dumps(message))

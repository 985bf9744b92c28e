"""What the server of `servers.py` can do beside talking: book, hand on, hang up, press keys, and be pressed keys at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection

HOLDING = "One moment. "
BOOKED = "You are booked for "
NUMBER = "+14155550142"
TOOL_S = 0.05


class Call:
    """What the server remembers of one call."""

    def __init__(self) -> None:
        self.socket: ServerConnection | None = None
        self.older: list[ServerConnection] = []
        self.attached = asyncio.Event()
        self.sockets = 0
        self.greeted = False
        self.details: dict[str, Any] = {}
        self.latest = 0
        self.sent: dict[int, int] = {}
        self.last_text = ""
        self.turn: asyncio.Task[None] | None = None
        self.books = False
        self.bookings: dict[str, asyncio.Task[str]] = {}
        self.tools = 0
        self.leaves: dict[str, Any] | None = None


class Server(Protocol):
    """What a task needs of the server."""

    def does(self, fault: str) -> bool: ...

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]: ...

    async def say_to(
        self, call: Call, response_id: int, text: str, *, complete: bool = False, **fields: Any
    ) -> None: ...

    async def send_to(self, call: Call, message: dict[str, Any]) -> None: ...


def pressed(message: dict[str, Any]) -> list[Any]:
    """The keys behind the last words, as they came."""
    keys: list[Any] = []
    for item in message.get("transcript_with_tool_calls") or []:
        if item.get("role") in ("agent", "user"):
            keys.clear()
        elif item.get("role") == "dtmf":
            keys.append(item.get("digit"))
    return keys


def task(server: Server, call: Call, response_id: int, message: dict[str, Any]) -> Coroutine[Any, Any, None] | None:
    """What the caller wants done; None when they only want to talk."""
    spoken = message.get("transcript") or []
    last = spoken[-1] if spoken and isinstance(spoken[-1], dict) and spoken[-1].get("role") == "user" else {}
    text = str(last.get("content", "")).lower()
    if server.does("only_talks"):
        return None
    keys = [key for key in pressed(message) if isinstance(key, str)]
    leaves, call.leaves = call.leaves, None
    if message["interaction_type"] == "reminder_required":
        return _leave(server, call, response_id, "", {"end_call": True}) if server.does("leaves_silently") else None
    if keys and not server.does("ignores_keys"):
        return server.say_to(call, response_id, f"You pressed {len(keys)} keys: {keys[-1]}.", complete=True)
    if leaves and ("right" in text or server.does("leaves_anyway")):
        return None if server.does("forgets_leaving") else _leave(server, call, response_id, "As I said.", leaves)
    if server.does("asks_back") and "book" in text:
        return server.say_to(call, response_id, "Gladly. And what is your name?", complete=True)
    if "book" in text or "miller" in text:
        return _book(server, call, response_id, text)
    if "bye" in text:
        more = {"transfer_number": NUMBER} if server.does("two_actions") else {}
        words = "" if server.does("hangs_up_silently") else "Goodbye."
        return _leave(server, call, response_id, words, {"end_call": True, **more})
    if "person" in text:
        if call.details.get("call_type") != "phone_call" and not server.does("transfers_web_calls"):
            return server.say_to(call, response_id, "I can put through phone calls only.", complete=True)
        words = "" if server.does("transfers_silently") else "I will connect you."
        number = "(415) 555-0142" if server.does("local_number") else NUMBER
        return _leave(server, call, response_id, words, {"transfer_number": number})
    if "press 2" in text:
        digits = "two" if server.does("presses_words") else "2"
        return server.say_to(call, response_id, "", complete=True, digit_to_press=digits)
    return None


async def _leave(server: Server, call: Call, response_id: int, words: str, action: dict[str, Any]) -> None:
    call.leaves = action
    safe = {} if server.does("interruptible") else {"no_interruption_allowed": True}
    if server.does("trailing_actions"):
        await server.say_to(call, response_id, words, **safe)
        words = ""
    await server.say_to(call, response_id, words, complete=not server.does("leaves_open"), **safe, **action)
    if server.does("talks_on"):
        frame = {"response_type": "agent_interrupt", "interrupt_id": 1, "content": "Bye!", "content_complete": True}
        await server.send_to(call, frame)


async def _book(server: Server, call: Call, response_id: int, text: str) -> None:
    call.books = True
    day = "Wednesday" if "wednesday" in text else "Tuesday"
    key = text if server.does("books_by_words") else day
    if key not in call.bookings or server.does("books_again"):
        call.bookings[key] = server.spawn(_booking(server, call, day))
    if not server.does("wordless_tools"):
        await server.say_to(call, response_id, HOLDING.rstrip() if server.does("runs_together") else HOLDING)
    booking = call.bookings[key]
    words = await (booking if server.does("loses_results") else asyncio.shield(booking))
    call.books = False
    if server.does("tools_never_complete"):
        return
    await server.say_to(
        call, response_id, "" if server.does("silent_tools") or server.does("wordless_tools") else words
    )
    for _ in range(2 if server.does("tools_complete_twice") else 1):
        await server.say_to(call, response_id, "", complete=True)
    if server.does("tools_talk_on"):
        await server.say_to(call, response_id, "And a nice day.")


async def _booking(server: Server, call: Call, day: str) -> str:
    call.tools += 1
    tool_call_id = "tc_1" if server.does("one_tool_id") else f"tc_{call.tools}"
    arguments: Any = json.dumps({"day": day})
    if server.does("bare_arguments"):
        arguments = day
    if server.does("arguments_as_object"):
        arguments = {"day": day}
    invocation = {"response_type": "tool_call_invocation", "tool_call_id": tool_call_id, "name": "book"}
    await server.send_to(call, {**invocation, "arguments": arguments})
    await asyncio.sleep(10 * TOOL_S if server.does("awaits_tools") else TOOL_S)
    result = {"response_type": "tool_call_result", "tool_call_id": tool_call_id, "content": f"number {call.tools}"}
    for _ in range(0 if server.does("no_results") else 2 if server.does("two_results") else 1):
        await server.send_to(call, {**result, "successful": True})
    return f"{BOOKED}{day}."

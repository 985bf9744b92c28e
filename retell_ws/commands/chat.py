"""`retell_ws chat`: be the caller, in the terminal or from a pipe. Speaks the real protocol, to a real server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..errors import UsageError
from ..testing.dial import DialError, DialPolicy
from ..testing.report import Answer
from ..testing.retell import CallEnded, FakeRetell
from .caller import DETAILS, ONE_DIAL, timing
from .serve import EXAMPLE

__all__ = ["chat"]

LOCAL = "ws://127.0.0.1:8080/llm-websocket"
"""Where `serve` listens unless told otherwise."""

SCHEMES = ("ws://", "wss://", "http://", "https://")


def chat(target: str | None = None, /, *, speed: float = 1.0, raw: bool = False, timeout_s: float = 30.0) -> int:
    """Talk to an agent or to a running server in the terminal.

    Type at any time: Enter while the agent speaks interrupts it, as a caller would. Without a terminal, each line of
    standard input is one turn.

    Args:
        target: FILE.py, FILE.py:NAME, MODULE:NAME, or a ws:// URL. Without it, the server on port 8080 if one runs,
            otherwise a small receptionist.
        speed: Factor on the agent's pace of 160 words a minute.
        raw: Show every frame that comes in.
        timeout_s: Longest wait for an answer when reading from a pipe.
    """
    if speed <= 0:
        raise UsageError("--speed has to be above 0")
    try:
        return asyncio.run(_chat(target, speed=speed, raw=raw, timeout_s=timeout_s))
    except KeyboardInterrupt:
        return 0


async def _chat(target: str | None, *, speed: float, raw: bool, timeout_s: float) -> int:
    async with _server(target) as (url, name):
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                from .terminal import talk

                return await talk(url, name, speed=speed, raw=raw)
            return await _read_aloud(url, raw=raw, timeout_s=timeout_s)
        except DialError as exc:
            raise UsageError(f"{url}: {exc}") from None


@asynccontextmanager
async def _server(target: str | None) -> AsyncIterator[tuple[str, str]]:
    """Find or start the server to talk to: its URL, and what to call it."""
    if target is not None and target.startswith(SCHEMES):
        yield target, target
        return
    if target is None and await _answers(LOCAL):
        yield LOCAL, LOCAL
        return
    from ..agent_file import load
    from ..blueprints import running
    from ..settings import load as load_settings

    agent = load(target or EXAMPLE)
    async with running(agent, load_settings({"host": "127.0.0.1", "port": 0, "path_secret": ""})) as server:
        yield server.url, target or "the receptionist of the examples"


async def _answers(url: str) -> bool:
    try:
        async with FakeRetell(url, dial_policy=DialPolicy(attempts=1, timeout_s=1.0), ping_s=None):
            return True
    except DialError:
        return False


async def _read_aloud(url: str, *, raw: bool, timeout_s: float) -> int:
    """Take each line of standard input as a turn and print each answer as a line."""
    show = _write if raw else None
    async with FakeRetell(url, details=DETAILS, dial_policy=ONE_DIAL, reminder_max_count=0, on_frame=show) as retell:
        try:
            _write(f"agent: {await retell.greeting(timeout_s=timeout_s)}")
            # A pipe may stay silent for long: the thread waits, the call goes on.
            while line := await asyncio.to_thread(sys.stdin.readline):
                answer = await _turn(retell, line.strip(), timeout_s=timeout_s)
                if answer is None:
                    break
                if not answer.action or answer.action.kind == "digit_to_press":
                    continue
                _write(f"({await retell.ended(timeout_s=timeout_s)})")
                break
        except TimeoutError:
            sys.stderr.write(f"retell_ws: no answer within {timeout_s:g} s\n")
            return 1
        except CallEnded as exc:
            sys.stderr.write(f"retell_ws: the call ended: {exc}\n")
            return 1
    return 0


async def _turn(retell: FakeRetell, line: str, *, timeout_s: float) -> Answer | None:
    """Play one line; None ends the conversation."""
    match line:
        case "/quit":
            return None
        case "/drop":
            await retell.drop()
            await retell.redial()
            response_id = retell.rules.latest
        case "/silence":
            response_id = await retell.silence()
        case "":
            response_id = retell.rules.latest
        case _:
            _write(f"you: {line}")
            response_id = await retell.request(line)
    answer = await retell.answer(response_id, timeout_s=timeout_s)
    if line not in ("", "/drop"):
        _write(f"agent: {answer.text}\n       ({timing(answer)})")
    return answer


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

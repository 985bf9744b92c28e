"""`retell_ws chat`: be the caller, in the terminal or from a pipe. Speaks the real protocol, to a real server."""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number
from msgspec import structs

from ..errors import UsageError
from ..testing.acceptance import Exchange
from ..testing.dial import DialError
from ..testing.report import answer_of
from ..testing.retell import CallEnded, FakeRetell
from .caller import HELP, ONE_DIAL, PATIENT, WAITS, Deeds, Redials, details_of, ending, pressing, timing, unknown
from .flags import Flags, given
from .plain import one_line
from .serve import EXAMPLE
from .target import MaybeFile

__all__ = ["chat"]

LOCAL = "127.0.0.1:8080"
"""Where `serve` listens unless told otherwise."""

SCHEMES = ("ws://", "wss://", "http://", "https://")

MAX_UNASKED = 64
"""Interruptions that wait for the answer before them to be shown; the oldest go first. One turn has hardly two."""

Positive = Annotated[float, Parameter(validator=Number(gt=0))]


def chat(
    target: MaybeFile | None = None,
    /,
    *,
    speed: Positive = 1.0,
    var: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = (),
    from_number: str | None = None,
    raw: bool = False,
    timeout_s: Positive = 30.0,
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*", group="Settings of the server, when an agent is named")] = None,
) -> int:
    """Talk to an agent or to a running server in the terminal.

    Type at any time: Enter while the agent speaks interrupts it, as a caller would. Without a terminal, each line of
    standard input is one turn.

    Args:
        target: FILE.py, FILE.py:NAME, MODULE:NAME, or a ws:// URL. Without it, the server on port 8080 if one runs,
            otherwise a small receptionist.
        speed: Factor on the agent's pace of 160 words a minute.
        var: A dynamic variable of the call, NAME=VALUE; may be given several times.
        from_number: The caller's number. Without it this is a web call.
        raw: Show every frame that comes in.
        timeout_s: Longest wait for an answer when reading from a pipe, in seconds.
        config: A TOML file of settings, when an agent is named.
        flags: The settings.
    """
    settings = given(flags)
    if (settings or config) and target is not None and target.startswith(SCHEMES):
        raise UsageError(f"settings are the server's affair, and the one at {target} is running already")
    details = details_of(var, from_number)
    try:
        return asyncio.run(_chat(target, settings, config, details=details, speed=speed, raw=raw, timeout_s=timeout_s))
    except KeyboardInterrupt:
        return 0


async def _chat(
    target: str | None,
    settings: dict[str, Any],
    config: Path | None,
    *,
    details: dict[str, Any],
    speed: float,
    raw: bool,
    timeout_s: float,
) -> int:
    async with _server(target, settings, config) as (url, name):
        try:
            if sys.stdin.isatty() and sys.stdout.isatty():
                from .terminal import talk

                return await talk(url, name, details=details, speed=speed, raw=raw)
            if target is None:
                sys.stderr.write(f"retell_ws: talking to {name}\n")
            return await _Pipe(url, details, raw=raw, timeout_s=timeout_s).talk()
        except DialError as exc:
            raise UsageError(f"{url}: {exc}") from None


@asynccontextmanager
async def _server(target: str | None, settings: dict[str, Any], config: Path | None) -> AsyncIterator[tuple[str, str]]:
    """Find or start the server to talk to: its URL, and what to call it."""
    if target is not None and target.startswith(SCHEMES):
        yield target, target
        return
    if target is None and await asyncio.to_thread(_serves, LOCAL):
        url = f"ws://{LOCAL}/llm-websocket"
        yield url, url
        return
    from ..agent_file import load
    from ..blueprints import running
    from ..log import configure
    from ..settings import load as load_settings

    agent = load(target or EXAMPLE)
    configure("warning")
    at_home = {"host": "127.0.0.1", "port": 0, "path_secret": ""}
    found = load_settings({**settings, **at_home}, config=config)
    # Whoever serves with these settings may be running, and has the second port.
    async with running(agent, structs.replace(found, http_port=None)) as server:
        yield server.url, target or f"the receptionist of the examples (no server of ours on {LOCAL})"


def _serves(place: str) -> bool:
    """Tell whether a server of ours is there, by its health: a call would count as one."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{place}/livez", timeout=1.0) as answer:
            return bool(answer.read(16) == b"ok\n")
    except (urllib.error.URLError, OSError, ValueError):
        return False


class _Pipe:
    """A conversation without a terminal: each line of standard input is a turn, each answer a line.

    What the agent says unasked is a line too, as soon as it is there, but never above the answer it came after.
    """

    def __init__(self, url: str, details: dict[str, Any], *, raw: bool, timeout_s: float) -> None:
        self._raw = raw
        self._timeout_s = timeout_s
        self._deeds = Deeds()
        self._unasked: deque[Exchange] = deque(maxlen=MAX_UNASKED)
        self._waits = True  # for an answer, or the begin message
        self._has_left = False  # the agent, by words nobody asked for
        self._retell = FakeRetell(
            url,
            details=details,
            dial_policy=ONE_DIAL,
            redial_policy=PATIENT,
            reminder_max_count=0,
            on_interrupt=self._interrupted,
            on_frame=self._show,
            on_open=Redials(lambda note: _write(f"({note})")),
        )

    async def talk(self) -> int:
        """Read to the end of the input or of the call; returns the exit status."""
        async with self._retell:
            try:
                _write(f"agent: {one_line((await self._given(0)).text) or WAITS}")
                self._tell_unasked()
                # A pipe may stay silent for long: the thread waits, the call goes on.
                while line := await asyncio.to_thread(sys.stdin.readline):
                    if self._has_left or not await self._play(line.strip()):
                        break
            except TimeoutError:
                sys.stderr.write(f"retell_ws: no answer within {self._timeout_s:g} s\n")
                return 1
            except CallEnded as exc:
                sys.stderr.write(f"retell_ws: the call ended: {one_line(str(exc))}\n")
                return 1
        return 0

    async def _play(self, line: str) -> bool:
        """Play one line; False when the call is over."""
        match line:
            case "":
                return True
            case "/quit":
                return False
            case "/help":
                _write(HELP)
                return True
            case "/raw":
                self._raw = not self._raw
                return True
            case "/drop":
                await self._retell.drop()
                await self._retell.redial()
                await self._given(self._retell.rules.latest)
                self._tell_unasked()
                return not self._has_left
            case "/silence":
                return await self._hear(await self._retell.silence())
        if wrong := unknown(line):
            _write(f"({wrong})")
            return True
        _write(f"you: {line}")
        return await self._hear(await self._retell.request(line))

    async def _hear(self, response_id: int) -> bool:
        given = await self._given(response_id)
        times = [f"({timing(answer_of(given))})"] if given.is_complete else []
        if given.is_complete or given.text:
            _write(f"agent: {_said(given)}")
        for line in (*self._deeds.news(self._retell.rules.tools.values()), *times):
            _write(f"       {line}")
        if given.is_complete and given.action is not None:
            if given.action.kind != "digit_to_press":
                _write(f"({ending(await self._retell.ended(timeout_s=self._timeout_s), given.action)})")
                return False
            _write(pressing(given.action))
        self._tell_unasked()
        return not self._has_left

    async def _given(self, response_id: int) -> Exchange:
        """Wait until an answer is whole, or the agent itself broke it off (§3.4): nothing more comes for it then."""
        exchange = self._retell.rules.exchanges[response_id]
        self._waits = True
        await self._retell.until(lambda: exchange.is_complete or exchange.cancelled, timeout_s=self._timeout_s)
        return exchange

    def _interrupted(self, interrupt: Exchange) -> None:
        if not self._unasked or self._unasked[-1] is not interrupt:
            self._unasked.append(interrupt)
        if not self._waits:
            self._tell_unasked()

    def _tell_unasked(self) -> None:
        """Show what was said unasked, whatever was before it being shown. One that a newer one cut is over as well."""
        self._waits = False
        while self._unasked and (self._unasked[0].is_complete or len(self._unasked) > 1):
            interrupt = self._unasked.popleft()
            if interrupt.text:
                _write(f"agent: {_said(interrupt)}")
            if interrupt.action is None or not interrupt.is_complete:
                continue
            if interrupt.action.kind == "digit_to_press":
                _write(pressing(interrupt.action))
            elif self._retell.disconnection_reason is not None:
                self._has_left = True
                _write(f"({ending(self._retell.disconnection_reason, interrupt.action)})")

    def _show(self, frame: str) -> None:
        if self._raw:
            _write(frame)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _said(exchange: Exchange) -> str:
    """Give the words of an exchange, marked when it was cut."""
    words = one_line(exchange.text)
    return words if exchange.is_complete else f"{words} —"

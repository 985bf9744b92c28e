"""Retell's webhooks: a signed one is taken, an altered one refused, one that is sent again is kept once."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from ..blueprints import RETELL_KEY, WEBHOOK_KEY
from ..journal import Journal
from ..settings import Settings
from ..webhooks import signature
from .book import Book
from .second_port import SecondPort, asking
from .setup import Setup

__all__ = ["check", "try_out"]

LIMIT_S: Final = 30.0

TAKEN: Final = 204
REFUSED: Final = 401

READ: Final = 1000


async def check(setup: Setup, book: Book) -> None:
    """Send webhooks to a spare server as Retell would, and as nobody should."""
    _place(book, setup.settings)
    keys = _keys(setup, book)
    async with (
        book.line("signatures", limit_s=LIMIT_S) as line,
        setup.probing("webhooks", keys) as spare,
        asking(spare.http) as port,
    ):
        for number, key in enumerate(keys.values()):
            if wrong := await try_out(port, key.encode(), setup.call_id(f"webhook{number}")):
                line.fails(wrong, "report it as a bug")
                return
        seen = "signed ones are taken; altered ones, others' and old ones refused"
        if not setup.settings.data_folder():
            line.passes(f"{seen}; they are counted, and not kept: there is no data folder")
            return
        kept = await asyncio.to_thread(_kept, setup.folder / "webhooks")
        if kept == len(keys):
            line.passes(f"{seen}; one that is sent again is kept once")
        else:
            line.fails(f"of {len(keys)}, each sent twice, {kept} were kept", "see that the data folder can be written")


def _place(book: Book, settings: Settings) -> None:
    """Say where webhooks come in."""
    name = "where they come in"
    if settings.http_port is None:
        book.skips(name, "there is no second port", "say --http-port 8081, and lead /webhook to it")
    else:
        book.put(name, "info", f"/webhook on port {settings.http_port} of {settings.http_host}")


def _keys(setup: Setup, book: Book) -> dict[str, str]:
    """Give the keys to sign with, by their variables; where there is none, one that is thrown away."""
    names = [name for name in (RETELL_KEY, WEBHOOK_KEY) if setup.environment.get(name, "").strip()]
    if not names:
        book.skips("your key", f"no {RETELL_KEY}: a throw-away key is used below", f"export {RETELL_KEY}=…")
    return {name: setup.environment[name].strip() for name in names} or {RETELL_KEY: secrets.token_hex(16)}


def _kept(folder: Path) -> int:
    """Count the webhooks in a journal. Nobody consumes it, so all are there."""
    with closing(Journal(folder)) as journal:
        return sum(entry.id.startswith("webhook:") for entry in journal.read(0, READ))


async def try_out(port: SecondPort, key: bytes, call_id: str) -> str:
    """Send what must be taken and what must not; give what was wrong, or nothing.

    Args:
        port: Of the server.
        key: That it knows.
        call_id: A call of ours.
    """
    body = msgspec.json.encode({"event": "call_ended", "call": {"call_id": call_id, "agent_id": "agent_validate"}})
    now = time.time_ns() // 1_000_000
    signed = signature(body, key, now)
    if (status := await port.tell(body, signed)) != TAKEN:
        return f"a signed webhook is answered with {status}"
    if (status := await port.tell(body, signed)) != TAKEN:
        return f"a webhook that is sent again is answered with {status}"
    wrong = {
        "an altered": (body.replace(b"agent_validate", b"agent_other"), signed),
        "a stranger's": (body, signature(body, secrets.token_bytes(16), now)),
        "an old": (body, signature(body, key, now - 3_600_000)),
        "an unsigned": (body, ""),
    }
    for whose, (sent, mark) in wrong.items():
        if (status := await port.tell(sent, mark)) != REFUSED:
            return f"{whose} webhook is answered with {status}"
    return ""

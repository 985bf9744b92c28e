"""Facts from end to end: what is said in a call on a spare server arrives in an archive and in figures, masked.

These are the spare server's own. Of the real archive it is tried whether it can be written and read.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from ..errors import SinkError
from ..extras import needing
from ..settings import Settings
from ..testing.retell import FakeRetell
from .archive import tried
from .book import Book, Entry, Unchecked
from .kafka import probe_of
from .setup import SPOKEN, Setup
from .spare import started

__all__ = ["check", "masked", "room"]

LIMIT_S: Final = 75.0

ARCHIVE_S: Final = 45.0
"""For the real archive. The client of a bucket tries for 20 s by itself."""

ARCHIVE: Final = "see --archive, and what the consumers' user, or their AWS_… key, may do there"

ARRIVAL_S: Final = 40.0
"""Seconds a fact may take from the call's end to the archive. With Kafka, whose groups take their time, too."""

LOOK_S: Final = 0.25

CANARY: Final = "+1 415 555 0142"
"""A number that nobody has. It is said in the call, and must be found nowhere."""

SAID: Final = "Please call me back"
"""Before the number: what is in the archive has to be this call's."""

QUESTION: Final = f"{SAID} at {CANARY} some time"

GROUPS: Final = ("analytics", "archive")


async def check(setup: Setup, book: Book) -> None:
    """Look at the journal's folder and the archive, then follow one call."""
    settings = setup.settings
    if not (folder := settings.data_folder()):
        book.skips("a call's facts", "no facts are kept", "--blueprint events, or --data FOLDER in any blueprint")
        return
    async with book.line("the journal's folder", limit_s=5.0) as line:
        await asyncio.to_thread(room, line, Path(folder), settings.journal_mb)
    if settings.archive:
        async with book.line("the archive", limit_s=ARCHIVE_S, advice=ARCHIVE) as line:
            await asyncio.to_thread(tried, line, settings.archive, setup.run)
    async with book.line("a call's facts", limit_s=LIMIT_S, advice="see the lines of `kafka`, and the disk") as line:
        await _follow(setup, line)


def room(line: Entry, folder: Path, wanted_mb: int) -> None:
    """See whether a folder can be written, and has room.

    Args:
        line: Takes it down.
        folder: It may not be there yet.
        wanted_mb: Megabytes the journal may take.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        with NamedTemporaryFile(dir=there, prefix=".retell_ws-validate-") as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as exc:
        line.fails(f"{folder} cannot be written: {exc.strerror}", "chown it to the user of the server, or say --data")
        return
    free_mb = shutil.disk_usage(there).free // (1024 * 1024)
    seen = f"{folder} can be written; {free_mb} MB are free, the journal may take {wanted_mb}"
    if free_mb < wanted_mb:
        line.warns(seen, "make room, say a smaller --journal-mb, or put --data on another disk")
    else:
        line.passes(seen)


async def _follow(setup: Setup, line: Entry) -> None:
    call_id, began = setup.call_id("facts"), time.time()
    folder = setup.folder / "events"
    async with _serving(setup) as (url, how):
        async with FakeRetell(url, call_id=call_id, details={"call_type": "web_call"}) as retell:
            await retell.greeting()
            await retell.ask(QUESTION)
        ended = time.perf_counter()
        text = await _arrived(folder, call_id, began)
        took_s = time.perf_counter() - ended
    if text is None:
        line.fails(
            f"nothing of the call arrived within {ARRIVAL_S:g} s ({how})",
            "see the log of `retell_ws consume`, and `kafka`",
        )
    elif found := await asyncio.to_thread(masked, folder, text):
        own = setup.agent.mask is not None
        line.fails(
            f"a phone number that was spoken stands in {found}",
            "your Agent(mask=...) lets phone numbers through" if own else "report it as a bug",
        )
    elif SAID not in text and setup.agent.mask is None:
        line.fails(f"the archive has the call, and not what was said in it ({how})", "report it as a bug")
    else:
        line.passes(f"{how}: transcript and figures there {took_s:.1f} s after the call, and the spoken number masked")


def masked(folder: Path, text: str) -> str:
    """Look for the number that was spoken.

    Args:
        folder: All that was written.
        text: The transcript in the archive.

    Returns:
        Where it stands; empty when it stands nowhere.
    """
    forms = (CANARY, CANARY.replace(" ", ""), CANARY.split(" ", 1)[1])
    if any(form in text for form in forms):
        return "the archive"
    for path in folder.rglob("*"):
        if path.is_file() and any(form.encode() in path.read_bytes() for form in forms):
            return str(path.relative_to(folder))
    return ""


@asynccontextmanager
async def _serving(setup: Setup) -> AsyncIterator[tuple[str, str]]:
    """Run a server, and what consumes its facts; gives the URL, and by which way they go."""
    changes: dict[str, Any] = {"grace_s": 0.5}  # or the archive would wait for a redial
    if not setup.settings.kafka_bootstrap:
        async with setup.probing("events", **changes, consume=True) as spare:
            yield spare.url, "by the journal, into an archive of its own"
        return
    changes |= {
        "kafka_bootstrap": setup.settings.kafka_bootstrap,
        "kafka_prefix": f"{setup.settings.kafka_prefix}{setup.run}.",
        "kafka_partitions": 1,
    }
    settings = setup.changed("events", **SPOKEN, **changes)
    async with (
        _own_topics(settings),
        setup.probing("events", **changes) as spare,
        started("consume", *GROUPS, settings=settings),
    ):
        yield spare.url, "by Kafka, over topics of its own, into an archive of its own"


@asynccontextmanager
async def _own_topics(settings: Settings) -> AsyncIterator[None]:
    """Have topics that are nobody else's. In the real ones our call would be in everybody's figures."""
    probe = await asyncio.to_thread(probe_of, settings)
    await asyncio.to_thread(probe.brokers)
    making = asyncio.create_task(asyncio.to_thread(probe.make))
    try:
        if why := await asyncio.shield(making):
            raise Unchecked(
                f"topics of its own cannot be made, and the real ones are not for tests ({why})",
                "let our user CREATE and DELETE topics that begin with "
                f"{settings.kafka_prefix.rsplit('validate', 1)[0]}",
            )
        yield
    finally:  # also of those that were made when another one was refused, or when we are told to stop meanwhile
        await asyncio.wait([making])
        await asyncio.to_thread(probe.drop, [settings.kafka_prefix + name for name in GROUPS])


async def _arrived(folder: Path, call_id: str, since: float) -> str | None:
    """Wait for the transcript and the figures of a call; gives the transcript, None when they do not come."""
    try:
        async with asyncio.timeout(ARRIVAL_S):
            while True:
                text = await asyncio.to_thread(_transcript, folder, call_id)
                if text is not None and await asyncio.to_thread(_has_figures, folder, since):
                    return text
                await asyncio.sleep(LOOK_S)
    except TimeoutError:
        return None


def _transcript(folder: Path, call_id: str) -> str | None:
    with needing("analytics", "the archive"):
        from ..consumers.parts import place
        from ..consumers.shelf import TABLE, Shelf
    if not (folder / TABLE.name).is_dir():
        return None
    try:
        with Shelf(place(str(folder))) as shelf:
            row = shelf.find(call_id)
    except (OSError, SinkError):
        return None
    return None if row is None or not row.turns else row.text


def _has_figures(folder: Path, since: float) -> bool:
    from ..consumers.analytics import FIGURES
    from ..consumers.parts import Parts, place
    from ..report.questions import gather

    try:
        with Parts(place(str(folder)), FIGURES) as parts:
            figures = gather(parts, since, time.time() + 1, 1.0)
    except (OSError, SinkError):
        return False
    return figures is not None and figures.turns.count > 0

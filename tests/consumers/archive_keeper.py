"""A process that archives a file of entries until it is killed.

    python -m tests.consumers.archive_keeper ENTRIES WHERE OFFSET BATCH

It commits how far it is in a file of its own, after the consumer has handled a batch, as a bus does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from retell_ws.consumers import archive as module
from retell_ws.consumers import parts, shelf
from retell_ws.consumers.archive import Archive
from retell_ws.entries import decode

# Merge and mend all the time, to be killed in it.
parts.MANY = 3  # type: ignore[misc]
shelf.SETTLE_S = 0.0  # type: ignore[misc]
module.TIDY_S = module.MEND_S = 0.0  # type: ignore[misc]


def committed(offset: Path) -> int:
    return int(offset.read_text()) if offset.exists() else 0


def commit(offset: Path, done: int) -> None:
    beside = offset.with_suffix(".new")
    beside.write_text(str(done))
    os.replace(beside, offset)


async def consume(lines: list[bytes], where: str, offset: Path, size: int) -> None:
    """Consume to the end."""
    async with Archive(where) as archive:
        while (done := committed(offset)) < len(lines):
            batch = lines[done : done + size]
            await archive.handle([decode(line) for line in batch])
            commit(offset, done + len(batch))
            print(done, flush=True)  # noqa: T201
            await archive.idle()


if __name__ == "__main__":
    asyncio.run(consume(Path(sys.argv[1]).read_bytes().splitlines(), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))

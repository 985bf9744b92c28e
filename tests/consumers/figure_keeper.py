"""A process that consumes a file of entries until it is killed: `python -m tests.consumers.figure_keeper FILE FOLDER`.

It commits how far it is in a file of its own, after the consumer has handled a batch, as a bus does.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from retell_ws.consumers import parts as module
from retell_ws.consumers.analytics import Analytics
from retell_ws.entries import decode

module.MANY = 3  # type: ignore[misc]  # merge all the time, to be killed in it


async def consume(lines: list[bytes], folder: Path) -> None:
    """Consume to the end."""
    offset = folder / "offset"
    async with Analytics(folder) as figures:
        while (done := int(offset.read_text()) if offset.exists() else 0) < len(lines):
            batch = lines[done : done + 97]
            await figures.handle([decode(line) for line in batch])
            beside = folder / "offset.new"
            beside.write_text(str(done + len(batch)))
            os.replace(beside, offset)
            figures._next_look = 0.0
            await figures.idle()
            print(done, flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(consume(Path(sys.argv[1]).read_bytes().splitlines(), Path(sys.argv[2])))

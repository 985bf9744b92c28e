"""The port of the calls keeps to RFC 6455: the cases of the Autobahn test suite, run by `kosoku`.

They want an echo, so an echo is served, with the connection and all the settings that calls have. Left out are the
cases 9 (megabytes of echo), 12 and 13 (compression, which is not offered).
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, serve

from retell_ws.server import options
from retell_ws.settings import Settings

pytest.importorskip("kosoku", reason="the dev extra is not installed")

ALLOWED = {"7.1.5"}
"""A close between the fragments of a message: the library answers 1002 instead of 1000. Retell sends no fragments."""


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def test_the_cases_pass_but_for_one(tmp_path: Path) -> None:
    async with serve(echo, "127.0.0.1", 0, **options(send_s=Settings().send_ms / 1000)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).with_name("kosoku"), "--parallelism", "8", "--outdir", tmp_path),
            *("--exclude", "9.*", "--exclude", "12.*", "--exclude", "13.*", f"127.0.0.1:{port}"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
    ((_, cases),) = orjson.loads((tmp_path / "index.json").read_bytes()).items()
    behaviour = {case: found["behavior"] for case, found in cases.items()}
    assert {case for case, how in behaviour.items() if how not in ("OK", "NON-STRICT", "INFORMATIONAL")} == ALLOWED
    ended = {case for case, found in cases.items() if found["behaviorClose"] not in ("OK", "INFORMATIONAL")}
    assert ended == ALLOWED
    assert len(behaviour) > 240, Counter(behaviour.values())

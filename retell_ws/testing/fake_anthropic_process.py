"""Starts the fake API as a process of its own and talks to its control port. For tests and benches."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final

import msgspec

from ..models.target import Target
from .fake_anthropic_totals import Totals

__all__ = ["FakeAnthropic", "FakeAnthropicProcess"]

START_S: Final = 15.0
STOP_S: Final = 5.0
CONTROL_S: Final = 5.0


class FakeAnthropic:
    """A running fake API, wherever it came from.

    Args:
        url: Its base URL, as `--model-url` takes it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._target = Target.of(url)

    async def control(self, **changes: object) -> None:
        """Change how it plays; see `fake_anthropic_faults.Play` for the keys.

        Args:
            changes: New values; `reset=True` goes back to the options of its start, and an empty prompt cache, first.

        Raises:
            ValueError: A key or value is none it knows.
        """
        await self._ask("POST", "/control", msgspec.json.encode(changes))

    async def log(self) -> list[dict[str, Any]]:
        """Ask what happened, one dict a request, oldest first; see `fake_anthropic_server.Entry`."""
        return msgspec.json.decode(await self._ask("GET", "/log"), type=list[dict[str, Any]])

    async def totals(self) -> Totals:
        """Ask for the sums since its start."""
        return msgspec.json.decode(await self._ask("GET", "/totals"), type=Totals)

    async def clear(self) -> None:
        """Forget what happened."""
        await self._ask("DELETE", "/log")

    async def _ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        async with asyncio.timeout(CONTROL_S):
            reader, writer = await asyncio.open_connection(self._target.host, self._target.port)
            try:
                writer.write(
                    f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
                )
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                answer = await reader.readexactly(length)
            finally:
                writer.close()
                await writer.wait_closed()
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError(answer.decode())
        return answer


class FakeAnthropicProcess:
    """Runs the fake API while its block runs.

        async with FakeAnthropicProcess(ttft_ms=50, deltas=10) as fake:
            model = AnthropicModel(api_key="any", base_url=fake.url)

    Args:
        options: Options of the command line, with underscores: `ttft_ms=50` is `--ttft-ms 50`, `stamp=True` is
            `--stamp`, None leaves an option out.
    """

    def __init__(self, **options: str | float | bool | None) -> None:
        self._arguments: list[str] = []
        for name, value in options.items():
            if value is not None and value is not False:
                self._arguments.append(f"--{name.replace('_', '-')}")
                if value is not True:
                    self._arguments.append(str(value))
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> FakeAnthropic:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "retell_ws.testing.fake_anthropic", *self._arguments,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                line = await process.stdout.readline()
            if not line:
                raise RuntimeError("the fake API did not start; what it said is on stderr")
        except BaseException:
            await self.__aexit__()
            raise
        return FakeAnthropic(msgspec.json.decode(line)["url"])

    async def __aexit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()

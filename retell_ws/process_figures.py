"""What the process itself takes: processor, memory, files, as the library reads it from the system.

That is read in a thread of its own, because it opens files, and lists as many as there are sockets.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

__all__ = ["ProcessFigures"]


class ProcessFigures:
    """The figures of this process, under the names that all programs use (`process_cpu_seconds_total`, …).

    There are none on a system without `/proc`.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="process")  # begun when it is needed

    async def text(self) -> bytes:
        """Write them down in the text format of Prometheus."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, generate_latest, self._registry)

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False)

"""What this process is told to do while it runs: by signals, and by its supervisor when it has one."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from .server import Server
from .worker import Order, Worker

__all__ = ["Orders"]


class Orders:
    """Hears SIGTERM, SIGINT and SIGUSR2 from the moment it is made, so that none ends the process by itself.

    Args:
        serving: What is cancelled when the process is to end at once.
        worker: The process as one of several; None when it is alone.

    Attributes:
        stop: Set once the process is to leave.
    """

    def __init__(self, serving: asyncio.Task[Any], worker: Worker | None) -> None:
        self.stop = asyncio.Event()
        self._serving = serving
        self._server: Server | None = None
        self._moves = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        loop.add_signal_handler(signal.SIGUSR2, self._turn_round)
        if worker is not None:
            worker.listen(self.obey)

    def follow(self, server: Server) -> None:
        """Let the orders move this server's calls; those that came before count."""
        self._server = server
        if self._moves:
            server.move_calls()

    def obey(self, order: Order) -> None:
        """Do what the supervisor says. Hearing it twice, or from a signal as well, changes nothing."""
        match order:
            case Order.DRAIN:
                self.stop.set()
            case Order.STOP:
                self.stop.set()
                self._serving.cancel()
            case Order.MOVE | Order.TAKE:
                self._move(order is Order.MOVE)

    def _leave(self) -> None:
        if self.stop.is_set():
            self._serving.cancel()
        self.stop.set()

    def _turn_round(self) -> None:
        self._move(not (self._moves if self._server is None else self._server.is_draining))

    def _move(self, moves: bool) -> None:
        self._moves = moves
        if self._server is not None:
            (self._server.move_calls if moves else self._server.take_calls)()

"""Ports nobody listens on, for servers that need a number before they start.

The kernel gives every outgoing connection a port of its own range. One of that range which is free now may be taken by
the time its server starts, seconds later, on a machine with thousands of connections. So ours lie below that range.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from pathlib import Path
from random import SystemRandom
from typing import Final

__all__ = ["free_port", "free_ports"]

LOWEST: Final = 10_000
"""Below it lie the ports that programs have by default."""

TRIES: Final = 1000


def free_ports(*rows: int) -> list[int]:
    """Find rows of ports of 127.0.0.1 that nobody listens on now, all different.

    Args:
        rows: How long each is.

    Returns:
        The first port of each.

    Raises:
        OSError: There are none.
    """
    # Two processes that look at the same time are not to find the same ones, even with one seed.
    chosen = SystemRandom()
    end = _ephemeral()
    with ExitStack() as held:
        firsts: list[int] = []
        for _ in range(TRIES):
            if len(firsts) == len(rows):
                return firsts
            first = chosen.randrange(LOWEST, end)
            with ExitStack() as row, suppress(OSError, OverflowError):
                for port in range(first, first + rows[len(firsts)]):
                    row.enter_context(socket.socket()).bind(("127.0.0.1", port))
                held.push(row.pop_all())
                firsts.append(first)
        raise OSError("there are no free ports")


def free_port() -> int:
    """Find one."""
    return free_ports(1)[0]


def _ephemeral() -> int:
    """Give the first port of the kernel's own range (Linux: `net.ipv4.ip_local_port_range`)."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first = 32_768
    return first if first > LOWEST + 1000 else 65_000

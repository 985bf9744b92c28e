"""What this machine has for a test: programs, and ports nobody listens on."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import pytest

__all__ = ["free_port", "free_ports", "place_of", "program"]


def program(name: str, *, optional: bool = False) -> str:
    """Give the path of a program; without it the test is skipped, and fails where CI is set.

    Args:
        name: Of the program.
        optional: CI need not have it.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        why = f"{name} is not installed; Debian's packages have it, and scripts/test installs them as root"
        if os.environ.get("CI") and not optional:
            pytest.fail(why)
        pytest.skip(why)
    return found


def free_ports(*rows: int) -> list[int]:
    """Find rows of ports of 127.0.0.1 that nobody listens on now, all different.

    Args:
        rows: How long each is.

    Returns:
        The first port of each.
    """
    for _ in range(100):
        with ExitStack() as held, suppress(OSError, OverflowError):
            firsts: list[int] = []
            for length in rows:
                for number in range(length):
                    one = held.enter_context(socket.socket())
                    one.bind(("127.0.0.1", firsts[-1] + number if number else 0))
                    if not number:
                        firsts.append(one.getsockname()[1])
            return firsts
    raise AssertionError("there are no free ports")


def free_port() -> int:
    """Find one."""
    return free_ports(1)[0]


def place_of(address: str) -> tuple[str, int]:
    """Give the host and the port of a URL."""
    parts = urlsplit(address)
    assert parts.hostname is not None and parts.port is not None, address
    return parts.hostname, parts.port

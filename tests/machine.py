"""What this machine has for a test: programs, and ports nobody listens on."""

from __future__ import annotations

import os
import shutil
from urllib.parse import urlsplit

import pytest

from bench.harness.ports import free_port as free_port
from bench.harness.ports import free_ports as free_ports

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


def place_of(address: str) -> tuple[str, int]:
    """Give the host and the port of a URL."""
    parts = urlsplit(address)
    assert parts.hostname is not None and parts.port is not None, address
    return parts.hostname, parts.port

"""What this machine is, and which versions run on it."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from ..extras import PACKAGES, is_installed
from .settled import Machine

__all__ = ["cores", "described", "machine", "versions"]

SHOWN: Final = (
    "retell-ws",
    "uvloop",
    "websockets",
    "msgspec",
    "aiohttp",
    "redis",
    "confluent-kafka",
    "duckdb",
    "retell-sdk",
)


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that matter, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in SHOWN:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cores() -> int:
    """Count the cores we may use: a container or taskset may leave us fewer than there are. macOS tells all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def described() -> dict[str, str]:
    """Describe the machine, for whoever compares two reports."""
    load = os.getloadavg()[0]
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": str(cores()),
        "load": f"{load:.1f}",
    }


def machine() -> Machine:
    """Look at what settings ask a machine for."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)  # a server raises its own limit as far as it may
    return Machine(
        files=2**31 if files == resource.RLIM_INFINITY else files,
        missing=frozenset(extra for extra in PACKAGES if not is_installed(extra)),
    )

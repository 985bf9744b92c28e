"""Where a port listens, and why it does not: in words for whoever starts the server."""

from __future__ import annotations

import os

from .errors import UsageError

__all__ = ["authority", "not_listening"]


def authority(host: str, port: int) -> str:
    """Write where a port is as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def not_listening(host: str, port: int, why: OSError, flag: str) -> UsageError:
    """Make the error of a port that cannot be had.

    Args:
        host: The address.
        port: The port.
        why: What the system said.
        flag: That gives the port on the command line.
    """
    reason = os.strerror(why.errno) if why.errno else str(why)  # asyncio's own text says the address once more
    return UsageError(f"cannot listen on {host}:{port}: {reason}; {flag} 0 picks a free one")

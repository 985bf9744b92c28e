"""Where a port listens, and why it does not: in words for whoever starts the server."""

from __future__ import annotations

import errno
import os
from socket import gaierror

from .errors import AddressInUseError, UsageError

__all__ = ["authority", "not_listening"]


def authority(host: str, port: int) -> str:
    """Write where a port is as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def not_listening(host: str, port: int, exc: OSError, flag: str) -> UsageError:
    """Make the error of a port that cannot be had.

    Args:
        host: The address.
        port: The port.
        exc: What the system said.
        flag: That gives the port on the command line.
    """
    # asyncio's own text says the address once more; the numbers of `gaierror` are no numbers of the system's.
    why = os.strerror(exc.errno) if exc.errno and not isinstance(exc, gaierror) else exc.strerror or str(exc)
    kind = AddressInUseError if exc.errno == errno.EADDRINUSE else UsageError
    return kind(f"cannot listen on {host}:{port}: {why}; {flag} 0 picks a free one")

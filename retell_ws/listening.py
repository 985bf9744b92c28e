"""Why an address cannot be listened on, and whose fault that is."""

from __future__ import annotations

import errno
import os
from socket import gaierror

from .errors import AddressInUseError, UsageError

__all__ = ["cannot_listen"]


def cannot_listen(exc: OSError, host: str, port: int, flag: str = "--port") -> UsageError:
    """Give the error to raise.

    Args:
        exc: What the system said.
        host: The address.
        port: The port.
        flag: What the port is set by.
    """
    # asyncio's own text says the address once more; the numbers of `gaierror` are no numbers of the system's.
    why = os.strerror(exc.errno) if exc.errno and not isinstance(exc, gaierror) else exc.strerror or str(exc)
    kind = AddressInUseError if exc.errno == errno.EADDRINUSE else UsageError
    return kind(f"cannot listen on {host}:{port}: {why}; {flag} 0 picks a free one")

"""`retell_ws proxy`: write the configuration of a proxy before several servers."""

from __future__ import annotations

import sys
from pathlib import Path

from ..deploy.proxies import Proxy, configuration
from ..errors import UsageError

__all__ = ["proxy"]


def proxy(kind: Proxy, /, *, server: list[str], listen: str = ":8080", out: Path | None = None) -> int:
    """Write the configuration of a proxy before several servers, for calls that last and servers that come and go.

    Args:
        kind: Which proxy. HAProxy asks the servers how they are and tries another one at once; nginx only learns from
            what fails; Caddy gets certificates by itself.
        server: HOST:PORT of a server's calls; once for each.
        listen: HOST:PORT or :PORT where the proxy listens.
        out: The file to write; without it the configuration goes to stdout.
    """
    text = configuration(kind, server, listen=listen)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {out}: {exc.strerror}") from None
    return 0

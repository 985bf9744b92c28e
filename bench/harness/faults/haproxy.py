"""HAProxy's configuration for the bench: the one `retell_ws proxy haproxy` writes, and a header that names the server.

It starts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bench.harness.faults.calls import SERVER_HEADER
from retell_ws.deploy.proxies import configuration

__all__ = ["configured"]


def configured(port: int, servers: Mapping[str, int]) -> str:
    """Write the configuration.

    Args:
        port: Where it listens.
        servers: Their call ports, by name: `s1`, `s2` and so on, in this order, as they are called there.
    """
    text = configuration("haproxy", [f"127.0.0.1:{at}" for at in servers.values()], listen=f"127.0.0.1:{port}")
    return re.sub(r"(?m)^backend .*$", rf"\g<0>\n    http-response set-header {SERVER_HEADER} %s", text)

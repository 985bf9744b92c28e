"""HAProxy's configuration for the bench. It starts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from bench.harness.faults.calls import SERVER_HEADER

__all__ = ["configured"]


def configured(port: int, servers: Mapping[str, int]) -> str:
    """Write the least that a fleet needs: health by `/readyz`, a dial that goes on to the next server.

    Args:
        port: Where it listens.
        servers: Their call ports, by name.
    """
    lines = [
        "global",
        "    maxconn 8000",
        "defaults",
        "    mode http",
        "    timeout connect 1s",
        "    timeout client 1h",
        "    timeout server 1h",
        "    timeout tunnel 3h",
        "    timeout http-request 10s",
        "    retries 3",
        "    option redispatch 1",
        "    retry-on conn-failure empty-response 503",
        "frontend calls",
        f"    bind 127.0.0.1:{port}",
        "    default_backend servers",
        "backend servers",
        "    balance leastconn",
        "    option httpchk GET /readyz",
        f"    http-response set-header {SERVER_HEADER} %s",
        "    default-server inter 500ms fastinter 100ms downinter 200ms fall 2 rise 1 observe layer4 error-limit 1 "
        "on-error mark-down",
        *(f"    server {name} 127.0.0.1:{at} check" for name, at in servers.items()),
    ]
    return "\n".join(lines) + "\n"

"""The configuration of a proxy before several servers, from templates that are whole but for names and numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Final, Literal, TypeAlias

from ..errors import UsageError

__all__ = ["Proxy", "configuration"]

Proxy: TypeAlias = Literal["nginx", "haproxy", "caddy"]

TEMPLATES: Final[dict[Proxy, str]] = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}

# What is put into a file that another program reads may hold nothing but this.
_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ADDRESS: Final = re.compile(rf"(?P<host>{_HOST}|):(?P<port>[0-9]{{1,5}})")


def configuration(proxy: Proxy, servers: Sequence[str], *, listen: str = ":8080") -> str:
    """Write the configuration of a proxy.

    Args:
        proxy: Which one reads it.
        servers: `HOST:PORT` of each server's port of calls; an IPv6 address in brackets.
        listen: `HOST:PORT` or `:PORT` where the proxy listens.

    Raises:
        UsageError: There is no server, one is named twice, or something is no address.
    """
    if not servers:
        raise UsageError("a proxy needs servers: --server HOST:PORT, once for each")
    if len(set(servers)) < len(servers):
        raise UsageError("--server: one is named twice")
    for server in servers:
        _address(server, "--server")
    host, port = _address(listen, "--listen")
    values = {"listen": listen, "host": host, "port": port, "tries": str(max(2, len(servers)))}
    match proxy:
        case "haproxy":
            for backend in ("ready", "alive"):
                values[backend] = _lines("    server s{number} {server}", servers)
        case "nginx":
            values["listen"] = listen if host else port
            values["servers"] = _lines("        server {server} max_fails=1 fail_timeout=2s;", servers)
        case "caddy":
            values["host"] = host.strip("[]") or "0.0.0.0 ::"
            values["servers"] = " ".join(servers)
    template = files(__package__).joinpath(TEMPLATES[proxy]).read_text("utf-8")
    return re.sub("@([a-z]+)@", lambda found: values[found[1]], template)


def _lines(form: str, servers: Sequence[str]) -> str:
    return "\n".join(form.format(number=number, server=server) for number, server in enumerate(servers, start=1))


def _address(text: str, flag: str) -> tuple[str, str]:
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536 or (flag == "--server" and not found["host"]):
        raise UsageError(f"{flag}: {text!r} is not {'[HOST]' if flag == '--listen' else 'HOST'}:PORT")
    return found["host"], found["port"]

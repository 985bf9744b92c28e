"""The configuration of a proxy before several servers, from templates that are whole but for names and numbers.

With the servers' second ports it is the gateway: one address for Retell's sockets and for its webhooks, and nothing
else of the second port behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Self, TypeAlias

from ..errors import UsageError
from .templates import fill, read

__all__ = ["Certificate", "Proxy", "configuration", "host_and_port"]

Proxy: TypeAlias = Literal["nginx", "haproxy", "caddy"]

TEMPLATES: Final[dict[Proxy, str]] = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}

# What is put into a file that another program reads may hold nothing but this.
_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]"
_ADDRESS: Final = re.compile(rf"(?P<host>{_HOST}|):(?P<port>[0-9]{{1,5}})")
_FILE: Final = re.compile(r"/[A-Za-z0-9._/-]+")
_DOMAIN: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]")


class Certificate(NamedTuple):
    """Where the proxy finds its certificate.

    Attributes:
        chain: A PEM file: the certificate, those it depends on, and the key unless that has a file of its own.
        key: A PEM file; the same one when the key is in it.
    """

    chain: str
    key: str

    @classmethod
    def named(cls, text: str) -> Self:
        """Read `CERT.pem` or `CERT.pem,KEY.pem`.

        Raises:
            UsageError: One is no absolute path, or has a character that a configuration cannot hold.
        """
        chain, _, key = text.partition(",")
        for path in (chain, key or chain):
            if not _FILE.fullmatch(path):
                raise UsageError(f"--tls: {path!r} is no path of A-Za-z0-9._/- that begins with /")
        return cls(chain, key or chain)


def configuration(
    proxy: Proxy,
    servers: Sequence[str],
    *,
    listen: str = "",
    http: Sequence[str] = (),
    tls: Certificate | None = None,
    domain: str = "",
    leaving: str = "",
) -> str:
    """Write the configuration of a proxy.

    Args:
        proxy: Which one reads it.
        servers: `HOST:PORT` of each server's port of calls; an IPv6 address in brackets.
        listen: `HOST:PORT` or `:PORT` where the proxy listens; by default `:8080`, and `:443` where it ends TLS.
        http: `HOST:PORT` of each server's second port; they get `POST /webhook`. With none the proxy passes all it gets
            to the servers' ports of calls.
        tls: The certificate with which the proxy ends TLS; None when something before it does.
        domain: The name for which Caddy gets a certificate by itself; empty: none.
        leaving: `HOST:PORT` of a server that leaves and has its calls in its own memory: it is asked first about every
            socket, and the others about those it does not know. Empty: none.

    Raises:
        UsageError: There is no server, one is named twice, something is no address, or the proxy cannot do that.
    """
    if not servers:
        raise UsageError("a proxy needs servers: --server HOST:PORT, once for each")
    for flag, addresses in (("--server", servers), ("--http", http)):
        if len(set(addresses)) < len(addresses):
            raise UsageError(f"{flag}: one is named twice")
        for address in addresses:
            host_and_port(address, flag)
    if both := sorted({*servers} & {*http}):
        raise UsageError(f"--http: {both[0]} is the port of calls; webhooks come to the second port")
    if domain:
        _check_domain(proxy, domain, tls)
    if leaving:
        _check_leaving(proxy, leaving, servers)
    listen = listen or (":443" if tls or domain else ":8080")
    host, port = host_and_port(listen, "--listen")
    values = {
        "listen": listen,
        "host": host,
        "port": port,
        "tries": str(max(2, len(servers) + bool(leaving))),
        "domain": domain,
        "chain": "" if tls is None else tls.chain,
        "key": "" if tls is None else tls.key,
        "leaving": leaving,
    }
    match proxy:
        case "haproxy":
            if tls is not None and tls.key not in (tls.chain, f"{tls.chain}.key"):
                raise UsageError(
                    "--tls: HAProxy wants both in one file: cat CERT.pem KEY.pem > BOTH.pem; --tls BOTH.pem"
                )
            for backend in ("ready", "alive"):
                values[backend] = _lines("    server s{number} {server}", servers)
            values["webhooks"] = _lines("    server w{number} {server}", http)
        case "nginx":
            values["listen"] = listen if host else port
            values["servers"] = _lines("        server {server} max_fails=1 fail_timeout=2s;", servers)
            values["webhooks"] = _lines("        server {server} max_fails=1 fail_timeout=2s;", http)
        case "caddy":
            values["host"] = host.strip("[]") or "0.0.0.0 ::"
            values["servers"] = " ".join(servers)
            values["webhooks"] = " ".join(http)
    parts = {"webhook": bool(http), "tls": tls is not None, "domain": bool(domain), "secure": bool(tls or domain)}
    parts["leaving"] = bool(leaving)
    return fill(read(TEMPLATES[proxy]), values, parts)


def _check_domain(proxy: Proxy, domain: str, tls: Certificate | None) -> None:
    if proxy != "caddy":
        raise UsageError("--domain: only Caddy gets its certificates by itself; others are given one by --tls")
    if tls is not None:
        raise UsageError("--domain and --tls: Caddy either gets a certificate or is given one")
    if not _DOMAIN.fullmatch(domain):
        raise UsageError(f"--domain: {domain!r} is no name of a host")


def _check_leaving(proxy: Proxy, leaving: str, servers: Sequence[str]) -> None:
    if proxy == "caddy":
        raise UsageError("--leaving: Caddy ends calls when it is given another file: --proxy haproxy or nginx")
    host_and_port(leaving, "--leaving")
    if leaving in servers:
        raise UsageError(f"--leaving: {leaving} is one of the servers that stay")


def _lines(form: str, servers: Sequence[str]) -> str:
    return "\n".join(form.format(number=number, server=server) for number, server in enumerate(servers, start=1))


def host_and_port(text: str, flag: str) -> tuple[str, str]:
    """Read an address.

    Args:
        text: `HOST:PORT`, an IPv6 address in brackets; of `--listen` also `:PORT`.
        flag: What it was given by.

    Raises:
        UsageError: It is none.
    """
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536 or (flag != "--listen" and not found["host"]):
        raise UsageError(f"{flag}: {text!r} is not {'[HOST]' if flag == '--listen' else 'HOST'}:PORT")
    return found["host"], found["port"]

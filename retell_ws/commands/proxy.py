"""`retell_ws proxy`: write the configuration of a proxy before several servers."""

from __future__ import annotations

from pathlib import Path

from ..deploy.proxies import Certificate, Proxy, configuration
from .output import put

__all__ = ["proxy"]


def proxy(
    kind: Proxy,
    /,
    *,
    server: list[str],
    http: list[str] | None = None,
    listen: str = "",
    tls: str = "",
    domain: str = "",
    leaving: str = "",
    out: Path | None = None,
) -> int:
    """Write the configuration of a proxy before several servers, for calls that last and servers that come and go.

    Args:
        kind: Which proxy. HAProxy asks the servers how they are and tries another one at once; nginx only learns from
            what fails; Caddy gets certificates by itself.
        server: HOST:PORT of a server's calls; once for each.
        http: HOST:PORT of a server's second port; once for each. With it the proxy takes Retell's webhooks, too, and
            lets nothing else through.
        listen: HOST:PORT or :PORT where the proxy listens; by default :8080, and :443 with TLS.
        tls: CERT.pem or CERT.pem,KEY.pem on the proxy's machine: it ends TLS with them.
        domain: The host's name, for which Caddy gets a certificate.
        leaving: HOST:PORT of a server that leaves and has its calls in its memory: it is asked first, for the redials
            of its calls, until it has none.
        out: The file to write; without it the configuration goes to stdout.
    """
    certificate = Certificate.named(",".join(_absolute(path) for path in tls.split(",", 1))) if tls else None
    text = configuration(kind, server, listen=listen, http=http or (), tls=certificate, domain=domain, leaving=leaving)
    return put(text, out)


def _absolute(path: str) -> str:
    # A proxy runs in another folder, or takes what is relative as relative to its own file.
    return str(Path(path).absolute()) if path else path

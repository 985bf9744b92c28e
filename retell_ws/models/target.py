"""Where requests go and what heads them: a URL and header fields, checked once. Pure; quotes no header's value."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from ..errors import SettingsError

__all__ = ["Target", "header_fields"]


class Target(msgspec.Struct, frozen=True):
    """A URL in the pieces a request needs.

    Attributes:
        host: Name or address to connect to.
        port: TCP port.
        tls: Whether the scheme is `https`.
        authority: Value of the header `host` (RFC 9110 §7.2).
        path: The request target (RFC 9112 §3.2.1).
    """

    host: str
    port: int
    tls: bool
    authority: str
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Take a URL apart.

        Raises:
            SettingsError: It is none, or holds more than scheme, host, port and path.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            host.encode("idna")
        except ValueError:
            raise SettingsError("the URL of the model is no URL") from None
        if parts.username is not None:
            raise SettingsError("the URL of the model may hold no user or password")
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise SettingsError(f"the URL of the model, {url!r}, should read http(s)://host[:port][/path]")
        if not _printable(parts.path + parts.netloc):
            raise SettingsError(f"{url!r} holds a character that no request may hold")
        tls = parts.scheme == "https"
        return cls(host, port or (443 if tls else 80), tls, parts.netloc, parts.path or "/")


def header_fields(headers: Mapping[str, str]) -> str:
    """Write header fields, each with its line end.

    Raises:
        SettingsError: A value is empty, would end its line, or is not ASCII (RFC 9110 §5.5).
    """
    for name, value in headers.items():
        if not _printable(value.replace(" ", "_")) or value != value.strip() or not value:
            raise SettingsError(f"the value of the header {name!r} is empty or holds a character no header may hold")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _printable(text: str) -> bool:
    return all("!" <= char <= "~" for char in text)

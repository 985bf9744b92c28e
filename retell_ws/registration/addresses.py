"""The URLs that Retell is given: which are good, and how one is shown without the secret in it. No I/O."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from ..errors import UsageError
from ..loopback import is_loopback
from ..route import PREFIX

__all__ = ["Address", "scrubbed", "shortened", "socket_address", "warning_of", "webhook_address"]

DOTS: Final = "•••"
"""What stands for the part of a URL that may be secret."""

MAX_CHARACTERS: Final = 2048

_ENDS: Final = (PREFIX, "/webhook")
"""Ends of paths that are ours, and in the README: no secret."""

_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")
_URL = re.compile(r"\b(?:wss?|https?)://[^\s\"'<>]+")


class Address(msgspec.Struct, frozen=True):
    """A URL, which may hold a secret: what prints it shows it shortened.

    Attributes:
        url: All of it, for Retell alone.
    """

    url: str

    def __str__(self) -> str:
        return shortened(self.url)

    def __repr__(self) -> str:
        return f"Address({shortened(self.url)!r})"

    def secrets(self) -> tuple[str, ...]:
        """Give what is left out where it is shown."""
        parts = urlsplit(self.url)
        _, rest = _halves(parts.path)
        return tuple(part for part in (*rest.split("/"), parts.query, parts.password or "") if part)


def shortened(url: str) -> str:
    """Write a URL without what may be secret in it: user, password, query, and all of the path that is not ours."""
    try:
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return DOTS
    if not parts.scheme or not host:
        return DOTS
    known, rest = _halves(parts.path)
    tail = f"/{DOTS}" if rest.strip("/") else ""
    return f"{parts.scheme}://{host}{port}{known}{tail}{f'?{DOTS}' if parts.query else ''}"


def scrubbed(text: str, secrets: Sequence[str] = ()) -> str:
    """Make one line of somebody else's words, which may quote what we sent: without secrets, and not too long.

    Args:
        text: Their words.
        secrets: What must not be read in it.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, DOTS)
    text = _URL.sub(lambda found: shortened(found[0]), text)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= 300 else f"{text[:299]}…"


def socket_address(text: str, secrets: Sequence[str] = ()) -> Address:
    """Read the URL that Retell shall dial.

    Args:
        text: As given: with the server's secret in its path, or without.
        secrets: Those the server takes now (`path_secret`), the new one first. It is put behind a path that has none,
            so that it need not stand on a command line.

    Raises:
        UsageError: Retell could not reach this server by it. The text quotes no secret.
    """
    parts = _split(text, "--url")
    if parts.scheme not in ("ws", "wss"):
        raise UsageError(f"--url {shortened(text)}: it begins with wss://, as in wss://your-host{PREFIX}")
    if parts.scheme == "ws" and not is_loopback(parts.hostname or ""):
        raise UsageError(f"--url {shortened(text)}: what is said would cross the network in clear; make it wss://")
    before, prefix, rest = parts.path.rstrip("/").rpartition(PREFIX)
    if not prefix or (rest and not rest.startswith("/")):
        raise UsageError(f"--url {shortened(text)}: its path ends with {PREFIX}, or {PREFIX}/SECRET")
    given = rest[1:]
    if given.startswith(("call_", "{")):
        raise UsageError(f"--url {shortened(text)}: leave the call's id away, Retell appends it")
    if given and not _SECRET.fullmatch(given):
        raise UsageError(f"--url {shortened(text)}: a secret is one segment, 16 to 128 characters of A-Za-z0-9_-")
    if given and secrets and given not in secrets:
        raise UsageError(f"--url {shortened(text)}: its secret is not that of the setting path_secret")
    secret = given or (secrets[0] if secrets else "")
    path = f"{before}{PREFIX}{f'/{secret}' if secret else ''}"
    return Address(parts._replace(path=path).geturl())


def webhook_address(text: str) -> Address:
    """Read the URL that Retell's webhooks shall go to.

    Raises:
        UsageError: It cannot be one. The text quotes no secret.
    """
    parts = _split(text, "--webhook")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise UsageError(f"--webhook {shortened(text)}: it begins with https://, as in https://your-host/webhook")
    return Address(text)


def warning_of(address: Address) -> str:
    """Say what is odd about a URL that Retell could dial; empty when nothing is."""
    parts = urlsplit(address.url)
    host = parts.hostname or ""
    if is_loopback(host) or _is_private(host):
        return f"{address}: Retell dials public addresses alone; this one is for tests on this machine or network"
    # Behind ours alone: what a proxy has before it, and the query, are no secret of the server's.
    if not parts.path.rpartition(PREFIX)[2].strip("/"):
        return f"{address}: without a secret in its path anybody can call, at your cost; set RETELL_WS_PATH_SECRET"
    return ""


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _split(text: str, flag: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UsageError(f"{flag}: this is no URL") from None
    if not host or "{" in host or len(text) > MAX_CHARACTERS or not text.isascii() or not text.isprintable():
        raise UsageError(f"{flag}: this is no URL with a host")
    if " " in text or parts.fragment or parts.username is not None:
        raise UsageError(f"{flag} {shortened(text)}: no space, no user and no # belongs in it")
    return parts


def _halves(path: str) -> tuple[str, str]:
    """Part a path into what may be shown and the rest."""
    for end in _ENDS:
        if path == end or path.startswith(f"{end}/"):
            return end, path[len(end) :]
    return "", path

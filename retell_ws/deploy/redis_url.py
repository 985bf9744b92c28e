"""A URL of Redis without what only its reader may know. No I/O.

The client takes a password before the host, and in the query as well: `redis://host?username=ana&password=…`.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

__all__ = ["has_password", "may_hold_password", "without_password"]

_PASSWORD = "password"  # noqa: S105  # its name


def may_hold_password(text: str) -> bool:
    """Tell whether a password may stand in a text that holds a URL, whatever else there is: some have nowhere to be."""
    return "@" in text or "?" in text


def has_password(url: str) -> bool:
    """Tell whether there is one.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
    """
    return without_password(url) != url


def without_password(url: str) -> str:
    """Take the password out; a user stays.

    Args:
        url: `redis://…`, `rediss://…` or `unix://…`.
    """
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)  # names may be written with %, and are read all the same
    kept = [each for each in given if each[0] != _PASSWORD]
    if not parts.password and len(kept) == len(given):
        return url
    login, _, place = parts.netloc.rpartition("@")
    user = login.partition(":")[0]
    query = parts.query if len(kept) == len(given) else urlencode(kept)
    # By hand: of a scheme that it does not know `urlunsplit` leaves out the slashes where there is no host.
    whole = f"{parts.scheme}://" + (f"{user}@{place}" if user else place) + parts.path
    return whole + (f"?{query}" if query else "") + (f"#{parts.fragment}" if parts.fragment else "")

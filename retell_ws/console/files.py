"""The files of the page, as they are in the package, and how a browser is to treat them.

They hold nothing of any call: whoever reaches the port may read them. A browser runs nothing but them, talks to nobody
but this server, and shows them in no frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Final

from aiohttp import web

__all__ = ["INDEX", "PageFiles"]

INDEX: Final = "index.html"

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
}
"""By the ends of their names; other files are not the page's."""


class PageFiles:
    """The page, read once: making it reads the disk."""

    def __init__(self) -> None:
        self._files = dict(_read())

    def answer(self, name: str) -> web.Response | None:
        """Give a file; None when there is none of that name."""
        if (body := self._files.get(name)) is None:
            return None
        return web.Response(body=body, headers={**HEADERS, "Content-Type": TYPES[name.rpartition(".")[2]]})


def _read() -> Iterator[tuple[str, bytes]]:
    for file in (files(__package__) / "page").iterdir():
        if file.is_file() and file.name.rpartition(".")[2] in TYPES:
            yield file.name, file.read_bytes()

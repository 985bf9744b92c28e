"""The place of the archive: whether consumers may write, find, read and delete there. What is put there is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..errors import SinkError
from ..extras import needing
from .book import Entry

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["tried"]

BODY: Final = b"retell_ws blueprint validate"


def tried(line: Entry, where: str, name: str) -> None:
    """Do once what consumers do. It may wait for the network: not on the loop.

    Args:
        line: Takes it down.
        where: A folder, which need not be there yet, or `s3://BUCKET/PREFIX`.
        name: What the object lies in; nobody else has it.

    Raises:
        UsageError: There can be no such place.
        SinkError: It cannot be reached, or lets us not do one of these; the text says which.
    """
    with needing("analytics", "the archive"):
        from ..consumers.places import place
    _put_and_delete(place(where if "://" in where else _there(Path(where))), f"{name}/probe")
    line.passes(f"{_shown(where)}: an object was put there, found, read and deleted")


def _put_and_delete(store: ObjectStore, path: str) -> None:
    with _doing("writing to the archive"):
        store.put(path, BODY)
    try:
        with _doing("listing what is in the archive"):
            found = [one["path"] for one in chain.from_iterable(store.list(path.partition("/")[0]))]
        with _doing("reading from the archive"):
            body = bytes(store.get(path).bytes())
    finally:
        with _doing(f"deleting from the archive, where {path} is left"):
            store.delete(path)
    if found != [path] or body != BODY:
        raise SinkError("the archive: what was put there is not found again, or is another")


@contextmanager
def _doing(what: str) -> Iterator[None]:
    from ..consumers.places import reaching

    try:
        with reaching(what):
            yield
    except OSError as exc:  # a bucket that is not there is one as well, without a word
        raise SinkError(f"{what}: {exc.strerror or type(exc).__name__}") from None


def _there(folder: Path) -> Path:
    """Give the folder that it would be made in: a validation makes none."""
    return next(place for place in (folder, *folder.absolute().parents) if place.exists())


def _shown(where: str) -> str:
    parts = urlsplit(where)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if "://" in where else where  # without a password

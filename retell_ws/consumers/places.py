"""Where parts are: folders and object stores, and the DuckDB they are read with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

import duckdb
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from ..errors import SinkError, UsageError

__all__ = ["MEMORY_MB", "connect", "place", "reaching"]

MEMORY_MB: Final = 256
"""Megabytes for a DuckDB, unless somebody says otherwise."""

RETRIES: Final = 3
RETRIES_S: Final = timedelta(seconds=20)
"""What the store's client does by itself. Consumers try again anyway, and whoever waits for a command wants to know."""


def place(where: str | Path) -> ObjectStore:
    """Open a folder, which need not be there yet, or `s3://BUCKET/PREFIX`.

    Keys, region and endpoint come from the environment, in the names of AWS (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
    `AWS_ENDPOINT_URL`, …).

    Raises:
        UsageError: There is no such place.
    """
    try:
        if "://" in str(where):
            return from_url(str(where), retry_config={"max_retries": RETRIES, "retry_timeout": RETRIES_S})
        Path(where).mkdir(mode=0o700, parents=True, exist_ok=True)  # it may be speech
        return LocalStore(Path(where).absolute(), mkdir=True, automatic_cleanup=True)
    except Exception as exc:  # the library has an error for each kind of store; its words may quote a key
        raise UsageError(
            f"cannot open {_without_password(str(where))}: {type(exc).__name__}; it may be a folder, or s3://BUCKET/PREFIX"
        ) from None


@contextmanager
def reaching(what: str) -> Iterator[None]:
    """Use a store in this block.

    Args:
        what: What for, for the error.

    Raises:
        SinkError: It cannot be reached, or has no room. An `OSError` goes through as it is.
    """
    try:
        yield
    except BaseError as exc:  # their words are long, and may hold a key
        hint = "is it there, and do AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, … open it?"
        raise SinkError(f"{what}: {type(exc).__name__}: {hint}") from None
    except duckdb.OperationalError as exc:
        raise SinkError(f"{what}: {type(exc).__name__}") from None


def connect(*, memory_mb: int = MEMORY_MB, threads: int = 1, scratch: str = "") -> duckdb.DuckDBPyConnection:
    """Open a DuckDB in memory that keeps within bounds and fetches nothing from anywhere.

    Args:
        memory_mb: Megabytes it may take; beyond that it uses the disk, if it has a `scratch`.
        threads: It works with.
        scratch: A folder for what does not fit; empty: none.
    """
    db = duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_mb}MB",
            "threads": threads,
            "temp_directory": scratch,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,  # which would keep more in memory
        },
    )
    db.execute("SET enable_progress_bar = false")  # it goes to the standard output, where JSON may be
    return db


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)

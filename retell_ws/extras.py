"""The packages that only some need, by the extra that brings them; and our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from .errors import SettingsError

__all__ = ["PACKAGES", "needing", "own_version"]

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "redis": ("redis", "hiredis"),
    "kafka": ("confluent_kafka",),
    "analytics": ("duckdb", "obstore"),
    "otel": ("opentelemetry",),
    "retell": ("retell",),
}


@contextmanager
def needing(extra: str, what: str) -> Iterator[None]:
    """Import what an extra brings, in this block.

    Args:
        extra: Its name in `pip install 'retell-ws[NAME]'`.
        what: Who needs it, for the error.

    Raises:
        SettingsError: It is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] not in PACKAGES[extra]:
            raise
        raise SettingsError(f"{what} needs a package more: pip install 'retell-ws[{extra}]'") from None


def own_version() -> str:
    """Give the version of this package; empty in a checkout that is not installed. It looks through folders."""
    try:
        return version("retell-ws")
    except PackageNotFoundError:
        return ""

"""The packages that only some need, by the extra that brings them; and our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Final

from .errors import SettingsError

__all__ = ["PACKAGES", "is_installed", "needing", "own_version"]

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "redis": ("redis", "hiredis"),
    "kafka": ("confluent_kafka",),
    "analytics": ("duckdb", "obstore"),
    # The SDK, and not all of OpenTelemetry: its API alone comes with the client of the model's provider.
    "otel": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
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
        if exc.name is None or _first(exc.name) not in map(_first, PACKAGES[extra]):
            raise
        raise SettingsError(f"{what} needs a package more: pip install 'retell-ws[{extra}]'") from None


def is_installed(extra: str) -> bool:
    """Tell whether all that an extra brings is there. It looks through folders.

    Args:
        extra: Its name.
    """
    return all(map(_is_there, PACKAGES[extra]))


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what it would be a part of
        return False


def _first(name: str) -> str:
    return name.partition(".")[0]


def own_version() -> str:
    """Give the version of this package; empty in a checkout that is not installed. It looks through folders."""
    try:
        return version("retell-ws")
    except PackageNotFoundError:
        return ""

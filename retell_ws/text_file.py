"""Reads a text file that somebody has named, in a setting or on the command line."""

from __future__ import annotations

from pathlib import Path

from .errors import SettingsError

__all__ = ["read_text"]


def read_text(path: Path) -> str:
    """Read a file.

    Args:
        path: Where it is.

    Raises:
        SettingsError: It cannot be read, or is no text in UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except OSError as exc:
        raise SettingsError(f"cannot read {path}: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is no text in UTF-8") from None

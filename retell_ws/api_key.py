"""What an API's key looks like, whoever's API it is. No I/O."""

from __future__ import annotations

__all__ = ["is_key"]


def is_key(text: str) -> bool:
    """Tell whether a text can be a key: it goes into a header, and what was copied along with it breaks one."""
    return text.isascii() and text.isprintable() and " " not in text

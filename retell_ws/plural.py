"""How a count is written: `1 call`, `2 calls`. No I/O."""

from __future__ import annotations

__all__ = ["many"]


def many(count: int, one: str, more: str = "") -> str:
    """Write a count, and what was counted.

    Args:
        count: How many.
        one: What one of them is called, and perhaps what it does: `call is`.
        more: What several are; without it an s is put behind.
    """
    return f"{count} {one if count == 1 else more or f'{one}s'}"

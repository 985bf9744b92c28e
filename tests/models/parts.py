"""What a model gives, without what only says that more is being written."""

from __future__ import annotations

from collections.abc import Iterable

from retell_ws.ports import WRITING, Delta

__all__ = ["whole"]


def whole(deltas: Iterable[Delta]) -> list[Delta]:
    """Leave out the signs that a call is being written."""
    return [delta for delta in deltas if delta is not WRITING]

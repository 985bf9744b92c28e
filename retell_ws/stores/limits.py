"""How much is kept of calls, wherever it is kept."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_EFFECTS", "TTL_S"]

TTL_S: Final = 7800
"""Seconds a call is kept after its last write: the longest call, and ten minutes (protocol §1.1)."""

MAX_EFFECTS: Final = 1000
"""Side effects kept of one call: more than one a turn for two hours."""

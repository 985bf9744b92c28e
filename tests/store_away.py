"""A store of calls that servers share, and that can be out of reach."""

from __future__ import annotations

from collections.abc import Mapping

from retell_ws.stores.memory import MemoryCallStore

__all__ = ["Store"]


class Store(MemoryCallStore):
    """One server's, which can be out of reach."""

    gone = False

    async def owner(self, call_id: str) -> str | None:
        return None if self.gone else await super().owner(call_id)

    def figures(self) -> Mapping[str, float]:
        return {**super().figures(), "degraded": float(self.gone)}

"""What happens when the caller says nothing. No I/O."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .wire import AgentConfig

__all__ = ["Reminders"]


class Reminders(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent checks in with a silent caller (protocol §2.5, §3.6).

    Attributes:
        after_s: Silence before each time, in seconds, counted from the agent's last word.
        times: How often it checks in.
        hang_up: After as much silence again, say `Lines.farewell` and leave.
    """

    after_s: Annotated[float, Meta(ge=1)] = 10.0
    times: Annotated[int, Meta(ge=0, le=20)] = 2
    hang_up: bool = True

    def config(self) -> AgentConfig:
        """Say it in Retell's terms. The hang-up takes a reminder of its own."""
        return AgentConfig(
            reminder_trigger_ms=round(self.after_s * 1000), reminder_max_count=self.times + int(self.hang_up)
        )

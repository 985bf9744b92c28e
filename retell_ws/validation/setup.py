"""What is validated, and how its spare servers are made."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import msgspec

from ..agent import Agent
from ..settings import Settings
from .probe import MARK
from .spare import Spare, server_settings, started

__all__ = ["PROBE", "SPOKEN", "Setup"]

PROBE: Final = "retell_ws.validation.probe"

SPOKEN: Final = {"model": "scripted", "scripted_ttft_ms": 50, "scripted_spacing_ms": 60}
"""Words come one by one, as a voice says them, so that there is a middle of a sentence."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What is validated.

    Attributes:
        target: The agent, as `serve` is given it.
        agent: The same, loaded.
        settings: The settings.
        folder: For all that spare processes write; it is deleted afterwards.
        run: The name of this validation: its calls, keys and topics are called by it.
        url: A server that runs already; empty: there is none.
        callers: Synthetic callers at once.
        agent_id: Retell's id of the agent; empty when it is not known.
        environment: Where keys are looked up.
    """

    target: str
    agent: Agent
    settings: Settings
    folder: Path
    run: str
    url: str = ""
    callers: int = 8
    agent_id: str = ""
    environment: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"Setup({self.target!r}, run={self.run!r})"  # URL and environment hold secrets

    @property
    def redis_prefix(self) -> str:
        """What keys of the spare servers begin with: one that an ACL for the real ones lets through."""
        return f"{self.settings.redis_prefix}{self.run}:"

    def call_id(self, name: str) -> str:
        """Give a call an id by which it is known to be ours."""
        return f"{self.run}_{name}"

    def changed(self, name: str, **changes: Any) -> Settings:
        """Give the settings of a spare process.

        Args:
            name: Of its folder.
            changes: What else is to be different.
        """
        return server_settings(self.settings, self.folder / name, redis_prefix=self.redis_prefix, **changes)

    def served(self, name: str, **changes: Any) -> AbstractAsyncContextManager[Spare]:
        """Run a spare server with the real agent; see `spare.started`."""
        return started("serve", self.target, settings=self.changed(name, **changes), environment=self.environment)

    def probing(
        self, name: str, environment: Mapping[str, str] | None = None, **changes: Any
    ) -> AbstractAsyncContextManager[Spare]:
        """Run a spare server with an agent that does no harm, and says back what it hears; see `spare.started`."""
        given = {**self.environment, MARK: self.target, **(environment or {})}
        return started("serve", PROBE, settings=self.changed(name, **{**SPOKEN, **changes}), environment=given)

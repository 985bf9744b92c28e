"""`retell_ws serve`: answer Retell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..agent_file import load
from ..run import run
from .flags import Flags, given
from .target import MaybeFile

__all__ = ["EXAMPLE", "serve"]

EXAMPLE = "retell_ws.examples.receptionist"
"""The agent served when none is named."""


def serve(
    agent: MaybeFile = EXAMPLE,
    /,
    *,
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
) -> int:
    """Answer Retell: serve an agent until the process is told to stop.

    Args:
        agent: FILE.py, FILE.py:NAME or MODULE:NAME; without it a small receptionist answers.
        config: A TOML file of settings; flags and the environment override it.
        flags: The settings.
    """
    return run(load(agent), given(flags), config=config)

"""`retell_ws consume`: read the facts of calls, and do something with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..consume import Name, run
from .flags import Flags, given

__all__ = ["consume"]


def consume(
    *names: Name,
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
) -> int:
    """Read the facts of calls, and do something with them, until told to stop.

    With Kafka as many processes of a name as you like share the work. Without it, the journal in the data folder is
    read, by one process for each name, and `serve` starts one by itself.

    Args:
        names: `analytics` keeps figures for `report`; `archive` keeps transcripts; `escalation` acts on rules while the
            call lasts. None: all of them, escalation only when there are rules. `relay` hands a journal on to Kafka;
            `serve` starts one by itself.
        config: A TOML file of settings; flags and the environment override it.
        flags: The settings.
    """
    return run(names, given(flags), config=config)

"""`retell_ws dev`: serve an agent, and start anew whenever its files are saved."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from watchfiles import Change, PythonFilter, run_process

from ..agent_file import load
from ..errors import AgentError
from ..run import run
from ..settings import load as load_settings
from .flags import Flags, given
from .serve import EXAMPLE

__all__ = ["dev"]


def dev(
    agent: str = EXAMPLE,
    /,
    *,
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
) -> int:
    """Serve an agent, and start anew whenever its files are saved.

    A call in progress is dropped between two turns and redialled into the new version.

    Args:
        agent: FILE.py, FILE.py:NAME or MODULE:NAME; without it a small receptionist answers.
        config: A TOML file of settings; flags and the environment override it.
        flags: The settings.
    """
    settings = {"drain_s": 0.0, **given(flags)}
    load_settings(settings, config=config)  # a wrong setting is no matter of reloading: say so now
    load(agent)
    place = Path(agent.partition(":")[0])
    watched = place.resolve().parent if place.suffix == ".py" else Path.cwd()
    sys.stderr.write(f"retell_ws: watching {watched} for saved Python files\n")
    run_process(watched, target=_serve, args=(agent, settings, config), watch_filter=PythonFilter(), callback=_tell)
    return 0


def _serve(agent: str, settings: dict[str, object], config: Path | None) -> None:
    try:
        status = run(load(agent), settings, config=config)
    except AgentError as exc:
        # The file is being edited: wait for the next save instead of ending.
        sys.stderr.write(f"retell_ws: {exc}\n")
        return
    if status:
        sys.exit(status)


def _tell(changes: set[tuple[Change, str]]) -> None:
    names = ", ".join(sorted({Path(path).name for _, path in changes}))
    sys.stderr.write(f"retell_ws: {names} saved, starting anew\n")

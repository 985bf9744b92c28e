"""`retell_ws dev`: serve an agent, and start anew whenever its files are saved."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from watchfiles import PythonFilter, watch

from ..agent_file import load
from ..errors import AgentError
from ..run import run
from ..settings import load as load_settings
from .flags import Flags, given
from .serve import EXAMPLE
from .target import MaybeFile

__all__ = ["dev"]

STOP_S = 20.0
"""Seconds a server may take to leave its calls; with `drain_s` at its default here, 0, that is a turn's end."""

LOOK_MS = 500
"""How often the server is looked after while nothing is saved, in milliseconds."""


def dev(
    agent: MaybeFile = EXAMPLE,
    /,
    *,
    config: Path | None = None,
    flags: Annotated[Flags | None, Parameter(name="*")] = None,
) -> int:
    """Serve an agent, and start anew whenever its files are saved.

    A call in progress is dropped between two turns and redialled into the new version. One process serves, whatever
    `workers` says.

    Args:
        agent: FILE.py, FILE.py:NAME or MODULE:NAME; without it a small receptionist answers.
        config: A TOML file of settings; flags and the environment override it.
        flags: The settings.
    """
    settings = {"drain_s": 0.0, **given(flags)}
    load_settings(settings, config=config)  # a wrong setting is no matter of reloading: say so now
    settings["workers"] = 1
    load(agent)
    place = Path(agent.partition(":")[0])
    watched = place.resolve().parent if place.suffix == ".py" else Path.cwd()
    sys.stderr.write(f"retell_ws: watching {watched} for saved Python files\n")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server = _start(agent, settings, config)
    looks = watch(watched, watch_filter=PythonFilter(), stop_event=stop, rust_timeout=LOOK_MS, yield_on_timeout=True)
    try:
        for changes in looks:
            if server.exitcode:  # it said why: a busy port, a key that is refused
                return server.exitcode
            if changes:
                names = ", ".join(sorted({Path(path).name for _, path in changes}))
                sys.stderr.write(f"retell_ws: {names} saved, starting anew\n")
                _stop(server)
                server = _start(agent, settings, config)
    finally:
        _stop(server)
    return 0


def _start(agent: str, settings: dict[str, object], config: Path | None) -> SpawnProcess:
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(agent, settings, config))
    process.start()
    return process


def _stop(server: SpawnProcess) -> None:
    server.terminate()
    server.join(STOP_S)
    if server.is_alive():
        server.kill()
        server.join()


def _serve(agent: str, settings: dict[str, object], config: Path | None) -> None:
    try:
        status = run(load(agent), settings, config=config)
    except AgentError as exc:
        # The file is being edited: wait for the next save instead of ending.
        sys.stderr.write(f"retell_ws: {exc}\n")
        return
    if status:
        sys.exit(status)

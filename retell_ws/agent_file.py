"""Find the agent in a file or module of the user's: `FILE.py`, `FILE.py:name`, `package.module:name`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from .agent import Agent
from .errors import AgentError

__all__ = ["load", "offer"]

_offered: list[Agent] | None = None
"""While a file is being loaded: the agents it gave to `serve`, which must not start a server then."""


def offer(agent: Agent) -> bool:
    """Take note of an agent a file wants served; False when no file is being loaded, so that it may be served."""
    if _offered is None:
        return False
    _offered.append(agent)
    return True


def load(target: str) -> Agent:
    """Load an agent.

    Args:
        target: A path that ends in `.py`, or a module's dotted name; after a colon the name of the agent in it.
            Without a name: the agent the file gives to `serve`, the one called `agent`, or the only one.

    Raises:
        AgentError: There is no such file, it cannot be executed, or it does not hold exactly one such agent.
    """
    place, _, name = target.partition(":")
    with _loading() as offered:
        module = _execute(place)
        found = dict.fromkeys(value for value in vars(module).values() if isinstance(value, Agent))
    if name:
        named = getattr(module, name, None)
        if not isinstance(named, Agent):
            raise AgentError(f"{place} has no Agent called {name!r}")
        return named
    if offered:
        return offered[-1]
    if isinstance(agent := getattr(module, "agent", None), Agent):
        return agent
    if len(found) == 1:
        return next(iter(found))
    held = f"{len(found)} agents; name one: {place}:NAME" if found else "no Agent"
    raise AgentError(f"{place} holds {held}")


@contextmanager
def _loading() -> Iterator[list[Agent]]:
    global _offered
    before, _offered = _offered, []
    try:
        yield _offered
    finally:
        _offered = before


def _execute(place: str) -> ModuleType:
    if not place.endswith(".py"):
        if Path(place).is_file() or (Path(place).is_dir() and not place.isidentifier()):
            raise AgentError(f"{place} is no Python file")
        try:
            _search(Path.cwd())
            return importlib.import_module(place)
        except ModuleNotFoundError as exc:
            if exc.name and (place == exc.name or place.startswith(f"{exc.name}.")):
                raise AgentError(f"there is no file or module {place!r}") from None
            raise AgentError(_told(exc, place)) from exc
        except (Exception, SystemExit) as exc:
            raise AgentError(_told(exc, place)) from exc
    path = Path(place)
    if not path.is_file():
        raise AgentError(f"there is no file {place}; `retell_ws new DIR` writes an agent.py to begin with")
    # A name no library has: the file may be called like one of the standard library's.
    spec = importlib.util.spec_from_file_location(f"retell_ws_agent_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise AssertionError("a file that ends in .py has a loader")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        _search(path.resolve().parent)
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        raise AgentError(_told(exc, place)) from exc
    return module


def _search(directory: Path) -> None:
    """Find the modules beside the agent's, now and when its functions import some, as `python FILE.py` does."""
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _told(exc: BaseException, place: str) -> str:
    """One line: where in the user's file it happened, and what. Of a syntax error, where that error is."""
    if isinstance(exc, SyntaxError) and exc.filename and exc.filename.endswith(".py"):
        return f"{Path(exc.filename).name}:{exc.lineno}: {exc.msg}"
    name = Path(place).name if place.endswith(".py") else place.rpartition(".")[2] + ".py"
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if Path(frame.filename).name == name]
    where = f"{name}:{frames[-1].lineno}: " if frames else f"{place}: "
    return f"{where}{type(exc).__name__}: {' '.join(str(exc).split())}"

"""What the commands share that ask Retell's REST API: its key, and how their errors are told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

from rich.console import Console

from ..errors import RetellApiError
from ..settings import Settings, load

if TYPE_CHECKING:
    from ..registration.api import RetellRest

__all__ = ["KEY", "console_of", "rest_of", "settings_of", "telling"]

P = ParamSpec("P")

KEY = "RETELL_API_KEY"

COLUMNS = 160
"""Of a table that no terminal shows."""


def settings_of(retell_url: str | None, config: Path | None) -> Settings:
    """Read the settings, with the flags they have in common."""
    return load({"retell_url": retell_url}, config=config)


def rest_of(settings: Settings, secrets: Sequence[str] = ()) -> RetellRest:
    """Make the client of the API; its key comes from the environment alone.

    Raises:
        SettingsError: There is no key, or the extra is missing.
    """
    from ..registration.api import RetellRest

    return RetellRest(os.environ.get(KEY, ""), settings.retell_url, secrets=secrets)


def telling(command: Callable[P, int]) -> Callable[P, int]:
    """Wrap a command, so that an error of Retell's API ends it with one line on stderr and with status 1."""

    @wraps(command)
    def told(*given: P.args, **named: P.kwargs) -> int:
        try:
            return command(*given, **named)
        except RetellApiError as exc:
            sys.stderr.write(f"retell_ws: {exc}\n")
            return 1

    return told


def console_of(*, stderr: bool = False) -> Console:
    """Give a console; through a pipe Rich would assume 80 columns."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, COLUMNS)
    return console

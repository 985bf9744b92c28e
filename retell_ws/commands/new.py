"""`retell_ws new`: write a ten-line agent to edit."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from ..errors import UsageError

__all__ = ["new"]


def new(directory: Path = Path(), /) -> int:
    """Write a ten-line agent to edit.

    Args:
        directory: Where `agent.py` goes; made when it is not there.
    """
    target = directory / "agent.py"
    text = files("retell_ws.examples").joinpath("receptionist.py").read_text("utf-8")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        if target.exists():
            raise UsageError(f"{target} exists; nothing is overwritten") from None
        raise UsageError(f"cannot write {target}: {exc.strerror}") from None
    console = Console()
    console.print(f"Wrote [bold]{target}[/bold]. Next:\n", highlight=False)
    # As it was called itself, where the name alone would not be found.
    command = "retell_ws" if shutil.which("retell_ws") else sys.argv[0]
    console.print(f"  {command} chat {target}     talk to it here", highlight=False, soft_wrap=True)
    console.print(f"  {command} dev {target}      serve it, anew whenever you save it", highlight=False, soft_wrap=True)
    return 0

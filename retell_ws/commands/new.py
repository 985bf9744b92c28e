"""`retell_ws new`: write a ten-line agent to edit."""

from __future__ import annotations

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
    except FileExistsError:
        raise UsageError(f"{target} exists; nothing is overwritten") from None
    except OSError as exc:
        raise UsageError(f"cannot write {target}: {exc.strerror}") from None
    console = Console()
    console.print(f"Wrote [bold]{target}[/bold]. Next:\n", highlight=False)
    console.print(f"  retell_ws chat {target}     talk to it here", highlight=False)
    console.print(f"  retell_ws dev {target}      serve it, anew whenever you save it", highlight=False)
    return 0

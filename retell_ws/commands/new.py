"""`retell_ws new`: write an agent to edit."""

from __future__ import annotations

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal, TypeAlias

from rich.console import Console

from ..errors import UsageError

__all__ = ["new"]

Example: TypeAlias = Literal["receptionist", "clinic", "support", "reminder"]

CALLED_WITH: Final[dict[Example, str]] = {
    "clinic": " --from-number +14155550123",
    "support": " --from-number +14155550123",
    "reminder": ' --var customer_name=Bo --var "appointment=on Friday at ten"',
}
"""What `chat` needs beside the file, so that each shows what it can do."""


def new(directory: Path = Path(), /, *, example: Example = "receptionist") -> int:
    """Write an agent to edit: ten lines of a receptionist, or a whole example.

    Args:
        directory: Where `agent.py` goes; made when it is not there.
        example: The receptionist talks, in ten lines; the clinic books, cancels and transfers; support goes through
            stages; the reminder places the call itself.
    """
    target = directory / "agent.py"
    text = files("retell_ws.examples").joinpath(f"{example}.py").read_text("utf-8")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            # What the example says of itself is true of the copy.
            file.write(text.replace(f" {example}.py", " agent.py"))
    except OSError as exc:
        if target.exists():
            raise UsageError(f"{target} exists; nothing is overwritten") from None
        raise UsageError(f"cannot write {target}: {exc.strerror}") from None
    # As it was called itself, where the name alone would not be found.
    command = "retell_ws" if shutil.which("retell_ws") else sys.argv[0]
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"Wrote [bold]{target}[/bold]. Talk to it:\n\n  {command} chat {target}{CALLED_WITH.get(example, '')}"
    )
    console.print(f"\nServe it, and anew whenever you save it:\n\n  {command} dev {target}")
    return 0

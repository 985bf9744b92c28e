"""What on the command line may be the name of a file, and is a text all the same: shells then complete files there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

__all__ = ["MaybeFile"]

if TYPE_CHECKING:
    MaybeFile: TypeAlias = str
else:
    # Whoever writes the completion looks for a path; whoever reads the command line takes the first that fits, a text.
    MaybeFile = str | Path

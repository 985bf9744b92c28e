"""Write the entries that this version writes, for later ones to read: `python -m tests.records.write`.

Once a release, and only into a file that is not there yet: what was written by a release is never changed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from retell_ws.entries import KINDS, VERSION, encode

from ..made_entries import choices, filled

__all__ = ["FOLDER", "lines"]

FOLDER = Path(__file__).parent


def lines() -> list[bytes]:
    """Write one entry for every kind, and more where a field may have other values by name."""
    return [encode(filled(kind, number)) for kind in KINDS.values() for number in range(choices(kind))]


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else f"v{VERSION}.jsonl"
    with (FOLDER / name).open("xb") as file:
        file.write(b"\n".join(lines()) + b"\n")

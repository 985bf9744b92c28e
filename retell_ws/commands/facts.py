"""`retell_ws facts`: write down the facts on the bus, for whoever reads them with something else."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import msgspec

from ..errors import UsageError
from ..schema import document
from ..settings import load

__all__ = ["facts"]


def facts(*, prefix: str | None = None, out: Path | None = None, config: Path | None = None) -> int:
    """Write an AsyncAPI 3.0 document of the facts on the bus: topics, headers, and the JSON schema of every kind.

    Args:
        prefix: What the names of topics begin with; by default the setting `kafka_prefix`.
        out: The file to write; without it the document goes to stdout.
        config: A TOML file of settings.
    """
    settings = load({"kafka_prefix": prefix}, config=config)
    made = msgspec.json.format(msgspec.json.encode(document(settings.kafka_prefix, version("retell-ws")))) + b"\n"
    if out is None:
        sys.stdout.write(made.decode())
        return 0
    try:
        out.write_bytes(made)
    except OSError as exc:
        raise UsageError(f"cannot write {out}: {exc.strerror}") from None
    return 0

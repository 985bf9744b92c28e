"""`retell_ws facts`: write down the facts on the bus, for whoever reads them with something else."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import msgspec

from ..schema import document
from ..settings import load
from .output import put

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
    return put(made.decode(), out)

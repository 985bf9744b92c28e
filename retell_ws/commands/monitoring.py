"""`retell_ws monitoring`: write what Grafana and Prometheus are told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, Literal, TypeAlias

from ..deploy.templates import read
from ..errors import UsageError

__all__ = ["Kind", "monitoring"]

Kind: TypeAlias = Literal["dashboard", "alerts"]

FILES: Final[dict[Kind, str]] = {"dashboard": "grafana.json", "alerts": "alerts.yaml"}


def monitoring(kind: Kind, /, *, out: Path | None = None) -> int:
    """Write the dashboard for Grafana, or the alert rules for Prometheus.

    Args:
        kind: `dashboard`, to import into Grafana; it asks which Prometheus. `alerts`, for `rule_files` of Prometheus.
        out: The file to write; without it all goes to stdout.
    """
    text = read(FILES[kind])
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {out}: {exc.strerror}") from None
    return 0

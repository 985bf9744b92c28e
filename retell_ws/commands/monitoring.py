"""`retell_ws monitoring`: write what Grafana and Prometheus are told."""

from __future__ import annotations

import sys
from pathlib import Path

from ..deploy.templates import read
from ..errors import UsageError

__all__ = ["alerts", "dashboard"]


def dashboard(*, out: Path | None = None) -> int:
    """Write a dashboard, to import into Grafana; it asks which Prometheus.

    Args:
        out: The file to write; without it all goes to stdout.
    """
    return _write("grafana.json", out)


def alerts(*, out: Path | None = None) -> int:
    """Write alert rules, for `rule_files` of Prometheus.

    Args:
        out: The file to write; without it all goes to stdout.
    """
    return _write("alerts.yaml", out)


def _write(name: str, out: Path | None) -> int:
    text = read(name)
    if out is None:
        sys.stdout.write(text)
        return 0
    try:
        out.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {out}: {exc.strerror}") from None
    return 0

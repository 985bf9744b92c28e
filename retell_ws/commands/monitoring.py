"""`retell_ws monitoring`: write what Grafana and Prometheus are told."""

from __future__ import annotations

from pathlib import Path

from ..deploy.templates import read
from .output import put

__all__ = ["alerts", "dashboard"]


def dashboard(*, out: Path | None = None) -> int:
    """Write a dashboard, to import into Grafana; it asks which Prometheus.

    Args:
        out: The file to write; without it all goes to stdout.
    """
    return put(read("grafana.json"), out)


def alerts(*, out: Path | None = None) -> int:
    """Write alert rules, for `rule_files` of Prometheus.

    Args:
        out: The file to write; without it all goes to stdout.
    """
    return put(read("alerts.yaml"), out)

"""A report as a page. Later."""

from __future__ import annotations

from .line import Report

__all__ = ["page"]


def page(report: Report) -> str:
    """Write it."""
    return report.verdict

"""The pytest fixture `calling`; pytest finds it by itself where this package is installed."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["calling"]


@pytest.fixture
def calling() -> Any:
    """Call an agent: `retell_ws.testing.calling`."""
    from .calling import calling as call  # here, so that a test run that never calls loads nothing

    return call

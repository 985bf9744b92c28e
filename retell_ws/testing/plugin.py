"""The pytest fixture `calling`; pytest finds it by itself where this package is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .caller import Calling

__all__ = ["calling"]


@pytest.fixture
def calling() -> Calling:
    """Call an agent: `retell_ws.testing.calling`, for which a test so needs no import."""
    from .caller import calling  # here: every test run of whoever installed this package loads this file

    return calling

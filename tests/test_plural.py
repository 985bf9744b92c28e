"""Counts, and what they are called."""

from __future__ import annotations

import pytest

from retell_ws.plural import many


@pytest.mark.parametrize(("count", "written"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls")])
def test_one_is_one_and_all_else_are_several(count: int, written: str) -> None:
    assert many(count, "call") == written


def test_what_takes_no_s_is_given() -> None:
    assert [many(count, "copy is", "copies are") for count in (1, 3)] == ["1 copy is", "3 copies are"]

"""What stands in the log: never what a caller has said."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from retell_ws.log import configure


@pytest.fixture
def package() -> Iterator[logging.Logger]:
    logger = logging.getLogger("retell_ws")
    before = logger.handlers[:], logger.level, logger.propagate
    yield logger
    logger.handlers[:], logger.propagate = before[0], before[2]
    logger.setLevel(before[1])


def test_what_a_function_of_the_agents_has_raised_is_masked(
    package: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("debug")
    try:
        int("4111 1111 1111 1111 of ana@example.com")
    except ValueError:
        package.debug("the tool failed", exc_info=True, extra={"call_id": "call_1"})
    told = capsys.readouterr().err
    assert "the tool failed call=call_1" in told and "ValueError: invalid literal" in told
    assert "[card]" in told and "[email]" in told
    assert "4111" not in told and "ana@" not in told

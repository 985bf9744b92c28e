"""The release of a broker is read from what it takes."""

from __future__ import annotations

import logging

import pytest

from retell_ws.buses.kafka_version import RELEASES, ApiLog


def release_of(*taken: tuple[str, int]) -> str:
    """Give the release for what brokers take, as the client writes it."""
    log = ApiLog()
    for name, newest in taken:
        line = f"[thrd:h:1/1]: h:1/1:   ApiKey {name} (1) Versions 4..{newest}"
        log.log(logging.DEBUG, "%s [%s] %s", "APIVERSION", "c", line)
    return log.release


@pytest.mark.parametrize(("name", "newest", "release"), RELEASES)
def test_each_release_is_known_by_what_it_brought(name: str, newest: int, release: str) -> None:
    assert release_of((name, newest)) == release
    assert release_of((name, newest), ("Produce", 99)) == release


def test_a_later_one_is_at_least_the_newest_that_is_known() -> None:
    assert release_of(("Fetch", 40), ("ListOffsets", 30)) == RELEASES[0][2]


def test_of_several_brokers_the_oldest_counts() -> None:
    assert release_of(("Fetch", 18), ("Fetch", 15)) == release_of(("Fetch", 15), ("Fetch", 18)) == "3.5"


def test_of_what_is_older_or_says_nothing_no_release_is_known() -> None:
    assert release_of(("Fetch", 11)) == release_of() == ""


def test_what_else_the_client_writes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = ApiLog()
    log.log(logging.WARNING, "%s %s", "FAIL", "refused")
    log.log(logging.DEBUG, "%s %s", "APIVERSION", "h:1/1: Broker API support:")
    assert "refused" in caplog.text and "Broker API" not in caplog.text

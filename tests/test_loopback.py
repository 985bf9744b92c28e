"""Which hosts are this machine."""

from __future__ import annotations

import pytest

from retell_ws.loopback import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.9", "::1"])
def test_this_machine_is_known_by_its_name_and_its_numbers(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "redis", "x.org", "localhost.x.org", ""])
def test_any_other_host_is_not(host: str) -> None:
    assert not is_loopback(host)

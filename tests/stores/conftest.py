"""The servers of this directory's tests: each is started once, when the first test wants it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.redis_servers import RedisCluster, RedisServer, running

ServerOf = Callable[[str], RedisServer | RedisCluster]


@pytest.fixture(scope="session")
def server_of() -> Iterator[ServerOf]:
    """Give a running server of a kind."""
    with ExitStack() as stack:
        found: dict[str, RedisServer | RedisCluster] = {}

        def start(kind: str) -> RedisServer | RedisCluster:
            if kind not in found:
                # Short: the path of a Unix socket has room for some 100 characters.
                directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{kind}-")))
                found[kind] = stack.enter_context(running(kind, directory))
            return found[kind]

        yield start

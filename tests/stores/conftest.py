"""The servers of this directory's tests: each is started once, when the first test wants it."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.machine import free_port
from tests.redis_servers import RedisCluster, RedisServer, running, valkey

ServerOf = Callable[[str], RedisServer | RedisCluster]

_number = itertools.count()


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


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Give a server that stays up."""
    with RedisServer(valkey(), tmp_path_factory.mktemp("stays"), port=free_port()) as server:
        yield server


def fresh_prefix() -> str:
    """Give a prefix nobody else has."""
    return f"t{next(_number)}:"


@pytest.fixture
def prefix() -> str:
    """Give the test's own prefix."""
    return fresh_prefix()

"""The brokers of this directory's tests: one for all, and topics of each test's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from retell_ws.settings import Settings, load
from tests.kafka_servers import KafkaServer, genuine

_number = itertools.count(1)

SettingsFor = Callable[..., Settings]


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Give a genuine broker that stays up."""
    genuine()
    with KafkaServer(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@pytest.fixture
def frail_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """Give a genuine broker of the test's own, which it may end and start again."""
    genuine()
    with KafkaServer(tmp_path_factory.mktemp("frail")) as server:
        yield server


@pytest.fixture
def topic_prefix() -> str:
    """Give a prefix of topics that no other test has."""
    return f"t{next(_number)}."


@pytest.fixture
def settings_for(topic_prefix: str) -> SettingsFor:
    """Give what makes the settings of a server whose topics are the test's own."""

    def make(bootstrap: str, **more: Any) -> Settings:
        given = {"kafka_bootstrap": bootstrap, "kafka_prefix": topic_prefix, "kafka_partitions": 3, **more}
        return load({"blueprint": "events", "http_port": 0, **given}, environment={})

    return make

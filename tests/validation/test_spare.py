"""Spare servers: what they are given, whatever stands around them, and what of an agent's does not stop them."""

from __future__ import annotations

from pathlib import Path

import pytest

from retell_ws.testing.retell import FakeRetell
from retell_ws.validation.spare import SpareError
from tests.machine import free_port
from tests.otlp_collector import Collector

from .book import setup_of

LOUD = """
from retell_ws import Agent
print("loading {")
agent = Agent("You are Ana.", greeting="Hello.")

@agent.on_start
def loudly(call):
    print("x" * 300_000)
"""


async def test_settings_of_the_environment_are_not_those_of_a_spare_server(tmp_path: Path) -> None:
    real = tmp_path / "real"
    port = free_port()
    environment = {"RETELL_WS_PORT": str(port), "RETELL_WS_DATA": str(real), "RETELL_WS_PATH_SECRET": "a" * 20}
    setup = setup_of(tmp_path / "spare", environment=environment, model="scripted", data=str(real))
    async with setup.served("a") as spare, setup.probing("b") as probe:
        assert port not in (spare.port, probe.port)
        async with FakeRetell(spare.url) as retell:
            await retell.greeting()
    assert not real.exists()


async def test_an_agent_may_print_as_much_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(LOUD)
    setup = setup_of(tmp_path / "spare", target=str(tmp_path / "agent.py"), model="scripted")
    async with setup.served("a") as spare, FakeRetell(spare.url) as retell:
        await retell.greeting()
        assert (await retell.ask("What are your hours?")).text


async def test_one_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(SpareError, match="there is no file none"):
        async with setup_of(tmp_path, target="none.py").served("a"):
            pass


async def test_one_sends_nothing_to_the_collector_of_the_real_servers(tmp_path: Path) -> None:
    async with Collector() as collector:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_EXPORTER": "otlp"}
        setup = setup_of(tmp_path, environment=environment, model="scripted", traces=True)
        async with setup.served("a") as spare:
            async with FakeRetell(spare.url) as retell:
                await retell.greeting()
                assert (await retell.ask("What are your hours?")).text
            spare.leave()  # with its last words it would send what it has
            assert await spare.ended() == 0
        assert collector.bodies == []

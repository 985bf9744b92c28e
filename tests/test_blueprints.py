"""What the blueprints put together: `distributed`, its packages and its address."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from retell_ws import Agent
from retell_ws.__main__ import main
from retell_ws.blueprints import keeping_answers, running
from retell_ws.errors import SettingsError
from retell_ws.settings import Settings
from retell_ws.testing.retell import FakeRetell
from tests.machine import free_port
from tests.redis_servers import RedisServer


def distributed(url: str, *, prefix: str = "retell_ws:", http_port: int | None = None) -> Settings:
    return Settings(
        port=0, http_port=http_port, model="scripted", blueprint="distributed", redis_url=url, redis_prefix=prefix
    )


async def test_a_distributed_server_answers_calls_and_shows_how_its_store_does(frail: RedisServer) -> None:
    agent = Agent("You are Ana.", greeting="Harbor Clinic.")
    async with running(agent, distributed(frail.url, http_port=0)) as served:
        async with FakeRetell(served.url, call_id="call_1") as retell:
            await retell.greeting()
            assert (await retell.ask("What are your hours?")).text
        metrics = served._measures.text().decode()
    assert 'retell_ws_store_writes_total{outcome="failed"} 0.0' in metrics
    assert "retell_ws_store_degraded 0.0" in metrics


async def test_a_distributed_server_answers_calls_without_its_redis() -> None:
    agent = Agent("You are Ana.", greeting="Harbor Clinic.", cache=True)
    async with running(agent, distributed(f"redis://127.0.0.1:{free_port()}")) as served:
        async with FakeRetell(served.url, call_id="call_1") as retell:
            await retell.greeting()
            assert (await retell.ask("What are your hours?")).text


@pytest.mark.parametrize("url", ["redis://user:s3cr3t@host:port", "http://user:s3cr3t@host", "s3cr3t"])
async def test_an_address_that_is_none_is_said_and_not_quoted(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        async with running(Agent("You are Ana."), distributed(url)):
            pass
    assert "--redis-url" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("missing", ["redis", "hiredis"])
def test_a_missing_package_is_named(missing: str) -> None:
    code = f"""
import asyncio, sys
sys.modules[{missing!r}] = None
from retell_ws import Agent
from retell_ws.blueprints import running
from retell_ws.errors import SettingsError
from retell_ws.settings import Settings
async def main():
    settings = Settings(port=0, model="scripted", blueprint="distributed", redis_url="redis://127.0.0.1")
    async with running(Agent("You are Ana."), settings):
        pass
try:
    asyncio.run(main())
except SettingsError as exc:
    print(exc)
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=30)
    assert "pip install 'retell-ws[redis]'" in done.stdout, done.stderr


def test_a_single_server_imports_no_redis() -> None:
    code = """
import asyncio, sys
from retell_ws import Agent
from retell_ws.blueprints import running
from retell_ws.settings import Settings
async def main():
    async with running(Agent("You are Ana.", cache=True), Settings(port=0, model="scripted")):
        print("redis" in sys.modules)
asyncio.run(main())
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "False", done.stderr


def test_answers_that_were_warmed_are_every_servers(
    frail: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = tmp_path / "agent.py"
    agent.write_text('from retell_ws import Agent\n\nagent = Agent("You are Ana.", greeting="Hello.", cache=True)\n')
    openings = tmp_path / "openings.txt"
    openings.write_text("What are your hours?\nWhere are you?\n")
    flags = ("--model", "scripted", "--blueprint", "distributed", "--redis-url", frail.url)
    with pytest.raises(SystemExit) as caught:
        main(["answers", "warm", str(openings), str(agent), *flags])
    assert caught.value.code == 0
    assert "in Redis" in capsys.readouterr().err
    assert len(frail.told("KEYS", "retell_ws:answer:*")) == 3, "two answers, and the secret"


async def test_the_first_server_s_answer_is_the_second_one_s(frail: RedisServer) -> None:
    agent = Agent("You are Ana.", greeting="Harbor Clinic.", cache=True)
    settings = distributed(frail.url, http_port=0)
    async with running(agent, settings) as first, running(agent, settings) as second:
        for served, cached in ((first, 0), (second, 1)):
            async with FakeRetell(served.url, call_id=f"call_{cached}") as retell:
                await retell.greeting()
                assert (await retell.ask("What are your hours?")).text
            assert f"retell_ws_cached_answers_total {cached}.0" in served._measures.text().decode()
    async with keeping_answers(settings) as (_, secret), keeping_answers(settings) as (_, same):
        assert secret == same

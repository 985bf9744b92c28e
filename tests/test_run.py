"""The process a user starts: its ready line, its one-line errors, its exit codes, its signals. Nothing in between."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from retell_ws.agent import Agent
from retell_ws.errors import ModelRejected, SettingsError
from retell_ws.models.scripted import ScriptedModel
from retell_ws.ports import Delta, Rest, Text, no_rest
from retell_ws.request import ModelRequest
from retell_ws.run import checking
from retell_ws.settings import Settings
from retell_ws.testing.dial import DialError, DialPolicy
from retell_ws.testing.fake_anthropic import FakeAnthropicProcess
from retell_ws.testing.retell import FakeRetell

from .http_client import fetched
from .machine import place_of
from .processes import KEY, ready_line, refused, served, start


async def test_the_ready_line_is_all_there_is_on_stdout() -> None:
    async with served() as (process, ready):
        assert ready["ready"] is True
        assert ready["blueprint"] == "single"
        assert ready["model"] == "scripted"
        async with FakeRetell(ready["ws"]) as retell:
            assert await retell.greeting()
            assert (await retell.ask("Are you open on Monday?")).text
        process.send_signal(signal.SIGTERM)
        out, err = await process.communicate()
        assert process.returncode == 0
        assert out == b""
        assert b"ANTHROPIC_API_KEY" in err


async def test_the_ready_line_names_the_second_port_when_there_is_one() -> None:
    async with served("--http-port", "0") as (process, ready):
        assert list(ready) == ["ready", "ws", "http", "blueprint", "model"]
        assert (await asyncio.to_thread(fetched, f"{ready['http']}/livez")) == "ok\n"
        async with FakeRetell(ready["ws"]) as retell:
            await retell.greeting()
            assert "\nretell_ws_calls 1.0\n" in await asyncio.to_thread(fetched, f"{ready['http']}/metrics")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    async with served() as (_, ready):
        assert "http" not in ready


async def test_the_ready_line_keeps_the_secret() -> None:
    async with served("--path-secret", "0123456789abcdef") as (_, ready):
        assert "0123456789abcdef" not in str(ready)


async def test_a_signal_lets_the_live_call_finish_and_a_second_one_does_not() -> None:
    async with served("--drain-s", "30") as (process, ready):
        async with FakeRetell(ready["ws"], redials=False) as retell:
            await retell.greeting()
            process.send_signal(signal.SIGTERM)
            assert (await retell.ask("Hello?")).text
            process.send_signal(signal.SIGINT)
            await retell.ended()
            assert retell.close_code == 1006
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_usr2_refuses_new_calls_and_a_second_one_lets_them_come() -> None:
    """That the live ones are moved, where there are other servers, is shown with workers."""
    async with served("--drain-s", "30") as (process, ready):
        async with FakeRetell(ready["ws"], redials=False) as retell:
            await retell.greeting()
            process.send_signal(signal.SIGUSR2)
            assert (await retell.ask("Hello?")).text
            with pytest.raises(DialError) as caught:
                await FakeRetell(ready["ws"], dial_policy=DialPolicy(attempts=1)).__aenter__()
            assert caught.value.status == 503
        process.send_signal(signal.SIGUSR2)
        async with FakeRetell(ready["ws"], dial_policy=DialPolicy(attempts=20, pause_s=0.1)) as retell:
            assert await retell.greeting()
        process.send_signal(signal.SIGUSR2)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await process.wait() == 0


async def test_usr2_before_the_server_is_ready_counts() -> None:
    async with FakeAnthropicProcess(fault="hang") as fake:
        process = await start("serve", "--port", "0", "--model-url", fake.url, ANTHROPIC_API_KEY=KEY)
        async with asyncio.timeout(10):
            while not await fake.log():  # each look is a request of its own, so this gives way
                pass
            process.send_signal(signal.SIGUSR2)
            ready = await ready_line(process)
        with pytest.raises(DialError) as caught:
            await FakeRetell(ready["ws"], dial_policy=DialPolicy(attempts=1)).__aenter__()
        assert caught.value.status == 503
        process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0


async def test_both_anthropic_clients_answer_through_the_same_server() -> None:
    async with FakeAnthropicProcess(ttft_ms=5, spacing_ms=1) as fake:
        for model in ("anthropic", "anthropic-sdk"):
            flags = ("--model", model, "--model-url", fake.url)
            async with served(*flags, ANTHROPIC_API_KEY=KEY) as (_, ready):
                assert ready["model"] == model
                async with FakeRetell(ready["ws"]) as retell:
                    await retell.greeting()
                    assert (await retell.ask("Are you open on Monday?")).text


async def test_a_key_alone_picks_the_direct_client() -> None:
    async with FakeAnthropicProcess() as fake, served("--model-url", fake.url, ANTHROPIC_API_KEY=KEY) as (_, ready):
        assert ready["model"] == "anthropic"


async def test_a_signal_during_the_check_of_the_key_stops_the_start_quietly() -> None:
    async with FakeAnthropicProcess(fault="hang") as fake:
        process = await start("serve", "--port", "0", "--model-url", fake.url, ANTHROPIC_API_KEY=KEY)
        async with asyncio.timeout(10):
            while not await fake.log():  # each look is a request of its own, so this gives way
                pass
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            _, err = await process.communicate()
        assert process.returncode == 0
        assert b"Traceback" not in err


async def test_a_slow_model_does_not_hold_up_the_start() -> None:
    async with FakeAnthropicProcess(fault="hang") as fake:
        async with served("--model-url", fake.url, ANTHROPIC_API_KEY=KEY) as (_, ready):
            (asked,) = await fake.log()
            assert ready["ready"] is True
            assert asked["ended"] is None


@pytest.mark.parametrize("model", ["anthropic", "anthropic-sdk"])
async def test_no_log_holds_speech_or_secrets(model: str) -> None:
    async with FakeAnthropicProcess(ttft_ms=5, spacing_ms=1) as fake:
        flags = (
            "--model",
            model,
            "--model-url",
            fake.url,
            "--log-level",
            "debug",
            "--path-secret",
            "secret-in-the-path",
        )
        async with served(*flags, ANTHROPIC_API_KEY=KEY, ANTHROPIC_LOG="debug") as (process, ready):
            async with FakeRetell(f"{ready['ws']}/secret-in-the-path", redials=False) as retell:
                await retell.greeting()
                await retell.send_raw('{"interaction_type":"response_required","transcript":"my card is 4111 canary"}')
                assert "canary" in (await retell.ask("My card is 4111 canary.")).text
            process.send_signal(signal.SIGTERM)
            _, err = await process.communicate()
    assert b"turn_finished" in err
    for secret in (b"canary", b"4111", b"secret-in-the-path", b"Harbor Clinic"):
        assert secret not in err


STUCK = """
import asyncio, time
from retell_ws import Agent

async def greet(call):
    if call.id == "in_a_thread":
        return await asyncio.to_thread(time.sleep, 60)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

agent = Agent("You are Ana.", greeting=greet)
"""


@pytest.mark.parametrize("call_id", ["in_a_thread", "in_a_task"])
async def test_a_function_of_the_agent_s_that_never_ends_does_not_hold_the_process(
    tmp_path: Path, call_id: str
) -> None:
    file = tmp_path / "agent.py"
    file.write_text(STUCK)
    async with served(str(file), "--drain-s", "0", "--details-wait-ms", "0", "--turn-s", "0.2") as (process, ready):
        async with FakeRetell(ready["ws"], call_id=call_id, redials=False) as retell:
            assert await retell.greeting()
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


class LateRefusal(ScriptedModel):
    """Refuses our key, but not before it is told to."""

    name = "late"

    def __init__(self) -> None:
        super().__init__()
        self.now = asyncio.Event()

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        await self.now.wait()
        raise ModelRejected("the key is wrong", status=401)
        yield Text("")


async def test_a_refusal_that_comes_late_still_stops_the_server() -> None:
    model = LateRefusal()
    with pytest.raises(SettingsError, match="refused"):
        async with asyncio.timeout(10), checking(model, Agent("You are Ana."), Settings()):
            model.now.set()
            await asyncio.Event().wait()


# ---------------------------------------------------------------------------- one clear line, and exit 2


async def test_a_refused_key_stops_the_start_and_is_not_shown() -> None:
    async with FakeAnthropicProcess(fault="401") as fake:
        for model in ("anthropic", "anthropic-sdk"):
            wrong = ("serve", "--port", "0", "--model", model, "--model-url", fake.url)
            line = await refused(*wrong, ANTHROPIC_API_KEY=KEY)
            assert "refused" in line
            assert KEY not in line


async def test_a_model_that_is_down_does_not_stop_the_start() -> None:
    async with FakeAnthropicProcess(fault="529") as fake:
        async with served("--model-url", fake.url, ANTHROPIC_API_KEY=KEY) as (_, ready):
            assert ready["ready"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "nowhere.py"), "no file nowhere.py"),
        (("serve", "no.such.module"), "no.such.module"),
        (("serve", "--port", "many"), "--port"),
        (("serve", "--port", "70000"), "--port"),
        (("serve", "--prot", "1"), "--prot"),
        (("serve", "--config", "nowhere.toml"), "nowhere.toml"),
        (("serve", "--path-secret", "short"), "--path-secret"),
        (("serve", "--model", "gpt"), "--model"),
        (("serve", "--model", "anthropic"), "ANTHROPIC_API_KEY"),
        (("dev", "nowhere.py"), "no file nowhere.py"),
        (("fly",), "fly"),
        (("agent.py",), "To serve it: serve agent.py"),
        (("check", "ws://127.0.0.1:1/x", "a", "b"), "too many arguments: a b"),
        (("bench", "--budget-ms", "0"), "--budget-ms"),
        (("chat", "--timeout-s", "0"), "--timeout-s"),
        (("check", "ws://127.0.0.1:1/x", "--deadline-s", "0"), "--deadline-s"),
    ],
)
async def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    assert words in await refused(*arguments)


async def test_a_port_in_use_is_named() -> None:
    async with served() as (_, ready):
        _, port = place_of(ready["ws"])
        line = await refused("serve", "--port", str(port), status=1)
        assert f"127.0.0.1:{port}" in line, "no wrong setting: whoever keeps the server may start it anew"


async def test_a_second_port_in_use_is_named() -> None:
    async with served("--http-port", "0") as (_, ready):
        _, port = place_of(ready["http"])
        line = await refused("serve", "--port", "0", "--http-port", str(port), status=1)
        assert line.endswith(
            f"cannot listen on 127.0.0.1:{port}: Address already in use; --http-port 0 picks a free one"
        )


async def test_an_address_that_nobody_has_is_a_wrong_setting() -> None:
    assert "cannot listen on 192.0.2.1:0: Cannot assign" in await refused("serve", "--port", "0", "--host", "192.0.2.1")
    line = await refused("serve", "--port", "0", "--host", "no.such.host.invalid")
    assert "cannot listen on no.such.host.invalid:0: " in line and "Unknown error" not in line


async def test_settings_that_are_left_out_are_named() -> None:
    flags = ("--redis-url", "redis://127.0.0.1:1", "--admin-token", "0123456789abcdef")
    async with served(*flags) as (process, _):
        process.terminate()
        _, err = await process.communicate()
    assert "--redis-url is left out" in err.decode() and "--admin-token is left out" in err.decode()


async def test_what_events_lacks_is_named(tmp_path: Path) -> None:
    flags = ("--blueprint", "events", "--http-port", "0", "--no-consume", "--data", str(tmp_path))
    for key, is_named in (({}, True), ({"RETELL_API_KEY": "key"}, False), ({"RETELL_WEBHOOK_KEY": "key"}, False)):
        async with served(*flags, **key) as (process, _):
            process.terminate()
            _, err = await process.communicate()
        assert ("no RETELL_API_KEY: Retell's webhooks are refused" in err.decode()) == is_named


async def test_a_fault_in_the_agents_file_is_shown_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text("from retell_ws import Agent\n\nagent = Agent(greting='Hello')\n")
    line = await refused("serve", str(file))
    assert "agent.py:3" in line
    assert "greting" in line


async def test_a_key_with_a_line_end_is_no_key() -> None:
    assert "ANTHROPIC_API_KEY" in await refused("serve", "--model", "anthropic", ANTHROPIC_API_KEY=f"{KEY}\n")


# ---------------------------------------------------------------------------- new


async def test_new_writes_an_agent_that_serves_and_overwrites_nothing(tmp_path: Path) -> None:
    process = await start("new", str(tmp_path / "mine"))
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert b"agent.py" in out
    async with served(str(tmp_path / "mine" / "agent.py")) as (_, ready):
        async with FakeRetell(ready["ws"]) as retell:
            assert "Ana" in await retell.greeting()
    assert "exists" in await refused("new", str(tmp_path / "mine"))


# ---------------------------------------------------------------------------- dev


async def test_dev_serves_the_new_version_when_the_file_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    source = "from retell_ws import Agent, serve\nserve(Agent('You are Ana.', greeting={greeting!r}))\n"
    file.write_text(source.format(greeting="First."))
    process = await start("dev", str(file), "--port", "0")
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            async with FakeRetell((await ready_line(process))["ws"], redials=False) as retell:
                assert await retell.greeting() == "First."
                while b"watching" not in await process.stderr.readline():
                    pass
                file.write_text("Agent(")
                while b"agent.py:" not in await process.stderr.readline():
                    pass  # the broken version is reported, and dev waits for the next save
                file.write_text(source.format(greeting="Second."))
                ready = await ready_line(process)
            async with FakeRetell(ready["ws"]) as retell:
                assert await retell.greeting() == "Second."
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode in (0, 130)


async def test_dev_ends_with_the_server_that_cannot_start(tmp_path: Path) -> None:
    file = tmp_path / "agent.py"
    file.write_text("from retell_ws import Agent\nagent = Agent('You are Ana.')\n")
    async with served() as (_, ready):
        _, port = place_of(ready["ws"])
        process = await start("dev", str(file), "--port", str(port))
        async with asyncio.timeout(20):
            _, err = await process.communicate()
    assert process.returncode == 1
    assert f"127.0.0.1:{port}" in err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_dev_takes_its_server_with_it(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "agent.py"
    file.write_text("from retell_ws import Agent\nagent = Agent('You are Ana.', greeting='Hi.')\n")
    process = await start("dev", str(file), "--port", "0")
    async with asyncio.timeout(20):
        ready = await ready_line(process)
        process.send_signal(number)
        _, err = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in err and b"watch" not in err.partition(b"\n")[2]
    with pytest.raises(DialError):
        await FakeRetell(ready["ws"], dial_policy=DialPolicy(attempts=1)).__aenter__()

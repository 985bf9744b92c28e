"""`retell_ws register`: it says what will change, asks, does it once, and shows no secret anywhere."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from retell_ws.__main__ import main
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.settings import Settings
from retell_ws.testing import FakeRetellApi
from retell_ws.testing.fake_retell_server import Fault

KEY = "key_canary_0123456789"
SECRET = "canary-0123456789_abcdef"
URL = f"wss://ana.example.com/llm-websocket/{SECRET}"
NEW = ("--url", URL, "--create", "--voice", "cimo")


class Terminal(io.StringIO):
    """A stdin where somebody types."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeRetellApi]:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    monkeypatch.setenv("RETELL_LOG", "debug")
    async with FakeRetellApi(key=KEY) as api:
        monkeypatch.setenv("RETELL_WS_RETELL_URL", api.url)
        yield api


async def ended(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """Run the command in a thread; gives its status, stdout and stderr, in which there is no secret."""

    def run() -> object:
        with pytest.raises(SystemExit) as caught:
            main(["register", *arguments])
        return caught.value.code

    status = await asyncio.to_thread(run)
    out, err = capfd.readouterr()
    for secret in (SECRET, KEY):
        assert secret not in out and secret not in err
    return status, out, err


async def test_it_tells_does_and_reads_back_and_then_there_is_nothing_to_do(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = await ended(capfd, *NEW, "--yes")
    assert status == 0
    assert "a new agent" in out and "wss://ana.example.com/llm-websocket/•••" in out and "retell-Cimo" in out
    assert "Done, and read back: agent agent_" in out and "version 0, a draft" in out
    assert "not published" in out
    writes = len(api.writes())
    status, out, _ = await ended(capfd, *NEW, "--yes")
    assert status == 0 and "nothing to change" in out and "not published" in out
    assert len(api.writes()) == writes


async def test_a_change_is_shown_before_and_after(api: FakeRetellApi, capfd: pytest.CaptureFixture[str]) -> None:
    await ended(capfd, *NEW, "--yes", "--publish", "--responsiveness", "0.5")
    status, out, _ = await ended(
        capfd, "--url", f"{URL}-new", "--create", "--yes", "--responsiveness", "0.7", "--reminder-s", "8", "--publish"
    )
    assert status == 0
    (changed,) = (line for line in out.splitlines() if "responsiveness" in line)
    assert changed.split() == ["responsiveness", "0.5", "→", "0.7"]
    assert "what is not shown of it differs" in out and "8 s" in out
    assert "make a draft out of version 0, change the draft, publish it" in out
    assert "version 1, published" in out and "not published" not in out


async def test_what_others_have_called_it_does_nothing_to_a_terminal(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str]
) -> None:
    await ended(capfd, *NEW, "--yes")
    (agent_id,) = api.agents.agents
    words = "Hi \x1b]0;PWNED\x07\x1b[2J\x9b2J there"
    api.agents.update(agent_id, None, {"agent_name": words, "language": [words, words]})
    status, out, _ = await ended(capfd, "--url", URL, "--agent-id", agent_id, "--name", "Ana", "--dry-run")
    assert status == 0 and "Hi ]0;PWNED [2J 2J there" in out
    assert all(line.isprintable() for line in out.split("\n"))


@pytest.mark.parametrize(("typed", "made"), [("y\n", 1), ("yes\n", 1), ("n\n", 0), ("\n", 0), ("", 0)])
async def test_a_person_is_asked(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, typed: str, made: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    status, out, _ = await ended(capfd, *NEW)
    assert "Go on? [y/N]" in out
    assert status == 1 - made and len(api.agents.agents) == made
    assert ("Nothing was changed." in out) == (not made)


async def test_what_was_not_shown_is_not_done(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Terminal):
        def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # typeshed takes its base for bytes
            # Somebody else makes the agent before the answer.
            engine = {"type": "custom-llm", "llm_websocket_url": URL}
            api.agents.create({"response_engine": engine, "voice_id": "retell-Cimo", "agent_name": "retell_ws"})
            return super().readline()

    monkeypatch.setattr(sys, "stdin", Slow("y\n"))
    status, _, err = await ended(capfd, *NEW)
    assert status == 1 and "somebody changed it meanwhile" in err
    assert len(api.agents.agents) == 1 and not api.writes()


async def test_nobody_is_asked_through_a_pipe(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    status, _, err = await ended(capfd, *NEW)
    assert status == 2 and "--yes" in err
    assert not api.writes()


async def test_a_dry_run_changes_nothing(api: FakeRetellApi, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = await ended(capfd, *NEW, "--dry-run")
    assert status == 0 and "Steps: create the agent." in out and "dry run" in out
    assert not api.writes()


async def test_json_is_one_document_without_the_secret(api: FakeRetellApi, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = await ended(capfd, *NEW, "--dry-run", "--json")
    planned = orjson.loads(out)
    assert status == 0 and planned["agent_id"] is None and not planned["changed"] and planned["steps"] == ["create"]
    _, out, err = await ended(capfd, *NEW, "--yes", "--publish", "--json")
    done = orjson.loads(out)
    assert err == ""
    assert done["changed"] and done["published"] and done["agent_id"] in api.agents.agents
    assert done["url"] == "wss://ana.example.com/llm-websocket/•••"
    _, out, _ = await ended(capfd, "--url", f"{URL}-new", "--create", "--yes", "--json")
    (change,) = orjson.loads(out)["changes"]
    assert change["field"] == "response_engine" and change["secret_differs"]
    _, out, _ = await ended(capfd, "--url", f"{URL}-new", "--create", "--yes", "--json")
    again = orjson.loads(out)
    assert not again["changed"] and again["changes"] == again["steps"] == []


async def test_with_json_a_person_is_asked_on_stderr(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    status, out, err = await ended(capfd, *NEW, "--json")
    assert status == 0 and "create the agent" in err and "Go on? [y/N]" in err
    assert orjson.loads(out)["changed"]


async def test_a_number_is_bound(api: FakeRetellApi, capfd: pytest.CaptureFixture[str]) -> None:
    api.agents.numbers["+14155550123"] = {"phone_number": "+14155550123", "inbound_agents": None}
    status, out, _ = await ended(capfd, *NEW, "--yes", "--publish", "--number", "+14155550123")
    assert status == 0 and "nobody" in out and "this agent" in out
    assert api.agents.numbers["+14155550123"]["inbound_agents"][0]["agent_id"] in api.agents.agents


async def test_the_secret_of_the_settings_need_not_stand_on_the_command_line(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETELL_WS_PATH_SECRET", SECRET)
    status, _, _ = await ended(
        capfd, "--url", "wss://ana.example.com/llm-websocket", "--create", "--voice", "cimo", "--yes"
    )
    ((agent,),) = api.agents.agents.values()
    assert status == 0 and agent["response_engine"]["llm_websocket_url"] == URL


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--url", URL), "--agent-id ID, or --create"),
        (("--url", URL, "--create", "--agent-id", "agent_1"), "--agent-id ID, or --create"),
        (("--create",), "--url"),
        (("--url", f"https://ana.example.com/{SECRET}", "--create"), "wss://"),
        ((*NEW, "--webhook", "http://ana.example.com/webhook"), "https://"),
        ((*NEW, "--webhook-events", "call_ended", "call_moon"), "'call_moon' is none of call_started"),
        ((*NEW, "--number", "12"), "+14155550123"),
        ((*NEW, "--responsiveness", "1.5"), "responsiveness"),
        ((*NEW, "--reminder-s", "0"), "reminder-s"),
        (("--url", URL, "--create", "--voice", "cima", "--yes"), "no voice 'cima'; the closest are retell-Cimo"),
    ],
)
async def test_what_is_asked_for_wrongly_is_one_line(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, out, err = await ended(capfd, *arguments)
    assert status == 2 and out == ""
    assert err.startswith("retell_ws: ") and err.count("\n") == 1 and says in err
    assert not api.writes()


async def test_a_wrong_key_is_one_line(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", "key_of_another")
    status, _, err = await ended(capfd, *NEW, "--yes")
    assert status == 2 and "does not know the key in RETELL_API_KEY" in err and err.count("\n") == 1
    assert "key_of_another" not in err


async def test_retells_refusal_is_one_line_and_1(api: FakeRetellApi, capfd: pytest.CaptureFixture[str]) -> None:
    api.faults = [Fault(status=422, path="/create-agent", message=f"llm_websocket_url {URL} is odd")]
    status, _, err = await ended(capfd, *NEW, "--yes")
    assert status == 1 and err == (
        "retell_ws: the new agent: Retell's API answered 422: "
        "llm_websocket_url wss://ana.example.com/llm-websocket/••• is odd\n"
    )


async def test_what_was_not_taken_over_is_1(api: FakeRetellApi, capfd: pytest.CaptureFixture[str]) -> None:
    await ended(capfd, *NEW, "--yes")
    api.agents.ignored = {"responsiveness"}
    status, out, err = await ended(capfd, *NEW, "--yes", "--responsiveness", "0.2")
    assert status == 1 and "not taken over responsiveness" in err and "Done" not in out


async def test_a_url_is_dialled_before_anything_is_changed(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(Agent("You are Ana."), Settings(port=0, model="scripted", path_secret=SECRET)) as server:
        status, _, err = await ended(capfd, "--url", f"{server.address}x", "--create", "--check", "--yes")
        assert status == 2 and "its path ends with" in err
        wrong = f"{server.address}/{SECRET[::-1]}"
        status, _, err = await ended(capfd, "--url", wrong, "--create", "--voice", "cimo", "--check", "--yes")
        assert status == 2 and "HTTP status 404" in err and "nothing was changed" in err
        assert SECRET[::-1] not in err
        assert not api.writes()
        good = f"{server.address}/{SECRET}"
        told = f"{server.address}/••• answers as Retell will dial it."
        status, out, err = await ended(capfd, "--url", good, "--create", "--voice", "cimo", "--check", "--dry-run")
        assert status == 0 and told in " ".join(out.split()) and not api.writes()
        status, out, err = await ended(capfd, "--url", good, "--create", "--voice", "cimo", "--check", "--yes")
        assert status == 0 and "Retell dials public addresses alone" in err
        assert told in " ".join(out.split())
    assert len(api.agents.agents) == 1


async def test_the_script_is_the_command(api: FakeRetellApi) -> None:
    root = Path(__file__).parent.parent.parent
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "scripts/register_agent.py", *NEW, "--yes"),
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONUTF8": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert "Done, and read back" in out.decode()
    assert SECRET not in out.decode() + err.decode()
    assert len(api.agents.agents) == 1


async def test_without_the_extra_the_line_says_what_brings_it(
    api: FakeRetellApi, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "retell", None)
    status, _, err = await ended(capfd, *NEW, "--yes")
    assert status == 2 and err == "retell_ws: Retell's API needs a package more: pip install 'retell-ws[retell]'\n"

"""`retell_ws calls`: every way a call may end is told, with its times by owner, and nothing that was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from retell_ws.__main__ import main
from retell_ws.registration.reasons import REASONS
from retell_ws.testing import FakeRetellApi
from retell_ws.testing.fake_retell_calls import sample_calls

KEY = "key_canary_0123456789"
NOW_MS = 1_790_000_000_000


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeRetellApi]:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    async with FakeRetellApi(key=KEY) as api:
        monkeypatch.setenv("RETELL_WS_RETELL_URL", api.url)
        api.calls = sample_calls(NOW_MS)
        yield api


async def ended(capsys: pytest.CaptureFixture[str], *arguments: str, columns: int = 160) -> tuple[object, str, str]:
    """Run the command in a thread; gives its status, stdout and stderr."""

    def run() -> object:
        with pytest.raises(SystemExit) as caught:
            main(["calls", *arguments])
        return caught.value.code

    status = await asyncio.to_thread(run)
    out, err = capsys.readouterr()
    assert "Harbor Clinic" not in out + err and KEY not in out + err
    return status, out.replace("\u202f", " "), err


async def test_a_call_is_one_line_with_its_times(api: FakeRetellApi, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = await ended(capsys, "--limit", "2")
    assert status == 0
    title, ongoing, call = out.splitlines()
    assert title.split() == "began (UTC) call length how it ended e2e p50 p95 Retell network ours".split()
    assert "goes on" in ongoing and ongoing.count("–") == 6
    assert "call_000000000000000000000000001" in call and "1:24" in call and "the caller hung up" in call
    assert call.split("the caller hung up")[1].split() == "910 ms 1.36 s 420 ms 38 ms 452 ms".split()


async def test_what_the_api_says_does_nothing_to_a_terminal(
    api: FakeRetellApi, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "Hi \x1b]0;PWNED\x07\x1b[2J\x9b2J there"
    api.calls = [api.calls[1] | {"call_id": words, "disconnection_reason": words, "call_status": "error"}]
    for columns in (80, 160):
        status, out, _ = await ended(capsys, columns=columns)
        assert status == 0 and "Hi ]0;PWNED [2J 2J there" in out
        assert all(line.isprintable() for line in out.split("\n"))


async def test_every_reason_is_told_in_the_table_and_in_json(
    api: FakeRetellApi, capsys: pytest.CaptureFixture[str]
) -> None:
    first = api.calls[1]
    api.calls = [
        first | {"call_id": f"call_{number}", "disconnection_reason": reason, "call_status": "error"}
        for number, reason in enumerate([*REASONS, "error_moon"])
    ]
    _, out, _ = await ended(capsys, "--limit", "100")
    text = " ".join(out.split())
    for reason, means in REASONS.items():
        assert means.said in text
        assert (f"{reason} 1 call" in text) == bool(means.check)
        assert means.check in text
    assert "error_moon" in text
    _, out, _ = await ended(capsys, "--limit", "100", "--json")
    listed = orjson.loads(out)
    assert [call["disconnection_reason"] for call in listed] == [*REASONS, "error_moon"]
    assert [call["ended"] for call in listed[:-1]] == [means.said for means in REASONS.values()]
    assert listed[0]["latency_ms"] == {
        "e2e_p50": 910,
        "e2e_p95": 1365,
        "retell": 420,
        "network": 38,
        "ours": 452,
        "has_network": False,
    }


async def test_what_to_look_at_stands_once_for_all_calls_of_a_reason(
    api: FakeRetellApi, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = await ended(capsys, "--failed")
    assert "error_llm_websocket_open  2 calls" in out
    assert out.count("Look at the agent's URL") == 1
    assert "user_hangup" not in out and "hung up" not in out


async def test_without_keepalive_our_time_has_the_network_in_it(
    api: FakeRetellApi, capsys: pytest.CaptureFixture[str]
) -> None:
    del api.calls[1]["latency"]["llm_websocket_network_rtt"]
    _, out, _ = await ended(capsys, "--limit", "2")
    assert "≤ 490 ms" in out and "does not measure without keepalive" in out


async def test_a_narrow_terminal_has_room_too(
    api: FakeRetellApi, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retell_ws.commands.rest.COLUMNS", 80)
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = await ended(capsys, "--limit", "5")
    assert max(map(len, out.splitlines())) <= 80
    assert "call_000000000000000000000000001" in out and "Retell could not open the socket" in out


async def test_filters(api: FakeRetellApi, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = await ended(capsys, "--agent-id", "agent_of_another")
    assert out == "" and err == "no call like that\n"
    _, out, _ = await ended(capsys, "--agent-id", "agent_of_another", "--json")
    assert orjson.loads(out) == []
    await ended(capsys, "--since", "2026-09-21T13:00")
    assert api.log[-1].body["filter_criteria"]["start_timestamp"] == {
        "type": "number",
        "op": "ge",
        "value": 1_789_995_600_000,
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--limit", "0"), "limit"),
        (("--since", "yesterday"), "'yesterday' is no time"),
        (("--retell-url", "http://ana.example.com"), "https://"),
    ],
)
async def test_what_is_asked_for_wrongly_is_one_line(
    api: FakeRetellApi, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    status, _, err = await ended(capsys, *arguments)
    assert status == 2 and says in err and err.count("\n") == 1


async def test_a_call_with_odd_times_is_listed(api: FakeRetellApi, capsys: pytest.CaptureFixture[str]) -> None:
    api.calls = [
        {"call_id": "call_1", "start_timestamp": 1e30, "duration_ms": -1, "call_status": "odd[red]"},
        {"call_id": "call_2"},
    ]
    status, out, _ = await ended(capsys)
    assert status == 0 and "odd[red]" in out and "call_2" in out

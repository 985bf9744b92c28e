"""Our own server passes the conformance suite, every check of it."""

from __future__ import annotations

from retell_ws.agent_file import load
from retell_ws.blueprints import running
from retell_ws.settings import load as load_settings
from retell_ws.testing.checking import Outcome, Patience
from retell_ws.testing.conformance import run


async def test_our_server_passes_every_check() -> None:
    settings = load_settings(
        {"port": 0, "model": "scripted", "scripted_ttft_ms": 20, "scripted_spacing_ms": 10}, environment={}
    )
    agent = load("retell_ws.examples.receptionist")
    async with running(agent, settings) as server:
        report = await run(server.url, patience=Patience(pong_s=1.0, settle_s=0.15, away_s=0.3))
    assert {result.name: result.seen for result in report.results if result.outcome is not Outcome.PASSED} == {}

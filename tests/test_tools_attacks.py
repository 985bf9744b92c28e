"""Tools, ledger, intents and what is around the turns, where they were found to break."""

from __future__ import annotations

import pytest

from retell_ws.handle import Call
from retell_ws.testing.calling import calling
from retell_ws.testing.script import Step, Use

from .test_tools import agent, told

pytestmark = pytest.mark.usefixtures("clean_loop")


# ---------------------------------------------------------------------------- once


async def test_a_side_effect_whose_transfer_is_refused_is_not_done_again() -> None:
    ana = agent(transfers={"billing": "+14155550100"})
    charged: list[int] = []

    @ana.tool
    async def charge(call: Call, dollars: int) -> str:
        """Charge, and hand on."""
        charged.append(dollars)
        call.transfer("billing")
        return "charged"

    steps: list[Step] = [Use("charge", dollars=5), "Hm.", Use("charge", dollars=5), "Hm."]
    async with calling(ana, steps, details={"call_type": "web_call"}) as caller:
        await caller.says("charge me five")
        assert "only phone calls can be transferred" in told(caller, 1)[0].content
        await caller.says("did that work?")
    assert charged == [5]

"""The agent of spare servers in those checks that try the server, and not the agent. It has no tools, so nothing is
booked and nobody rung up. Of the real agent it has the mask.

It is served as `retell_ws.validation.probe`, like any other agent.
"""

from __future__ import annotations

import os

from ..agent import Agent
from ..agent_file import load

__all__ = ["GREETING", "MARK", "QUESTION", "agent"]

MARK = "RETELL_VALIDATED"
"""The variable of the environment that names the real agent. No setting's name, nor nearly one."""

GREETING = "This is a spare server."

QUESTION = "I would like to hear each single word of this rather long sentence only once from beginning until its end"
"""Each of its words is another one: the scripted model says them back, and who listens can tell them apart."""


_real = load(target) if (target := os.environ.get(MARK)) else None

agent = Agent(
    "You are a test of this server. Say back what you hear.",
    greeting=GREETING,
    mask=None if _real is None else _real.mask,
)

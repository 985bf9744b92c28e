"""The server behind a Retell voice agent.

    from retell_ws import Agent, serve

    agent = Agent("You are Ana, the receptionist of Harbor Clinic. One or two short sentences.",
                  greeting="Harbor Clinic, this is Ana.")
    serve(agent)

`Agent` is who answers, and `@agent.tool` gives it typed functions to call. `Call` is the call as those functions see
and move it; raise `ToolError` in one when it did nothing. `Transfer`, `Reminders`, `Budget` with its `Prices`, and
`Lines`, what is said without the model, are values of an agent's options; a `before_model` hook is given a
`ModelRequest`. `serve` answers Retell until the process is told to stop.
"""

from __future__ import annotations

from typing import Any

from .agent import Agent
from .budget import Budget, Prices
from .directory import Transfer
from .errors import RetellWsError, ToolError
from .handle import Call
from .lines import Lines
from .reminders import Reminders
from .request import ModelRequest

__all__ = [
    "Agent",
    "Budget",
    "Call",
    "Lines",
    "ModelRequest",
    "Prices",
    "Reminders",
    "RetellWsError",
    "ToolError",
    "Transfer",
    "serve",
]


def serve(agent: Agent, **settings: Any) -> None:
    """Answer Retell until SIGTERM or SIGINT.

    In a file that is itself given to `retell_ws serve`, `dev` or `chat`, this only says which agent is meant.

    Args:
        agent: Who answers.
        settings: Any field of `retell_ws.settings.Settings`; they override the environment.

    Raises:
        SystemExit: Status 2 after one line on stderr when the settings are wrong or the port is taken.
    """
    from .agent_file import offer

    if not offer(agent):
        from .run import run

        if status := run(agent, settings):
            raise SystemExit(status)

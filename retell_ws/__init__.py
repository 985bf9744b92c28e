"""The server behind a Retell voice agent.

    from retell_ws import Agent, serve

    agent = Agent("You are Ana, the receptionist of Harbor Clinic. One or two short sentences.",
                  greeting="Harbor Clinic, this is Ana.")
    serve(agent)

`Agent` is who answers, and `@agent.tool` gives it typed functions to call. `Call` is the call as those functions see
and move it; raise `ToolError` in one when it did nothing. `Transfer`, `Reminders`, `Budget` with its `Prices`, and
`Lines`, what is said without the model, are values of an agent's options, as is `Cache`; a `before_model` hook is given
a `ModelRequest`. `serve` answers Retell until the process is told to stop.

The names are loaded when they are used: pytest finds a plugin in this package, and most test runs need no more of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import Agent as Agent
    from .budget import Budget as Budget
    from .budget import Prices as Prices
    from .cache import Cache as Cache
    from .directory import Transfer as Transfer
    from .errors import RetellWsError as RetellWsError
    from .errors import ToolError as ToolError
    from .handle import Call as Call
    from .lines import Lines as Lines
    from .reminders import Reminders as Reminders
    from .request import ModelRequest as ModelRequest

_HOMES = {
    "Agent": "agent",
    "Budget": "budget",
    "Cache": "cache",
    "Call": "handle",
    "Lines": "lines",
    "ModelRequest": "request",
    "Prices": "budget",
    "Reminders": "reminders",
    "RetellWsError": "errors",
    "ToolError": "errors",
    "Transfer": "directory",
}

__all__ = [
    "Agent",
    "Budget",
    "Cache",
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


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


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

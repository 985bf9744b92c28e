"""Views for tests: of a server and of a call, with nothing special in them."""

from __future__ import annotations

from retell_ws.control import Status
from retell_ws.views import CallView, FirstSentences, ServerView, ShownLine, Speaking, TimedTurn

__all__ = ["call_view", "server_view"]


def server_view(name: str = "a") -> ServerView:
    """Tell of a server that has nothing to do."""
    return ServerView(
        name=name,
        version="0",
        blueprint="distributed",
        model="puppet",
        started_at=1.0,
        draining=False,
        calls=0,
        max_calls=10,
        budget_ms=500,
        speculates=True,
        live=(Status("call_1", 1.0, True, "idle"),),
        first_sentences=FirstSentences((1.0,), (0, 1), 0, 1, 2.0),
    )


def call_view(server: str = "a", call_id: str = "call_1", text: str = "Hello.") -> CallView:
    """Show a call in which one line was said."""
    return CallView(
        server=server,
        status=Status(call_id, 1.0, True, "answering"),
        lines=(ShownLine("user", text),),
        speaking=Speaking(1, "Hi"),
        turns=(TimedTurn(1, "finished", at=1.0, done_s=0.5),),
    )

"""What a person who calls with `chat` is and sees, at a terminal as through a pipe."""

from __future__ import annotations

from ..testing.dial import DialPolicy
from ..testing.report import Answer

__all__ = ["DETAILS", "HELP", "ONE_DIAL", "timing"]

DETAILS = {"call_type": "web_call", "agent_id": "agent_chat", "call_status": "registered"}
"""The call object, as a web call has it: no numbers, no direction (§2.2)."""

HELP = "/silence: say nothing   /drop: cut the line and redial   /raw: show frames   /quit: hang up"

ONE_DIAL = DialPolicy(attempts=1)
"""Whoever sits at a terminal wants to know at once that nobody answers."""


def timing(answer: Answer) -> str:
    """Say in one line how fast an answer was."""
    parts = (
        f"first frame {_ms(answer.first_frame_s)}",
        f"first sentence {_ms(answer.first_sentence_s)}",
        f"{answer.frames} {'frame' if answer.frames == 1 else 'frames'}",
        f"total {_ms(answer.total_s)}",
    )
    return " · ".join(parts)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"

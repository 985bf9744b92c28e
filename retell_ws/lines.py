"""What is said without a model: when something goes wrong, takes long, or comes to its end. No I/O."""

from __future__ import annotations

from typing import Final

import msgspec

from .errors import AgentError

__all__ = ["HOLDING", "HOLDING_QUESTION", "Lines", "phrases"]

# Short and neutral, and nothing that has to be kept: "I'll check" is a promise, and nobody may check anything.
HOLDING: Final = ("One moment, please.", "Okay, one second.", "Alright, just a moment.")
HOLDING_QUESTION: Final = ("Good question, one moment.", "Let me see.", "Let me think for a second.")
WORKING: Final = ("I'm still working on it.", "This takes a little longer, one moment.", "Thank you for waiting.")


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's fixed sentences; set them in its language.

    Attributes:
        greeting: Instead of a greeting whose function failed.
        holding: While the model, or a tool, takes too long for its first word: a text, or several to choose from.
        holding_question: Instead of those when the caller asked something; without any of its own, `holding` serves.
        working: While it takes longer still: a text or several.
        late: When a tool's time is up.
        apology: Instead of an answer that never began.
        closing: After an answer that broke off in the middle.
        refusal: Instead of an answer the model refused to give.
        cut: After an answer that reached `max_tokens`.
        transfer: Before a transfer that says nothing of its own, or is given once more.
        goodbye: Likewise before a hang-up.
        farewell: Before the hang-up that follows the last reminder.
        budget: Before the hang-up of a call that has used up its budget.
        link: Instead of a web address.
    """

    greeting: str = "Hello, how can I help you?"
    holding: str | tuple[str, ...] = HOLDING
    holding_question: tuple[str, ...] = HOLDING_QUESTION
    working: str | tuple[str, ...] = WORKING
    late: str = "This is taking longer than usual."
    apology: str = "I'm sorry, something went wrong on my side. Could you say that again?"
    closing: str = "Sorry, I lost my thread. Could you say that again?"
    refusal: str = "I'm sorry, I can't help with that."
    cut: str = "Shall I go on?"
    transfer: str = "Connecting you now."
    goodbye: str = "Goodbye."
    farewell: str = "I can't hear you, so I will hang up now. Goodbye."
    budget: str = "I'm afraid I have to end our call here. Goodbye."
    link: str = "our website"

    def __post_init__(self) -> None:
        for name in ("holding", "holding_question", "working"):
            lines = phrases(getattr(self, name))
            if not lines or not all(isinstance(line, str) and line.strip() for line in lines):
                raise AgentError(f"lines.{name}: a text or several, none of them empty")


def phrases(line: str | tuple[str, ...]) -> tuple[str, ...]:
    """Give what may be said for a line: one text is the only one."""
    return (line,) if isinstance(line, str) else line

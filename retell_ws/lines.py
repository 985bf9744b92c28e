"""What is said without a model: when something goes wrong, takes long, or comes to its end. No I/O."""

from __future__ import annotations

import msgspec

__all__ = ["Lines"]


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's fixed sentences; set them in its language.

    Attributes:
        greeting: Instead of a greeting whose function failed.
        holding: While the model, or a tool, takes too long for its first word.
        working: While a tool takes longer still.
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
    holding: str = "One moment, please."
    working: str = "I'm still working on it."
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

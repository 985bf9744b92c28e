"""The transcript Retell sends: what was really heard, whole every time (protocol §2.6). No I/O, no clock."""

from __future__ import annotations

from typing import Any

__all__ = ["Conversation", "user", "utterance"]

_WORD_S = 0.3
"""Audio time given to one word, in seconds; about 160 words a minute with the pauses between."""


def utterance(role: str, content: str, *, at_s: float = 0.0) -> dict[str, Any]:
    """Make one utterance with its word times.

    Args:
        role: `agent`, `user`, or whatever a test wants to try.
        content: The text.
        at_s: Audio time of its first word, seconds from the start of the call.
    """
    words = [
        {
            "word": word + " ",
            "start": round(at_s + n * _WORD_S, 3),
            "end": round(at_s + (n + 0.9) * _WORD_S, 3),
        }
        for n, word in enumerate(content.split())
    ]
    return {"role": role, "content": content, "words": words}


def user(content: str) -> list[dict[str, Any]]:
    """Make a transcript in which the caller said one thing and nobody anything else."""
    return [utterance("user", content)]


class Conversation:
    """The transcript of one call, growing.

    Attributes:
        utterances: The transcript as it goes into a message.
        items: The same with tool calls, pressed keys and the like in between (§2.7).
    """

    def __init__(self) -> None:
        self.utterances: list[dict[str, Any]] = []
        self.items: list[dict[str, Any]] = []
        self._agent_open = False

    def caller_says(self, text: str, *, at_s: float = 0.0, grow: bool = False) -> None:
        """Add what the caller said.

        Args:
            text: The words.
            at_s: Audio time, seconds from the start of the call.
            grow: Replace the caller's last utterance: speech recognition has changed its mind (§2.6).
        """
        self._agent_open = False
        said = utterance("user", text, at_s=at_s)
        if grow and self.utterances and self.utterances[-1]["role"] == "user":
            self.items[next(n for n, item in enumerate(self.items) if item is self.utterances[-1])] = said
            self.utterances[-1] = said
        else:
            self.utterances.append(said)
            self.items.append(said)

    def agent_says(self, text: str, *, response_id: int, at_s: float = 0.0) -> None:
        """Add words to what the agent is saying."""
        if not text:
            return
        if not self._agent_open or self.utterances[-1]["metadata"]["response_id"] != response_id:
            self._agent_open = True
            said = {**utterance("agent", text, at_s=at_s), "metadata": {"response_id": response_id}}
            self.utterances.append(said)
            self.items.append(said)
            return
        last = self.utterances[-1]
        last["content"] += text
        last["words"] += utterance("agent", text, at_s=at_s)["words"]

    def beside(self, role: str, **fields: Any) -> None:
        """Add an item that is no utterance."""
        self.items.append({"role": role, **fields})

    def agent_stops(self) -> None:
        """Leave the agent's utterance as it is; the next word begins a new one."""
        self._agent_open = False

"""The agent's voice: which word of the accepted text is spoken next, and when it is all said. No I/O, no clock.

Speech begins with the first complete sentence, or with the completion (protocol §4.1), and goes word by word; a word
is ready once something follows it, because the text may still be growing in the middle of a word.
"""

from __future__ import annotations

from .acceptance import Exchange, ends_a_sentence

__all__ = ["WORDS_PER_MINUTE", "Mouth"]

WORDS_PER_MINUTE = 160.0
"""A usual pace of synthetic speech (§10 asks for 150 to 180)."""


class Mouth:
    """Speaks one exchange after the other.

    Attributes:
        exchange: What is being spoken; None when there is nothing to say.
        spoken: The part of it that was spoken.
    """

    def __init__(self) -> None:
        self.exchange: Exchange | None = None
        self.spoken = ""
        self._text = ""
        self._pieces = 0

    @property
    def is_speaking(self) -> bool:
        """Whether the caller hears the agent: the first word was spoken and the last one was not."""
        return bool(self.spoken) and not self.is_done

    @property
    def is_done(self) -> bool:
        """Whether all there is, and will be, was spoken. A mouth with nothing to say is not done."""
        if self.exchange is None or not self.exchange.is_complete:
            return False
        self._follow(self.exchange)
        return len(self.spoken) == len(self._text)

    def say(self, exchange: Exchange) -> None:
        """Speak this exchange, or go on with it; what was left of another one is dropped."""
        if exchange is not self.exchange:
            self.cut()
            self.exchange = exchange

    def cut(self) -> None:
        """Stop: unspoken text and a pending action are gone (§4.1, barge-in)."""
        self.exchange = None
        self.spoken = self._text = ""
        self._pieces = 0

    def take(self) -> str | None:
        """Take the next word, with the space behind it; None when it has to be waited for."""
        exchange = self.exchange
        if exchange is None:
            return None
        self._follow(exchange)
        if not self.spoken and not exchange.is_complete and not ends_a_sentence(self._text):
            return None
        rest = self._text[len(self.spoken) :]
        head = rest.lstrip()
        blank = len(rest) - len(head)
        word = head.split(maxsplit=1)[0] if head else ""
        end = blank + len(word)
        while end < len(rest) and rest[end].isspace():
            end += 1
        if not rest or (end == blank + len(word) and not exchange.is_complete):
            return None
        self.spoken += rest[:end]
        return rest[:end]

    def take_all(self) -> str:
        """Take everything that is there, as if spoken in no time."""
        if self.exchange is None:
            return ""
        self._follow(self.exchange)
        rest = self._text[len(self.spoken) :]
        self.spoken = self._text
        return rest

    def _follow(self, exchange: Exchange) -> None:
        if self._pieces < len(exchange.pieces):
            self._text += "".join(exchange.pieces[self._pieces :])
            self._pieces = len(exchange.pieces)

"""What is said in a synthetic call, when, and what follows from it: updates, actions, reminders. Judges no frame.

Both parties' words go into the transcript as they are spoken, each with an `update_only`. What follows the agent's
last word (§3.3, §2.5) is here too, because only speech knows when that was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .acceptance import Acceptance, Action, Exchange
from .conversation import Conversation
from .lines import CallEnded, Lines
from .mouth import WORDS_PER_MINUTE, Mouth
from .news import News

__all__ = ["Voice"]


class Voice:
    """The speech of one call.

    Args:
        rules: What was accepted.
        lines: Where updates go.
        news: Told of every word.
        speed: Factor on the agent's pace; None speaks in no time.
        caller_speed: Factor on the caller's.
        acts: Whether actions are carried out.
        on_word: Called with each word of the agent.

    Attributes:
        conversation: The transcript.
        digits: What the agent dialled.
    """

    def __init__(
        self,
        rules: Acceptance,
        lines: Lines,
        news: News,
        *,
        speed: float | None,
        caller_speed: float | None,
        acts: bool,
        on_word: Callable[[str], None] | None,
    ) -> None:
        self.conversation = Conversation()
        self.digits = ""
        self._rules = rules
        self._lines = lines
        self._news = news
        self._speed = speed
        self._caller_speed = caller_speed
        self._acts = acts
        self._on_word = on_word
        self._mouth = Mouth()
        self._started = time.perf_counter()
        self._spoken_at: float | None = None
        self._reminders = 0
        self._told = 0  # how many characters of the agent's current words an update has told of
        self._acted = False

    def is_over(self, exchange: Exchange) -> bool:
        """Whether this one was spoken to its end, or cut off."""
        return exchange.is_complete and (self._mouth.exchange is not exchange or self._mouth.is_done)

    def say(self, exchange: Exchange) -> None:
        """Let the agent speak this exchange, of which a new piece has come."""
        if exchange is not self._mouth.exchange:
            self.cut()
            self._mouth.say(exchange)
        if self._speed is None:
            self._spoke(self._mouth.take_all())
            if self._mouth.is_done:
                self._act()

    def cut(self) -> None:
        """Silence the agent: what it has not said, and what was to follow, is gone (§4.1)."""
        self._mouth.cut()
        self.conversation.agent_stops()
        self._told = 0
        self._acted = False
        self._spoken_at = None

    async def caller_says(self, text: str, *, grow: bool) -> None:
        """The caller takes the floor and speaks. Raises `CallEnded` when there is no line."""
        self.cut()
        self._reminders = 0
        at_s = time.perf_counter() - self._started
        words = text.split()
        if self._caller_speed is None or len(words) < 2:
            self.conversation.caller_says(text, at_s=at_s, grow=grow)
            await self.update(turntaking="user_turn")
            return
        for n in range(1, len(words) + 1):
            said = text if n == len(words) else " ".join(words[:n])
            self.conversation.caller_says(said, at_s=at_s, grow=grow or n > 1)
            await self.update(turntaking="user_turn" if n == 1 else None)
            await asyncio.sleep(60 / (WORDS_PER_MINUTE * self._caller_speed))

    async def update(
        self, *, turntaking: str | None = None, transcript: list[Any] | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        """Send an `update_only` (§2.3)."""
        message = {"interaction_type": "update_only", **self.transcripts(transcript), **(extra or {})}
        if turntaking:
            message["turntaking"] = turntaking
        await self._lines.send(message)

    def transcripts(self, transcript: list[Any] | None = None) -> dict[str, Any]:
        """The transcript fields of a message: the call's own, or the one given."""
        utterances = self.conversation.utterances if transcript is None else transcript
        if self._rules.options.transcript_with_tool_calls:
            items = self.conversation.items if transcript is None else transcript
            return {"transcript": utterances, "transcript_with_tool_calls": items}
        return {"transcript": utterances}

    async def live(self, remind: Callable[[], Any]) -> None:
        """Speak, tell of it, act after it, and call `remind` after silence, until the call ends."""
        while self._lines.reason is None:
            word = self._mouth.take() if self._speed is not None else None
            if word is not None:
                await self._speak(word, self._speed or 1.0)
            elif self._speed is None and self._mouth.is_done and len(self._mouth.spoken) > self._told:
                self._told = len(self._mouth.spoken)
                with suppress(CallEnded):
                    await self.update(turntaking="agent_turn")
            elif self._mouth.is_done and not self._acted:
                self._act()
            elif not await self._wait_for_news():
                self._reminders += 1
                with suppress(CallEnded):
                    await remind()

    async def _speak(self, word: str, speed: float) -> None:
        begins = self._mouth.spoken == word
        self._spoke(word)
        with suppress(CallEnded):
            await self.update(turntaking="agent_turn" if begins else None)
        await asyncio.sleep(60 / (WORDS_PER_MINUTE * speed))

    def _spoke(self, text: str) -> None:
        exchange = self._mouth.exchange
        if text and exchange is not None:
            at_s = time.perf_counter() - self._started
            # Interruptions have a counter of their own; below zero they cannot be taken for a response.
            number = exchange.response_id if exchange is not self._rules.interrupt else -1 - exchange.response_id
            self.conversation.agent_says(text, response_id=number, at_s=at_s)
            if self._on_word is not None:
                self._on_word(text)
            self._news.tell()

    def _act(self) -> None:
        """All was spoken: do what the answer asks for (§3.3), and let the silence begin."""
        self._acted = True
        self._spoken_at = time.perf_counter()
        match self._mouth.exchange.action if self._mouth.exchange and self._acts else None:
            case Action("end_call"):
                self._lines.finish("agent_hangup")
            case Action("transfer_number"):
                self._lines.finish("call_transfer")
            case Action("digit_to_press", digits):
                self.digits += digits

    async def _wait_for_news(self) -> bool:
        """Wait until something happens; False when it is time for a reminder instead."""
        spoken, rules = self._spoken_at, self._rules
        if spoken is None or rules.is_open or self._reminders >= rules.reminder_max_count or not self._lines.is_open:
            await self._news.wait()
            return True
        wait_s = spoken + rules.reminder_trigger_ms / 1000 - time.perf_counter()
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

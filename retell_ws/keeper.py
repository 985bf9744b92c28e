"""Keeps a call's memo in the store, so that any server can go on with the call.

The memo is handed over before the frames of the same step are written to the socket: whoever takes the call then knows
of every word that may have been heard. So a word may be lost when a server dies in between, and none is said twice.
A step that writes nothing to the socket, such as a request that came in, is kept a moment later: the model is asked
first, for which the caller waits.
"""

from __future__ import annotations

import asyncio
import logging
from time import time

from .actions import Action, Echo, Send
from .call import CallMachine
from .memo import CallMemo, read, written
from .ports import CallStore, Kept
from .talk import Talk, TalkMemo
from .transcript import Question
from .wire import CallInfo

__all__ = ["Keeper"]

logger = logging.getLogger(__name__)


class Keeper:
    """The memory of one call.

    Args:
        machine: Where the call stands.
        talk: What was said and done in it.
        store: Where it is kept.
    """

    def __init__(self, machine: CallMachine, talk: Talk, store: CallStore) -> None:
        self._machine = machine
        self._talk = talk
        self._store = store
        self._began_ms = round(time() * 1000)
        self._question: Question | None = None  # as it was written, and so on
        self._details: CallInfo | None = None
        self._written: dict[str, bytes] = {}
        self._said = False  # since the last memo
        self._complained = False
        self._loop = asyncio.get_running_loop()
        self._soon: asyncio.Handle | None = None

    def recall(self, kept: Kept, now: float) -> bool:
        """Bring the call to where another process left it.

        Args:
            kept: What the store knows.
            now: The time in seconds, of the machine's clock.

        Returns:
            Whether there was anything.
        """
        memo = read(kept.parts.get("call"), CallMemo)
        if memo is None:
            return False
        self._began_ms = memo.began_ms
        question = read(kept.parts.get("question"), Question)
        details = read(kept.parts.get("details"), CallInfo)
        lasted_s = max(0.0, time() - memo.began_ms / 1000)
        self._machine.recall(memo, question, details, kept.said, now, lasted_s=lasted_s)
        talk = read(kept.parts.get("talk"), TalkMemo)
        if talk is not None:
            self._talk.recall(talk, kept.effects)
        self._question, self._details = question, details
        self._written = {"talk": kept.parts.get("talk", b"")}
        return True

    def follow(self, actions: tuple[Action, ...]) -> None:
        """Write down what a step of the call has changed, before its actions are performed. Waits for nothing."""
        if any(type(action) is Send for action in actions):
            self.keep()
        elif any(type(action) is not Echo for action in actions):
            self.soon()

    def soon(self) -> None:
        """Write down what has changed when the model has been asked."""
        if self._soon is None:  # a turn's task takes its first step, which asks the model, in the loop's next round
            self._soon = self._loop.call_soon(self._after_next)

    def _after_next(self) -> None:
        self._soon = self._loop.call_soon(self.keep)

    def close(self) -> None:
        """Write what is due at once, and nothing more."""
        if self._soon is not None:
            self.keep()

    def forsake(self) -> None:
        """Write nothing more, not even what is due: another server has gone on with the call."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def keep(self) -> None:
        """Write down what has changed. Waits for nothing."""
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        machine, parts = self._machine, {}
        if machine.answer.question is not self._question:
            self._question = machine.answer.question
            parts["question"] = self._part(self._question)
        if machine.details is not self._details:
            self._details = machine.details
            parts["details"] = self._part(self._details)
        self._changed(parts, "talk", self._part(self._talk.memo()))
        self._changed(parts, "call", self._part(machine.memo(self._began_ms)))
        if parts:
            parts.setdefault("call", self._written["call"])
            self._said = False
            self._store.write(machine.call_id, parts)

    def say(self, text: str) -> None:
        """Write down words that are about to be said. Waits for nothing."""
        if self._soon is not None:  # of what answer they are must be known first, and that knows them already
            self.keep()
            return
        self._said = True
        self._store.say(self._machine.call_id, text)

    def _changed(self, parts: dict[str, bytes], name: str, part: bytes) -> None:
        if part != self._written.get(name) or (name == "call" and self._said):
            parts[name] = self._written[name] = part

    def _part(self, memo: object) -> bytes:
        part = written(memo)
        if part is None and not self._complained:  # each step would say it again
            self._complained = True
            logger.warning("cannot be kept: %s", type(memo).__name__, extra={"call_id": self._machine.call_id})
        return part or b""

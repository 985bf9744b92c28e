"""One spoken call: plays a conversation on a socket, word by word, and notes when it hears what. It judges nothing.

It is as lean as it can be, because hundreds of them share a core with the fake model: timers, no tasks, and a
transcript of which only the last utterance is ever encoded anew.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Final

import msgspec

from bench.harness.conversations import Conversation, Turn
from bench.harness.messages import ping
from bench.harness.own_words import Listening
from bench.harness.plans import SpokenTurn
from bench.harness.socket import CallSocket, Reply
from retell_ws.testing.conversation import utterance
from retell_ws.testing.mouth import WORDS_PER_MINUTE

__all__ = ["AGENT_SPEED", "GAVE_UP_S", "WORDS_AN_UPDATE", "SpokenCall", "Tally"]

AGENT_SPEED: Final = 6.0
"""The agent is heard at so many times a voice's pace, for the sake of more turns; callers speak at theirs."""

WORDS_AN_UPDATE: Final = 3
"""Words of the agent in one `update_only`; Retell's come more often."""

GAVE_UP_S: Final = 15.0
"""A turn that has not ended by then has failed, and the caller goes on."""

PING_S: Final = 2.0

_encode = msgspec.json.Encoder().encode
_pieces = re.compile(r"\S+\s+|\S+$").findall


class Tally:
    """What all calls of a plan lived through.

    Attributes:
        turns: Every turn.
        outage: Whether the model refuses everything at the moment.
        stopping: Whether callers begin no further turn.
    """

    def __init__(self) -> None:
        self.turns: list[SpokenTurn] = []
        self.lost = self.asked = self.updates = 0
        self.outage = self.stopping = False


class SpokenCall:
    """The call, from greeting to hang-up.

    Args:
        conversation: What is said.
        tally: Where turns go.
        hurry: Factor on everybody's pace.

    Attributes:
        socket: Set by whoever dialled.
        over: Done when the last answer was heard, or the socket went.
    """

    def __init__(self, conversation: Conversation, tally: Tally, *, hurry: float = 1.0) -> None:
        self.socket: CallSocket | None = None
        self.over = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._conversation = conversation
        self._tally = tally
        self._hurry = hurry
        self._began = self._loop.time()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._past: list[bytes] = []
        self._said = ""  # the caller's words of this turn, as they stand in the transcript
        self._said_from = 0.0
        self._turn: Turn | None = None
        self._next = 0
        self._id = 0
        self._listening: Listening | None = Listening()  # to the greeting
        self._asked_ns = 0
        self._in_outage = False
        self._agent_words = 0

    def close(self) -> None:
        """Hang up."""
        for timer in self._timers.values():
            timer.cancel()
        if self.socket is not None:
            self.socket.hang_up()
            self.socket = None

    # -- the server speaks

    def heard(self, reply: Reply, now_ns: int) -> None:
        """Take one message of the server's."""
        listening = self._listening
        if reply.response_type == "response":
            # Of an older id, or while the caller speaks: Retell drops it or cuts it off.
            if listening is None or reply.response_id != self._id or listening.complete:
                return
            listening.hear(reply.content, reply.content_complete, now_ns)
            if listening.audible_ns and "speak" not in self._timers:
                self._drop("again")
                self._agent_words = 0
                self._after("speak", 0.0, self._speak)
            if listening.complete:
                if self._turn is not None:
                    self._note(listening, now_ns)
                if not listening.audible_ns:  # nothing to hear: the caller goes on
                    self._agent_done()
        elif reply.response_type == "config":
            self._send(self._details())
            self._after("ping", PING_S, self._ping)

    def lost(self, why: str) -> None:
        """The socket is gone."""
        if not self.over.done():
            self._tally.lost += 1
            self._end()

    def _note(self, listening: Listening, now_ns: int) -> None:
        assert self._turn is not None
        self._drop("give up")
        self._drop("again")

        def ms(at_ns: int) -> float | None:
            return (at_ns - self._asked_ns) / 1e6 if at_ns else None

        self._tally.turns.append(
            SpokenTurn(
                number=self._conversation.number,
                kind=self._turn.kind,
                delay_ms=self._turn.heard.delay_s * 1000,
                outage=self._in_outage,
                outcome=listening.outcome,
                first_ms=ms(listening.first_ns),
                audible_ms=ms(listening.audible_ns),
                sentence_ms=ms(listening.sentence_ns),
                ended_ms=(now_ns - self._asked_ns) / 1e6,
            )
        )

    # -- the agent's voice

    def _speak(self) -> None:
        listening = self._listening
        if listening is None:
            return
        words = _pieces(listening.content)
        there = len(words) if listening.complete else len(words) - 1  # the last one may still be growing
        # Nobody breaks into a holding phrase: they are waiting for the answer.
        limit = self._turn.barges_in if self._turn is not None and listening.sentence_ns else None
        heard = min(self._agent_words + WORDS_AN_UPDATE, there, there if limit is None else limit)
        heard = max(heard, self._agent_words)
        if heard > self._agent_words:
            begins = not self._agent_words
            self._agent_words = heard
            self._update("agent", "".join(words[:heard]), turntaking="agent_turn" if begins else "")
        if (listening.complete and heard >= there) or (limit is not None and heard >= limit):
            self._agent_done()
        else:
            step_s = 60 / WORDS_PER_MINUTE / AGENT_SPEED * WORDS_AN_UPDATE / self._hurry
            self._after("speak", step_s, self._speak)

    def _agent_done(self) -> None:
        """All was heard, or the caller breaks in: what was heard stays in the transcript."""
        listening, self._listening = self._listening, None
        assert listening is not None
        self._drop("speak")
        words = _pieces(listening.content)
        cut = self._agent_words < len(words)
        if self._agent_words:
            self._past.append(self._utterance("agent", "".join(words[: self._agent_words]).rstrip() + " "))
        if not listening.complete and self._turn is not None:
            # The caller broke in while the server was still sending; what was heard of it counts.
            listening.complete = True
            self._note(listening, time.monotonic_ns())
        self._agent_words = 0
        if self._next == len(self._conversation.turns) or self._tally.stopping:
            self._end()
            return
        reacts_s = self._conversation.reacts_s if self._turn is None else self._turn.reacts_s
        self._after("caller", 0.0 if cut else reacts_s / self._hurry, self._begin_turn)

    # -- the caller

    def _begin_turn(self) -> None:
        self._turn = turn = self._conversation.turns[self._next]
        self._next += 1
        self._said = ""
        self._said_from = self._loop.time()
        self._play_next(turn, 0)

    def _play(self, turn: Turn, at: int) -> None:
        event = turn.heard.events[at]
        begins, self._said = not self._said, event.text
        is_last = at + 1 == len(turn.heard.events)
        if not event.asks:
            self._update("user", event.text, turntaking="user_turn" if begins else "")
        elif not is_last:
            self._id += 1
            self._ask()
        else:
            self._asked_ns = time.monotonic_ns()
            self._in_outage = self._tally.outage
            self._past.append(self._utterance("user", event.text))
            self._said = ""
            self._ask_for_good()
            self._after("give up", GAVE_UP_S, self._give_up)
            if turn.again_s is not None:
                self._after("again", turn.again_s, self._ask_for_good)
        if not is_last:
            self._play_next(turn, at + 1)

    def _play_next(self, turn: Turn, at: int) -> None:
        due = self._said_from + turn.heard.events[at].at_s / self._hurry
        self._timers["play"] = self._loop.call_at(due, self._play, turn, at)

    def _ask_for_good(self) -> None:
        """Ask in the final words; the answer is that to the newest id."""
        self._id += 1
        self._listening = Listening()
        self._ask()

    def _give_up(self) -> None:
        if self._listening is not None and not self._listening.complete:
            self._note(self._listening, time.monotonic_ns())
            self._listening.complete = True
            self._agent_done()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        for timer in self._timers.values():
            timer.cancel()

    # -- messages

    def _ask(self) -> None:
        self._tally.asked += 1
        last = self._utterance("user", self._said) if self._said else b""
        head = b'{"interaction_type":"response_required","response_id":%d,"transcript":[' % self._id
        self._send(head + self._transcript(last) + b"]}")

    def _update(self, role: str, text: str, *, turntaking: str) -> None:
        self._tally.updates += 1
        kind = b'{"interaction_type":"update_only",'
        if turntaking:
            kind += b'"turntaking":"%s",' % turntaking.encode()
        self._send(kind + b'"transcript":[' + self._transcript(self._utterance(role, text)) + b"]}")

    def _transcript(self, last: bytes) -> bytes:
        return b",".join([*self._past, last] if last else self._past)

    def _utterance(self, role: str, text: str) -> bytes:
        at_s = self._said_from - self._began if role == "user" else self._loop.time() - self._began
        return _encode(utterance(role, text, at_s=max(0.0, at_s)))

    def _details(self) -> bytes:
        call_id = f"call_bench_{self._conversation.number:05}"
        call = {"call_id": call_id, "call_type": "web_call", "agent_id": "agent_bench", "call_status": "ongoing"}
        return _encode({"interaction_type": "call_details", "call": call})

    def _ping(self) -> None:
        self._send(ping(time.time_ns() // 10**6))
        self._after("ping", PING_S, self._ping)

    def _send(self, payload: bytes) -> None:
        if self.socket is not None:
            self.socket.send(payload)

    # -- timers

    def _after(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        if not self.over.done():
            self._timers[name] = self._loop.call_later(seconds, then)

    def _drop(self, name: str) -> None:
        if (timer := self._timers.pop(name, None)) is not None:
            timer.cancel()

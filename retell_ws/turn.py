"""Answers one question: prompt, model, `call.say`, socket. One turn is one task, and it never raises.

The words "is this still wanted?" are asked of the call machine for each piece, and the frame it gives is written
with no await in between; so cancelling a turn is thrift, never correctness, and nobody waits for it.

When the model calls tools, its message is one round: its words leave as they come, its tools run as soon as they may,
and what came of them goes back to it for the next round, under the same id.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from inspect import isawaitable
from time import monotonic
from typing import Final, Literal

from msgspec.structs import replace

from .actions import AdoptTurn, StartTurn
from .ear import Ear
from .errors import ModelError
from .exchange import Exchange
from .facts import SpeechGuarded
from .holding import moment_of
from .patience import Patience
from .ports import WRITING, End, Text, ToolCall, Usage, Why
from .request import ModelRequest
from .seam import Seam
from .speech import MAX_PIECE, Pieces, split
from .stages import Stages
from .talk import Talk, estimated
from .tools import Outcome, is_cancelled
from .transcript import Question

__all__ = ["Turn"]

logger = logging.getLogger(__name__)

BEAT_S: Final = 0.02
"""The beat on which rests end, in seconds: a rest is shorter than the time to gather by less than that."""

ENDED_WELL: Final = frozenset({"end_turn", "stop_sequence", "max_tokens"})
"""Stop reasons after which what was said is an answer. Any other one gets an apology: nobody is left in silence."""

NEEDS_NO_SPACE: Final = frozenset(" \n,.;:!?…)")
"""What words before a tool call, or those of the round before, may be followed by as it is."""

LAPSE_S: Final = 5.0
"""Seconds after which a speculation nobody asked for is given up: its stream could hold a connection for ever."""

UNTOLD: Final = Usage()
"""The usage of a model that tells none."""

MAX_ROUNDS: Final = 6
"""Rounds of tools in one turn; in the last one the model may only speak."""

MAX_CALLS: Final = 16
"""Tool calls in one round; a model that wants more has lost its way."""

LATE_S: Final = 0.05
"""Seconds by which a look at the patience may be late before it is taken for a loop that stood still."""

SETTLE_S: Final = 2.0
"""How long a turn waits for a side effect that the one before left running, before it asks the model without it."""


class Turn:
    """One generation.

    A speculation is a turn without an id. It does all that a turn does but for what would be noticed: it says nothing
    (the machine keeps its words), runs no tool and has no patience to lose, until it is `adopt`ed.

    Args:
        start: What the machine asked for.
        talk: The call it is a part of.
        stages: What is known of its time already.
    """

    __slots__ = (
        "_bound",
        "_calls",
        "_cost",
        "_deadline",
        "_gathering",
        "_generation",
        "_guarded",
        "_has_begun",
        "_hooks_saw",
        "_is_apart",
        "_is_closed",
        "_is_dropped",
        "_is_fresh",
        "_is_full",
        "_is_over",
        "_line",
        "_loop",
        "_look",
        "_looks_again",
        "_message_id",
        "_outcome",
        "_patience",
        "_pieces",
        "_question",
        "_request",
        "_response_id",
        "_said",
        "_seam",
        "_spoke",
        "_stages",
        "_start",
        "_talk",
        "_was_late",
    )

    def __init__(self, start: StartTurn, talk: Talk, stages: Stages | None = None) -> None:
        self._start = start
        self._response_id = start.response_id
        self._bound = None if start.response_id is not None else asyncio.Event()  # set when it is adopted
        self._stages = stages or Stages()
        self._outcome: Literal["finished", "failed", "superseded"] = "superseded"
        self._request: ModelRequest | None = None  # the first one of a speculation
        self._cost = 0  # tokens
        self._has_begun = self._is_over = self._is_dropped = False
        self._hooks_saw = b""
        self._message_id = ""  # of a speculation's answer
        self._guarded: tuple[str, ...] = ()  # what was not fit for the voice, to be told when it is adopted
        self._generation = start.generation
        self._question = start.question
        self._talk = talk
        self._line = talk.line
        self._loop = asyncio.get_running_loop()
        settings = talk.settings
        if start.question is None:  # nobody has spoken yet, and nobody is told to hold
            settings = replace(settings, holding_ms=settings.greeting_ms)
        self._patience = Patience(settings, self._loop.time())
        if start.said:  # nobody is told to hold in the middle of a sentence
            self._patience.progressed(self._loop.time())
        self._pieces = Pieces(Ear(talk.agent.lines.link, start.said))
        self._is_closed = False  # the pieces were given up
        self._said: list[str] = []  # the words of this round, as the model gave them
        self._is_fresh = True  # this round has said nothing yet
        self._is_apart = False  # nor anything since a tool call
        self._seam = Seam(start.said) if start.said else None  # until its first round has joined it
        self._spoke = bool(start.said)  # the model's or the greeting's own words, not one of our lines
        self._looks_again = False
        self._was_late = False  # a tool of this round
        self._is_full = False  # the peer is slow to read
        self._calls: list[asyncio.Task[Outcome]] = []
        self._deadline: asyncio.Timeout | None = None
        self._look: asyncio.TimerHandle | None = None
        self._gathering: asyncio.TimerHandle | None = None  # runs while words are gathered

    async def run(self) -> None:
        """Answer, or say why not; in every case the id is completed, unless it is no longer asked for."""
        try:
            self._has_begun = True
            async with asyncio.timeout(None if self._is_bound else LAPSE_S) as self._deadline:
                self._watch()
                if self._talk.is_restoring:
                    await self._talk.restored()
                if self._question is None:
                    await self._greet()
                else:
                    await self._answer(self._question)
        except TimeoutError:
            self._fail("timeout")
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            self._fail("error")  # not ours: something that a function of the agent's waited for was cancelled
        except ModelError as exc:
            logger.warning("the model failed: %s", exc, extra={"call_id": self._line.call.call_id})
            self._fail(exc.kind or type(exc).__name__)
        except (Exception, SystemExit) as exc:
            # The one place where anything may arrive: the agent's own functions run in here. Not the exception's
            # text: it may quote what the caller said.
            frame = traceback.extract_tb(exc.__traceback__)[-1]
            place, extra = f"{frame.filename}:{frame.lineno}", {"call_id": self._line.call.call_id}
            logger.error("a turn failed: %s at %s", type(exc).__name__, place, extra=extra)
            logger.debug("a turn failed", exc_info=exc, extra=extra)
            self._fail("error")
        finally:
            self._is_over = True
            for timer in (self._look, self._gathering):
                if timer is not None:
                    timer.cancel()
            for call in self._calls:
                call.cancel()
            # A cancelled task keeps its exception, and that its frames: through the deadline they would lead back to
            # the task, and every barge-in would leave a cycle for the collector.
            self._deadline = None
            self._calls = []
            self._talk.turn_ended(self._question if self._is_bound else None)
            if self._is_dropped:
                self._talk.wasted(self._cost)
            else:
                self._tell()

    def _tell(self) -> None:
        """Make known where the time went, and what it cost."""
        if self._question is not None and self._response_id is not None:
            self._talk.answered(self._cost)
            now = monotonic()
            unbound = self._response_id, self._stages.asked_at or now
            bound_to = self._line.call.answer.bound_to(self._generation) or unbound
            self._talk.record(self._stages.measured(bound_to[0], self._outcome, now, bound_to[1]))

    # ------------------------------------------------------------------------ speculations

    @property
    def _is_bound(self) -> bool:
        return self._response_id is not None

    def still_holds(self) -> bool:
        """Tell whether the model would be asked the same, if it were asked now: tools, state and summaries go on."""
        if self._talk.tools.is_busy or (self._deadline is not None and self._deadline.expired()):
            return False
        if (then := self._request) is None:
            return True
        try:
            now = self._talk.request(self._start, may_call=True)
        except (Exception, SystemExit):  # of the agent's functions: a turn of its own meets it where it can be told
            return False
        return now.asks_the_same(then) and self._hooks_saw == self._talk.hooks_see()

    def adopt(self, adopted: AdoptTurn, stages: Stages) -> None:
        """Answer this id from now on. The caller has begun to wait."""
        now, response_id = self._loop.time(), adopted.response_id
        self._response_id, self._question = response_id, adopted.question
        self._start = replace(self._start, response_id=response_id, question=adopted.question)
        if self._message_id:
            self._talk.heard(self._message_id)
        self._stages.asked_at, self._stages.queued_s = stages.asked_at, stages.queued_s
        self._stages.decoded_at = stages.decoded_at
        if self._guarded:
            self._talk.record(SpeechGuarded(response_id, self._guarded))
        if self._is_over:
            self._talk.turn_ended(self._question)
            self._tell()
            return
        self._patience = Patience(self._talk.settings, now)
        if self._spoke:
            self._patience.progressed(now)
        if self._deadline is not None:
            self._deadline.reschedule(None)
        if self._has_begun:  # otherwise its first step does it, which may never come
            self._watch()
        if self._bound is not None:
            self._bound.set()

    def drop(self) -> None:
        """It is not wanted. Its task is cancelled by whoever started it."""
        self._is_dropped = True
        # A task that is cancelled before its first step comes to none of its lines.
        if self._is_over or not self._has_begun:
            self._talk.wasted(self._cost)

    # ------------------------------------------------------------------------ the answer

    async def _answer(self, question: Question) -> None:
        talk = self._talk
        if not self._is_bound and (talk.tools.is_busy or talk.is_over_budget):
            self._fail("too_soon")
            return
        if talk.tools.is_busy:
            self._patience.works(self._loop.time())
            self._watch()
            await talk.tools.settled(SETTLE_S)
            if self._line.insist(self._generation):
                self._outcome = "finished"
                return
            self._patience.asked(self._loop.time())
            self._watch()
        if talk.is_over_budget:
            talk.leave(self._generation)
            self._end("")
            return
        for number in range(1, MAX_ROUNDS + 1):
            told = "" if self._seam is None else self._untold(self._seam.told)
            request = talk.request(self._start, may_call=number < MAX_ROUNDS, said=told)
            self._stages.rounds = number
            if number == 1:
                self._stages.prompt_at = monotonic()
                if not self._is_bound:  # only a speculation is compared with what would be asked later
                    self._request, self._hooks_saw = request, talk.hooks_see()
            if talk.changes_requests:
                request = await talk.changed(request)
            if not await self._round(question, request):
                return
            if self._line.call.will_happen(self._generation):
                self._end("")
                return
            self._patience.asked(self._loop.time())
            self._watch()
        self._fail("too_many_rounds")

    def _untold(self, said: str) -> str:
        return self._talk.tools.exchanges.untold(said, self._generation)

    async def _round(self, question: Question, request: ModelRequest) -> bool:
        """Ask the model once, and run what it calls; False when its answer came to its end."""
        reason: str | None = None
        exchange: Exchange | None = None
        committed = asyncio.Event()  # the message has come to its end, as it should
        self._said.clear()
        # What goes on has said something already, and knows where its spaces are.
        self._is_fresh, self._was_late = self._seam is None, False
        before = "" if self._seam is None else self._untold(self._start.said)
        if self._is_closed:  # another message
            self._pieces, self._is_closed = Pieces(Ear(self._talk.agent.lines.link)), False
        usage: Usage | None = None
        try:
            async with aclosing(self._talk.model.stream(request, self._rest, self._asked)) as deltas:
                async for delta in deltas:
                    if type(delta) is Text:  # first, and plainly: it is asked forty times an answer
                        self._take(delta.text if self._seam is None else self._seam.join(delta.text))
                        if self._is_full:
                            await self._room()
                    elif isinstance(delta, ToolCall):
                        if self._bound is not None:
                            # Not even a look-up: Retell's records would tell of it, and the caller hear of it.
                            await self._bound.wait()
                        if exchange is None:
                            exchange = self._talk.tools.exchanges.begin(question, self._generation)
                        self._call(delta, exchange, committed)
                    elif delta is WRITING:
                        if self._patience.writes(self._loop.time()):
                            self._watch()
                            self._pause()
                    elif isinstance(delta, End):
                        reason = delta.stop_reason
                        if delta.usage != UNTOLD or delta.source == "cache":
                            usage = delta.usage
                        self._note(delta)
                        if exchange is None or reason != "tool_use":
                            # The stream is still read to its own end: then its connection can serve again.
                            self._finish(reason)
                        else:
                            self._say(self._everything())
                            exchange.said = "".join([before, *self._said]).strip()
                            committed.set()
        finally:
            if usage is None and (self._talk.agent.budget is not None or self._bound is not None):
                usage = estimated(request, [*self._said, *self._pieces.raw])
            if usage is not None:
                self._talk.spend(usage)
                read = usage.cache_read_input_tokens + usage.cache_creation_input_tokens
                self._cost += usage.input_tokens + read + usage.output_tokens
        if reason is None:
            self._fail("no_end")
        if exchange is None or not committed.is_set():
            return False
        self._patience.works(self._loop.time())
        self._watch()
        await asyncio.wait(self._calls)
        self._calls = []
        return True

    def _asked(self, why: Why) -> None:
        """Take down that a request to a model is made."""
        self._stages.attempts += 1
        self._stages.hedged |= why == "slow"
        self._stages.stop_reason = ""  # that of the round before

    def _note(self, end: End) -> None:
        """Take down what the model tells at the end of a round."""
        stages = self._stages
        stages.fallback |= end.fallback
        stages.cached |= end.source == "cache"
        stages.cache_miss = stages.cache_miss or end.cache_miss
        stages.cache_read_tokens += end.usage.cache_read_input_tokens
        stages.cache_write_tokens += end.usage.cache_creation_input_tokens
        stages.input_tokens += end.usage.input_tokens
        stages.output_tokens += end.usage.output_tokens
        stages.model = end.model or stages.model
        stages.stop_reason = end.stop_reason
        if stages.connect_s is None:
            stages.connect_s = end.connect_s
        if self._is_bound:
            self._talk.heard(end.message_id)
        else:
            self._message_id = end.message_id

    def _call(self, called: ToolCall, exchange: Exchange, committed: asyncio.Event) -> None:
        """Let a tool run as soon as it may."""
        if len(self._calls) >= MAX_CALLS:
            return
        self._patience.called(self._loop.time())
        self._watch()
        self._pause()
        tools, line, generation = self._talk.tools, self._line, self._generation
        pending = tools.understand(called, exchange)
        if pending.tool is not None and pending.tool.say and not self._spoke and not self._calls:
            self._line_of_ours(pending.tool.say)
        alone = pending.tool is not None and not pending.tool.parallel
        earlier = self._calls if alone else self._calls[: self._alone_until()]
        run = tools.run(
            pending,
            committed=committed,
            earlier=tuple(earlier),
            wanted=lambda: line.call.answer.stands(generation),
            late=self._late,
        )
        task = self._talk.spawn(run)
        task.set_name("alone" if alone else "beside others")
        # Not in `run`: a task that is cancelled before its first step never comes to any line of it.
        task.add_done_callback(lambda task: tools.forget(pending) if task.cancelled() else None)
        self._calls.append(task)

    def _late(self) -> None:
        """A tool's time is up: say so, once a round."""
        if not self._was_late:
            self._was_late = True
            self._line_of_ours(self._talk.agent.lines.late)

    def _alone_until(self) -> int:
        """How many of the calls come up to the last one that runs alone."""
        return max((n for n, call in enumerate(self._calls, start=1) if call.get_name() == "alone"), default=0)

    async def _greet(self) -> None:
        greeting = self._talk.agent.greeting
        if isinstance(greeting, str):
            raise AssertionError("the machine says a text itself")
        words = greeting(self._talk.call)
        if isawaitable(words):
            words = await words
        if isinstance(words, AsyncIterator):
            async with AsyncExitStack() as stack:
                if isinstance(words, AsyncGenerator):
                    stack.push_async_callback(words.aclose)  # its clean-up belongs to the turn
                async for piece in words:
                    self._take(_text(piece))
                    self._rest()
                    if self._is_full:
                        await self._room()
        else:
            self._take(_text(words))
        self._end(self._everything())

    # ------------------------------------------------------------------------ words

    def _take(self, text: str) -> None:
        """Say the next piece of the answer, or hold it a moment."""
        pieces = self._pieces
        if pieces.is_spoken:
            pieces.gather(text)  # and nothing else: most of an answer comes this way
            if self._gathering is None:
                self._gathering = self._loop.call_later(pieces.gather_s, self._say_gathered)
            return
        if not text.isspace():  # nobody hears it
            self._patience.progressed(self._loop.time())
            if self._stages.first_token_at is None:
                self._stages.first_token_at = monotonic()
        if piece := pieces.feed(text):
            self._spoke = True
            self._say(self._spaced(piece))
            if pieces.is_spoken and self._stages.sentence_at is None:
                self._stages.sentence_at = monotonic()

    def _spaced(self, piece: str) -> str:
        """Put a space before the first words of a round, and those after a tool call, which the model leaves out."""
        if piece and (self._is_fresh or self._is_apart):
            self._is_fresh = self._is_apart = False
            if self._line.call.answer.needs_space(self._generation) and piece[0] not in NEEDS_NO_SPACE:
                return f" {piece}"
        return piece

    async def _room(self) -> None:
        """Slow down with a peer that is slow to read."""
        self._is_full = False
        await self._line.room()

    def _rest(self) -> float:
        """Say what was gathered, as the model has no more at the moment; and tell it how long it may gather."""
        if not self._pieces.is_spoken:
            return 0.0
        self._say_gathered()
        # Rests end on a common beat, so that one wake-up serves many calls: it costs more than the reading itself.
        return self._pieces.gather_s - self._loop.time() % BEAT_S

    def _say_gathered(self) -> None:
        self._say(self._gathered())

    def _gathered(self) -> str:
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
            self._patience.progressed(self._loop.time())
        return self._pieces.take()

    def _pause(self) -> None:
        """Say what came before a tool call. What follows is waited for as any first sentence is."""
        self._say(self._everything())
        self._pieces, self._is_closed = self._pieces.next(), False
        self._is_apart = True

    def _everything(self) -> str:
        """Give up all there is, once; what follows needs pieces of its own."""
        if self._is_closed:
            return ""
        self._is_closed = True
        self._seam = None
        rest, pieces = self._gathered() + self._pieces.close(), self._pieces
        self._said += pieces.raw
        if pieces.removed and self._response_id is not None:
            self._talk.record(SpeechGuarded(self._response_id, tuple(sorted(pieces.removed))))
        elif pieces.removed:
            self._guarded = tuple(sorted(pieces.removed))
        self._spoke = self._spoke or bool(rest)
        return self._spaced(rest)

    def _say(self, text: str) -> None:
        if text and self._stages.frame_at is None:
            self._stages.frame_at = monotonic()
        for piece in (text,) if len(text) <= MAX_PIECE else split(text):
            if piece and self._line.say(self._generation, piece):
                self._is_full = True

    def _line_of_ours(self, text: str) -> None:
        """Say a line of the agent's that is not the answer."""
        space = " " if self._line.call.answer.needs_space(self._generation) else ""
        self._say(f"{space}{text}" if text[-1:].isspace() else f"{space}{text} ")
        self._patience.spoke(self._loop.time())

    # ------------------------------------------------------------------------ ends

    def _finish(self, reason: str) -> None:
        rest = self._everything()
        if reason == "refusal" or (self._spoke and reason not in ENDED_WELL):
            self._say(rest)
            self._fail(reason)
        elif self._is_fresh and not rest and not self._line.call.will_happen(self._generation):
            # Nothing was said, or nothing after the tools: "Let me see." is no answer.
            self._fail("empty" if reason in ENDED_WELL else reason)
        else:
            self._end(f"{rest} {self._talk.agent.lines.cut}" if reason == "max_tokens" else rest)

    def _end(self, rest: str) -> None:
        if self._line.call.answer.wants(self._generation) or not self._is_bound:
            self._outcome = "finished"
            if self._stages.sentence_at is None:
                self._stages.sentence_at = monotonic()
        self._line.finish(self._generation, rest)

    def _fail(self, why: str) -> None:
        lines = self._talk.agent.lines
        if self._question is None:
            words = "" if self._spoke else lines.greeting
        elif why == "refusal":
            words = lines.refusal
        else:
            words = lines.closing if self._spoke else lines.apology
        self._say(self._everything())
        if self._line.call.answer.wants(self._generation):
            self._outcome = "failed"
        self._line.fail(self._generation, why, words)

    # ------------------------------------------------------------------------ patience

    def _watch(self) -> None:
        if not self._is_bound:  # nobody waits
            return
        if self._look is not None:
            self._look.cancel()
        self._look = self._loop.call_at(self._patience.next_look, self._judge)

    def _judge(self) -> None:
        if not self._looks_again and self._loop.time() > self._patience.next_look + LATE_S:
            # The loop stood still, and a timer comes before what lies in the sockets: let the words come first.
            self._looks_again = True
            self._look = self._loop.call_later(LATE_S, self._judge)
            return
        self._looks_again = False
        match self._patience.verdict(self._loop.time()):
            case "wait":
                self._watch()
            case "hold" if self._question is not None:
                self._stages.held += 1
                moment = moment_of(self._question, holds=self._stages.held, works=bool(self._calls))
                self._line_of_ours(self._talk.holding.pick(moment))
                self._watch()
            case why:
                # The words first: what is waited for may not let itself be cancelled. A greeting is not waited for
                # as long as an answer: nobody has spoken yet (protocol §4.4).
                self._fail("slow_greeting" if why == "hold" else why)
                if self._deadline is not None:
                    self._deadline.reschedule(self._loop.time())


def _text(piece: object) -> str:
    if not isinstance(piece, str):
        raise TypeError(f"the greeting gave {type(piece).__name__} where it should give text")
    return piece

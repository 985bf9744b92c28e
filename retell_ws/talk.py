"""What all turns of one call share: who answers, with which words, tools and limits, and what was said before."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from inspect import isawaitable
from typing import Any, Final, Protocol, TypeVar

import msgspec

from .actions import StartTurn
from .agent import Agent
from .answers import granted, scope_of
from .budget import PRICES, Spent
from .errors import ModelError
from .exchange import ExchangesMemo
from .facts import Fact, OverBudget, SpeculationDropped
from .handle import Call
from .holding import Holding
from .intent import EndCall, Intent
from .line import Line
from .ports import CallStore, Effect, Text, TurnModel, Usage
from .prompt import Context, Summary, build, call_data
from .request import ModelRequest
from .settings import Settings
from .summary import due, request_for, shortened
from .tools import Tools
from .transcript import Question
from .waste import Waste

__all__ = ["Spawn", "Talk", "TalkMemo", "estimated"]

logger = logging.getLogger(__name__)

RESTORE_S: Final = 0.3
"""Seconds a turn waits for the state of a call that another server may have begun."""

SUMMARY_S: Final = 30.0
"""Seconds a summary may take; the call does not wait for it."""

CHARACTERS_A_TOKEN: Final = 4
"""To estimate what a cancelled answer cost: its count never comes."""

_T = TypeVar("_T")


class Spawn(Protocol):
    """Starts a task that somebody who outlives it owns."""

    def __call__(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Start it."""
        ...


def estimated(request: ModelRequest, said: Sequence[str]) -> Usage:
    """Guess the tokens of a request whose count never came."""
    asked = len(msgspec.json.encode(request))
    return Usage(input_tokens=asked // CHARACTERS_A_TOKEN, output_tokens=sum(map(len, said)) // CHARACTERS_A_TOKEN)


class TalkMemo(msgspec.Struct, frozen=True, omit_defaults=True):
    """What another process needs to go on with a conversation, beside its transcript; see `Talk`."""

    exchanges: ExchangesMemo = ExchangesMemo()
    placed: Mapping[str, tuple[Intent, str]] = {}
    summary: Summary | None = None
    tokens: int = 0
    usd: float = 0.0
    wasted: int = 0
    previous_id: str = ""


class Talk:
    """The conversation of one call.

    Args:
        agent: Who answers.
        model: Who finds the words.
        settings: The deadlines.
        line: Where the words go.
        call: The call as the agent's functions see it.
        tools: The tools of this call.
        store: Where the agent's state is kept.
        record: Takes each fact.
        spawn: Starts the tasks of turns.
        spawn_lasting: Starts tasks that the server's end waits for.
        waste: What speculations of all calls cost.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        model: TurnModel,
        settings: Settings,
        line: Line,
        call: Call,
        tools: Tools,
        store: CallStore,
        record: Callable[[Fact], None],
        spawn: Spawn,
        spawn_lasting: Spawn,
        waste: Waste,
    ) -> None:
        self.agent = agent
        self.model = model
        self.settings = settings
        self.line = line
        self.call = call
        self.tools = tools
        self.holding = Holding(agent.lines, call.id)
        self.record = record
        self.spawn = spawn
        self._spawn_lasting = spawn_lasting
        self.changes_requests = "before_model" in agent.hooks
        # An agent of text alone: then a question needs no context, and the caller waits a little less.
        self._is_plain = isinstance(agent.instructions, str) and not agent.tools and not agent.call_data
        self._scope = scope_of(agent, settings.model_name) if settings.answer_cache else ""
        self._store = store
        self._restoring: asyncio.Task[None] | None = None
        self._saved = b""  # or about to be
        self._saving: asyncio.Task[None] | None = None
        self._is_forsaken = False
        self._spent = Spent()
        self._wasted = 0  # tokens of this call's speculations in vain
        self._waste = waste
        self._previous_id = ""
        self._prices = PRICES.get(agent.model or settings.model_name)
        if agent.budget is not None:
            self._prices = agent.budget.prices or self._prices
        self._summary: Summary | None = None
        self._summing: asyncio.Task[None] | None = None
        self._sum_up_from = 0  # utterances, after a summary that failed

    # ------------------------------------------------------------------------ requests

    def request(self, start: StartTurn, *, may_call: bool, said: str = "") -> ModelRequest:
        """Put the question of a turn to the model.

        Args:
            start: The turn.
            may_call: Whether tools may be called this time.
            said: What another server has said of the answer, for the model to go on with.
        """
        if start.question is None:
            raise AssertionError("the greeting is no question")
        agent, exchanges = self.agent, self.tools.exchanges
        interrupted = self.line.call.spoken_into(start.generation)
        if self._is_plain and interrupted is None and self._summary is None and not said:
            scope = granted(self._scope, agent.cache, start.question)
            return build(agent, start.question, previous_id=self._previous_id, cache_scope=scope)
        told, tools = exchanges.before(start.question, start.generation), self.tools.offered()
        if told and not tools:
            # The API refuses calls in a conversation that knows no tools.
            tools, may_call = tuple(agent.tools.values()), False
        context = Context(
            instructions="" if isinstance(agent.instructions, str) else agent.instructions(self.call),
            tools=tuple([tool.spec for tool in tools]),
            may_call=may_call,
            data=call_data(agent, self.call) if agent.call_data else "",
            exchanges=told,
            generation=start.generation,
            summary=self._summary,
            interrupted=interrupted,
            said=said,
        )
        scope = "" if said else granted(self._scope, agent.cache, start.question, context)
        return build(agent, start.question, context, previous_id=self._previous_id, cache_scope=scope)

    async def changed(self, request: ModelRequest) -> ModelRequest:
        """Let the agent's `before_model` functions change a request. Raises what they raise."""
        for hook in self.agent.hooks["before_model"]:
            changed = hook(self.call, request)
            if isawaitable(changed):
                changed = await changed
            if isinstance(changed, ModelRequest):
                request = changed
            elif changed is not None:
                raise TypeError(f"before_model gave {type(changed).__name__} where it should give a ModelRequest")
        # Whatever a hook put in may be the caller's own, so its answer is nobody else's.
        return msgspec.structs.replace(request, cache_scope="") if request.cache_scope else request

    def hooks_see(self) -> bytes:
        """Write down what `before_model` functions may go by beside the request; empty when there are none."""
        if not self.changes_requests:
            return b""
        try:
            return msgspec.json.encode((self.call.state, self.call.details))
        except (TypeError, ValueError, msgspec.MsgspecError):
            return b""

    # ------------------------------------------------------------------------ cost

    @property
    def is_over_budget(self) -> bool:
        """The call has used up what it may cost."""
        return self.agent.budget is not None and self._spent.exceeds(self.agent.budget)

    def leave(self, generation: int) -> None:
        """End a call that has cost enough."""
        self.record(OverBudget(self._spent.tokens, round(self._spent.usd, 6)))
        self.line.place(generation, EndCall(), self.agent.lines.budget)

    def spend(self, usage: Usage) -> None:
        """Count what a request cost."""
        if self.agent.budget is not None:
            self._spent.add(
                self._prices,
                input=usage.input_tokens,
                output=usage.output_tokens,
                cache_read=usage.cache_read_input_tokens,
                cache_write=usage.cache_creation_input_tokens,
            )

    def may_speculate(self, *, sure: bool) -> bool:
        """Tell whether nothing runs that the prompt should wait for, and what may be wasted is not used up."""
        if self._restoring is not None and not self._restoring.done():
            return False  # what was before is waited for by a turn, and not for ever
        affordable = self._wasted < self.settings.speculation_tokens and self._waste.affords(sure=sure)
        return affordable and not self.tools.is_busy and not self.is_over_budget

    def answered(self, tokens: int) -> None:
        """A turn has cost this, and was no speculation in vain."""
        self._waste.answered += tokens

    def wasted(self, tokens: int) -> None:
        """A speculation was in vain."""
        self._wasted += tokens
        self._waste.wasted += tokens
        self.record(SpeculationDropped(tokens))

    def heard(self, message_id: str) -> None:
        """An answer came: the next request is compared with its request, when the provider's prompt cache misses."""
        self._previous_id = message_id or self._previous_id

    # ------------------------------------------------------------------------ from one process to another

    def memo(self) -> TalkMemo:
        """Write down what the next prompts need beside the transcript."""
        return TalkMemo(
            exchanges=self.tools.exchanges.memo(),
            placed=self.tools.placed(),
            summary=self._summary,
            tokens=self._spent.tokens,
            usd=self._spent.usd,
            wasted=self._wasted,
            previous_id=self._previous_id,
        )

    def recall(self, memo: TalkMemo, effects: Mapping[str, Effect]) -> None:
        """Take in what another process wrote down.

        Args:
            memo: Its memo.
            effects: What side effects of the call are known.
        """
        self.tools.recall(memo.exchanges, memo.placed, effects)
        self._summary, self._previous_id, self._wasted = memo.summary, memo.previous_id, memo.wasted
        self._spent.tokens, self._spent.usd = memo.tokens, memo.usd

    # ------------------------------------------------------------------------ state

    def restore(self) -> None:
        """Begin to read the state that this call may have had before."""
        if self.agent.state is not None:
            self._restoring = self.spawn(self._restore())

    @property
    def is_restoring(self) -> bool:
        """It has not been waited for."""
        return self._restoring is not None

    async def restored(self) -> None:
        """Wait for it, but not for long."""
        if (restoring := self._restoring) is not None:
            await asyncio.wait((restoring,), timeout=RESTORE_S)
            if not restoring.done():  # what it read would undo what is done from now on
                restoring.cancel()
                logger.warning("the state of before is not there in time: left out", extra={"call_id": self.call.id})
            self._restoring = None

    async def _restore(self) -> None:
        saved = await self._store.load(self.call.id)
        if saved is None or self.agent.state is None:
            return
        try:
            self.call.restore(msgspec.json.decode(saved, type=self.agent.state))
        except msgspec.MsgspecError:
            logger.warning("the state of an older version cannot be read", extra={"call_id": self.call.id})

    def save(self) -> None:
        """Write the agent's state when it has changed."""
        if self.agent.state is None or self._is_forsaken:
            return
        try:
            state = msgspec.json.encode(self.call.state)
        except (TypeError, ValueError, msgspec.MsgspecError) as exc:
            logger.error("the state cannot be written: %s", type(exc).__name__, extra={"call_id": self.call.id})
            return
        if state != self._saved:
            self._saved = state
            if self._saving is None or self._saving.done():
                self._saving = self._spawn_lasting(self._save())

    def forsake(self) -> None:
        """Another server has gone on with the call: the state that is here is an old one, and written no more."""
        self._is_forsaken = True

    async def _save(self) -> None:
        """Write the newest state until there is no newer one: one at a time, so that none overtakes another."""
        written = None
        while written != self._saved:
            written = self._saved
            await self._store.save(self.call.id, written)

    # ------------------------------------------------------------------------ long calls

    def turn_ended(self, question: Question | None) -> None:
        """Do what a call's memory needs between two turns."""
        self.save()
        if question is None or self._summing is not None:
            return
        upto = due(question, self._summary, self.agent.window)
        if upto is not None and len(question.transcript) >= self._sum_up_from:
            self._summing = self.spawn(self._sum_up(question, upto))

    async def saved(self) -> None:
        """Wait until everything is with the store: the state, and what came of side effects."""
        while running := self.tools.running():
            await asyncio.wait(running)
        if self._saving is not None:
            await asyncio.wait((self._saving,))

    def close(self) -> None:
        """The call is over: write the state, sum up nothing more."""
        self.save()
        if self._summing is not None:
            self._summing.cancel()

    async def _sum_up(self, question: Question, upto: int) -> None:
        request = request_for(
            question, self._summary, upto, self.tools.exchanges.done(question), model=self.agent.model
        )
        said: list[str] = []
        usage: Usage | None = None
        try:
            async with asyncio.timeout(SUMMARY_S):
                async for delta in self.model.stream(request):
                    if isinstance(delta, Text):
                        said.append(delta.text)
                    else:
                        usage = getattr(delta, "usage", None)
            if text := shortened("".join(said)):
                self._summary = Summary(upto, text)
            else:  # refused, say
                self._put_off(question, "it is empty")
        except (ModelError, TimeoutError) as exc:
            self._put_off(question, exc or "it took too long")
        finally:
            self.spend(usage or estimated(request, said))
            self._summing = None

    def _put_off(self, question: Question, why: object) -> None:
        self._sum_up_from = len(question.transcript) + self.agent.window
        logger.warning("no summary: %s", why, extra={"call_id": self.call.id})

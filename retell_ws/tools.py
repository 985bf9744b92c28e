"""Runs the tools of one call: each in its own time, and each side effect once.

A look-up belongs to the turn that asked for it and ends with it. A side effect belongs to the call: the caller may
speak into it, and cancelling a booking whose request is on the wire would only lose the knowledge that it was made. So
it runs to its end, its result is kept for the next prompt, and the same call of the model's is answered from the
ledger. Whether something was done is never guessed: what broke in the middle is `unknown`, and is not tried again.
"""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from inspect import isawaitable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .agent import Agent
from .errors import CallError, ToolError
from .exchange import Exchange, Exchanges, ExchangesMemo, Use
from .facts import Fact, ToolFinished, ToolStarted
from .handle import Call
from .intent import Intent
from .ports import CallStore, Effect, ToolCall
from .tool import Tool, result_text
from .wire import ToolCallInvocation, ToolCallResult

__all__ = ["Outcome", "Pending", "Tools", "is_cancelled"]

logger = logging.getLogger(__name__)

LIMIT_TIMES: Final = 12
"""A side effect that goes on past its deadline is given up after this many times its deadline."""

MAX_NOTE: Final = 2000
"""Characters of a result in Retell's records."""

Kind: TypeAlias = Literal["done", "refused", "failed", "late", "repeated", "unknown", "withdrawn"]

AGAIN: Final = "(This was done earlier in this call, and not again now. It gave:) {result}"
UNKNOWN: Final = (
    "(This was tried earlier in this call, and nobody knows whether it was done. It is not tried again. "
    "Say so honestly, and offer that somebody will check.)"
)
FAILED_EFFECT: Final = (
    "(It broke off, and nobody knows whether it was done. Do not say that it was; offer that somebody will check.)"
)
BROKE_OFF: Final = "{problem} (What it had done before that stays done. It is not tried again.)"
FAILED: Final = "(It failed.)"
LATE: Final = "(No answer in time.)"
CUT_OFF: Final = "(Given up: the caller spoke on.)"
NOT_NOW: Final = "(Not done: it may not be called at this stage of the call.)"
STARTED: Final = "(It runs in the background. The result will follow; the call goes on meanwhile.)"
WITHDRAWN: Final = "(Not begun, because the caller spoke first. If they still want it, call it again.)"
UNTOLD: Final = "(Not done: what was done before in this call cannot be looked up. Offer a call back.)"
UNVERIFIED: Final = "(Not done: this call could not be verified. Do not try again; offer a call back.)"


_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Outcome(msgspec.Struct, frozen=True):
    """What came of a tool call.

    Attributes:
        kind: As in `facts.ToolFinished`.
        text: What the model is told.
    """

    kind: Kind
    text: str

    @property
    def is_error(self) -> bool:
        """It did not do what it was asked."""
        return self.kind not in ("done", "repeated")


class Pending(msgspec.Struct):
    """A tool call that was understood, or not.

    Attributes:
        called: What the model asked for.
        exchange: Where it belongs.
        use: What the next prompts are told of it.
        tool: The tool; None when there is none, or its arguments are wrong.
        values: Its arguments.
        problem: What is wrong otherwise.
        key: What the ledger knows it by, once it may begin.
        is_ours: A side effect was begun for it.
        is_noted: It runs, or ran: Retell's records were told.
    """

    called: ToolCall
    exchange: Exchange
    use: Use
    tool: Tool | None
    values: dict[str, Any]
    problem: str
    key: str = ""
    is_ours: bool = False
    is_noted: bool = False


class Tools:
    """The tools of one call.

    Args:
        agent: Whose they are.
        call: The call as they see it.
        store: Where side effects are written down.
        spawn: Starts a task that may outlive the turn, and the call.
        record: Takes each fact.
        note: Tells Retell's records; says whether they take it.
        verified: Waits for the call to be verified; None when that is not asked for.
        may_be_elsewhere: Tells whether another server may have the call by now, and nobody can be asked.

    Attributes:
        exchanges: What they did, for the prompts.
    """

    def __init__(
        self,
        agent: Agent,
        call: Call,
        *,
        store: CallStore,
        spawn: Callable[[Coroutine[Any, Any, Outcome]], asyncio.Task[Outcome]],
        record: Callable[[Fact], None],
        note: Callable[[ToolCallInvocation | ToolCallResult], bool],
        verified: Callable[[], Awaitable[bool]] | None = None,
        may_be_elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        self._agent = agent
        self._call = call
        self._may_be_elsewhere = may_be_elsewhere
        self._store = store
        self._spawn = spawn
        self._record = record
        self._note = note
        self._verified = verified
        self._loop = asyncio.get_running_loop()
        self._effects: dict[str, asyncio.Task[Outcome]] = {}
        self._wanted: dict[str, list[Callable[[], bool]]] = {}
        self._awaited: set[asyncio.Task[Outcome]] = set()  # those somebody on the line waits for
        self._placed: dict[str, tuple[Intent, str]] = {}  # what a side effect wanted to happen to the call
        self.exchanges = Exchanges()

    @property
    def is_busy(self) -> bool:
        """A side effect runs that the conversation waits for."""
        return bool(self._awaited)

    def offered(self) -> tuple[Tool, ...]:
        """Give the tools that may be called at this stage of the call."""
        return tuple([tool for tool in self._agent.tools.values() if self._is_offered(tool)])

    def _is_offered(self, tool: Tool) -> bool:
        if tool.when is None:
            return True
        try:
            return bool(tool.when(self._call))
        except (Exception, SystemExit) as exc:
            self._log(tool, exc, "whether it may be called cannot be told")
            return False

    def placed(self) -> dict[str, tuple[Intent, str]]:
        """Give what side effects wanted to happen to the call, by their keys."""
        return self._placed

    def recall(
        self, exchanges: ExchangesMemo, placed: Mapping[str, tuple[Intent, str]], effects: Mapping[str, Effect]
    ) -> None:
        """Take in what tools did on another server.

        Args:
            exchanges: What the prompts were told.
            placed: What side effects wanted to happen to the call.
            effects: The ledger.
        """

        def ended(use: Use) -> str | None:
            effect = effects.get(self._key_of(use))
            return effect.result if effect is not None and effect.outcome == "done" else None

        self._placed.update(placed)
        self.exchanges.recall(exchanges, ended)

    def _key_of(self, use: Use) -> str:
        tool = self._agent.tools.get(use.name)
        if tool is None or not tool.side_effect:
            return ""
        try:
            return _ledger_key(tool, tool.decode(bytes(use.input).decode()))
        except ToolError:
            return ""

    def running(self) -> tuple[asyncio.Task[Outcome], ...]:
        """Give the tasks of the side effects that run, whoever waits for them."""
        return tuple(self._effects.values())

    async def settled(self, timeout_s: float) -> None:
        """Wait for side effects that a turn the caller spoke into has left running: their results belong into the
        next prompt. What takes longer is told as still running, and not waited for again."""
        if self._awaited:
            _, running = await asyncio.wait(tuple(self._awaited), timeout=timeout_s)
            self._awaited -= running

    # ------------------------------------------------------------------------ one call of the model's

    def understand(self, called: ToolCall, exchange: Exchange) -> Pending:
        """Take a tool call of the model's into its exchange, before anything is done."""
        tool, values, problem = self._agent.tools.get(called.name), {}, ""
        try:
            if tool is None or not self._is_offered(tool):
                names = ", ".join(tool.name for tool in self.offered()) or "none"
                raise ToolError(f"there is no tool {called.name[:64]!r}; the tools are: {names}")
            values = tool.decode(called.arguments)
        except ToolError as exc:
            problem, tool = str(exc), None
        # A name the API would not take would make it refuse every later request.
        name = called.name if _NAME.fullmatch(called.name) else "unknown"
        use = Use(called.id, name, _object(called.arguments))
        exchange.uses.append(use)
        return Pending(called, exchange, use, tool, values, problem)

    async def run(
        self,
        pending: Pending,
        *,
        committed: asyncio.Event,
        earlier: Sequence[asyncio.Task[Any]],
        wanted: Callable[[], bool],
        late: Callable[[], None],
    ) -> Outcome:
        """Run it, and tell the exchange what came of it.

        Args:
            pending: The call.
            committed: Set once the model's message has come to its end: a side effect starts no sooner, because an
                answer that is cut off may have been cut inside of its arguments.
            earlier: What has to end before.
            wanted: Tells whether the caller has not spoken since.
            late: Called when its time is up.

        Returns:
            What came of it. Nothing is raised but a cancellation, which a side effect that has begun outlives.
        """
        since = self._loop.time()
        tool = pending.tool
        if tool is None:
            outcome = Outcome("refused", pending.problem)
            self._ended(pending, outcome, since)
            return outcome
        if earlier:
            await asyncio.wait(earlier)
        if not (tool.side_effect or tool.background):
            if not self._is_offered(tool):
                outcome = Outcome("refused", NOT_NOW)
                self._ended(pending, outcome, since)
                return outcome
            try:
                outcome = await self._look_up(tool, pending, pending.exchange.generation)
            except asyncio.CancelledError:
                self._ended(pending, Outcome("withdrawn", CUT_OFF), since)
                raise
            if outcome.kind == "late":
                late()
            self._ended(pending, outcome, since)
            return outcome
        await committed.wait()
        task, pending.is_ours = self._begin(tool, pending, pending.exchange.generation, wanted)
        if pending.is_ours:
            pending.use.lasts = True
            task.add_done_callback(lambda task: self._ended(pending, _outcome(task), since))
        if tool.background:
            pending.use.told = True
            return Outcome("done", STARTED)
        outcome = await self._wait(tool, pending, task, since)
        if outcome.kind == "late":
            late()
        return outcome

    def forget(self, pending: Pending) -> None:
        """The `run` of a call was cancelled: if nothing was begun, the model hears nothing of it and may ask again."""
        if not pending.is_ours:
            self._drop(pending)

    def _drop(self, pending: Pending) -> None:
        if pending.use in pending.exchange.uses:
            pending.exchange.uses.remove(pending.use)
            self.exchanges.discard_empty(pending.exchange)

    async def _wait(self, tool: Tool, pending: Pending, task: asyncio.Task[Outcome], since: float) -> Outcome:
        self._awaited.add(task)
        task.add_done_callback(self._awaited.discard)
        done, _ = await asyncio.wait((task,), timeout=tool.timeout_s)
        if not done:
            self._awaited.discard(task)
            pending.use.told = True
            self._record(ToolFinished(tool.name, "late", self._loop.time() - since))
            return Outcome("late", LATE)
        outcome = _outcome(task)
        if not pending.is_ours:
            if outcome.kind == "done" and pending.key in self._placed:
                # It was placed by a turn that the caller spoke into, and this one wants it too.
                with suppress(CallError):
                    self._call.within(pending.exchange.generation).place(*self._placed[pending.key])
            self._ended(pending, outcome, since)
        return outcome

    def _ended(self, pending: Pending, outcome: Outcome, since: float) -> None:
        if outcome.kind == "withdrawn":
            self._drop(pending)
        self.exchanges.settle(pending.use, outcome.text, is_error=outcome.is_error)
        if pending.is_noted:
            content, successful = outcome.text[:MAX_NOTE], not outcome.is_error
            self._note(ToolCallResult(tool_call_id=pending.called.id, content=content, successful=successful))
        name = pending.called.name if pending.called.name in self._agent.tools else "unknown"
        self._record(ToolFinished(name, outcome.kind, self._loop.time() - since))

    # ------------------------------------------------------------------------ look-ups

    async def _look_up(self, tool: Tool, pending: Pending, generation: int) -> Outcome:
        self._started(tool, pending)
        call = self._call.within(generation)
        deadline: asyncio.Timeout | None = None
        try:
            async with asyncio.timeout(tool.timeout_s) as deadline:
                return Outcome("done", result_text(await _invoke(tool, call, pending.values)))
        except ToolError as exc:
            return Outcome("refused", result_text(str(exc)))
        except (Exception, SystemExit) as exc:  # a library may think that it has a terminal
            if deadline is not None and deadline.expired():
                return Outcome("late", LATE)
            self._log(tool, exc, "failed")
            return Outcome("failed", FAILED)
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            logger.error("the tool %s was cancelled by something it waited for", tool.name, extra=self._extra)
            return Outcome("failed", FAILED)
        finally:
            # The exception of a cancelled task keeps this frame, and through the deadline it would lead back to it.
            deadline = None

    def _started(self, tool: Tool, pending: Pending) -> None:
        self._record(ToolStarted(tool.name))
        arguments = bytes(pending.use.input).decode()
        invocation = ToolCallInvocation(tool_call_id=pending.called.id, name=tool.name, arguments=arguments)
        pending.is_noted = self._note(invocation)

    # ------------------------------------------------------------------------ side effects

    def _begin(
        self, tool: Tool, pending: Pending, generation: int, wanted: Callable[[], bool]
    ) -> tuple[asyncio.Task[Outcome], bool]:
        """Give the task that does this, and whether it was begun now: the same call may be running already."""
        key = _ledger_key(tool, pending.values) if tool.side_effect else pending.called.id
        pending.key = key
        task = self._effects.get(key)
        if task is not None:
            self._wanted[key].append(wanted)
            return task, False
        self._wanted[key] = [wanted]
        effect = self._run_effect(tool, pending, key, generation)
        task = self._effects[key] = self._spawn(effect)
        task.add_done_callback(lambda _: self._forget(key))
        return task, True

    def _forget(self, key: str) -> None:
        del self._effects[key], self._wanted[key]

    async def _run_effect(self, tool: Tool, pending: Pending, key: str, generation: int) -> Outcome:
        call = self._call if tool.background else self._call.within(generation, self._places(key))
        if tool.is_once:
            known = await self._store.claim(self._call.id, key)
            if known is not None:
                return self._known(known, key, call)
        if tool.needs_verification and self._verified is not None and not await self._verified():
            if tool.is_once:
                await self._store.release(self._call.id, key)
            return Outcome("refused", UNVERIFIED)
        if tool.is_once and self._may_be_elsewhere():
            # It would be the other one's claim to make, of which neither hears.
            await self._store.release(self._call.id, key)
            return Outcome("refused", UNTOLD)
        if not any(wanted() for wanted in self._wanted[key]):
            # No await between this, or the next check, and the first step of the tool.
            if tool.is_once:
                await self._store.release(self._call.id, key)
            return Outcome("withdrawn", WITHDRAWN)
        if not self._is_offered(tool):
            # Another tool has moved the call on meanwhile, or it is known only now who calls.
            if tool.is_once:
                await self._store.release(self._call.id, key)
            return Outcome("refused", NOT_NOW)
        self._started(tool, pending)
        outcome = await self._attempt(tool, call, pending.values)
        if tool.is_once:
            match outcome.kind:
                case "done":
                    await self._store.settle(self._call.id, key, Effect("done", outcome.text))
                    for name in tool.resets:
                        await self._store.forget(self._call.id, f"{name}:")
                case "refused":
                    await self._store.release(self._call.id, key)
                case _:
                    await self._store.settle(self._call.id, key, Effect("unknown"))
        return outcome

    async def _attempt(self, tool: Tool, call: Call, values: dict[str, Any]) -> Outcome:
        try:
            async with asyncio.timeout(LIMIT_TIMES * tool.timeout_s):
                return Outcome("done", result_text(await _invoke(tool, call, values)))
        except ToolError as exc:
            if tool.side_effect and isinstance(exc, CallError):
                return Outcome("failed", BROKE_OFF.format(problem=result_text(str(exc))))
            return Outcome("refused", result_text(str(exc)))
        except asyncio.CancelledError:
            if is_cancelled():
                raise
            logger.error("the tool %s was cancelled by something it waited for", tool.name, extra=self._extra)
            return Outcome("failed", FAILED_EFFECT)
        except (Exception, SystemExit) as exc:
            self._log(tool, exc, "failed")
            return Outcome("failed", FAILED_EFFECT if tool.side_effect else FAILED)

    def _known(self, effect: Effect, key: str, call: Call) -> Outcome:
        if effect.outcome == "refused":
            return Outcome("refused", UNTOLD)
        if effect.outcome != "done":
            return Outcome("unknown", UNKNOWN)
        if key in self._placed:
            try:
                call.place(*self._placed[key])
            except ToolError as exc:
                return Outcome("refused", result_text(str(exc)))
            return Outcome("repeated", effect.result)
        return Outcome("repeated", AGAIN.format(result=effect.result))

    def _places(self, key: str) -> Callable[[Intent, str], None]:
        def placed(intent: Intent, words: str) -> None:
            self._placed[key] = (intent, words)

        return placed

    # ------------------------------------------------------------------------ what the log is told

    @property
    def _extra(self) -> dict[str, str]:
        return {"call_id": self._call.id}

    def _log(self, tool: Tool, exc: Exception | SystemExit, what: str) -> None:
        # Not the exception's text: it may quote what the caller said.
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        place = f"{frame.filename}:{frame.lineno}"
        logger.error("the tool %s: %s: %s at %s", tool.name, what, type(exc).__name__, place, extra=self._extra)
        logger.debug("the tool %s: %s", tool.name, what, exc_info=exc, extra=self._extra)


def _ledger_key(tool: Tool, values: dict[str, Any]) -> str:
    return f"{tool.name}:{tool.canonical(values).decode()}"


def is_cancelled() -> bool:
    """Tell whether a cancellation is meant for the current task: what it waits for may have been cancelled instead."""
    task = asyncio.current_task()  # no variable of who asks, whose frame a cancelled task keeps
    return task is None or task.cancelling() > 0


async def _invoke(tool: Tool, call: Call, values: dict[str, Any]) -> Any:
    bound = tool.bind(call, values)
    result = bound() if tool.is_async else await asyncio.to_thread(_contained, bound)
    return await result if isawaitable(result) else result


def _contained(work: Callable[[], Any]) -> Any:
    """Call a plain function in its thread. No future can hold `StopIteration`, and who waits would do so for ever."""
    try:
        return work()
    except StopIteration as exc:  # of a `next` without a default, say; the place that is told stays the tool's
        raise RuntimeError("StopIteration").with_traceback(exc.__traceback__) from None


def _outcome(task: asyncio.Task[Outcome]) -> Outcome:
    if task.cancelled() or task.exception() is not None:
        return Outcome("unknown", UNKNOWN)
    return task.result()


def _object(arguments: str) -> msgspec.Raw:
    """The arguments as the API takes them back: a JSON object, whatever the model wrote."""
    try:
        msgspec.json.decode(arguments.encode(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return msgspec.Raw(b"{}")
    return msgspec.Raw(arguments.encode())

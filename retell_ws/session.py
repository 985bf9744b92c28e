"""One call, outliving its sockets: performs what the call machine says, and keeps its clocks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic, time, time_ns
from typing import Any, Final, Literal, NamedTuple
from weakref import WeakMethod

from websockets.exceptions import ConnectionClosed

from .actions import (
    Action,
    AdoptTurn,
    AwaitDetails,
    AwaitQuiet,
    CancelTurn,
    DropSocket,
    Record,
    Send,
    StartGrace,
    StartTurn,
    StopGrace,
)
from .agent import Agent
from .call import CallMachine, State
from .control import Command, Done, Look, NotHere, Refused, Reply, Say, Seen, Status, perform
from .controls import CallControls
from .entries import AnyFact, Chronicle
from .facts import CallEnded, Degraded, Resumed
from .handle import Call
from .hooks import Hooks
from .keeper import Keeper
from .line import Line
from .peer import Peer
from .ports import CallStore, Kept, TurnModel
from .prompt import beginning
from .request import ModelRequest
from .settings import Settings
from .speech_facts import CallerSaid
from .stages import Stages
from .talk import Spawn, Talk
from .tools import Tools
from .transcribe import callers_words, transcribed
from .transcript import DTMF, Question
from .turn import Turn
from .verification import Verification, Verify
from .views import Glimpse, Turns
from .waste import Waste
from .wire import CallInfo

__all__ = ["Session"]

logger = logging.getLogger(__name__)

SILENT_S: Final = 4.0
"""Seconds without a message, of which a ping comes every two: Retell may be about to redial (after five, §1.5)."""


# What is measured, and what the machine is told, is `monotonic`: uvloop's own clock knows no less than a millisecond.
# Timers are set by the loop's.


class _Running(NamedTuple):
    generation: int
    turn: Turn
    task: asyncio.Task[None]


class Session:
    """The driver of one call.

    Args:
        call_id: Retell's id of the call.
        agent: Who answers.
        model: Who finds the words.
        store: What outlives the session.
        kept: What it knew of the call when this server took it.
        settings: The deadlines.
        verify: Asks Retell's API about a call; None when calls are not verified.
        spawn: Starts the turns' tasks.
        spawn_lasting: Starts tasks that outlive the call: side effects, and the agent's last words on it.
        record: Takes each fact, with the call's id, the epoch and the number; a plain function that never waits.
        tells_speech: It takes facts with speech in them, too.
        is_watched: Somebody may ask for a `glimpse`.
        ended: Called once, when the call is over.
        waste: What speculations of all calls cost.
    """

    def __init__(
        self,
        call_id: str,
        *,
        agent: Agent,
        model: TurnModel,
        store: CallStore,
        kept: Kept,
        settings: Settings,
        verify: Verify | None,
        spawn: Spawn,
        spawn_lasting: Spawn,
        record: Callable[[str, int, int, AnyFact], None],
        tells_speech: bool,
        is_watched: bool = False,
        ended: Callable[[Session], None],
        waste: Waste,
    ) -> None:
        self.call_id = call_id
        self._began_at = monotonic()
        self._model = model
        self._store = store
        self._settings = settings
        self._spawn = spawn
        self._turns = Turns() if is_watched else None
        take = record if self._turns is None else _noting(self._turns, record)
        self._record = recorded = Chronicle(call_id, kept.epoch or time_ns() // 1000, take)
        self._tells_speech = tells_speech
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._machine = CallMachine(
            call_id,
            agent,
            self if agent.speculates(settings.speculates()) else None,
            keeps_transcript=tells_speech or is_watched,
        )
        self._newest: Peer | None = None
        self._older: Peer | None = None
        self._turn: _Running | None = None
        self._speculation: _Running | None = None
        self._warming: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._details: asyncio.TimerHandle | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._quiet: asyncio.TimerHandle | None = None
        self._heard_at = self._read_at = 0.0
        self._was_dropped = False
        self._read_out = asyncio.Event()  # the newest socket was read to its end
        self._known: CallInfo | None = None  # as much as the agent's functions were told
        self._line = Line(call=self._machine, perform=self._perform, lost=self._lost, now=monotonic)
        self._call = Call(
            call_id,
            state=None if agent.state is None else agent.state(),
            directory=agent.directory,
            controls=CallControls(self._line),
        )
        self._verification = None if verify is None else Verification(self._call, verify, spawn)
        self._hooks = Hooks(agent, self._call, spawn=spawn, spawn_lasting=spawn_lasting, record=recorded)
        elsewhere = WeakMethod(self._may_be_elsewhere)  # likewise
        tools = Tools(
            agent,
            self._call,
            store=store,
            spawn=spawn_lasting,
            record=recorded,
            note=self._line.note,
            verified=None if self._verification is None else self._verification.result,
            may_be_elsewhere=lambda: (asked := elsewhere()) is not None and asked(),
        )
        self._talk = Talk(
            agent=agent,
            model=model,
            settings=settings,
            line=self._line,
            call=self._call,
            tools=tools,
            store=store,
            record=recorded,
            spawn=spawn,
            spawn_lasting=spawn_lasting,
            waste=waste,
        )
        self._keeper: Keeper | None = None
        self._resumed = False
        self._unknown_at_ms = None if kept.is_known else round(time() * 1000)
        if store.is_shared:
            self._keeper = Keeper(self._machine, self._talk, store)
            self._line.keep, self._line.changed = self._keeper.say, self._keeper.soon
            if self._keeper.recall(kept, monotonic()):
                self._resumed = True
                self._know(again=True)
                recorded(Resumed(not self._machine.answer.done))
            elif kept.parts:  # of another version, or too large to be kept: it goes on from its transcript alone
                self._resumed = True
                self._machine.begun_elsewhere()
                self._hooks.details(again=True)
                recorded(Resumed(not self._machine.answer.done))
        if not kept.is_known:
            recorded(Degraded())

    @property
    def is_attached(self) -> bool:
        """A socket is there."""
        return self._line.peer is not None

    @property
    def is_live(self) -> bool:
        """Somebody is on the line, or will be: a socket is there, or it broke and Retell is about to redial."""
        return self.is_attached or self._was_dropped

    # ------------------------------------------------------------------------ from outside

    def status(self) -> Status:
        """Tell where the call stands."""
        self._line.look()
        turn: Literal["idle", "answering", "leaving"] = "answering" if self._machine.answer.is_under_way else "idle"
        if self._machine.is_leaving:
            turn = "leaving"
        return Status(self.call_id, round(monotonic() - self._began_at, 3), self.is_attached, turn)

    def glimpse(self) -> Glimpse:
        """Give what somebody who looks on may be shown. Without `is_watched` it has no transcript and no turns."""
        answer, heard = self._machine.answer, self._machine.heard
        turns = () if self._turns is None else self._turns.last()
        return Glimpse(self.status(), heard, answer.question, answer.response_id, answer.said, turns)

    def control(self, command: Command, *, holds: bool) -> Reply:
        """Do what somebody asks for from outside, as a hook would.

        Args:
            command: What.
            holds: Without a socket it waits for the next one, which comes here and nowhere else.
        """
        status = self.status()
        if not self.is_live:  # the caller has hung up, or was hung up on
            return NotHere()
        if not self.is_attached and not holds:
            return NotHere(status)
        if isinstance(command, Look):
            return Seen(status)
        if status.turn == "leaving":
            return Refused("impossible", "the agent is leaving the call already")
        if (refused := perform(command, self._call)) is not None:
            return refused
        if not self.is_attached:
            return Done("redial")
        return Done("answer" if isinstance(command, Say) and status.turn == "answering" else "")

    def _may_be_elsewhere(self) -> bool:
        """Tell whether Retell may have redialled, and reached another server, while the store cannot be asked."""
        if not self._store.is_shared or not self._store.figures()["degraded"]:
            return False
        is_silent = self._machine.has_pinged and monotonic() - self._read_at > SILENT_S
        return not self.is_attached or is_silent

    # ------------------------------------------------------------------------ sockets

    async def serve(self, peer: Peer) -> None:
        """Take a socket, perhaps in place of an older one, and read it to its end.

        The reader is also who answers pings, and it waits for nothing but the next message: no turn, no slow
        peer and no full buffer comes between a ping and its echo (protocol §1.5).
        """
        first = self._newest is None
        self._older, self._line.peer = self._line.peer, peer
        self._newest = peer
        self._read_out = read_out = asyncio.Event()
        self._stop_silence()
        was_heard = False
        self._perform(self._machine.attached(monotonic(), unknown_at_ms=self._unknown_at_ms))
        self._warm(beginning(self._talk.agent) if first and self._settings.warm_cache else None)
        if first:
            self._talk.restore()
            if not self._resumed:
                self._hooks.start()
            if self._verification is not None:
                self._verification.start()
        try:
            while True:
                data = await peer.recv()
                if self._newest is not peer:
                    break
                # Retell's last messages may lie here when the line is known to be gone: what they ask is still open.
                self._line.look()
                self._read_at = monotonic()
                self._perform(self._machine.receive(data, self._read_at))
                now = self._heard_at = self._loop.time()
                if self._machine.details is not self._known:
                    self._know()
                if self._unknown_at_ms is not None and self._machine.is_new:
                    self._unknown_at_ms = None
                    self._store.vouch(self.call_id)
                if not was_heard:
                    was_heard = True
                    if self._keeper is not None:  # whoever takes the call should know that the socket was heard
                        self._keeper.keep()
                if self._silence is None and self._machine.has_pinged and self._line.peer is peer:
                    self._silence = self._loop.call_at(now + self._settings.silence_s, self._still_silent)
        except ConnectionClosed as exc:
            if self._newest is peer:
                self._was_dropped = exc.rcvd is None
        finally:
            if self._line.peer is peer:
                self._lost()
            read_out.set()

    def _lost(self) -> None:
        """The socket is gone, or as good as gone: from here on words are held."""
        self._line.peer = None
        self._stop_silence()
        self._perform(self._machine.detached(monotonic()))

    def _still_silent(self) -> None:
        self._silence = None
        due = self._heard_at + self._settings.silence_s
        if self._loop.time() < due:
            self._silence = self._loop.call_at(due, self._still_silent)
        elif self._line.peer is not None:
            logger.warning("silent for %g s: socket dropped", self._settings.silence_s, extra={"call_id": self.call_id})
            self._line.peer.drop()
            self._lost()

    # ------------------------------------------------------------------------ leaving

    async def leave(self, turn_s: float) -> None:
        """Give the call up to another server, between turns: wait for what runs, then drop the socket.

        What comes of a side effect belongs into the ledger, where the other server looks, so those are waited for, too.

        Args:
            turn_s: Longest wait for all that runs, in seconds, and after it once more for the turn that runs then.
        """
        for running in (self._running, self._open_turn):
            with suppress(TimeoutError):
                async with asyncio.timeout(turn_s):
                    while tasks := running():  # a barge-in may have started another
                        await asyncio.wait(tasks)
        while self._keeper is not None and (peer := self._line.peer) is not None and peer.stop_writing():
            # What Retell asks at this moment is on its way here, and it will not ask again: the reader takes it to its
            # end, so that it stands in the memo when the redial reaches another server. When it reaches this one, the
            # newer socket is left in the same way.
            read_out = self._read_out
            self._lost()
            await read_out.wait()
        self.give_up()

    def _running(self) -> tuple[asyncio.Task[Any], ...]:
        """Give what should come to its end on this server: the turn, and side effects."""
        return self._open_turn() or self._talk.tools.running()

    def _open_turn(self) -> tuple[asyncio.Task[Any], ...]:
        return () if self._turn is None or self._turn.task.done() else (self._turn.task,)

    def _forsaken(self) -> None:
        """The grace time is over: the call has ended, or it goes on elsewhere."""
        self._grace = None
        if self._keeper is None:
            self.close()
        else:
            self._spawn(self._look_for_it())

    async def _look_for_it(self) -> None:
        owner = await self._store.owner(self.call_id)
        if self._machine.state is State.AWAY and self._grace is None:  # and Retell is not back
            if owner in (None, self._store.name):
                self.close()
            else:
                self.moved()

    def moved(self) -> None:
        """Another server has taken the call: whatever this one still does for it is in vain."""
        if (peer := self._line.peer) is not None:
            peer.drop()
        # What is remembered here is out of date, and the store would take it if the call has come back meanwhile.
        if self._keeper is not None:
            self._keeper.forsake()
        self._keeper = self._line.keep = self._line.changed = None
        self._talk.forsake()
        self._let_go(self._machine.moved)

    def give_up(self) -> None:
        """Let go of the call at once: it goes on elsewhere if somebody is on the line, and there is an elsewhere."""
        if self._keeper is not None and self.is_live:
            self._let_go(self._machine.moved)
        else:
            self.close()

    def close(self) -> None:
        """The call is over: stop everything that runs for it, but side effects."""
        self._let_go(self._machine.closed)

    def _let_go(self, close: Callable[[float], tuple[Action, ...]]) -> None:
        if self._machine.state is State.CLOSED:
            return
        # What was written last stays: whoever dials again, here or elsewhere, finds the call as it was.
        if self._keeper is not None:
            self._keeper.close()
        self._keeper = self._line.keep = self._line.changed = None
        for timer in (self._grace, self._details, self._silence, self._quiet):
            if timer is not None:
                timer.cancel()
        peer, self._line.peer, self._newest = self._line.peer, None, None
        if peer is not None:
            peer.release()
        is_over = close == self._machine.closed
        agent_left, actions = self._machine.is_leaving, close(monotonic())
        self._perform(actions)
        if is_over and self._tells_speech:
            self._transcribe(actions, agent_left)
        self._talk.close()
        if is_over:
            self._hooks.end()
        self._call.let_go()
        self._line.close()
        self._turn = self._speculation = None
        self._ended(self)

    def _transcribe(self, actions: tuple[Action, ...], agent_left: bool) -> None:
        machine = self._machine
        for action in actions:
            if isinstance(action, Record) and isinstance(action.fact, CallEnded):
                about = machine.heard, machine.answer.question, machine.details, action.fact
                self._record(transcribed(*about, agent_left=agent_left))

    async def settled(self) -> None:
        """Wait until nothing of the call has to be written down any more."""
        await self._talk.saved()

    # ------------------------------------------------------------------------ what the machine says

    def _perform(self, actions: tuple[Action, ...]) -> None:
        if actions and self._keeper is not None:
            self._keeper.follow(actions)
        for action in actions:
            match action:
                case Send(frame=frame):
                    self._line.write(frame)
                case Record(fact=fact):
                    self._record(fact)
                case StartTurn():
                    self._start(action)
                case AdoptTurn():
                    self._adopt(action)
                case CancelTurn(generation=generation):
                    self._cancel(generation)
                case AwaitQuiet(seconds=seconds):
                    if self._quiet is not None:
                        self._quiet.cancel()
                    self._quiet = self._loop.call_later(seconds, self._stayed_quiet)
                case AwaitDetails():
                    if self._details is not None:
                        self._details.cancel()
                    wait_s = self._settings.details_wait_ms / 1000
                    self._details = self._loop.call_later(wait_s, self._details_due)
                case StartGrace():
                    self._grace = self._loop.call_later(self._settings.grace_s, self._forsaken)
                case StopGrace():
                    if self._grace is not None:
                        self._grace.cancel()
                        self._grace = None
                case DropSocket():
                    if self._older is not None:
                        self._older.drop()
                        self._older = None

    def _start(self, start: StartTurn) -> None:
        if self._machine.details is not self._known:
            self._know()
        if start.response_id is not None:
            self._hear(start.response_id, start.question)
        turn = Turn(start, self._talk, self._stages(start))
        running = _Running(start.generation, turn, self._spawn(turn.run()))
        if start.response_id is None:
            self._speculation = running
        else:
            self._turn = running

    def _hear(self, response_id: int, question: Question | None) -> None:
        if question is None:
            return
        if self._tells_speech:
            self._record(CallerSaid(response_id, question.kind, callers_words(question.transcript)))
        if self._talk.agent.keypad:
            pressed = [item.content or "" for item in question.transcript if item.role == DTMF]
            self._call.press_heard("".join(pressed))

    def _adopt(self, adopted: AdoptTurn) -> None:
        running, self._speculation = self._speculation, None
        if running is None or running.generation != adopted.generation:
            raise AssertionError("the machine adopts what it began")
        self._hear(adopted.response_id, adopted.question)
        self._turn = running
        running.turn.adopt(adopted, self._stages(adopted))

    def _stages(self, start: StartTurn | AdoptTurn) -> Stages:
        now = monotonic()
        if start.response_id is None:
            return Stages(begun_at=now)
        if isinstance(start, StartTurn) and start.goes_on:  # how long it was asked before, nobody here knows
            return Stages(asked_at=now, decoded_at=now)
        received_at = now if self._newest is None else self._newest.received_at
        return Stages(asked_at=self._read_at, queued_s=max(0.0, self._read_at - received_at), decoded_at=now)

    def _cancel(self, generation: int) -> None:
        speculation = self._speculation
        if speculation is not None and speculation.generation == generation:
            self._speculation = None
            speculation.turn.drop()
            speculation.task.cancel()
        elif self._turn is not None:
            self._turn.task.cancel()
        self._warm()

    def _stayed_quiet(self) -> None:
        self._quiet = None
        self._perform(self._machine.quiet(monotonic()))

    def may_begin(self, *, sure: bool) -> bool:
        """Tell whether a speculation may be begun."""
        return self._talk.may_speculate(sure=sure)

    def still_holds(self, generation: int) -> bool:
        """Tell whether the model would be asked the same now as when this generation was begun."""
        speculation = self._speculation
        return speculation is not None and speculation.generation == generation and speculation.turn.still_holds()

    def _know(self, *, again: bool = False) -> None:
        self._known = self._machine.details
        if self._known is not None:
            self._call.know(self._known)
            self._hooks.details(again=again)

    def _warm(self, request: ModelRequest | None = None) -> None:
        # A call will soon ask, and a cancelled stream has just cost its connection (HTTP/1.1 can stop no other way).
        # One at a time: a burst of requests needs one connection, not one for each of them.
        if self._warming is None or self._warming.done():
            self._warming = self._spawn(self._model.warm(request))

    def _details_due(self) -> None:
        self._perform(self._machine.details_due(monotonic()))

    def _stop_silence(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
            self._silence = None


def _noting(turns: Turns, record: Callable[[str, int, int, AnyFact], None]) -> Callable[[str, int, int, AnyFact], None]:
    def noted(call_id: str, epoch: int, seq: int, fact: AnyFact) -> None:
        turns.note(fact, time())
        record(call_id, epoch, seq, fact)

    return noted

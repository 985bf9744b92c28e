"""The state machine of one call. Every transition of a call stands in this file, but for those of a speculation
(`speculating.py`); no I/O, no loop, no clock.

Bytes and events go in, actions come out: a driver (`session.py`) performs them in order, at once. Text goes in,
a frame or None comes out: the frame must be written to the socket with no `await` in between, because only then
is the check "is this still the newest request?" true of the moment the bytes leave.

**Theory.** A call is known by its id and outlives its sockets: Retell redials the same URL after a drop
(protocol §1.7), and all it remembers is the transcript. So five things are kept apart:

- the *socket* (`sockets.py`), present (OPEN, ENDING) or not (AWAY);
- the *id* that Retell waits for. Only the newest counts, and only until it was completed (§4.1). Ids only grow,
  except that the first request on a new socket may restart them (§9.4);
- the *generation*, one stream of the model with all its text so far, bound to at most one id (`answer.py`). When
  Retell asks again in the same words, the generation goes over to the new id and what exists of it leaves at once;
  any other request cuts it loose, and text of a generation that is bound to nothing gives no frame;
- the *speculation* (`speculation.py`), a generation begun before Retell asked. Its text is kept and goes nowhere. When
  Retell asks in the same words it becomes the answer, and what exists of it leaves at once; otherwise it is dropped.
  It is never begun, nor adopted, while an intent stands;
- the *intent* to leave the call, by a hang-up or a transfer (`standing.py`). Retell forgets it when the caller speaks
  into it (§3.3), so it is kept until the call ends by it, or until it lapses.

What was written to a socket that then died may have arrived or not, and nobody can know. So after a redial words are
not repeated, but the completion is, which costs nothing when Retell has it (§1.7.4). Two things prove that words did
not arrive: the socket never brought a message, though `config` asks for some at once; and Retell asking the same id
again, for which it has cleared what it had (§4.1). Then they are said anew: silence is the worse error.

A call outlives its process, too. `memo` says where it stands, `recall` lets another process begin there, and to Retell
its first socket is one more redial. The open answer has lost its generation: `StartTurn` asks for another one that
goes on after the words that were sent. A greeting that may have been heard or not waits for a sign (`opening.py`).

| state       | input                      | → state | actions                                                       |
|-------------|----------------------------|---------|---------------------------------------------------------------|
| AWAY, new   | `attached`                 | OPEN    | config; greeting as id 0, or `AwaitDetails`                   |
| AWAY        | `attached`                 | OPEN*   | `StopGrace`, config, empty id 0, then where the answer stands |
| AWAY        | `attached`, details due    | OPEN    | `StopGrace`, config, `AwaitDetails` anew, or the greeting     |
| OPEN/ENDING | `attached`                 | same    | `DropSocket`, then as above: the newer socket wins            |
| OPEN        | request, newer, same words | same    | `TurnReasked`, the text so far under the new id               |
| OPEN        | request, newer             | same    | `CancelTurn` of the old one if it runs, `StartTurn`           |
| OPEN/ENDING | request, intent stands     | ENDING* | a short line with the intent: it is given once more           |
| ENDING      | request, newer             | OPEN    | as in OPEN; `StartTurn` tells what the caller spoke into      |
| OPEN        | request, the latest id     | same    | `DuplicateRequest`; after a redial, the answer from its start |
| OPEN        | request, an older id       | same    | `DuplicateRequest`, unless it is the first after a redial     |
| AWAY        | request                    | same    | as in OPEN; what it would send is held (read after the drop)  |
| OPEN        | `say`, bound generation    | same    | the frame                                                     |
| AWAY        | `say`, bound generation    | same    | None: the text is held                                        |
| any         | `say`, other generation    | same    | None                                                          |
| OPEN        | `finish`, `fail`           | OPEN*   | the last frame, complete, with the intent placed before       |
| AWAY        | `finish`, `fail`           | same    | a fact; the last frame is held                                |
| any         | `place`, bound generation  | same    | nothing: `finish` takes it along                              |
| OPEN        | `place`, otherwise         | ENDING* | an interruption with the intent, unless the caller must agree |
| any         | `speak`, an answer runs    | same    | nothing: `finish` takes it along                              |
| OPEN        | `interrupt`, `speak`       | OPEN*   | `CancelTurn` if one runs, its completion, `agent_interrupt`   |
| AWAY        | `interrupt`, `speak`       | same    | as in OPEN; what it would send is held                        |
| OPEN/ENDING | ping                       | same    | the pong                                                      |
| any         | details, bad bytes         | same    | a fact at most: an open request stays open                    |
| OPEN        | update, words look done    | same    | `StartTurn` without an id, or `AwaitQuiet`                    |
| OPEN        | `quiet`, the words stayed  | same    | `StartTurn` without an id                                     |
| any         | update, otherwise          | same    | `CancelTurn` of a speculation that is in other words          |
| OPEN        | request, speculated on     | same    | `AdoptTurn`, the text so far, the completion if it is done    |
| OPEN/ENDING | `detached`                 | AWAY    | `StartGrace`                                                  |
| any         | `closed`                   | CLOSED  | `CancelTurn` if one runs, `CallEnded`                         |
| any         | `moved`                    | CLOSED  | `CancelTurn` if one runs, `CallMoved`                         |
| AWAY, new   | `recall`                   | AWAY    | nothing                                                       |
| AWAY        | `attached`, recalled       | OPEN*   | as a redial; `StartTurn` goes on with an open answer          |
| AWAY        | `attached`, greeting in doubt | OPEN | config, `AwaitDetails`; the greeting, when its time is over   |
| AWAY, new   | `attached`, store silent   | OPEN    | config, `AwaitDetails`; they tell whether the call is a new one |
| AWAY, new   | `attached`, begun elsewhere | OPEN   | config, empty id 0: all else that is known is the transcript  |

(*) ENDING when an intent to leave was written to the socket, or had been before.

**Invariants**, held by the property tests:
I1 no piece of an id below the latest leaves (the empty, complete id 0 after a redial apart);
I2 each request is completed once on a socket, and at least once over all unless it was superseded;
I3 after an intent to leave only pongs leave, until Retell asks again or redials;
I4 every ping is answered, in any state of the turn;
I5 every `StartTurn` ends in exactly one of finished, failed, superseded, or, of a speculation, dropped;
I6 no piece of the answer to one request leaves twice, over any number of sockets; the greeting leaves once, unless
   the socket it was written to never gave a sign of life;
I7 an intent to leave that was given and not taken back is given again when the caller only agrees, or says nothing;
I8 no piece of a speculation leaves before it is adopted, and at most two are begun between two requests.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Raw

from .actions import (
    Action,
    AdoptTurn,
    AwaitDetails,
    CancelTurn,
    DropSocket,
    Echo,
    Record,
    Send,
    StartGrace,
    StopGrace,
    sends,
)
from .agent import Agent
from .answer import BEGIN, MAX_TEXT, Answer, Generations
from .asides import Asides
from .errors import WireError
from .facts import (
    BadMessage,
    CallEnded,
    CallMoved,
    CallStarted,
    Detached,
    DuplicateRequest,
    Interrupted,
    Reattached,
    SpeculationAdopted,
    TurnStarted,
    UnknownMessage,
)
from .intent import EndCall, Intent, leaves
from .memo import CallMemo
from .opening import BEGUN, Opening, config_of
from .sockets import Sockets
from .speculating import Speculating
from .speculation import Allowance
from .standing import GREETING, Standing
from .transcript import Question, agent_has_spoken, question_in
from .wire import (
    NO_ITEMS,
    AgentConfig,
    CallDetails,
    CallInfo,
    Metadata,
    PingPong,
    Pong,
    ReminderRequired,
    ResponseRequired,
    ToolCallInvocation,
    ToolCallResult,
    UpdateOnly,
    decode,
    encode,
)

__all__ = ["CallMachine", "State"]


class State(Enum):
    """Where a call stands; see the table above."""

    AWAY = "away"
    OPEN = "open"
    ENDING = "ending"
    CLOSED = "closed"


class CallMachine:
    """One call.

    Args:
        call_id: The id in the URL Retell dialled.
        agent: Who answers.
        speculating: Allows speculations; None when there are none.
        keeps_transcript: Somebody will ask for `heard`.

    Attributes:
        state: Where the call stands.
        answer: The present one. Drivers read it, and leave it as it is.
        details: What Retell told about the call, once it did.
        heard: The newest transcript Retell sent here, raw; None before the first one, or when it is not kept.
        has_pinged: Retell's keepalive runs on the present socket, so its silence would mean something (§1.5).
    """

    def __init__(
        self, call_id: str, agent: Agent, speculating: Allowance | None = None, *, keeps_transcript: bool = False
    ) -> None:
        self.call_id = call_id
        self.state = State.AWAY
        self.answer = Answer(GREETING, BEGIN, None, 0.0)
        self.details: CallInfo | None = None
        self.heard: Raw | None = None
        self.has_pinged = False
        self._keeps_transcript = keeps_transcript
        self._agent = agent
        self._config = config_of(agent)
        self._sockets = Sockets()
        self._opening = Opening()
        self._generations = Generations(GREETING)
        self._speculating = Speculating(speculating, self._generations)
        self._standing = Standing(agent)
        self._asides = Asides()
        self._leaving = False  # an intent to leave was written, and Retell did not ask since
        self._orphaned = False  # the answer's generation ran in another process
        self._turns = 0
        self._started_at = self._left_at = 0.0
        if agent.reminders is not None:
            self._asides.update(agent.reminders.config(), 0)

    # ------------------------------------------------------------------------ from one process to another

    def memo(self, began_ms: int) -> CallMemo:
        """Write down where the call stands, but for its details and the question of the present answer.

        Args:
            began_ms: When the call began, in milliseconds since the epoch.
        """
        return CallMemo(
            answer=self.answer.memo(),
            standing=self._standing.memo(),
            asides=self._asides.memo(),
            sockets=self._sockets.newest,
            heard_on=self._sockets.heard_on,
            greeted_on=self._sockets.greeted_on,
            began_ms=began_ms,
            turns=self._turns,
            generations=self._generations.newest,
            awaiting_details=self._opening.waits,
            in_doubt=self._opening.is_doubtful,
            leaving=self._leaving,
            after=tuple(self._asides.after),
        )

    def recall(
        self,
        memo: CallMemo,
        question: Question | None,
        details: CallInfo | None,
        said: str,
        now: float,
        *,
        lasted_s: float,
    ) -> None:
        """Go on with a call that another process had. Before its first socket here.

        Args:
            memo: Where it stood.
            question: Of the present answer.
            details: What Retell told of it.
            said: Words that were sent since the memo was written.
            now: The time in seconds.
            lasted_s: Seconds since its first socket.
        """
        self.answer = answer = Answer.recalled(memo.answer, question, said, now)
        self._standing.recall(memo.standing)
        self._asides.recall(memo.asides, memo.after)
        self.details = details
        self._started_at = self._left_at = now - lasted_s
        self._turns, self._generations.newest, self._leaving = memo.turns, memo.generations, memo.leaving
        self._orphaned = answer.is_under_way
        talked = answer.response_id > BEGIN or memo.leaving or memo.asides.interrupts > 0
        doubtful = self._sockets.recall(memo, talked=talked) or memo.in_doubt
        self._opening.recall(waits=memo.awaiting_details, doubtful=doubtful)

    def begun_elsewhere(self) -> None:
        """Another process had the call and left nothing that can be read. Before its first socket here.

        It wrote something down with its first frames, so it has greeted, or the caller is about to speak all the same.
        """
        self.answer.done = True

    @property
    def is_new(self) -> bool:
        """Where nobody could tell whether the call was begun elsewhere, Retell's messages have: it was not."""
        return self._opening.is_new

    def _go_on(self, now: float) -> tuple[Action, ...]:
        """Find the rest of an answer whose generation went with its process."""
        self._orphaned = False
        answer = self.answer
        if answer.question is None:
            if answer.generation != GREETING:  # the question was too large to be kept
                lines = self._agent.lines
                return self.fail(answer.generation, now, "moved", lines.closing if answer.text else lines.apology)
            if answer.text:  # a function's greeting cannot be gone on with: as much of it must do
                return self.finish(answer.generation, now)
        return (answer.go_on(self._standing.tell(), now),)

    # ------------------------------------------------------------------------ sockets

    def attached(self, now: float, *, unknown_at_ms: int | None = None) -> tuple[Action, ...]:
        """A socket was accepted for this call. Perform the actions on it before reading from it.

        Args:
            now: The time in seconds.
            unknown_at_ms: The time in milliseconds since the epoch, when nobody can tell whether this is the first
                socket of the call. Then Retell's first messages decide whether the caller was greeted before (§1.7.3).
        """
        replaced = self.state in (State.OPEN, State.ENDING)
        unheard = self._sockets.attached()
        self.answer.attached(unheard=unheard)
        self.has_pinged = False
        self.state = State.ENDING if self._leaving else State.OPEN
        aside = sends(self._asides.resume(self._sockets.newest, unheard=unheard))
        if self._sockets.newest == 1:
            self._started_at = self.answer.asked_at = now
            self._opening.dialled_ms = unknown_at_ms
            return (Send(self._config), Record(CallStarted()), *aside, *self._greet())
        hello = (*self._speculating.drop(), DropSocket() if replaced else StopGrace(), Send(self._config))
        continued = self._continue(now)
        if self._orphaned and not self._opening.waits:
            continued += self._go_on(now)
        return (*hello, Record(Reattached(replaced)), *continued, *aside)

    def _greet(self) -> tuple[Action, ...]:
        if self.answer.done:
            return self._catch_up()
        if isinstance(self._agent.greeting, str) and self._opening.dialled_ms is None:
            return self._begin_with(self._agent.greeting)
        self._opening.waits = True
        return (AwaitDetails(),)

    def _begin_with(self, greeting: str) -> tuple[Action, ...]:
        self.answer.text, self.answer.done = greeting, True
        return self._catch_up()

    def _greeted(self) -> tuple[Action, ...]:
        """The caller was greeted before this process knew the call, or need not be any more."""
        self._opening.settle()
        self._orphaned = False
        self.answer.text, self.answer.sent, self.answer.done = "", 0, True
        return self._catch_up()

    def _continue(self, now: float) -> tuple[Action, ...]:
        answer = self.answer
        if self._opening.waits:  # they come anew with every config
            known = self.details is not None and not self._opening.is_doubtful
            return self.details_due(now) if known else (AwaitDetails(),)
        begun = () if answer.response_id == BEGIN else (Send(BEGUN),)
        # §1.7.3: what was heard is completed again, but without words.
        again = sends([answer.completion(self._sockets.newest)]) if answer.completed_on else self._catch_up()
        return (*begun, *again)

    def detached(self, now: float) -> tuple[Action, ...]:
        """The call's socket is gone. Any turn goes on, its text is held.

        What the socket had brought before it went may still be given to `receive`.
        """
        self.state, self._left_at = State.AWAY, now
        return (*self._speculating.drop(), StartGrace(), Record(Detached()))

    def closed(self, now: float) -> tuple[Action, ...]:
        """The call is over: the grace time has passed or the server lets go. No method may be called after."""
        was_away, self.state = self.state is State.AWAY, State.CLOSED
        actions, answer = self._speculating.close(), self.answer
        if answer.is_under_way:
            answer.done = answer.failed = True
            actions += (CancelTurn(answer.generation), answer.broke_off("call_ended", now))
        ended_at = self._left_at if was_away else now  # the grace time is ours, not the caller's
        return (*actions, Record(CallEnded(self._turns, ended_at - self._started_at)))

    def moved(self, now: float) -> tuple[Action, ...]:
        """The call goes on elsewhere: on another server, or on this one without this memory. No method may be called
        after."""
        self.state, answer = State.CLOSED, self.answer
        stop = (CancelTurn(answer.generation),) if answer.is_under_way else ()
        answer.done = True
        return (*self._speculating.close(), *stop, Record(CallMoved()))

    # ------------------------------------------------------------------------ what Retell sends

    def receive(self, data: bytes, now: float) -> tuple[Action, ...]:
        """Take one message of Retell's.

        Args:
            data: The payload of the frame.
            now: The time in seconds, of the same steady clock everywhere.

        Returns:
            What to do now. Never raises: bytes that are no message are a fact, because closing the socket for
            them would end the call (§1.6).
        """
        self._sockets.heard_on = self._sockets.newest
        try:
            message = decode(data)
        except WireError as exc:
            return (Record(BadMessage(str(exc))),)
        match message:
            case PingPong(timestamp=timestamp):
                self.has_pinged = True
                return (Echo(encode(Pong(timestamp=timestamp))),)
            case UpdateOnly():
                return self._updated(message, now)
            case ResponseRequired() | ReminderRequired():
                return self._asked(message, now)
            case CallDetails(call=details):
                return self._told_details(details, now)
            case _:  # UnknownKind
                return (Record(UnknownMessage()),)

    def _updated(self, message: UpdateOnly, now: float) -> tuple[Action, ...]:
        self._heard(message)
        opening = self._opening
        if (opening.waits or opening.dialled_ms is not None) and opening.updated(
            message.transcript, said=self.answer.sent > 0
        ):
            return self._greeted()
        return () if self._speculating.allowance is None else self._speculate(message, now)

    def _heard(self, message: UpdateOnly | ResponseRequired | ReminderRequired) -> None:
        if self._keeps_transcript:  # and with it the whole message
            woven = message.transcript_with_tool_calls
            self.heard = message.transcript if woven == NO_ITEMS else woven

    def _told_details(self, details: CallInfo, now: float) -> tuple[Action, ...]:
        if details.call_id != self.call_id:
            return (Record(BadMessage("call_details: they are another call's")),)
        self.details = details
        if self._opening.is_doubtful:  # they come on every socket, and tell nothing of what was heard
            return ()
        return self._greeted() if self._opening.told(details) else self.details_due(now)

    def details_due(self, now: float) -> tuple[Action, ...]:
        """The time to wait for `call_details` is over, or they came. Without a socket they may still come."""
        opening, answer = self._opening, self.answer
        if not opening.waits or self.state in (State.AWAY, State.CLOSED):
            return ()
        doubtful = opening.is_doubtful
        opening.settle()
        if doubtful:  # nothing has shown that it was heard, and silence is the worse error
            answer.sent = 0
            return (*self._catch_up(), *(self._go_on(now) if self._orphaned else ()))
        greeting = self._agent.greeting
        return self._begin_with(greeting) if isinstance(greeting, str) else self._start()

    def _asked(self, message: ResponseRequired | ReminderRequired, now: float) -> tuple[Action, ...]:
        self._heard(message)
        answer, response_id = self.answer, message.response_id
        redialled = self._sockets.asked() and response_id > BEGIN
        duplicate = response_id <= answer.response_id
        if duplicate and not redialled:
            return (Record(DuplicateRequest(response_id)),)

        # §9.4: nobody knows whether ids continue over a redial, so there an older one may start them anew.
        question, whole = question_in(message, keypad=self._agent.keypad)
        self._opening.asked(is_new=response_id == 1 and not agent_has_spoken(question.transcript))
        actions: list[Action] = [Record(DuplicateRequest(response_id))] if duplicate else []
        self._speculating.speculation.asked()
        if not whole:
            actions.append(Record(BadMessage(f"{question.kind}_required: part of the transcript is unreadable")))
        self._turns += 1
        self._leaving = False
        self._asides.forget()
        if self.state is State.ENDING:
            self.state = State.OPEN
        if whole and answer.answers(question):
            return (*actions, answer.reask(response_id, now), *self._speculating.drop(), *self._catch_up())
        may_adopt = whole and self._speculating.may_adopt(question)  # before anything changes: it asks the driver
        if not answer.done:
            actions += self._supersede(by=response_id)
        if may_adopt and not self._standing.decides:
            return (*actions, *self._adopt(response_id, question, now))
        drop = self._speculating.drop()
        self.answer = Answer(self._generations.next(), response_id, question, now)
        self._standing.asked(self.answer.generation, question)
        left = self._insist() or (self._give_up() if self._standing.gives_up else ())
        return (*actions, *drop, *(left or self._start()))

    def _supersede(self, by: int | None) -> tuple[Action, ...]:
        """Cut the present generation loose. What it wanted to happen, and to leave the call, is still wanted."""
        self._orphaned = False
        self._standing.cut(self.answer.generation)
        return self.answer.supersede(by)

    def _start(self) -> tuple[Action, ...]:
        self._standing.wanted = None
        return self.answer.start(self._standing.tell())

    # ------------------------------------------------------------------------ before Retell asks

    def _speculate(self, message: UpdateOnly, now: float) -> tuple[Action, ...]:
        if self._agent.keypad and message.transcript_with_tool_calls == NO_ITEMS:
            return self._speculating.drop()  # it does not tell all that a request would
        question, whole = question_in(message, keypad=self._agent.keypad)
        if not whole or self.state is not State.OPEN or self._standing.decides:
            return self._speculating.drop()
        answering = None if self.answer.failed else self.answer.question
        return self._speculating.heard(question, message.turntaking, answering, now)

    def quiet(self, now: float) -> tuple[Action, ...]:
        """Nothing more was said since `AwaitQuiet`."""
        may_begin = self.state is State.OPEN and not self._standing.decides
        return self._speculating.quiet(now, may_begin=may_begin)

    def _adopt(self, response_id: int, question: Question, now: float) -> tuple[Action, ...]:
        speculation = self._speculating.speculation
        self.answer = answer = self._speculating.adopt(response_id, question, now)
        self._standing.asked(answer.generation, question)
        self._standing.tell()
        facts = (
            Record(TurnStarted(response_id, question.kind)),
            Record(SpeculationAdopted(response_id, now - speculation.begun_at)),
        )
        said = self.finish(answer.generation, now) if speculation.is_finished else self._catch_up()
        # The words first: they count as sent, and the driver has things to do for the turn.
        return (*facts, *said, AdoptTurn(answer.generation, response_id, question))

    # ------------------------------------------------------------------------ what the model says

    def spoken_into(self, generation: int) -> Intent | None:
        """Give what was about to happen when the caller spoke, for this generation's model to be told of it.

        A tool that runs on may have placed it after the generation began.
        """
        return self._standing.tell() if self.answer.wants(generation) else None

    def say(self, generation: int, text: str) -> bytes | None:
        """Take the next piece of a generation's text.

        Args:
            generation: The number given with `StartTurn`.
            text: At most `speech.MAX_PIECE` characters.

        Returns:
            The frame to write now; None when the text is held for the next socket, or is nobody's any more.
        """
        answer = self.answer
        if answer.generation != generation or answer.done or not answer.started:  # as in `wants`, said for each token
            self._speculating.speculation.say(generation, text)
            return None
        if self.state is State.AWAY:
            answer.add(text)
            return None
        return answer.write(text)

    def finish(self, generation: int, now: float, text: str = "") -> tuple[Action, ...]:
        """The generation came to its end.

        Args:
            generation: The number given with `StartTurn`.
            now: The time in seconds.
            text: The last piece of its text; the words of an intent that was placed come after it.
        """
        answer = self.answer
        if not answer.wants(generation):
            self._speculating.speculation.finish(generation, text)
            return ()
        answer.add(text)
        if self._asides.after:
            answer.join(*self._asides.due())
        self._standing.answered()
        said = self._end(*self._standing.placed(answer.text))
        return (*said, answer.finished(now))

    def fail(self, generation: int, now: float, why: str, line: str) -> tuple[Action, ...]:
        """The generation failed: say `line` in its place and complete the id (§4.3.5–6).

        Args:
            generation: The number given with `StartTurn`.
            now: The time in seconds.
            why: The kind of failure, for the record.
            line: What the caller hears, after whatever was said already.
        """
        answer = self.answer
        if not answer.wants(generation):
            self._speculating.speculation.fail(generation)
            return ()
        answer.failed = True
        if self._asides.after:
            answer.join(*self._asides.due())
        intent, words = self._standing.placed(answer.text)
        if intent is None and line:  # who is about to leave need not ask for another try
            answer.join(line)
        return (*self._end(intent, words), answer.broke_off(why, now))

    def _end(self, intent: Intent | None, words: str) -> tuple[Action, ...]:
        """Close the present answer with what shall happen after it, and the words before that."""
        self.answer.close(words, intent)
        if intent is None:
            return self._catch_up()
        given = self._standing.given(intent, self.answer.generation)
        return (*self._catch_up(), *given)

    def _catch_up(self) -> tuple[Action, ...]:
        """Send the text beyond what was sent, and the completion when the answer is done; hold both while away."""
        answer = self.answer
        if self.state is State.AWAY:
            return ()
        if answer.response_id == BEGIN and answer.has_words_here:
            self._sockets.greeted_on = self._sockets.newest
        frames = sends(answer.frames(self._sockets.newest))
        if answer.done and leaves(answer.intent):
            self._leave()
        return frames

    def _leave(self) -> None:
        self._leaving = True
        if self.state is State.OPEN:
            self.state = State.ENDING

    # ------------------------------------------------------------------------ what shall happen

    def place(self, generation: int | None, intent: Intent, words: str, now: float) -> tuple[Action, ...] | None:
        """A function of the agent's wants this to happen.

        In the answer that its own turn gives, it goes with the last words. From outside of any turn it goes by an
        interruption. A turn the caller has spoken into may still place one, because its tools run to their end: then
        the caller's words decide. When they only agreed, it happens; otherwise it is kept for the next request.

        Args:
            generation: The generation whose tool wants it; None outside of any.
            intent: What.
            words: What is said before it.
            now: The time in seconds.

        Returns:
            What to do now; None when it is refused, because the agent is leaving already, or for keys that belong to
            a turn the caller has spoken into.
        """
        if self.state in (State.ENDING, State.CLOSED):
            return None
        unasked = words or self._standing.words_for(intent)
        if generation is None:
            return self.interrupt(unasked, now, intent)
        if self.answer.wants(generation):
            return () if self._standing.want(intent, words) else None
        if not leaves(intent):
            return None
        self._standing.keep(intent, generation)
        answered = self.answer.done and not self.answer.failed
        happens = answered and self._standing.agreed(self.answer.question)
        return self.interrupt(unasked, now, intent) if happens else ()

    def will_happen(self, generation: int) -> bool:
        """Tell whether something was placed in this generation's answer: nothing more is to be said then."""
        return self.answer.wants(generation) and self._standing.wanted is not None

    def insist(self, generation: int, now: float) -> tuple[Action, ...]:
        """Give up a generation that has said nothing, when what the caller spoke into shall happen all the same.

        Returns:
            What to do now; nothing when the generation should answer.
        """
        if not self.answer.wants(generation) or self.answer.text:
            return ()
        actions = self._insist()
        return (*actions, self.answer.finished(now)) if actions else ()

    def _insist(self) -> tuple[Action, ...]:
        intent = self._standing.insisted(self.answer.question)
        return () if intent is None else self._end(intent, self._standing.words_for(intent, self.answer.text))

    def _give_up(self) -> tuple[Action, ...]:
        """Leave politely when reminder after reminder brought nothing (§2.5)."""
        return self._end(EndCall(), self._agent.lines.farewell)

    # ------------------------------------------------------------------------ asides

    def interrupt(self, text: str, now: float, intent: Intent | None = None) -> tuple[Action, ...]:
        """Speak unasked (§3.4). Retell throws the answer under way away, so it ends here.

        Args:
            text: What is said.
            now: The time in seconds.
            intent: What shall happen after it.
        """
        if self.state in (State.ENDING, State.CLOSED):
            return ()
        actions, answer = self._speculating.drop(), self.answer
        if not answer.done:
            actions += self._supersede(by=None)
            answer.failed = True
            answer.text = answer.text[: answer.sent]
            actions += self._catch_up()
        elif self._opening.is_doubtful:  # a greeting does not come after what else was said
            actions += self._greeted()
        self._opening.settle()
        given = self._standing.given(intent, answer.generation)
        frames = self._asides.interrupt(text, intent, self._here)
        if leaves(intent):
            self._leave()
        return (*actions, *sends(frames), *given, Record(Interrupted()))

    @property
    def is_leaving(self) -> bool:
        """An intent to leave was given, and Retell has not asked since."""
        return self._leaving or self.state is State.CLOSED

    def speak(self, text: str, now: float) -> tuple[Action, ...]:
        """Say something from outside of any turn: after the answer under way, or else as an interruption."""
        if self.answer.is_under_way:
            self._asides.after.append(text[:MAX_TEXT])
            return ()
        return self.interrupt(text, now)

    def note(self, message: ToolCallInvocation | ToolCallResult | Metadata) -> tuple[Action, ...]:
        """Tell Retell something beside the talk (§3.5, §3.7)."""
        if self.state in (State.ENDING, State.CLOSED):
            return ()
        return sends(self._asides.note(message, self._here))

    def update(self, config: AgentConfig) -> tuple[Action, ...]:
        """Change how the agent behaves for the rest of the call (§3.6)."""
        if self.state in (State.ENDING, State.CLOSED):
            return ()
        return sends(self._asides.update(config, self._here))

    @property
    def _here(self) -> int:
        return 0 if self.state is State.AWAY else self._sockets.newest

"""The state machine of one call. Every transition of a call stands in this file; no I/O, no loop, no clock.

Bytes and events go in, actions come out: a driver (`session.py`) performs them in order, at once. Text goes in,
a frame or None comes out: the frame must be written to the socket with no `await` in between, because only then
is the check "is this still the newest request?" true of the moment the bytes leave.

**Theory.** A call is known by its id and outlives its sockets: Retell redials the same URL after a drop
(protocol §1.7), and all it remembers is the transcript. So five things are kept apart:

- the *socket*, present (OPEN, ENDING) or not (AWAY);
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
goes on after the words that were sent. A greeting that the dead process wrote to a socket of which it read nothing is
in doubt, and waits for a sign (§1.7.3): what Retell tells of the agent's words, or a moment in which it tells nothing.

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

from collections.abc import Callable
from enum import Enum
from typing import Final, Literal

from msgspec import Raw

from .actions import (
    Action,
    AdoptTurn,
    AwaitDetails,
    AwaitQuiet,
    CancelTurn,
    DropSocket,
    Echo,
    Record,
    Send,
    StartGrace,
    StartTurn,
    StopGrace,
)
from .agent import Agent
from .answer import BEGIN, MAX_TEXT, Answer, after
from .asides import Asides
from .errors import WireError
from .facts import (
    BadMessage,
    CallEnded,
    CallMoved,
    CallStarted,
    Detached,
    DuplicateRequest,
    IntentGiven,
    Interrupted,
    Reattached,
    SpeculationAdopted,
    SpeculationStarted,
    TurnFailed,
    TurnFinished,
    TurnReasked,
    TurnStarted,
    TurnSuperseded,
    UnknownMessage,
)
from .intent import EndCall, Intent, leaves
from .memo import CallMemo
from .speculation import Allowance, Speculation, Why
from .standing import GREETING, Standing
from .transcript import (
    Question,
    agent_has_spoken,
    decode_transcript,
    decode_woven,
    same_question,
)
from .wire import (
    NO_ITEMS,
    AgentConfig,
    CallDetails,
    CallInfo,
    Config,
    ConfigOptions,
    Metadata,
    PingPong,
    Pong,
    ReminderRequired,
    Response,
    ResponseRequired,
    ToolCallInvocation,
    ToolCallResult,
    UpdateOnly,
    decode,
    encode,
)

__all__ = ["CallMachine", "State"]

FIRST_DIAL_MS: Final = 30_000
"""A call that began longer before its socket was dialled before: Retell gives up the first dial after 27 s (§1.4)."""

AT_ONCE_MS: Final = 3_000
"""A call that began at most so long before its socket was dialled has had no other: no tool can have run in it."""

MAX_AFTER: Final = 8
"""Texts that wait for the end of an answer; the oldest go first."""


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
        details: What Retell told about the call, once it did.
        is_new: Where nobody could tell whether the call was begun elsewhere, Retell's messages have: it was not.
        heard: The newest transcript Retell sent here, raw; None before the first one, or when it is not kept.
        has_pinged: Retell's keepalive runs on the present socket, so its silence would mean something (§1.5).
    """

    def __init__(
        self, call_id: str, agent: Agent, speculating: Allowance | None = None, *, keeps_transcript: bool = False
    ) -> None:
        self.call_id = call_id
        self.state = State.AWAY
        self.details: CallInfo | None = None
        self.heard: Raw | None = None
        self._keeps_transcript = keeps_transcript
        self.has_pinged = self.is_new = False
        self._agent = agent
        self._config = encode(
            Config(
                config=ConfigOptions(
                    auto_reconnect=True,
                    call_details=True,
                    transcript_with_tool_calls=agent.keypad,
                )
            )
        )
        self._sockets = 0
        self._greeted_on = 0  # the number of the socket that a whole greeting was written to
        self._heard_on = 0  # the number of the newest socket that brought a message
        self._before_socket = (0, 0)  # where the answer stood when the newest socket came
        self._asked_on_socket = False
        self._awaiting_details = False
        self._started_at = 0.0
        self._left_at = 0.0
        self._turns = 0
        self._answer = Answer(GREETING, BEGIN, None, 0.0)
        self._generations = GREETING
        self._allowance = speculating
        self._speculation = Speculation()
        self._asides = Asides()
        self._standing = Standing(agent.acknowledgements)
        self._leaving = False  # an intent to leave was written, and Retell did not ask since
        self._after: list[str] = []  # said when the present answer has come to its end
        self._orphaned = False  # the answer's generation ran in another process
        self._doubtful = False  # whether the greeting was heard: the next moments may tell
        self._dialled_ms: int | None = None  # set while nobody knows whether the call was begun elsewhere
        if agent.reminders is not None:
            self._asides.update(agent.reminders.config(), 0)

    # ------------------------------------------------------------------------ from one process to another

    def memo(self, began_ms: int) -> CallMemo:
        """Write down where the call stands, but for its details and the question of the present answer.

        Args:
            began_ms: When the call began, in milliseconds since the epoch.
        """
        return CallMemo(
            answer=self._answer.memo(),
            standing=self._standing.memo(),
            asides=self._asides.memo(),
            sockets=self._sockets,
            heard_on=self._heard_on,
            greeted_on=self._greeted_on,
            began_ms=began_ms,
            turns=self._turns,
            generations=self._generations,
            awaiting_details=self._awaiting_details,
            leaving=self._leaving,
            after=tuple(self._after),
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
        self._answer = answer = Answer.recalled(memo.answer, question, said, now)
        self._standing.recall(memo.standing)
        self._asides.recall(memo.asides)
        self.details = details
        self._sockets, self._greeted_on = memo.sockets, memo.greeted_on
        self._started_at = self._left_at = now - lasted_s
        self._turns, self._generations = memo.turns, memo.generations
        self._awaiting_details, self._leaving, self._after = memo.awaiting_details, memo.leaving, list(memo.after)
        self._orphaned = answer.started and not answer.done
        # What was written to a socket that never brought a message was heard by nobody, or the process died before it
        # read the first one. Of words in the middle of the talk it is assumed that they were heard.
        talked = answer.response_id > BEGIN or memo.leaving or memo.asides.interrupts
        self._doubtful = memo.heard_on < memo.greeted_on and not talked
        self._awaiting_details |= self._doubtful
        self._heard_on = memo.heard_on if self._doubtful else memo.sockets

    def begun_elsewhere(self) -> None:
        """Another process had the call and left nothing that can be read. Before its first socket here.

        It wrote something down with its first frames, so it has greeted, or the caller is about to speak all the same.
        """
        self._answer.done = True

    @property
    def is_open(self) -> bool:
        """Something is asked, or to be said at first, that was not answered to its end."""
        return not self._answer.done

    @property
    def question(self) -> Question | None:
        """What the present answer is to; None for the greeting."""
        return self._answer.question

    @property
    def said(self) -> tuple[int, str]:
        """The id of the present answer, and the words that were written under it."""
        return self._answer.response_id, self._answer.text[: self._answer.sent]

    @property
    def sent(self) -> int:
        """How many characters of the present answer were written under its id."""
        return self._answer.sent

    def sent_since(self, sent: int) -> str:
        """Give what was written after so many characters."""
        return self._answer.text[sent : self._answer.sent]

    def _go_on(self, now: float) -> tuple[Action, ...]:
        """Find the rest of an answer whose generation went with its process."""
        self._orphaned = False
        answer = self._answer
        if answer.question is None:
            if answer.generation != GREETING:  # the question was too large to be kept
                lines = self._agent.lines
                return self.fail(answer.generation, now, "moved", lines.closing if answer.text else lines.apology)
            if answer.text:  # a function's greeting cannot be gone on with: as much of it must do
                return self.finish(answer.generation, now)
        answer.asked_at = now
        interrupted = self._standing.tell()
        start = StartTurn(answer.generation, answer.response_id, answer.question, interrupted, answer.text, True)
        return (start,)

    # ------------------------------------------------------------------------ sockets

    def attached(self, now: float, *, unknown_at_ms: int | None = None) -> tuple[Action, ...]:
        """A socket was accepted for this call. Perform the actions on it before reading from it.

        Args:
            now: The time in seconds.
            unknown_at_ms: The time in milliseconds since the epoch, when nobody can tell whether this is the first
                socket of the call. Then Retell's first messages decide whether the caller was greeted before (§1.7.3).
        """
        first, replaced = self._sockets == 0, self.state in (State.OPEN, State.ENDING)
        unheard = self._heard_on < self._sockets
        if unheard:
            # What it was told was told to nobody.
            self._answer.sent, self._answer.completed_on = self._before_socket
        self._before_socket = (self._answer.sent, self._answer.completed_on)
        self._sockets += 1
        self._asked_on_socket = False
        self.has_pinged = False
        self.state = State.ENDING if self._leaving else State.OPEN
        if first:
            self._started_at = self._answer.asked_at = now
            self._dialled_ms = unknown_at_ms
            return (Send(self._config), Record(CallStarted()), *self._resume(unheard=False), *self._greet(now))
        hello = (*self._drop(), DropSocket() if replaced else StopGrace(), Send(self._config))
        continued = self._continue(now)
        if self._orphaned and not self._awaiting_details:
            continued += self._go_on(now)
        return (*hello, Record(Reattached(replaced)), *continued, *self._resume(unheard=unheard))

    def _greet(self, now: float) -> tuple[Action, ...]:
        if self._answer.done:
            return self._catch_up()
        if isinstance(self._agent.greeting, str) and self._dialled_ms is None:
            return self._begin_with(self._agent.greeting)
        self._awaiting_details = True
        return (AwaitDetails(),)

    def _begin_with(self, greeting: str) -> tuple[Action, ...]:
        self._answer.text, self._answer.done = greeting, True
        return self._catch_up()

    def _greeted(self) -> tuple[Action, ...]:
        """The caller was greeted before this process knew the call."""
        self._awaiting_details = self._doubtful = self._orphaned = False
        self._answer.text, self._answer.sent, self._answer.done = "", 0, True
        return self._catch_up()

    def _continue(self, now: float) -> tuple[Action, ...]:
        answer = self._answer
        if self._awaiting_details:  # they come anew with every config
            known = self.details is not None and not self._doubtful
            return self.details_due(now) if known else (AwaitDetails(),)
        if answer.response_id == BEGIN:
            # §1.7.3: a greeting that was heard is completed again, but without words.
            return (self._complete_again(),) if answer.completed_on else self._catch_up()
        begun = Send(encode(Response(response_id=BEGIN, content="", content_complete=True)))
        return (begun, self._complete_again()) if answer.completed_on else (begun, *self._catch_up())

    def _complete_again(self) -> Send:
        self._answer.completed_on = self._sockets
        return Send(self._answer.completion())

    def _resume(self, *, unheard: bool) -> tuple[Action, ...]:
        return _sends(self._asides.resume(self._sockets, unheard=unheard))

    def detached(self, now: float) -> tuple[Action, ...]:
        """The call's socket is gone. Any turn goes on, its text is held.

        What the socket had brought before it went may still be given to `receive`.
        """
        self.state, self._left_at = State.AWAY, now
        return (*self._drop(), StartGrace(), Record(Detached()))

    def closed(self, now: float) -> tuple[Action, ...]:
        """The call is over: the grace time has passed or the server lets go. No method may be called after."""
        was_away, self.state = self.state is State.AWAY, State.CLOSED
        actions: list[Action] = [*self._drop()]
        answer = self._answer
        if answer.started and not answer.done:
            answer.done = answer.failed = True
            actions += [
                CancelTurn(answer.generation),
                Record(TurnFailed(answer.response_id, "call_ended", now - answer.asked_at)),
            ]
        self._allowance = None  # it leads back here
        ended_at = self._left_at if was_away else now  # the grace time is ours, not the caller's
        actions.append(Record(CallEnded(self._turns, ended_at - self._started_at)))
        return tuple(actions)

    def moved(self, now: float) -> tuple[Action, ...]:
        """The call goes on elsewhere: on another server, or on this one without this memory. No method may be called
        after."""
        self.state, self._allowance = State.CLOSED, None
        answer = self._answer
        running = answer.started and not answer.done
        stop = (CancelTurn(answer.generation),) if running else ()
        answer.done = True
        return (*self._drop(), *stop, Record(CallMoved()))

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
        self._heard_on = self._sockets
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
        if self._awaiting_details or self._dialled_ms is not None:
            said = decode_transcript(message.transcript)[0]
            has_spoken = agent_has_spoken(said)
            self._look_for_a_past(is_new=not said and not self._answer.sent)
            if has_spoken and self._awaiting_details:
                return self._greeted()
        return () if self._allowance is None else self._speculate(message, self._allowance, now)

    def _heard(self, message: UpdateOnly | ResponseRequired | ReminderRequired) -> None:
        if self._keeps_transcript:  # and with it the whole message
            woven = message.transcript_with_tool_calls
            self.heard = message.transcript if woven == NO_ITEMS else woven

    def _told_details(self, details: CallInfo, now: float) -> tuple[Action, ...]:
        if details.call_id != self.call_id:
            return (Record(BadMessage("call_details: they are another call's")),)
        self.details = details
        if self._doubtful:  # they come on every socket, and tell nothing of what was heard
            return ()
        if details.start_timestamp and self._dialled_ms is not None:
            age_ms, self._dialled_ms = self._dialled_ms - details.start_timestamp, None
            self.is_new |= age_ms < AT_ONCE_MS
            if self._awaiting_details and age_ms > FIRST_DIAL_MS:
                return self._greeted()
        return self.details_due(now)

    def _look_for_a_past(self, *, is_new: bool) -> None:
        """Tell by the first transcript whether the call was begun elsewhere: something would have been said there."""
        if self._dialled_ms is not None:
            self.is_new |= is_new
            self._dialled_ms = None

    def details_due(self, now: float) -> tuple[Action, ...]:
        """The time to wait for `call_details` is over, or they came. Without a socket they may still come."""
        if not self._awaiting_details or self.state in (State.AWAY, State.CLOSED):
            return ()
        self._awaiting_details = False
        if self._doubtful:  # nothing has shown that it was heard, and silence is the worse error
            self._doubtful, self._answer.sent = False, 0
            return (*self._catch_up(), *(self._go_on(now) if self._orphaned else ()))
        greeting = self._agent.greeting
        return self._begin_with(greeting) if isinstance(greeting, str) else self._start(self._answer)

    def _asked(self, message: ResponseRequired | ReminderRequired, now: float) -> tuple[Action, ...]:
        self._heard(message)
        answer, response_id = self._answer, message.response_id
        first_on_socket, self._asked_on_socket = not self._asked_on_socket, True
        redialled = first_on_socket and self._sockets > 1 and response_id > BEGIN
        duplicate = response_id <= answer.response_id
        if duplicate and not redialled:
            return (Record(DuplicateRequest(response_id)),)

        # §9.4: nobody knows whether ids continue over a redial, so there an older one may start them anew.
        question, whole = self._question(message, "response" if isinstance(message, ResponseRequired) else "reminder")
        self._look_for_a_past(is_new=response_id == 1 and not agent_has_spoken(question.transcript))
        actions: list[Action] = [Record(DuplicateRequest(response_id))] if duplicate else []
        self._speculation.asked()
        if not whole:
            actions.append(Record(BadMessage(f"{question.kind}_required: part of the transcript is unreadable")))
        self._turns += 1
        self._awaiting_details = self._doubtful = False
        self._leaving = False
        self._asides.forget()
        if self.state is State.ENDING:
            self.state = State.OPEN
        if whole and self._answers(question):
            actions.append(Record(TurnReasked(response_id, answer.response_id)))
            answer.response_id, answer.asked_at = response_id, now
            answer.sent = answer.completed_on = 0
            actions += (*self._drop(), *self._catch_up())
            return tuple(actions)
        may_adopt = whole and self._may_adopt(question)  # before anything changes: it asks the driver
        if not answer.done:
            actions += self._supersede(by=response_id)
        if may_adopt and not self._means_something:
            actions += self._adopt(response_id, question, now)
            return tuple(actions)
        actions += self._drop()
        self._answer = Answer(self._number(), response_id, question, now)
        self._standing.asked(self._answer.generation, question)
        actions += self._insist() or self._give_up() or self._start(self._answer)
        return tuple(actions)

    def _number(self) -> int:
        self._generations += 1
        return self._generations

    def _question(
        self, message: ResponseRequired | ReminderRequired | UpdateOnly, kind: Literal["response", "reminder"]
    ) -> tuple[Question, bool]:
        transcript, whole = decode_transcript(message.transcript)
        if self._agent.keypad:
            woven, woven_whole = decode_woven(message.transcript_with_tool_calls)
            if woven:
                transcript, whole = woven, woven_whole
        return Question(kind, transcript), whole

    def _answers(self, question: Question) -> bool:
        """Tell whether the present generation answers `question` too."""
        answer = self._answer
        return (
            answer.question is not None
            and not answer.failed
            and (not answer.done or answer.says_something)
            and same_question(answer.question, question)
        )

    def _supersede(self, by: int | None) -> list[Action]:
        """Cut the present generation loose. What it wanted to happen, and to leave the call, is still wanted."""
        answer, self._orphaned = self._answer, False
        answer.done = True
        self._standing.cut(answer.generation)
        superseded = Record(TurnSuperseded(answer.response_id, by=by))
        return [CancelTurn(answer.generation), superseded] if answer.started else [superseded]

    def _start(self, answer: Answer) -> tuple[Action, ...]:
        answer.started = True
        self._standing.wanted = None
        interrupted = self._standing.tell()
        kind = "greeting" if answer.question is None else answer.question.kind
        return (
            Record(TurnStarted(answer.response_id, kind)),
            StartTurn(answer.generation, answer.response_id, answer.question, interrupted),
        )

    # ------------------------------------------------------------------------ before Retell asks

    def _speculate(self, message: UpdateOnly, allowance: Allowance, now: float) -> tuple[Action, ...]:
        if self._agent.keypad and message.transcript_with_tool_calls == NO_ITEMS:
            return self._drop()  # it does not tell all that a request would
        question, whole = self._question(message, "response")
        answering = None if self._answer.failed else self._answer.question
        if not whole or self.state is not State.OPEN or self._means_something:
            return self._drop()
        match self._speculation.heard(question, message.turntaking, answering):
            case "keep":
                return ()
            case "wait":
                return (*self._drop(), AwaitQuiet(self._speculation.quiet_s or 0.0))
            case "begin":
                return (*self._drop(), *self._begin(question, "sentence_end", allowance, now))
            case _:  # drop
                return self._drop()

    def quiet(self, now: float) -> tuple[Action, ...]:
        """Nothing more was said since `AwaitQuiet`."""
        question = self._speculation.stayed()
        if question is None or self._allowance is None or self.state is not State.OPEN or self._means_something:
            return ()
        return self._begin(question, "quiet", self._allowance, now)

    def _begin(self, question: Question, why: Why, allowance: Allowance, now: float) -> tuple[Action, ...]:
        if not allowance.may_begin(sure=self._speculation.is_sure(question)):
            return ()
        answer = Answer(self._number(), self._answer.response_id, question, now)
        self._speculation.begin(answer, now)
        return (Record(SpeculationStarted(why)), StartTurn(answer.generation, None, question))

    @property
    def _means_something(self) -> bool:
        """The agent means to do something to the call; the next request decides about it."""
        return self._standing.intent is not None or self._standing.wanted is not None

    def _drop(self) -> tuple[Action, ...]:
        answer = self._speculation.take()
        return () if answer is None else (CancelTurn(answer.generation),)

    def _may_adopt(self, question: Question) -> bool:
        answer = self._speculation.answer
        return (
            answer is not None
            and self._allowance is not None
            and self._speculation.answers(question)
            and self._allowance.still_holds(answer.generation)
        )

    def _adopt(self, response_id: int, question: Question, now: float) -> tuple[Action, ...]:
        speculation, answer = self._speculation, self._speculation.take()
        if answer is None:
            raise AssertionError("it was looked at before")
        answer.response_id, answer.question, answer.asked_at, answer.started = response_id, question, now, True
        self._answer = answer
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

    def wants(self, generation: int) -> bool:
        """Tell whether words of this generation are still wanted."""
        answer = self._answer
        return answer.generation == generation and answer.started and not answer.done

    def bound_to(self, generation: int) -> tuple[int, float] | None:
        """Give the id this generation answers or has answered, and when it was asked; None when a newer one does."""
        answer = self._answer
        return (answer.response_id, answer.asked_at) if answer.generation == generation else None

    def spoken_into(self, generation: int) -> Intent | None:
        """Give what was about to happen when the caller spoke, for this generation's model to be told of it.

        A tool that runs on may have placed it after the generation began.
        """
        return self._standing.tell() if self.wants(generation) else None

    def stands(self, generation: int) -> bool:
        """Tell whether a tool may still begin for this generation: nobody has spoken since, and it did not fail.

        Its answer may have come to its end: it then promised what the tool is about to do.
        """
        answer = self._answer
        return answer.generation == generation and answer.started and not answer.failed

    def needs_space(self, generation: int) -> bool:
        """Tell whether what comes next would run into the last word: Retell joins pieces raw (§3.3)."""
        return self.wants(generation) and bool(self._answer.text) and not self._answer.text[-1].isspace()

    def say(self, generation: int, text: str) -> bytes | None:
        """Take the next piece of a generation's text.

        Args:
            generation: The number given with `StartTurn`.
            text: At most `speech.MAX_PIECE` characters.

        Returns:
            The frame to write now; None when the text is held for the next socket, or is nobody's any more.
        """
        answer = self._answer
        if answer.generation != generation or answer.done or not answer.started:  # as in `wants`, said for each token
            self._speculation.say(generation, text)
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
        answer = self._answer
        if not self.wants(generation):
            self._speculation.finish(generation, text)
            return ()
        answer.add(text)
        self._add_after()
        intent, words = self._standing.wanted or (None, "")
        answer.close(words or self._default(intent), intent)
        self._standing.answered()
        fact = TurnFinished(answer.response_id, len(answer.text), now - answer.asked_at)
        return (*self._give(intent, self._catch_up), Record(fact))

    def fail(self, generation: int, now: float, why: str, line: str) -> tuple[Action, ...]:
        """The generation failed: say `line` in its place and complete the id (§4.3.5–6).

        Args:
            generation: The number given with `StartTurn`.
            now: The time in seconds.
            why: The kind of failure, for the record.
            line: What the caller hears, after whatever was said already.
        """
        answer = self._answer
        if not self.wants(generation):
            self._speculation.fail(generation)
            return ()
        answer.failed = True
        self._add_after()
        intent, words = self._standing.wanted or (None, "")
        if intent is None and line:  # who is about to leave need not ask for another try
            answer.add(after(answer.text, line))
        answer.close(words or self._default(intent), intent)
        fact = TurnFailed(answer.response_id, why, now - answer.asked_at)
        return (*self._give(intent, self._catch_up), Record(fact))

    def _catch_up(self) -> tuple[Action, ...]:
        """Send the text beyond what was sent, and the completion when the answer is done; hold both while away."""
        answer = self._answer
        if self.state is State.AWAY:
            return ()
        is_first = answer.done and not answer.completed_on
        if answer.response_id == BEGIN and answer.text and (is_first or answer.sent < len(answer.text)):
            self._greeted_on = self._sockets
        frames = _sends(answer.frames())
        if answer.done:
            answer.completed_on = self._sockets
            if leaves(answer.intent):
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
        lines = self._agent.lines
        unasked = words or (lines.goodbye if isinstance(intent, EndCall) else lines.transfer if leaves(intent) else "")
        if generation is None:
            return self.interrupt(unasked, now, intent)
        if self.wants(generation):
            return () if self._standing.want(intent, words) else None
        if not leaves(intent):
            return None
        self._standing.keep(intent, generation)
        answered = self._answer.done and not self._answer.failed
        happens = answered and self._standing.agreed(self._answer.question)
        return self.interrupt(unasked, now, intent) if happens else ()

    def will_happen(self, generation: int) -> bool:
        """Tell whether something was placed in this generation's answer: nothing more is to be said then."""
        return self.wants(generation) and self._standing.wanted is not None

    def insist(self, generation: int, now: float) -> tuple[Action, ...]:
        """Give up a generation that has said nothing, when what the caller spoke into shall happen all the same.

        Returns:
            What to do now; nothing when the generation should answer.
        """
        if not self.wants(generation) or self._answer.text:
            return ()
        actions = self._insist()
        fact = TurnFinished(self._answer.response_id, len(self._answer.text), now - self._answer.asked_at)
        return (*actions, Record(fact)) if actions else ()

    def _insist(self) -> tuple[Action, ...]:
        intent = self._standing.insisted(self._answer.question)
        if intent is None:
            return ()
        self._answer.close(self._default(intent), intent)
        return self._give(intent, self._catch_up)

    def _default(self, intent: Intent | None) -> str:
        """What is said before an intent that brings no words, when the answer said nothing either."""
        if self._answer.text or not leaves(intent):
            return ""
        return self._agent.lines.goodbye if isinstance(intent, EndCall) else self._agent.lines.transfer

    def _give_up(self) -> tuple[Action, ...]:
        """Leave politely when reminder after reminder brought nothing (§2.5)."""
        reminders = self._agent.reminders
        if reminders is None or not reminders.hang_up or self._standing.silences <= reminders.times:
            return ()
        self._answer.close(self._agent.lines.farewell, EndCall())
        return self._give(EndCall(), self._catch_up)

    def _give(self, intent: Intent | None, write: Callable[[], tuple[Action, ...]]) -> tuple[Action, ...]:
        """Take note of an intent that is about to be given, and write it."""
        if intent is None:
            return write()
        times = self._standing.given(intent, self._answer.generation)
        kind = str(intent.__struct_config__.tag)
        return (*write(), Record(IntentGiven(kind, times)))  # type: ignore[arg-type]

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
        actions: list[Action] = [*self._drop()]
        answer = self._answer
        self._awaiting_details = False
        if not answer.done:
            actions += self._supersede(by=None)
            answer.failed = True
            answer.text = answer.text[: answer.sent]
            actions += self._catch_up()
        socket = self._here
        write = self._asides.interrupt(text, intent, socket)

        def written() -> tuple[Action, ...]:
            if leaves(intent):
                self._leave()
            return _sends(write)

        actions += [*self._give(intent, written), Record(Interrupted())]
        return tuple(actions)

    @property
    def is_answering(self) -> bool:
        """An answer is under way."""
        return self.wants(self._answer.generation)

    @property
    def is_leaving(self) -> bool:
        """An intent to leave was given, and Retell has not asked since."""
        return self._leaving or self.state is State.CLOSED

    def speak(self, text: str, now: float) -> tuple[Action, ...]:
        """Say something from outside of any turn: after the answer under way, or else as an interruption."""
        if self.is_answering:
            self._after.append(text[:MAX_TEXT])
            del self._after[:-MAX_AFTER]
            return ()
        return self.interrupt(text, now)

    def _add_after(self) -> None:
        for text in self._after:
            self._answer.add(after(self._answer.text, text))
        self._after.clear()

    def note(self, message: ToolCallInvocation | ToolCallResult | Metadata) -> tuple[Action, ...]:
        """Tell Retell something beside the talk (§3.5, §3.7)."""
        if self.state in (State.ENDING, State.CLOSED):
            return ()
        return _sends(self._asides.note(message, self._here))

    def update(self, config: AgentConfig) -> tuple[Action, ...]:
        """Change how the agent behaves for the rest of the call (§3.6)."""
        if self.state in (State.ENDING, State.CLOSED):
            return ()
        return _sends(self._asides.update(config, self._here))

    @property
    def _here(self) -> int:
        return 0 if self.state is State.AWAY else self._sockets


def _sends(frames: list[bytes]) -> tuple[Action, ...]:
    return tuple([Send(frame) for frame in frames])

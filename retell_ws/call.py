"""The state machine of one call. Every transition of a call stands in this file; no I/O, no loop, no clock.

Bytes and events go in, actions come out: a driver (`session.py`) performs them in order, at once. Text goes in,
a frame or None comes out: the frame must be written to the socket with no `await` in between, because only then
is the check "is this still the newest request?" true of the moment the bytes leave.

**Theory.** A call is known by its id and outlives its sockets: Retell redials the same URL after a drop
(protocol §1.7), and all it remembers is the transcript. So three things are kept apart:

- the *socket*, present (OPEN, ENDING) or not (AWAY);
- the *id* that Retell waits for. Only the newest counts, and only until it was completed (§4.1). Ids only grow,
  except that the first request on a new socket may restart them (§9.4);
- the *generation*, one stream of the model with all its text so far, bound to at most one id. When Retell asks
  again in the same words, the generation goes over to the new id and what exists of it leaves at once; any
  other request cuts it loose, and text of a generation that is bound to nothing gives no frame.

How much of a generation's text was written under its id is a number (`sent`), so everything that continues an
answer (the next piece, a redial, a re-ask) is one operation: send the text beyond that number.

What was written to a socket that then died may have arrived or not, and nobody can know. So after a redial words are
not repeated, but the completion is, which costs nothing when Retell has it (§1.7.4). Two things prove that words did
not arrive: the socket never brought a message, though `config` asks for some at once; and Retell asking the same id
again, for which it has cleared what it had (§4.1). Then they are said anew: silence is the worse error.

| state       | input                      | → state | actions                                                       |
|-------------|----------------------------|---------|---------------------------------------------------------------|
| AWAY, new   | `attached`                 | OPEN    | config; greeting as id 0, or `AwaitDetails`                   |
| AWAY        | `attached`                 | OPEN*   | `StopGrace`, config, empty id 0, then where the answer stands |
| AWAY        | `attached`, details due    | OPEN    | `StopGrace`, config, `AwaitDetails` anew, or the greeting     |
| OPEN/ENDING | `attached`                 | same    | `DropSocket`, then as above: the newer socket wins            |
| OPEN        | request, newer, same words | same    | `TurnReasked`, the text so far under the new id               |
| OPEN        | request, newer             | same    | `CancelTurn` of the old one if it runs, `StartTurn`           |
| ENDING      | request, newer             | OPEN    | as in OPEN: a barge-in took the hang-up back (§3.3)           |
| OPEN        | request, the latest id     | same    | `DuplicateRequest`; after a redial, the answer from its start |
| OPEN        | request, an older id       | same    | `DuplicateRequest`, unless it is the first after a redial     |
| AWAY        | request                    | same    | as in OPEN; what it would send is held (read after the drop)  |
| OPEN        | `say`, bound generation    | same    | the frame                                                     |
| AWAY        | `say`, bound generation    | same    | None: the text is held                                        |
| any         | `say`, other generation    | same    | None                                                          |
| OPEN        | `finish`, `fail`           | same    | the last frame, complete                                      |
| OPEN        | `finish` with `end_call`   | ENDING  | the last frame, complete, with `end_call`                     |
| AWAY        | `finish`, `fail`           | same    | a fact; the last frame is held                                |
| OPEN/ENDING | ping                       | same    | the pong                                                      |
| any         | update, details, bad bytes | same    | a fact at most: an open request stays open                    |
| OPEN/ENDING | `detached`                 | AWAY    | `StartGrace`                                                  |
| any         | `closed`                   | CLOSED  | `CancelTurn` if one runs, `CallEnded`                         |

(*) ENDING, when it was that before.

**Invariants**, held by the property tests:
I1 no piece of an id below the latest leaves (the empty, complete id 0 after a redial apart);
I2 each request is completed once on a socket, and at least once over all unless it was superseded;
I3 after `end_call` only pongs leave, until Retell asks again or redials;
I4 every ping is answered, in any state of the turn;
I5 every `StartTurn` ends in exactly one of finished, failed, superseded;
I6 no piece of the answer to one request leaves twice, over any number of sockets; the greeting leaves once, unless
   the socket it was written to never gave a sign of life.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from .actions import (
    Action,
    AwaitDetails,
    CancelTurn,
    DropSocket,
    Record,
    Send,
    StartGrace,
    StartTurn,
    StopGrace,
)
from .agent import Agent
from .errors import WireError
from .facts import (
    BadMessage,
    CallEnded,
    CallStarted,
    Detached,
    DuplicateRequest,
    Fact,
    Reattached,
    TurnFailed,
    TurnFinished,
    TurnReasked,
    TurnStarted,
    TurnSuperseded,
    UnknownMessage,
)
from .speech import split
from .transcript import Question, agent_has_spoken, decode_transcript, same_question
from .wire import (
    CallDetails,
    CallInfo,
    Config,
    ConfigOptions,
    PingPong,
    Pong,
    ReminderRequired,
    Response,
    ResponseRequired,
    UpdateOnly,
    decode,
    encode,
)

__all__ = ["CallMachine", "State"]

MAX_TEXT: Final = 64 * 1024
"""Characters kept of one answer. An hour of speech has fewer; the bound is for a model gone wild."""

BEGIN: Final = 0
"""The `response_id` of the begin message (protocol §4.4)."""


class State(Enum):
    """Where a call stands; see the table above."""

    AWAY = "away"
    OPEN = "open"
    ENDING = "ending"
    CLOSED = "closed"


class _Turn:
    """One generation, the id it is bound to, and its text."""

    __slots__ = (
        "asked_at",
        "completed_on",
        "done",
        "end_call",
        "failed",
        "generation",
        "question",
        "response_id",
        "sent",
        "started",
        "text",
    )

    def __init__(self, generation: int, response_id: int, question: Question | None, now: float) -> None:
        self.generation = generation
        self.response_id = response_id
        self.question = question
        self.asked_at = now
        self.text = ""
        self.sent = 0
        self.started = False  # a StartTurn was given out for it
        self.done = False  # no more text will come
        self.failed = False
        self.end_call = False
        self.completed_on = 0  # the number of the socket its completion was written to; 0 for none


class CallMachine:
    """One call.

    Args:
        call_id: The id in the URL Retell dialled.
        agent: Who answers.

    Attributes:
        state: Where the call stands.
        details: What Retell told about the call, once it did.
        has_pinged: Retell's keepalive runs on the present socket, so its silence would mean something (§1.5).
    """

    def __init__(self, call_id: str, agent: Agent) -> None:
        self.call_id = call_id
        self.state = State.AWAY
        self.details: CallInfo | None = None
        self.has_pinged = False
        self._agent = agent
        self._config = encode(
            Config(
                config=ConfigOptions(
                    auto_reconnect=True,
                    call_details=True,
                    transcript_with_tool_calls=agent.tool_calls_in_transcript,
                )
            )
        )
        self._sockets = 0
        self._heard_on = 0  # the number of the newest socket that brought a message
        self._before_socket = (0, 0)  # where the turn stood when the newest socket came
        self._asked_on_socket = False
        self._awaiting_details = False
        self._started_at = 0.0
        self._left_at = 0.0
        self._turns = 0
        self._turn = _Turn(1, BEGIN, None, 0.0)

    # ------------------------------------------------------------------------ sockets

    def attached(self, now: float) -> tuple[Action, ...]:
        """A socket was accepted for this call. Perform the actions on it before reading from it."""
        first, replaced = self._sockets == 0, self.state in (State.OPEN, State.ENDING)
        if self._heard_on < self._sockets:
            self._turn.sent, self._turn.completed_on = self._before_socket  # what it was told was told to nobody
        self._before_socket = (self._turn.sent, self._turn.completed_on)
        self._sockets += 1
        self._asked_on_socket = False
        self.has_pinged = False
        self.state = State.ENDING if self._turn.end_call and self._turn.completed_on else State.OPEN
        if first:
            self._started_at = self._turn.asked_at = now
            return (Send(self._config), Record(CallStarted()), *self._greet(now))
        hello: Action = DropSocket() if replaced else StopGrace()
        return (hello, Send(self._config), Record(Reattached(replaced)), *self._continue(now))

    def _greet(self, now: float) -> tuple[Action, ...]:
        greeting = self._agent.greeting
        if isinstance(greeting, str):
            self._turn.text = greeting
            self._turn.done = True
            return self._catch_up()
        self._awaiting_details = True
        return (AwaitDetails(),)

    def _continue(self, now: float) -> tuple[Action, ...]:
        turn = self._turn
        if self._awaiting_details:  # they come anew with every config
            return self.details_due(now) if self.details is not None else (AwaitDetails(),)
        if turn.response_id == BEGIN:
            # §1.7.3: a greeting that was heard is completed again, but without words.
            return (self._complete_again(),) if turn.completed_on else self._catch_up()
        begun = Send(encode(Response(response_id=BEGIN, content="", content_complete=True)))
        return (begun, self._complete_again()) if turn.completed_on else (begun, *self._catch_up())

    def _complete_again(self) -> Send:
        turn = self._turn
        turn.completed_on = self._sockets
        again = Response(response_id=turn.response_id, content="", content_complete=True, end_call=turn.end_call)
        return Send(encode(again))

    def detached(self, now: float) -> tuple[Action, ...]:
        """The call's socket is gone. Any turn goes on, its text is held.

        What the socket had brought before it went may still be given to `receive`.
        """
        self.state, self._left_at = State.AWAY, now
        return (StartGrace(), Record(Detached()))

    def closed(self, now: float) -> tuple[Action, ...]:
        """The call is over: the grace time has passed or the server lets go. No method may be called after."""
        was_away, self.state = self.state is State.AWAY, State.CLOSED
        actions: list[Action] = []
        turn = self._turn
        if turn.started and not turn.done:
            turn.done = True
            actions += [
                CancelTurn(turn.generation),
                Record(TurnFailed(turn.response_id, "call_ended", now - turn.asked_at)),
            ]
        ended_at = self._left_at if was_away else now  # the grace time is ours, not the caller's
        actions.append(Record(CallEnded(self._turns, ended_at - self._started_at)))
        return tuple(actions)

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
                return (Send(encode(Pong(timestamp=timestamp))),)
            case UpdateOnly():
                return self._updated(message, now)
            case ResponseRequired() | ReminderRequired():
                return self._asked(message, now)
            case CallDetails(call=details):
                return self._told(details, now)
            case _:  # UnknownKind
                return (Record(UnknownMessage()),)

    def _updated(self, message: UpdateOnly, now: float) -> tuple[Action, ...]:
        if self._awaiting_details and agent_has_spoken(decode_transcript(message.transcript)[0]):
            # The caller was greeted before this process knew the call.
            self._awaiting_details = False
            self._turn.done = True
            return self._catch_up()
        return ()

    def _told(self, details: CallInfo, now: float) -> tuple[Action, ...]:
        if details.call_id != self.call_id:
            return (Record(BadMessage("call_details: they are another call's")),)
        self.details = details
        return self.details_due(now)

    def details_due(self, now: float) -> tuple[Action, ...]:
        """The time to wait for `call_details` is over, or they came. Without a socket they may still come."""
        if not self._awaiting_details or self.state in (State.AWAY, State.CLOSED):
            return ()
        self._awaiting_details = False
        return self._start(self._turn, now)

    def _asked(self, message: ResponseRequired | ReminderRequired, now: float) -> tuple[Action, ...]:
        turn, response_id = self._turn, message.response_id
        first_on_socket, self._asked_on_socket = not self._asked_on_socket, True
        redialled = first_on_socket and self._sockets > 1 and response_id > BEGIN
        duplicate = response_id <= turn.response_id
        if duplicate and not redialled:
            return (Record(DuplicateRequest(response_id)),)

        # §9.4: nobody knows whether ids continue over a redial, so there an older one may start them anew.
        transcript, whole = decode_transcript(message.transcript)
        question = Question("response" if isinstance(message, ResponseRequired) else "reminder", transcript)
        actions: list[Action] = [Record(DuplicateRequest(response_id))] if duplicate else []
        if not whole:
            actions.append(Record(BadMessage(f"{question.kind}_required: part of the transcript is unreadable")))
        self._turns += 1
        self._awaiting_details = False
        if self.state is State.ENDING:
            self.state = State.OPEN
        if whole and self._answers(question):
            actions.append(Record(TurnReasked(response_id, turn.response_id)))
            turn.response_id, turn.asked_at = response_id, now
            turn.sent = turn.completed_on = 0
            actions += self._catch_up()
            return tuple(actions)
        if not turn.done:
            turn.done = True
            if turn.started:
                actions.append(CancelTurn(turn.generation))
            actions.append(Record(TurnSuperseded(turn.response_id, by=response_id)))
        self._turn = _Turn(turn.generation + 1, response_id, question, now)
        actions += self._start(self._turn, now)
        return tuple(actions)

    def _answers(self, question: Question) -> bool:
        """Tell whether the present generation answers `question` too."""
        turn = self._turn
        return (
            turn.question is not None
            and not turn.failed
            and (not turn.done or bool(turn.text))
            and same_question(turn.question, question)
        )

    def _start(self, turn: _Turn, now: float) -> tuple[Action, ...]:
        turn.started = True
        kind = "greeting" if turn.question is None else turn.question.kind
        return (
            Record(TurnStarted(turn.response_id, kind)),
            StartTurn(turn.generation, turn.response_id, turn.question),
        )

    # ------------------------------------------------------------------------ what the model says

    def say(self, generation: int, text: str) -> bytes | None:
        """Take the next piece of a generation's text.

        Args:
            generation: The number given with `StartTurn`.
            text: At most `speech.MAX_PIECE` characters.

        Returns:
            The frame to write now; None when the text is held for the next socket, or is nobody's any more.
        """
        turn = self._turn
        if turn.generation != generation or turn.done or not turn.started:
            return None
        turn.text += text[: MAX_TEXT - len(turn.text)]
        if self.state is State.AWAY:
            return None
        content, turn.sent = turn.text[turn.sent :], len(turn.text)
        if not content:  # past MAX_TEXT
            return None
        return encode(Response(response_id=turn.response_id, content=content, content_complete=False))

    def finish(self, generation: int, now: float, text: str = "", *, end_call: bool = False) -> tuple[Action, ...]:
        """The generation came to its end.

        Args:
            generation: The number given with `StartTurn`.
            now: The time in seconds.
            text: The last piece of its text.
            end_call: Hang up once everything was spoken.
        """
        turn = self._turn
        if not self._is_live(generation):
            return ()
        turn.text += text[: MAX_TEXT - len(turn.text)]
        turn.end_call = end_call
        fact = TurnFinished(turn.response_id, len(turn.text), now - turn.asked_at)
        return self._end(turn, fact)

    def fail(self, generation: int, now: float, why: str, line: str) -> tuple[Action, ...]:
        """The generation failed: say `line` in its place and complete the id (§4.3.5–6).

        Args:
            generation: The number given with `StartTurn`.
            now: The time in seconds.
            why: The kind of failure, for the record.
            line: What the caller hears, after whatever was said already.
        """
        turn = self._turn
        if not self._is_live(generation):
            return ()
        turn.failed = True
        turn.text += f" {line}" if turn.text and not turn.text[-1].isspace() else line
        return self._end(turn, TurnFailed(turn.response_id, why, now - turn.asked_at))

    def _is_live(self, generation: int) -> bool:
        """Tell whether words of this generation are still wanted."""
        turn = self._turn
        return turn.generation == generation and turn.started and not turn.done

    def _end(self, turn: _Turn, fact: Fact) -> tuple[Action, ...]:
        turn.done = True
        return (*self._catch_up(), Record(fact))

    def _catch_up(self) -> tuple[Action, ...]:
        """Send the text beyond what was sent, and the completion when the generation is done; hold both while away."""
        turn = self._turn
        if self.state is State.AWAY:
            return ()
        pieces = list(split(turn.text[turn.sent :]))
        if turn.done and not pieces:
            pieces = [""]
        turn.sent = len(turn.text)
        frames = []
        for number, content in enumerate(pieces, start=1):
            last = turn.done and number == len(pieces)
            frames.append(
                Send(
                    encode(
                        Response(
                            response_id=turn.response_id,
                            content=content,
                            content_complete=last,
                            end_call=last and turn.end_call,
                        )
                    )
                )
            )
        if turn.done:
            turn.completed_on = self._sockets
            if turn.end_call:
                self.state = State.ENDING
        return tuple(frames)

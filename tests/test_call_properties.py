"""The invariants I1–I8 of `call.py`, for any order of requests, words, failures, drops and redials.

The machine is driven as `session.py` drives it, by a peer that may do anything Retell may do: ask in the same or in
other words, skip ids, repeat ids, send rubbish, vanish, come back, or come back twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from retell_ws.actions import (
    Action,
    AdoptTurn,
    AwaitDetails,
    CancelTurn,
    Record,
    Send,
    StartGrace,
    StartTurn,
)
from retell_ws.agent import Agent
from retell_ws.call import CallMachine, State
from retell_ws.facts import IntentGiven, TurnFailed, TurnFinished, TurnReasked, TurnSuperseded
from retell_ws.handle import Call
from retell_ws.intent import EndCall, Intent, PressDigits, TransferCall
from retell_ws.memo import CallMemo, read, written
from retell_ws.transcript import START, Question, Utterance, words_since
from retell_ws.wire import AgentInterrupt, Config, Metadata, Pong, Response, ToolCallResult, decode_outbound

GREETING = "<greeting>"
WORDS = st.sampled_from(["hi", "hi.", "I need help", "bye", "right, thanks"])
INTENTS = st.sampled_from([EndCall(), TransferCall("+14155550100"), PressDigits("1")])


def made_later(call: Call) -> AsyncIterator[str]:
    raise AssertionError("the machine runs no function of the agent's")


TURNS = st.sampled_from(["user_turn", "agent_turn", None])


class Allowing:
    """What a driver knows: the test decides."""

    def __init__(self) -> None:
        self.begins = self.holds = True

    def may_begin(self, *, sure: bool) -> bool:
        return self.begins

    def still_holds(self, generation: int) -> bool:
        return self.holds


class CallInvariants(RuleBasedStateMachine):
    """Plays Retell, the model and the network at once."""

    @initialize(made=st.booleans(), speculating=st.booleans())
    def dial(self, made: bool, speculating: bool) -> None:
        self.allowing = Allowing()
        self.agent = Agent("You are Ana.", greeting=made_later if made else GREETING)
        self.call = CallMachine("call_1", self.agent, self.allowing if speculating else None)
        self.speculating = speculating
        self.guess: int | None = None  # the generation speculated with
        self.guessed = 0  # since the last request
        self.guess_ended = False
        self.overheard: list[str] = []
        self.now = 0.0
        self.sockets = self.lived = 0
        self.latest = 0  # as Retell asked on the present socket
        self.running: list[int] = []  # generations started and not ended
        self.bound: dict[int, int] = {}  # generation -> the id it answers
        self.ends: Counter[int] = Counter()  # id -> finished, failed or superseded facts
        self.starts: Counter[int] = Counter()
        self.words = 0
        self.text: dict[tuple[int, int], list[str]] = {}  # (id, era of that id) -> pieces written
        self.era: Counter[int] = Counter()  # how often an id was newly asked
        self.completions: Counter[tuple[int, int, int]] = Counter()  # (socket, id, era of that id)
        self.hung_up = False
        self.greeted = False
        self.unproven: list[tuple[list[str], str]] = []  # written to a socket that has brought no message yet
        self.greeted_unproven = False
        self.waiting = False
        self.standing: Intent | None = None  # an intent to leave that was given, and that nothing took back
        self.times = 0
        self.placed: Intent | None = None
        self.interrupts = 0
        self.asides: dict[str, int] = {}  # words that came by an interruption -> the socket they went to
        self.asides_heard: set[str] = set()
        self.saw(self.call.attached(self.now), attaching=True)

    # -------------------------------------------------------------- what leaves is judged here

    def saw(self, actions: tuple[Action, ...], *, attaching: bool = False) -> None:
        if attaching:
            self.sockets += 1
            self.hung_up = False
            for pieces, piece in self.unproven:  # said to nobody: they may be said again
                pieces.remove(piece)
            self.unproven.clear()
            if self.greeted_unproven:
                self.greeted = self.greeted_unproven = False
        for action in actions:
            match action:
                case Send(frame=frame):
                    self.left(frame, attaching=attaching)
                case StartTurn(generation=generation, response_id=None):
                    assert self.speculating and self.guess is None and self.allowing.begins
                    self.guess, self.guess_ended = generation, False
                    self.guessed += 1
                    assert self.guessed <= 2, "I8: two between two requests"
                case AdoptTurn(generation=generation, response_id=response_id):
                    assert generation == self.guess and self.allowing.holds and not self.running
                    assert not self.call._standing.intent
                    self.guess = None
                    if not self.guess_ended:
                        self.running.append(generation)
                    self.bound[generation] = response_id
                    self.starts[generation] += 1
                case CancelTurn(generation=self.guess):
                    self.guess = None
                case StartTurn(generation=generation, response_id=int(response_id), goes_on=goes_on):
                    assert not self.running, "at most one live generation"
                    self.running.append(generation)
                    self.bound[generation] = response_id
                    self.starts[generation] += not goes_on
                    assert goes_on or not action.said
                case CancelTurn(generation=generation):
                    assert generation in self.running
                    self.running.remove(generation)
                case AwaitDetails():
                    self.waiting = True
                case StartGrace():
                    assert self.call.state is State.AWAY
                case Record(fact=TurnFinished() | TurnFailed() | TurnSuperseded()):
                    self.ends[len(self.starts)] += 1
                case Record(fact=IntentGiven(kind="end_call" | "transfer_call", times=times)):
                    self.times = times
                case Record(fact=TurnReasked(response_id=response_id)):
                    for generation in self.running:
                        self.bound[generation] = response_id

    def left(self, frame: bytes, *, attaching: bool = False) -> None:
        message = decode_outbound(frame)
        if isinstance(message, Config):
            assert attaching
            return
        if isinstance(message, Pong):
            return
        assert self.call.state is not State.AWAY
        assert attaching or not self.hung_up, "I3: only pongs after the agent has left"
        if isinstance(message, ToolCallResult | Metadata):
            return
        if isinstance(message, AgentInterrupt):
            assert message.interrupt_id >= self.interrupts, "interruptions count up"
            self.interrupts = message.interrupt_id
            if message.content.startswith("w"):  # no fixed line
                assert message.content not in self.asides_heard, "I6: nor by two interruptions"
                self.asides[message.content] = self.sockets
            self.hung_up = self.hung_up or message.end_call or message.transfer_number is not None
            return
        assert isinstance(message, Response)
        if attaching and message.response_id == 0 and message.content == "" and self.sockets > 1:
            return
        assert message.response_id == self.latest, "I1: only the latest id"
        if message.content == GREETING:
            assert not self.greeted, "I6: one greeting a call"
            self.greeted = self.greeted_unproven = True
        else:
            pieces = self.text.setdefault((message.response_id, self.era[message.response_id]), [])
            for piece in message.content.split():
                assert piece not in pieces, "I6: no piece twice under one id"
                pieces.append(piece)
                if not self.alive:
                    self.unproven.append((pieces, piece))
        if message.content_complete:
            self.completions[self.sockets, message.response_id, self.era[message.response_id]] += 1
            if message.end_call or message.transfer_number:
                self.hung_up = True

    @property
    def alive(self) -> bool:
        return self.lived == self.sockets

    def hear(self, data: bytes) -> tuple[Action, ...]:
        """Let a message of Retell's come: it proves that the socket lives, and all that was written to it."""
        self.lived = self.sockets
        self.unproven.clear()
        self.asides_heard |= {words for words, socket in self.asides.items() if socket == self.sockets}
        if b"_required" in data:
            self.guessed = 0
        self.greeted_unproven = False
        return self.call.receive(data, self.tick())

    def word(self) -> str:
        self.words += 1
        return f"w{self.words} "

    def tick(self) -> float:
        self.now += 0.01
        return self.now

    @property
    def attached(self) -> bool:
        return self.call.state in (State.OPEN, State.ENDING)

    # -------------------------------------------------------------- Retell

    # Retell's last messages may be read when their socket is known to be gone.

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(step=st.integers(-1, 2), words=st.lists(WORDS, max_size=3), reminder=st.booleans())
    def ask(self, step: int, words: list[str], reminder: bool) -> None:
        response_id = max(self.latest + step, 0)
        transcript = [{"role": "user" if n % 2 == 0 else "agent", "content": word} for n, word in enumerate(words)]
        kind = "reminder_required" if reminder else "response_required"
        data = msgspec.json.encode({"interaction_type": kind, "response_id": response_id, "transcript": transcript})
        before = len(self.starts)
        turns = self.call._turns
        standing = self.call._standing  # what the turn under way wants takes its place
        stands = standing.intent is not None and standing.wanted is None and self.times < 5
        place = self.call._standing._places.get(self.call._standing._since, START)
        said_since = words_since(place, Question("reminder", msgspec.convert(transcript, tuple[Utterance, ...])))
        if step > 0:
            self.era[response_id] += 1
            self.latest = response_id
            self.hung_up = False
        accepted_low = False
        if step <= 0:
            # Only the machine's own rule for a new socket may accept these; then they count as newly asked.
            probe, era, ending = self.latest, self.era.copy(), self.call.state is State.ENDING
            self.hung_up = False
            self.latest = response_id
            self.era[response_id] += 1
            actions = self.hear(data)
            accepted_low = self.call._turns > turns
            if not accepted_low:
                self.latest, self.era = probe, era
            self.saw(actions)
            self.hung_up = self.hung_up or (ending and not accepted_low)
        else:
            self.saw(self.hear(data))
        assert len(self.starts) <= before + 1
        assert self.guess is None or self.call._turns == turns, "a request takes it or drops it"
        if stands and reminder and not said_since and (step > 0 or accepted_low) and self.call._turns > turns:
            assert len(self.starts) == before, "I7: what stands is done, without a word of the model's"
        self.waiting = self.waiting and not (step > 0 or accepted_low)

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(polished=st.booleans())
    def ask_what_was_overheard(self, *, polished: bool) -> None:
        words = list(self.overheard)
        if polished and words:
            words[-1] = f"Um, {words[-1].removesuffix('.')}!"
        self.ask(1, words, False)

    @precondition(lambda self: self.attached)
    @rule(timestamp=st.integers(0, 2**53))
    def ping(self, timestamp: int) -> None:
        data = msgspec.json.encode({"interaction_type": "ping_pong", "timestamp": timestamp})
        (action,) = self.hear(data)
        assert isinstance(action, Send)
        assert decode_outbound(action.frame) == Pong(timestamp=timestamp), "I4: every ping is answered"

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(spoken=st.booleans())
    def update(self, spoken: bool) -> None:
        transcript = [{"role": "agent", "content": "Hello."}] if spoken else []
        if spoken:
            self.waiting = False
        data = msgspec.json.encode({"interaction_type": "update_only", "transcript": transcript})
        self.saw(self.hear(data))

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(words=st.lists(WORDS, min_size=1, max_size=3), turn=TURNS)
    def overhear(self, words: list[str], turn: str | None) -> None:
        transcript = [{"role": "user" if n % 2 == 0 else "agent", "content": word} for n, word in enumerate(words)]
        self.overheard = words
        if len(words) > 1:
            self.waiting = False
        update = {"interaction_type": "update_only", "transcript": transcript}
        self.saw(self.hear(msgspec.json.encode({**update, "turntaking": turn} if turn else update)))

    @precondition(lambda self: self.speculating and self.call.state is not State.CLOSED)
    @rule()
    def quiet(self) -> None:
        self.saw(self.call.quiet(self.tick()))

    @precondition(lambda self: self.speculating)
    @rule(begins=st.booleans(), holds=st.booleans())
    def allow(self, begins: bool, holds: bool) -> None:
        self.allowing.begins, self.allowing.holds = begins, holds

    @precondition(lambda self: self.guess is not None and not self.guess_ended)
    @rule(how=st.sampled_from(["say", "finish", "fail"]))
    def guess_goes_on(self, how: str) -> None:
        assert self.guess is not None
        match how:
            case "say":
                assert self.call.say(self.guess, self.word()) is None, "I8: nobody hears it"
            case "finish":
                assert self.call.finish(self.guess, self.tick(), self.word()) == ()
                self.guess_ended = True
            case "fail":
                assert self.call.fail(self.guess, self.tick(), "ModelBroken", self.word()) == ()
                self.guess_ended = True

    @precondition(lambda self: self.attached)
    @rule(data=st.sampled_from([b"", b"{", b'{"interaction_type":"new"}', b'{"interaction_type":"ping_pong"}']))
    def rubbish(self, data: bytes) -> None:
        assert all(isinstance(action, Record) for action in self.hear(data))

    @precondition(lambda self: self.waiting and self.call.state is not State.CLOSED)
    @rule(by_details=st.booleans())
    def details(self, by_details: bool) -> None:
        if by_details:
            told = {"interaction_type": "call_details", "call": {"call_id": "call_1"}}
            self.saw(self.hear(msgspec.json.encode(told)))
        else:
            self.saw(self.call.details_due(self.tick()))
        self.waiting = self.call._opening.waits

    # -------------------------------------------------------------- the network

    @precondition(lambda self: self.attached)
    @rule()
    def drop(self) -> None:
        self.saw(self.call.detached(self.tick()))
        assert self.guess is None

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule()
    def redial(self) -> None:
        self.saw(self.call.attached(self.tick()), attaching=True)
        if self.call.state is State.ENDING:
            self.hung_up = True

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(pieces=st.integers(0, 2))
    def take_over(self, pieces: int) -> None:
        """Let the process die, some words after it wrote its memo, and another one take the call."""
        memo, question, sent = written(self.call.memo(0)), written(self.call.answer.question), self.call.answer.sent
        for _ in range(pieces if self.running else 0):
            self.say(self.running[-1])
        said = self.call.answer.said_since(sent)
        was_open = bool(self.running)
        self.running.clear()
        # Nobody can tell any more whether it was heard. Only what a call begins with is said again then.
        self.unproven = [(pieces, piece) for pieces, piece in self.unproven if pieces is self.text.get((0, 0))]
        self.guess = None
        self.guessed = 0  # each process counts its own
        self.call = CallMachine("call_1", self.agent, self.allowing if self.speculating else None)
        recalled = read(memo, CallMemo)
        assert recalled is not None
        self.call.recall(recalled, read(question, Question), None, said, self.tick(), lasted_s=1.0)
        self.saw(self.call.attached(self.tick()), attaching=True)
        if self.call.state is State.ENDING:
            self.hung_up = True
        assert bool(self.running) == was_open or self.waiting or self.call.answer.done, "an open id goes on"

    # -------------------------------------------------------------- the model

    @rule(generation=st.integers(0, 6))
    def say(self, generation: int) -> None:
        frame = self.call.say(generation, self.word())
        if generation not in self.running:
            assert frame is None, "words of a generation that is bound to nothing"
        if frame is not None:
            self.left(frame)

    @precondition(lambda self: self.running)
    @rule(words=st.booleans())
    def finish(self, words: bool) -> None:
        generation = self.running.pop()
        self.ended(generation, self.call.finish(generation, self.tick(), self.word() if words else ""))

    # -------------------------------------------------------------- the agent's functions

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(intent=INTENTS, of=st.sampled_from(["this turn", "an older turn", "none"]), words=st.booleans())
    def place(self, intent: Intent, of: str, words: bool) -> None:
        generation = None
        if of == "this turn" and self.running:
            generation = self.running[-1]
        elif of != "none":
            generation = 0
        ending = self.call.state is State.ENDING
        actions = self.call.place(generation, intent, self.word() if words else "", self.tick())
        if ending:
            assert actions is None, "I3"
        if generation is not None and generation in self.running:
            assert not actions, "it goes with the end of the answer"
        self.saw(actions or ())

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule()
    def interrupt(self) -> None:
        left = self.call.state is State.ENDING
        self.saw(self.call.interrupt(self.word(), self.tick()))
        assert self.guess is None or left

    @precondition(lambda self: self.call.state is not State.CLOSED)
    @rule(metadata=st.booleans())
    def note(self, metadata: bool) -> None:
        message = Metadata(metadata={}) if metadata else ToolCallResult(tool_call_id="1", content="done")
        self.saw(self.call.note(message))

    @precondition(lambda self: self.running)
    @rule()
    def insist(self) -> None:
        generation = self.running[-1]
        stands = self.call._standing.intent is not None
        actions = self.call.insist(generation, self.tick())
        if actions:
            assert stands
            self.running.pop()
            self.ended(generation, actions)

    @precondition(lambda self: self.running)
    @rule()
    def fail(self) -> None:
        generation = self.running.pop()
        self.ended(generation, self.call.fail(generation, self.tick(), "ModelBroken", self.word()))

    def ended(self, generation: int, actions: tuple[Action, ...]) -> None:
        self.saw(actions)
        completed = [a for a in actions if isinstance(a, Send) and piece_of(a.frame).content_complete]
        assert len(completed) == (1 if self.attached else 0), "I2: the end of a generation completes its id"
        assert any(isinstance(a, Record) and isinstance(a.fact, TurnFinished | TurnFailed) for a in actions), "I5"
        assert self.call.finish(generation, self.now) == ()
        assert self.call.fail(generation, self.now, "again", "Sorry.") == ()

    # -------------------------------------------------------------- at every moment

    @invariant()
    def completions_are_single(self) -> None:
        for key, count in getattr(self, "completions", {}).items():
            assert count == 1, f"I2: completed {count} times: {key}"

    def teardown(self) -> None:
        if not hasattr(self, "call"):
            return
        self.saw(self.call.closed(self.tick()))
        assert not self.running and self.guess is None, "I5: nothing runs after the end"
        assert all(count == 1 for count in self.starts.values())


class SpeculatingCallInvariants(CallInvariants):
    """The same, in calls where the caller is heard before Retell asks, most of the time."""

    @rule(
        before=st.sampled_from([[], ["hi", "Hello."]]),
        last=st.sampled_from(["hi.", "I need help.", "Um, yes.", "right, thanks.", "bye"]),
        goes=st.lists(st.sampled_from(["say", "say", "finish", "fail", "quiet", "place", "drop", "other"]), max_size=4),
        then=st.sampled_from(["ask", "ask", "ask polished", "ask again", "speak on", "nothing"]),
    )
    def speak(self, before: list[str], last: str, goes: list[str], then: str) -> None:
        if self.call.state is State.CLOSED:
            return
        if not self.attached:
            self.redial()
        self.allowing.begins = True
        words = [*before, last]
        self.overhear(words, "user_turn")
        for what in goes:
            if what in ("say", "finish", "fail"):
                if self.guess is not None and not self.guess_ended:
                    self.guess_goes_on(what)
            elif what == "quiet":
                self.quiet()
            elif what == "place":
                self.place(EndCall(), "an older turn", True)
            elif what == "drop" and self.attached:
                self.drop()
            elif what == "other" and self.running:
                self.finish(True)
        if then == "speak on":
            self.overhear([*words[:-1], f"{words[-1]} and so on."], None)
        elif then != "nothing":
            self.ask_what_was_overheard(polished=then == "ask polished")
            if then == "ask again":
                self.overhear(self.overheard, None)
                self.ask_what_was_overheard(polished=False)

    @initialize(made=st.just(False), speculating=st.just(True))
    def dial(self, made: bool, speculating: bool) -> None:
        super().dial(made, speculating)


def piece_of(frame: bytes) -> Response:
    message = decode_outbound(frame)
    assert isinstance(message, Response)
    return message


TestCallInvariants = CallInvariants.TestCase
TestSpeculatingCallInvariants = SpeculatingCallInvariants.TestCase

if settings.get_current_profile_name() == "usual":
    # Two servers that die while a greeting is in doubt, and what comes then, are rare among all that can happen.
    often = settings(max_examples=600, stateful_step_count=50)
    TestCallInvariants.settings = TestSpeculatingCallInvariants.settings = often

"""The call as an agent's own functions see it and move it. No I/O: what they ask for is done by `Controls`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from .directory import Directory
from .errors import CallError
from .intent import EndCall, Intent, PressDigits, TransferCall
from .wire import AgentConfig, CallInfo

__all__ = ["Call", "Caller", "Controls"]

MAX_DIGITS = 64

_DIGITS = re.compile(r"[0-9*#]+")

_NUMBER = re.compile(r"\+[1-9][0-9]{3,14}")

_NOWHERE = Directory({})


class Caller(msgspec.Struct, frozen=True):
    """Who is at the other end, as the telephone network and Retell know it; nothing they said, nothing a model said.

    Attributes:
        number: In E.164; None on web calls, when it is withheld, and while nothing is known. What stands there of a
            caller who withholds it ("anonymous") would be the same of all of them.
        verified: Retell's REST API confirmed this call. Otherwise it is what came over the socket, which is as
            trustworthy as the secret in its URL.
    """

    number: str | None = None
    verified: bool = False

    @classmethod
    def of(cls, details: CallInfo, *, verified: bool) -> Caller:
        """Read it from a call's details: on an outbound call the other end is the number that was dialled."""
        number = details.to_number if details.direction == "outbound" else details.from_number
        return cls(number if number is not None and _NUMBER.fullmatch(number) else None, verified)


class Controls(Protocol):
    """What can be done to a call; `generation` is that of the turn whose tool asks, None outside of any."""

    def place(self, generation: int | None, intent: Intent, words: str) -> None:
        """Let this happen. Raises `CallError` when it cannot."""
        ...

    def say(self, generation: int | None, text: str) -> None:
        """Say this now."""
        ...

    def update(self, config: AgentConfig) -> None:
        """Change how the agent behaves."""
        ...

    def send(self, metadata: dict[str, Any]) -> None:
        """Hand this to the browser of a web call."""
        ...


class _Over:
    def place(self, generation: int | None, intent: Intent, words: str) -> None:
        raise CallError("the call is over")

    def say(self, generation: int | None, text: str) -> None:
        raise CallError("the call is over")

    def update(self, config: AgentConfig) -> None:
        raise CallError("the call is over")

    def send(self, metadata: dict[str, Any]) -> None:
        raise CallError("the call is over")


OVER: Controls = _Over()
"""The controls of a call that has ended, or never was one."""


class _Shared:
    """What all views of one call have in common."""

    __slots__ = ("caller", "controls", "details", "digits", "directory", "id", "state")

    def __init__(self, call_id: str) -> None:
        self.id = call_id
        self.details: CallInfo | None = None
        self.caller = Caller()
        self.controls = OVER
        self.digits = ""
        self.directory = _NOWHERE
        self.state: Any = None


class Call:
    """The call, as an agent's own functions see it.

    Its methods may be called from a thread too. Each acts on the answer that is being given, when the function is a
    tool which this answer called, and otherwise on the call.

    Args:
        call_id: Retell's call id.
        details: What Retell told about the call.
        state: The agent's own state of it.
        directory: Where it may be transferred to.
        controls: Does what the functions ask for.
    """

    __slots__ = ("_generation", "_placed", "_shared")

    def __init__(
        self,
        call_id: str,
        details: CallInfo | None = None,
        *,
        state: Any = None,
        directory: Directory = _NOWHERE,
        controls: Controls = OVER,
    ) -> None:
        self._shared = shared = _Shared(call_id)
        self._generation: int | None = None
        self._placed: Callable[[Intent, str], None] | None = None
        shared.state = state
        shared.directory = directory
        shared.controls = controls
        if details is not None:
            self.know(details)

    # ------------------------------------------------------------------------ what is known

    @property
    def id(self) -> str:
        """Retell's call id."""
        return self._shared.id

    @property
    def details(self) -> CallInfo | None:
        """What Retell told about the call; None until `call_details` arrived (protocol §2.2)."""
        return self._shared.details

    @property
    def caller(self) -> Caller:
        """Who is at the other end. Decide with this what somebody may do, never with an argument of the model's."""
        return self._shared.caller

    @property
    def from_number(self) -> str | None:
        """The number that called in E.164; None on web calls and before the details arrived."""
        return None if self.details is None else self.details.from_number

    @property
    def to_number(self) -> str | None:
        """The number called, likewise."""
        return None if self.details is None else self.details.to_number

    @property
    def variables(self) -> Mapping[str, Any]:
        """The call's dynamic variables; empty when none were set."""
        return {} if self.details is None else self.details.retell_llm_dynamic_variables or {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata the call was created with; empty when none was set."""
        return {} if self.details is None else self.details.metadata or {}

    @property
    def digits(self) -> str:
        """Every key the caller pressed so far; needs `Agent(keypad=True)`."""
        return self._shared.digits

    @property
    def state(self) -> Any:
        """The agent's own state of this call, an instance of `Agent(state=...)`; change its fields as you like."""
        return self._shared.state

    # ------------------------------------------------------------------------ what can be done

    def end(self, message: str = "") -> None:
        """Hang up once this was said, and whatever the answer said before.

        Args:
            message: The goodbye; without one, and when the answer said nothing, `Lines.goodbye`.

        Raises:
            CallError: The agent is leaving already, or the call is over.
        """
        self.place(EndCall(), message)

    def transfer(self, to: str, message: str = "", *, show_caller: bool | None = None, unlisted: bool = False) -> None:
        """Hand the caller on, cold, once this was said. If the caller speaks into it and only agrees, it happens still.

        Args:
            to: A label of `Agent(transfers=...)`, or a number in it.
            message: What is said before; without one the target's own, then `Lines.transfer`. Keep it short.
            show_caller: The target sees the caller's number instead of ours; None leaves it to the directory. It has
                no effect outside of an answer, where Retell does not offer it.
            unlisted: `to` is a number of your own code's, which may be dialled though the directory lacks it. Never
                say so of an argument the model gave.

        Raises:
            CallError: There is no such target, this is a web call, the agent is leaving already.
        """
        target = self._shared.directory.find(to, unlisted=unlisted)
        if self.details is not None and self.details.call_type == "web_call":
            raise CallError("only phone calls can be transferred, and this is a web call")
        intent = TransferCall(target.number, target.show_caller if show_caller is None else show_caller)
        self.place(intent, message or target.message)

    def press(self, digits: str) -> None:
        """Press keys once the answer was spoken: for a machine at the other end.

        Args:
            digits: Of 0-9, * and #.

        Raises:
            CallError: They are no keys, the caller has spoken since, the agent is leaving already.
        """
        if not _DIGITS.fullmatch(digits) or len(digits) > MAX_DIGITS:
            raise CallError(f"keys are 1 to {MAX_DIGITS} of 0-9, * and #")
        self.place(PressDigits(digits), "")

    def say(self, text: str) -> None:
        """Say this.

        In a tool: now, within the answer that called it, and not at all when the caller has spoken since. In a hook, or
        a tool in the background: when the answer under way has come to its end, or else now, interrupting whoever
        speaks (protocol §3.4).

        Raises:
            CallError: The call is over.
        """
        self._shared.controls.say(self._generation, text)

    def update(
        self,
        *,
        responsiveness: float | None = None,
        interruption_sensitivity: float | None = None,
        reminder_trigger_ms: int | None = None,
        reminder_max_count: int | None = None,
    ) -> None:
        """Change how the agent behaves for the rest of this call; None leaves a value as it is.

        Args:
            responsiveness: 0 to 1; lower waits longer before it answers.
            interruption_sensitivity: 0 to 1; 0 is never interrupted.
            reminder_trigger_ms: Silence before a reminder, in milliseconds.
            reminder_max_count: How many reminders.

        Raises:
            CallError: The call is over.
        """
        self._shared.controls.update(
            AgentConfig(
                responsiveness=responsiveness,
                interruption_sensitivity=interruption_sensitivity,
                reminder_trigger_ms=reminder_trigger_ms,
                reminder_max_count=reminder_max_count,
            )
        )

    def send_metadata(self, data: Mapping[str, Any]) -> None:
        """Hand a JSON object to the browser of a web call. (`metadata` is what the call was created with.)

        Raises:
            CallError: It cannot be written as JSON, or the call is over.
        """
        try:
            plain = msgspec.json.decode(msgspec.json.encode(dict(data)))
        except (TypeError, ValueError, RecursionError):
            raise CallError("metadata must be a JSON object") from None
        self._shared.controls.send(plain)

    # ------------------------------------------------------------------------ for the driver

    def within(self, generation: int, placed: Callable[[Intent, str], None] | None = None) -> Call:
        """View the same call from a tool of this generation; `placed` is told what it wants to happen."""
        view = Call.__new__(Call)
        view._shared = self._shared
        view._generation = generation
        view._placed = placed
        return view

    def place(self, intent: Intent, words: str) -> None:
        """Let this happen. Raises `CallError` when it cannot."""
        self._shared.controls.place(self._generation, intent, words)
        if self._placed is not None:
            self._placed(intent, words)

    def know(self, details: CallInfo, *, verified: bool = False) -> None:
        """Take in what was told of the call. What Retell's API confirmed is not overwritten by what the socket says."""
        if self._shared.caller.verified and not verified:
            return
        self._shared.details = details
        self._shared.caller = Caller.of(details, verified=verified)

    def press_heard(self, digits: str) -> None:
        """Take in every key the caller pressed so far."""
        self._shared.digits = digits

    def restore(self, state: Any) -> None:
        """Take in a state of before."""
        self._shared.state = state

    def let_go(self) -> None:
        """The call is over: nothing more can be done to it."""
        self._shared.controls = OVER

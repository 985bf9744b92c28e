"""The agent as its author declares it. No I/O.

agent = Agent("You are Ana, the receptionist of Harbor Clinic. One or two short sentences.",
              greeting="Harbor Clinic, this is Ana.")
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, Literal, ParamSpec, TypeAlias, TypeVar, overload

import msgspec

from . import built_in
from .budget import PRICES, Budget
from .cache import Cache
from .directory import Directory, Transfer
from .errors import AgentError
from .handle import Call
from .intent import ACKNOWLEDGEMENTS
from .lines import Lines
from .masking import Mask
from .reminders import Reminders
from .tool import Tool, declare
from .transcript import normalised

__all__ = ["Agent", "Greeting", "HookName"]

Greeting: TypeAlias = str | Callable[[Call], str | Awaitable[str] | AsyncIterator[str]]
"""The begin message: a text, or a function of the call that returns one, at once, later or piece by piece."""

HookName: TypeAlias = Literal["on_start", "on_details", "on_end", "before_model"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Hook = TypeVar("_Hook", bound=Callable[..., Any])

MIN_WINDOW: Final = 10


class Agent:
    """Who answers the call.

    Args:
        instructions: The system prompt. Say who the agent is and that it speaks: short sentences, no lists. A function
            of the `Call` gives each stage of a conversation its own; it is asked for every answer and must not wait.
        greeting: The begin message, said once per call. Empty: the caller speaks first. A function of the `Call`
            waits for Retell's `call_details`, up to the setting `details_wait_ms`.
        model: The model's name, when it is not the server's default.
        max_tokens: Upper bound of one answer, in tokens.
        lines: What is said without the model.
        transfers: Where the caller may be handed on to, by label. With any, the model has a tool `transfer_call`.
        transfer_prefixes: Beginnings of further numbers that may be dialled though `transfers` lacks them.
        end_call: Give the model a tool `end_call`.
        reminders: What happens when the caller says nothing; None leaves it to the settings at Retell.
        state: A `msgspec.Struct` whose fields all have defaults: each call gets one of its own as `call.state`.
        call_data: Names of dynamic variables and metadata the model is shown, as data; also `from_number`,
            `to_number`, `direction` and `call_type`.
        keypad: Let the model know which keys the caller presses, of text messages, and of notes put into the live
            call through Retell's API. Asks Retell for `transcript_with_tool_calls` (§2.7), which makes its messages
            twice as long.
        window: Utterances the model sees word by word; earlier ones are summed up once there are twice as many.
        budget: What one call may cost.
        acknowledgements: The words with which a caller agrees, in the agent's language, when they speak into a
            transfer or a hang-up: then it happens all the same.
        speculate: Ask the model before Retell does, once the caller's words look finished; None leaves it to the
            server. An agent with `before_model` functions does so only when this says True: they then run for answers
            that nobody will hear, too.
        cache: Let an answer be given to other callers who ask the same in a conversation that is the same from its
            beginning, within bounds: openings alone, without tools or data of the call (`answers.py` has the whole
            list). True for the usual bounds.
        mask: Takes out of what was said whatever must not leave the process, in facts for consumers: a function of a
            text that gives a text, called in a thread. None for e-mail addresses, phone numbers, payment cards and
            long numbers (`masking.py`); one that raises leaves nothing of the text.

    Raises:
        AgentError: The instructions are empty, a number is out of range, a target or the state cannot be used.
    """

    __slots__ = (
        "acknowledgements",
        "budget",
        "cache",
        "call_data",
        "directory",
        "greeting",
        "hooks",
        "instructions",
        "keypad",
        "lines",
        "mask",
        "max_tokens",
        "model",
        "reminders",
        "speculate",
        "state",
        "tools",
        "window",
    )

    def __init__(
        self,
        instructions: str | Callable[[Call], str],
        *,
        greeting: Greeting = "",
        model: str = "",
        max_tokens: int = 300,
        lines: Lines | None = None,
        transfers: Mapping[str, str | Transfer] | None = None,
        transfer_prefixes: Iterable[str] = (),
        end_call: bool = False,
        reminders: Reminders | None = None,
        state: type[msgspec.Struct] | None = None,
        call_data: Iterable[str] = (),
        keypad: bool = False,
        window: int = 60,
        budget: Budget | None = None,
        acknowledgements: Collection[str] = ACKNOWLEDGEMENTS,
        speculate: bool | None = None,
        cache: Cache | bool = False,
        mask: Mask | None = None,
    ) -> None:
        if isinstance(instructions, str) and not instructions.strip():
            raise AgentError("an agent needs instructions: Agent('You are ...')")
        if max_tokens < 1:
            raise AgentError(f"max_tokens must be at least 1, not {max_tokens}")
        if window < MIN_WINDOW:
            raise AgentError(f"window must be at least {MIN_WINDOW}, not {window}")
        if isinstance(call_data, str):
            raise AgentError("call_data is a list of names")
        if mask is not None and not callable(mask):
            raise AgentError("mask is a function that takes a text and gives one")
        kept = Cache() if cache is True else cache or None
        _check_options(reminders, budget, kept, model)
        self.instructions = instructions
        self.greeting = greeting
        self.model = model
        self.max_tokens = max_tokens
        self.lines = lines or Lines()
        self.directory = Directory(transfers or {}, transfer_prefixes)
        self.reminders = reminders
        self.state = _checked_state(state)
        self.call_data = tuple(call_data)
        self.keypad = keypad
        self.window = window
        self.budget = budget
        self.acknowledgements = frozenset(normalised(word) for word in acknowledgements)
        self.speculate = speculate
        self.cache = kept
        self.mask = mask
        self.hooks: dict[HookName, list[Callable[..., Any]]] = {}
        self.tools: dict[str, Tool] = {}
        if end_call:
            self._add(built_in.end_call(self.lines.link))
        if self.directory.targets:
            self._add(built_in.transfer_call(self.directory, self.lines.link))

    @overload
    def tool(self, function: Callable[_P, _R], /) -> Callable[_P, _R]: ...

    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        timeout_s: float = 10.0,
        side_effect: bool = True,
        say: str = "",
        background: bool = False,
        parallel: bool = True,
        when: Callable[[Call], bool] | None = None,
        resets: Collection[str] = (),
    ) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]: ...

    def tool(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Give the model a tool: a typed function, async or plain. It is left as it is.

        @agent.tool
        async def book(call: Call, day: str) -> str: ...

        Args:
            function: The function; none when options are given.
            options: Those of `tool.declare`: `timeout_s`, `side_effect`, `say`, `background`, `parallel`, `when`,
                `resets`, `name`, `description`.

        Raises:
            AgentError: It cannot be a tool, or there is one of that name.
        """
        if function is None:
            return lambda function: self._declare(function, options)
        return self._declare(function, options)

    def _declare(self, function: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
        self._add(declare(function, **options))
        return function

    def _add(self, tool: Tool) -> None:
        if tool.name in self.tools:
            raise AgentError(f"the agent has two tools named `{tool.name}`; set name=... of one")
        self.tools[tool.name] = tool

    def speculates(self, by_default: bool) -> bool:
        """Tell whether the model is asked before Retell asks.

        Args:
            by_default: The server's setting.
        """
        if self.speculate is not None:
            return self.speculate
        return by_default and "before_model" not in self.hooks

    def on_start(self, function: _Hook) -> _Hook:
        """Run a function of the `Call` when its first socket is accepted. It may wait; nobody waits for it."""
        return self._hook("on_start", function)

    def on_details(self, function: _Hook) -> _Hook:
        """Run a function of the `Call` when Retell told about it, once. It may wait; nobody waits for it."""
        return self._hook("on_details", function)

    def on_end(self, function: _Hook) -> _Hook:
        """Run a function of the `Call` when it is over. It may wait, for some seconds at most."""
        return self._hook("on_end", function)

    def before_model(self, function: _Hook) -> _Hook:
        """Run a function of the `Call` and the `ModelRequest` before the model is asked; the caller waits for it.

        It returns the request to send instead, or None. What it changes near the beginning costs the provider's
        prompt cache.
        """
        return self._hook("before_model", function)

    def _hook(self, name: HookName, function: _Hook) -> _Hook:
        self.hooks.setdefault(name, []).append(function)
        return function


def _check_options(reminders: Reminders | None, budget: Budget | None, cache: Cache | None, model: str) -> None:
    for name, option in (("reminders", reminders), ("budget", budget), ("cache", cache)):
        if option is not None:
            try:  # a Struct made by hand checks nothing
                msgspec.convert(msgspec.to_builtins(option), type(option))
            except msgspec.ValidationError as exc:
                raise AgentError(f"{name}: {exc}") from None
    if budget is not None:
        if budget.tokens is None and budget.usd is None:
            raise AgentError("budget: set tokens, usd, or both")
        if budget.usd is not None and budget.prices is None and model and model not in PRICES:
            raise AgentError(f"budget: there is no price for {model}; give Budget(prices=...)")


def _checked_state(state: type[msgspec.Struct] | None) -> type[msgspec.Struct] | None:
    if state is None:
        return None
    if not (isinstance(state, type) and issubclass(state, msgspec.Struct)):
        raise AgentError("state must be a class made from msgspec.Struct")
    if state.__struct_config__.frozen:
        raise AgentError(f"state: {state.__name__} is frozen, so a call could not change it")
    try:
        msgspec.json.decode(msgspec.json.encode(state()), type=state)
    except (TypeError, msgspec.MsgspecError) as exc:
        raise AgentError(f"state: {state.__name__}() cannot be made, written and read again: {exc}") from None
    return state

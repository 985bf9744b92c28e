"""A tool as its author declares it: a typed function, and how it is to be run. Pure; `tools.py` runs it."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from .arguments import Arguments, described
from .errors import AgentError
from .handle import Call

__all__ = ["MAX_RESULT", "Tool", "ToolSpec", "declare", "result_text"]

MAX_RESULT: Final = 8000
"""Characters of a result that the model is told; a longer one would push the conversation out of its sight."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it.

    Attributes:
        name: 1 to 64 of A-Za-z0-9_-.
        description: What it does and when to use it: all the model knows about it.
        input_schema: JSON Schema of its arguments, an object's; the same bytes in every request.
    """

    name: str
    description: str
    input_schema: msgspec.Raw


class Tool:
    """One tool; `declare` makes it.

    Attributes:
        spec: What the model is told.
        function: What runs.
        timeout_s: Seconds the conversation waits for it.
        side_effect: It changes something in the world, so it runs once, and to its end.
        say: Said when it starts, unless the model has just said something itself.
        background: The call goes on while it runs.
        parallel: It may run beside other tools of the same message.
        when: Tells whether it may be called at this stage of a call; None for always.
        is_async: It is a coroutine function; others run in a thread.
    """

    __slots__ = (
        "_arguments",
        "background",
        "function",
        "is_async",
        "parallel",
        "say",
        "side_effect",
        "spec",
        "timeout_s",
        "when",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        spec: ToolSpec,
        arguments: Arguments,
        *,
        timeout_s: float,
        side_effect: bool,
        say: str,
        background: bool,
        parallel: bool,
        when: Callable[[Call], bool] | None,
    ) -> None:
        self.function = function
        self.spec = spec
        self.timeout_s = timeout_s
        self.side_effect = side_effect
        self.say = say
        self.background = background
        self.parallel = parallel
        self.when = when
        self.is_async = _is_async(function)
        self._arguments = arguments

    @property
    def name(self) -> str:
        """What the model calls it."""
        return self.spec.name

    def decode(self, arguments: str) -> dict[str, Any]:
        """Read the model's arguments into values of the function's types.

        Raises:
            ToolError: They cannot be read; the text says what to change.
        """
        return self._arguments.decode(arguments)

    def canonical(self, values: Mapping[str, Any]) -> bytes:
        """Write values so that the same call gives the same bytes, however the model wrote it."""
        return self._arguments.canonical(values)

    def bind(self, call: Call, values: Mapping[str, Any]) -> Callable[[], Any]:
        """Make the function ready to be called."""
        given = dict(values)
        if self._arguments.call is not None:
            given[self._arguments.call] = call
        return partial(self.function, **given)


def declare(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_s: float = 10.0,
    side_effect: bool = True,
    say: str = "",
    background: bool = False,
    parallel: bool = True,
    when: Callable[[Call], bool] | None = None,
) -> Tool:
    """Make a tool of a function.

    A parameter annotated `Call` is given the call, and the model is not told of it. Every other one needs an annotation
    that JSON can hold: text, numbers, `Literal`, enums, dataclasses, msgspec Structs, lists, dates and so on.

    Args:
        function: Async, or plain, which then runs in a thread. Its docstring tells the model what it does and, in its
            arguments section, what each argument is.
        name: What the model calls it, when that is not the function's name.
        description: What the model is told instead of the docstring.
        timeout_s: Seconds the conversation waits for it.
        side_effect: It changes something. False for look-ups: they end with the turn that asked, start a little
            earlier, and run anew each time.
        say: A holding phrase, said when it starts unless the model has just said something itself.
        background: The call goes on while it runs. What it gives is told to the model with the next question; to speak
            at once it may use `call.say`.
        parallel: It may run beside other tools that the model called in the same message.
        when: Tells whether it may be called at this stage of a call. It must not wait.

    Raises:
        AgentError: It cannot be one: a parameter without an annotation, no description, a wrong option.
    """
    name = name or str(getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", ""))
    if not _NAME.fullmatch(name):
        raise AgentError(f"a tool cannot be called {name!r}; give it a name of A-Z, a-z, 0-9, _ and -")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise AgentError(f"tool {name}: it yields; a tool returns one result")
    if not (timeout_s > 0 and math.isfinite(timeout_s)):
        raise AgentError(f"tool {name}: timeout_s must be above 0, not {timeout_s}")
    arguments = Arguments(function, name)
    about = description or described(function)[0]
    if not about.strip():
        raise AgentError(f"tool {name}: it needs a docstring, which is all the model knows about it")
    return Tool(
        function,
        ToolSpec(name, about.strip(), arguments.schema),
        arguments,
        timeout_s=timeout_s,
        side_effect=side_effect,
        say=say,
        background=background,
        parallel=parallel,
        when=when,
    )


def result_text(value: object) -> str:
    """Write what a tool returned as the model is told of it. Never raises."""
    if value is None:
        return "done"
    if isinstance(value, str):
        text = value
    else:
        try:
            text = msgspec.json.encode(value).decode()
        except Exception:  # whatever an author's type does when it is encoded
            return f"(It returned a {type(value).__name__}, which cannot be written down.)"
    return text if len(text) <= MAX_RESULT else f"{text[:MAX_RESULT]} (The rest is left out.)"


def _is_async(function: Callable[..., Any]) -> bool:
    target = getattr(function, "func", function)
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None))  # noqa: B004

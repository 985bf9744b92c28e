"""A model that says what a test wrote down: one step for each time it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeGuard

import msgspec

from ..errors import ModelError, ModelUnavailable
from ..ports import Delta, End, Rest, Text, ToolCall, Usage, no_rest
from ..request import ModelRequest, ToolResult

__all__ = ["Script", "Step", "Use"]

MAX_QUOTED = 80
"""Characters of a request that are quoted in a complaint."""


class Use:
    """The model's choice of a tool.

    Args:
        name: The tool; it need not exist.
        arguments: Its arguments, right or wrong.
    """

    def __init__(self, name: str, /, **arguments: Any) -> None:
        self.name = name
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"Use({', '.join([repr(self.name), *(f'{name}={value!r}' for name, value in self.arguments.items())])})"


Part: TypeAlias = "str | Use | Exception"

Step: TypeAlias = "Part | Sequence[Part] | Callable[[ModelRequest], Part | Sequence[Part]]"
"""What the model does when it is asked once: words, tools, an error to raise, several of them in a row, or a function
of the request that says so. Such a function may assert something of the request."""


class Script:
    """Implements `ports.Model`.

    Args:
        steps: One for each time it is asked.

    Attributes:
        requests: What it was asked, in order.
        failure: What a step that is a function raised, the first time one did.

    Raises:
        TypeError: A step is none.
    """

    name = "script"

    def __init__(self, steps: Iterable[Step]) -> None:
        if isinstance(steps, str):
            raise TypeError(f"a script is a list of steps: [{steps!r}]")
        self._steps = list(steps)
        for number, step in enumerate(self._steps, start=1):
            if not _is_function(step):
                _parts(step, number)
        self.requests: list[ModelRequest] = []
        self.failure: BaseException | None = None

    @property
    def left(self) -> list[Step]:
        """The steps that were not played."""
        return self._steps[len(self.requests) :]

    @property
    def unplanned(self) -> list[ModelRequest]:
        """The requests that came after the last step."""
        return self.requests[len(self._steps) :]

    @property
    def problem(self) -> str:
        """What was not played as it is written, in words; empty when all was."""
        played, steps = len(self.requests), len(self._steps)
        if self.unplanned:
            asked = f"the model was asked {played} times, and the script ends after {steps}"
            return f"{asked}; {_ending(self.unplanned[0])}"
        if self.left:
            return f"{played} of {steps} steps of the script were played; the next one would be {self.left[0]!r}"
        return ""

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Play the next step; see `ports.Model.stream`."""
        number = len(self.requests)
        self.requests.append(request)
        if number >= len(self._steps):
            raise ModelUnavailable("the script has no step for this request")
        parts = self._play(number, request)
        uses = 0
        for part in parts:
            await asyncio.sleep(0)  # no network gives everything at once
            match part:
                case str():
                    if part:
                        yield Text(part)
                case Use():
                    uses += 1
                    arguments = msgspec.json.encode(part.arguments).decode()
                    yield ToolCall(f"toolu_script_{number}_{uses}", part.name, arguments)
                case ModelError():
                    raise part
                case Exception():
                    raise ModelUnavailable(f"{type(part).__name__} of the script") from part
        yield End("tool_use" if uses else "end_turn", Usage(input_tokens=10, output_tokens=len(parts)), self.name)

    def _play(self, number: int, request: ModelRequest) -> Sequence[Part]:
        step = self._steps[number]
        try:
            return _parts(step(request) if _is_function(step) else step, number + 1)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:  # an assertion, which pytest's own are not even exceptions
            self.failure = self.failure or exc
            raise ModelUnavailable("a step of the script raised") from exc

    async def warm(self, request: object = None) -> None:
        """Have nothing to do: there is no connection."""

    async def aclose(self) -> None:
        """Have nothing to close."""


def _is_function(step: Step) -> TypeGuard[Callable[[ModelRequest], Part | Sequence[Part]]]:
    return callable(step) and not isinstance(step, type)  # `Use` without its brackets is a mistake


def _parts(step: object, number: int) -> Sequence[Part]:
    parts: Sequence[Any] = step if isinstance(step, list | tuple) else (step,)
    for part in parts:
        if not isinstance(part, str | Use | Exception):
            raise TypeError(f"step {number} of the script holds {part!r}; it may hold words, `Use` and exceptions")
    return parts


def _ending(request: ModelRequest) -> str:
    """Say what the model was asked: the end of the conversation."""
    message = request.messages[-1]
    told = [] if isinstance(message.content, str) else [one for one in message.content if isinstance(one, ToolResult)]
    if message.text or not told:
        return f"the first request too many came after the caller said {_quoted(message.text)}"
    return f"the first request too many came after a tool gave {_quoted(told[-1].content)}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…")

"""A model that says what a test wrote down: one step for each time it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from ..errors import ModelError, ModelUnavailable
from ..ports import Delta, End, Rest, Text, ToolCall, Usage, no_rest
from ..request import ModelRequest

__all__ = ["Script", "Step", "Use"]


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
of the request that says so."""


class Script:
    """Implements `ports.Model`.

    Args:
        steps: One for each time it is asked.

    Attributes:
        requests: What it was asked, in order.
        unplanned: How often it was asked after the last step.
    """

    name = "script"

    def __init__(self, steps: Iterable[Step]) -> None:
        self._steps = list(steps)
        self.requests: list[ModelRequest] = []
        self.unplanned = 0

    @property
    def left(self) -> int:
        """How many steps were not played."""
        return max(len(self._steps) - len(self.requests), 0)

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Play the next step; see `ports.Model.stream`."""
        number = len(self.requests)
        self.requests.append(request)
        if number >= len(self._steps):
            self.unplanned += 1
            raise ModelUnavailable("the script has no step for this request")
        step = self._steps[number]
        if callable(step):
            step = step(request)
        parts: Sequence[Part] = [step] if isinstance(step, str | Use | Exception) else step
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

    async def warm(self) -> None:
        """Have nothing to do: there is no connection."""

    async def aclose(self) -> None:
        """Have nothing to close."""

'''A tool as its author declares it and as the model is told of it: a typed function. No I/O.

def free_times(call: Call, day: date, kind: Literal["cut", "colour"] = "cut") -> list[time]:
    """The times at which somebody is free on a day.

    Args:
        day: The day the caller asked for.
    """

tool = declare(free_times, side_effect=False, say="Let me look. ")

The model is told the name, the docstring, and a JSON Schema of `day` and `kind`; the function gets a `date`, a str and
the call.
'''

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import docstring_parser
import msgspec
from docstring_parser import DocstringStyle

from .arguments import Arguments
from .errors import AgentError
from .handle import Call
from .parameters import Parameter, beneath, bind, read, schema, settled

__all__ = ["MAX_RESULT", "Tool", "ToolSpec", "declare", "result_text"]

MAX_RESULT = 8000
"""Characters of a result that the model gets to see, the note that it was cut among them; more would push the talk out
of its sight."""

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


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


class Tool(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A tool as `declare` makes it.

    Attributes:
        spec: What the model is told.
        function: The author's, unchanged.
        timeout_s: Seconds the conversation waits for it.
        side_effect: It changes something in the world, so it runs once, and to its end.
        say: Said when it starts, unless the model has just said something itself.
        background: The call goes on while it runs.
        parallel: It may run beside other tools of the same message.
        when: Tells whether it may be called at this stage of a call; None for always.
        is_async: `function` is an `async def`. A plain one may still return an awaitable.
        is_once: The ledger sees to it that it is done once. What only moves the call may be done again, because the
            caller spoke into it or the line was lost.
        resets: Names of tools that may be called anew, with the same arguments, once this one was done.
        needs_verification: It waits for the call to be verified. Hanging up takes no authority.
    """

    spec: ToolSpec
    function: Callable[..., Any]
    timeout_s: float
    side_effect: bool
    say: str
    background: bool
    parallel: bool
    when: Callable[[Call], bool] | None
    is_async: bool
    is_once: bool
    resets: tuple[str, ...]
    needs_verification: bool
    _parameters: tuple[Parameter, ...]
    _arguments: Arguments

    @property
    def name(self) -> str:
        """Its name, as the model calls it."""
        return self.spec.name

    def decode(self, arguments: str) -> dict[str, Any]:
        """The values for the function, typed, the defaults filled in, those of a `Call` left out.

        Args:
            arguments: As the model wrote them: a JSON object. Nothing at all counts as an empty one.

        Raises:
            ToolError: They are not what the schema asks for; the text says to the model what is.
        """
        return self._arguments.decode(arguments)

    def canonical(self, values: Mapping[str, Any]) -> bytes:
        """The values as bytes: the same ones for the same values, in every process.

        Args:
            values: Those of `decode`.
        """
        # Not orjson: it takes no integer past 64 bits, and the model may give one.
        return msgspec.json.encode(msgspec.to_builtins(settled(dict(values)), str_keys=True), order="sorted")

    def bind(self, call: Call, values: Mapping[str, Any]) -> Callable[[], Any]:
        """The function, ready to be called: once, for it may change the values it gets.

        Args:
            call: For a parameter that wants it.
            values: Those of `decode`.
        """
        return bind(self.function, self._parameters, call, values)


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
    resets: Collection[str] = (),
) -> Tool:
    """Make a tool of a function.

    Args:
        function: `async def` or plain, also a bound method, a partial or an object that can be called. Each parameter
            has an annotation. One annotated `Call` gets the call; the model gives the others.
        name: Instead of the function's own.
        description: Instead of the docstring's text. The docstring (Google, NumPy or reST style) still describes the
            parameters. Of its sections the model is told the parameters and what is returned, no others.
        timeout_s: Seconds the conversation waits for it.
        side_effect: It changes something. False for look-ups: they end with the turn that asked, start a little
            earlier, and run anew each time.
        say: A holding phrase, said when it starts unless the model has just said something itself.
        background: The call goes on while it runs. What it gives is told to the model with the next question; to speak
            before that it may use `call.say`.
        parallel: It may run beside other tools that the model called in the same message.
        when: Tells whether it may be called at this stage of a call. It must not wait.
        resets: Names of tools whose work this one undoes, or makes sensible again: after a cancellation the same
            booking is a new one, and after that booking so is the cancellation.

    Raises:
        AgentError: It cannot be told to a model, or an option is wrong; the text says what to change.
    """
    plain = beneath(function)
    if plain is None:
        raise AgentError(f"a tool is a function, not {function!r:.80}; options go by name: name=..., timeout_s=...")
    named = function.func if isinstance(function, functools.partial) else function
    title = getattr(named, "__name__", "") if name is None else name
    if not NAME.fullmatch(title):
        raise AgentError(f"a tool needs a name of 1 to 64 of A-Z a-z 0-9 _ -, not {title!r:.80}: set name=...")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise AgentError(f"tool `{title}`: it yields; a tool returns one value")
    if not (timeout_s > 0 and math.isfinite(timeout_s)):
        raise AgentError(f"tool `{title}`: timeout_s must be a number of seconds above 0, not {timeout_s}")
    if when is not None and (not callable(when) or inspect.iscoroutinefunction(when)):
        raise AgentError(f"tool `{title}`: `when` must be a plain function of the call, not {when!r:.80}")
    if isinstance(resets, str):
        raise AgentError(f"tool `{title}`: resets is a list of names, not {resets!r:.80}")
    summary, told = _docstring(inspect.getdoc(plain) or "")
    text = summary if description is None else inspect.cleandoc(description).strip()
    if not text:
        raise AgentError(f"tool `{title}`: it needs a docstring or description=..., which is all the model knows of it")
    parameters = read(function, plain, title)
    described = schema(parameters, told, title)
    return Tool(
        spec=ToolSpec(title, text, msgspec.Raw(msgspec.json.encode(described))),
        function=function,
        timeout_s=timeout_s,
        side_effect=side_effect,
        say=say,
        background=background,
        parallel=parallel,
        when=when,
        is_async=inspect.iscoroutinefunction(plain),
        is_once=side_effect,
        resets=tuple(resets),
        needs_verification=side_effect,
        _parameters=parameters,
        _arguments=Arguments.of(parameters, described),
    )


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """What it says of the tool, and of each parameter."""
    whole = docstring_parser.Docstring()
    whole.long_description = text
    readings = [whole]
    for style in (DocstringStyle.GOOGLE, DocstringStyle.NUMPYDOC, DocstringStyle.REST):
        with contextlib.suppress(Exception):  # of another style, and the parser says so in several ways
            # The parser takes the indentation of all lines but the first for the docstring's own.
            readings.append(docstring_parser.parse("\n" + text, style))
    best = max(readings, key=lambda reading: len(reading.meta))
    told = {
        name.strip(" *`"): " ".join(parameter.description.split())
        for parameter in best.params
        if parameter.description
        for name in parameter.arg_name.split(",")  # NumPy: `width, height : int`
    }
    summary = (best.description or "").strip()
    if summary and best.returns is not None and best.returns.description:
        summary += f"\n\nReturns: {' '.join(best.returns.description.split())}"
    return summary, told


def result_text(value: object) -> str:
    """What the model is told of what a tool returned. Never raises.

    A text stays what it is, None becomes "done", anything else JSON. What JSON cannot tell is named by its type. At
    most `MAX_RESULT` characters, all of which UTF-8 can encode.
    """
    try:
        text = _text(value)
    except Exception:
        text = (
            f"done, but the result, a {type(value).__name__}, cannot be shown "
            "(a tool can return text, numbers, lists, dicts, dataclasses and msgspec Structs)"
        )
    if len(text) <= MAX_RESULT:
        return text
    note = f" … [cut: the result has {len(text)} characters]"
    return text[: MAX_RESULT - len(note)] + note


def _text(value: object) -> str:
    if value is None:
        return "done"
    if isinstance(value, str):
        # A lone surrogate, as file names may hold, would break the request to the model.
        return str.__str__(value).encode("utf-8", "replace").decode()
    return msgspec.json.encode(value).decode()

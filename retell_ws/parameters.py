"""A tool's parameters: read off its function's signature, told to the model as JSON Schema. No I/O.

A parameter annotated `Call` gets the call and the model never hears of it; likewise what a `functools.partial` bound.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from .errors import AgentError
from .handle import Call

__all__ = ["REQUIRED", "Parameter", "beneath", "bind", "read", "schema", "settled"]

REQUIRED: Any = inspect.Parameter.empty
"""Stands for the default of a parameter that has none."""

NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
"""What the model's API takes as the name of an argument."""


class Parameter(msgspec.Struct, frozen=True, eq=False):
    """One parameter.

    Attributes:
        name: As the function spells it.
        type: What its values are; `Call` itself for the one that gets the call.
        default: Its default, or `REQUIRED`.
        by_position: It can be given by position only.
    """

    name: str
    type: Any
    default: Any
    by_position: bool

    @property
    def for_call(self) -> bool:
        """It gets the call."""
        return self.type is Call


def beneath(function: object) -> types.FunctionType | None:
    """The Python function under bound methods, partials, caches and callable objects; None when there is none."""
    while not isinstance(function, types.FunctionType):
        if isinstance(function, type):
            return None
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType | staticmethod):
            function = function.__func__
        elif "__wrapped__" in getattr(function, "__dict__", {}):  # functools.cache
            function = function.__dict__["__wrapped__"]
        else:
            function = inspect.getattr_static(function, "__call__", None)
            if not isinstance(function, types.FunctionType):
                return None
    return function


def read(function: Callable[..., Any], plain: types.FunctionType, tool: str) -> tuple[Parameter, ...]:
    """The parameters of a function, in their order, without those a partial bound.

    Args:
        function: What is going to be called.
        plain: What is `beneath` it.
        tool: The tool's name, for what an error says.

    Raises:
        AgentError: A parameter takes any number of arguments, has no annotation, or one that cannot be resolved.
    """
    try:
        signature = inspect.signature(function)
    except Exception as error:
        raise AgentError(f"tool `{tool}`: its signature cannot be read: {error}") from error
    # A partial shows what it bound by keyword as a default; it may be a secret, and the model is told of defaults.
    bound = function.keywords if isinstance(function, functools.partial) else {}
    scope = getattr(inspect.unwrap(plain), "__globals__", {})
    return tuple([_read(one, scope, tool) for one in signature.parameters.values() if one.name not in bound])


def _read(parameter: inspect.Parameter, scope: dict[str, Any], tool: str) -> Parameter:
    name = parameter.name
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise AgentError(f"tool `{tool}`: `{parameter}` takes anything; the model must be told each argument by name")
    if parameter.annotation is REQUIRED:
        hint = "; declare the method of an object, not of its class" if name in ("self", "cls") else ""
        raise AgentError(f"tool `{tool}`: its parameter `{name}` needs an annotation, as in `{name}: str`{hint}")
    kind = _resolved(parameter.annotation, scope, tool, name)
    if kind in (Call, Call | None):
        kind = Call
    elif not NAME.fullmatch(name):
        raise AgentError(f"tool `{tool}`: the model's API takes no argument named `{name}`: 1 to 64 of A-Z a-z 0-9 _")
    elif parameter.default is None:
        kind = kind | None  # as many write it, and a model that is told of a null may give one
    # The author's function may change its own default when it is called as a function; the tool's stays as it was.
    default = parameter.default if kind is Call else _copy(parameter.default, tool, name)
    return Parameter(name, kind, default, parameter.kind is parameter.POSITIONAL_ONLY)


def _resolved(annotation: Any, scope: dict[str, Any], tool: str, name: str) -> Any:
    """The annotation as a type. One at a time: the name that cannot be resolved may be that of the return type."""

    def carrier() -> None: ...

    carrier.__annotations__ = {"it": annotation}
    try:
        return typing.get_type_hints(carrier, scope, include_extras=True)["it"]
    except Exception as error:
        raise AgentError(
            f"tool `{tool}`: the annotation {annotation!r} of `{name}` cannot be resolved: {error}. "
            "Types must stand at the top of the function's module, neither inside a function nor under TYPE_CHECKING"
        ) from error


def _copy(default: Any, tool: str, name: str) -> Any:
    if default is REQUIRED:
        return default
    try:
        msgspec.to_builtins(default, str_keys=True)
        return copy.deepcopy(default)
    except Exception as error:
        raise AgentError(f"tool `{tool}`: the default of `{name}` cannot be told to the model as JSON") from error


def schema(parameters: tuple[Parameter, ...], told: Mapping[str, str], tool: str) -> dict[str, Any]:
    """JSON Schema of what the model may give: an object, and the same one in every process.

    Args:
        parameters: Those `read` found.
        told: Descriptions by parameter; one that stands in the annotation goes before.
        tool: The tool's name, for what an error says.

    Raises:
        AgentError: A parameter's type has no JSON Schema.
    """
    shown = [parameter for parameter in parameters if not parameter.for_call]
    for parameter in shown:
        _check(parameter, tool)
    try:
        pieces, shared = msgspec.json.schema_components([parameter.type for parameter in shown])
    except Exception as error:
        raise AgentError(f"tool `{tool}`: its parameters' types do not go together: {error}") from error
    properties = {}
    for parameter, piece in zip(shown, pieces, strict=True):
        properties[parameter.name] = piece = {**piece}
        if text := told.get(parameter.name):
            piece.setdefault("description", text)
        if parameter.default is not REQUIRED:
            piece["default"] = msgspec.to_builtins(settled(parameter.default), str_keys=True)
    for component in shared.values():
        for piece in component.get("properties", {}).values():
            if piece.get("uniqueItems") and isinstance(default := piece.get("default"), list):
                piece["default"] = sorted(default, key=_encoded)
    return {
        "type": "object",
        "properties": properties,
        "required": [parameter.name for parameter in shown if parameter.default is REQUIRED],
        "additionalProperties": False,
        **({"$defs": shared} if shared else {}),
    }


def _check(parameter: Parameter, tool: str) -> None:
    """One at a time, so that the error names the parameter."""
    try:
        msgspec.json.schema(parameter.type)
        msgspec.json.Decoder(parameter.type)
    except Exception as error:
        reason = str(error).splitlines()[-1:]  # the lines before it are of use to whoever calls msgspec
        raise AgentError(
            f"tool `{tool}`: `{parameter.name}` is of a type JSON cannot tell: {''.join(reason)}"
        ) from error


def bind(
    function: Callable[..., Any], parameters: tuple[Parameter, ...], call: Call, values: Mapping[str, Any]
) -> Callable[[], Any]:
    """The function with all it needs.

    Args:
        function: Where `parameters` were read.
        parameters: Those of `read`.
        call: For the parameters that want it.
        values: One for each of the others.
    """
    given = {one.name: call if one.for_call else values[one.name] for one in parameters}
    by_position = [given.pop(one.name) for one in parameters if one.by_position]
    return functools.partial(function, *by_position, **given)


def settled(value: Any) -> Any:
    """The value with every set in it as a list, whose order is the same in every process.

    msgspec's own order for sets is for members that can be compared, which those of an enum cannot.
    """
    if isinstance(value, set | frozenset):
        return sorted([settled(member) for member in value], key=_encoded)
    if isinstance(value, list | tuple):
        return [settled(item) for item in value]
    if isinstance(value, dict):
        return {key: settled(item) for key, item in value.items()}
    if isinstance(value, msgspec.Struct):
        twin: Any = copy.copy(value)
        for name in value.__struct_fields__:
            msgspec.structs.force_setattr(twin, name, settled(getattr(value, name)))
        return twin
    if dataclasses.is_dataclass(value):
        twin = copy.copy(value)
        for field in dataclasses.fields(value):
            object.__setattr__(twin, field.name, settled(getattr(value, field.name)))
        return twin
    return value


def _encoded(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")

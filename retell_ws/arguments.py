"""From a function's signature to the arguments of a tool: their schema, and how they are read. Pure.

The signature is all an author writes. msgspec makes the JSON Schema of its annotations, and reads the model's JSON into
values of those types; the docstring's words on each parameter become its description.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Annotated, Any, Final, get_type_hints

import msgspec
import orjson
from docstring_parser import DocstringStyle, parse
from msgspec import Meta

from .errors import AgentError, ToolError
from .handle import Call

__all__ = ["Arguments", "described"]

MAX_QUOTED: Final = 200
"""Characters of a complaint about the model's arguments."""

_SURROGATES = re.compile("[\ud800-\udfff]")


class Arguments:
    """The arguments of one function.

    Args:
        function: The function.
        name: What it is called, for complaints.

    Attributes:
        call: The parameter that takes the `Call`; None for none.
        schema: JSON Schema of the others, an object's; the same bytes in every process.

    Raises:
        AgentError: A parameter cannot come from JSON.
    """

    def __init__(self, function: Callable[..., Any], name: str) -> None:
        self.call: str | None = None
        self._by_place: list[str] = []
        descriptions = described(function)[1]
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        hints = _hints(function, name)
        for parameter in _signature(function, name).parameters.values():
            where = f"tool {name}: the parameter {parameter.name!r}"
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise AgentError(f"{where} stands for any number of arguments; the model has to be told each")
            if parameter.kind is parameter.POSITIONAL_ONLY:
                raise AgentError(f"{where} has no name to call it by; remove the '/'")
            hint = hints.get(parameter.name, parameter.empty)
            if hint is Call:
                self.call = parameter.name
                continue
            if hint is parameter.empty:
                raise AgentError(f"{where} needs an annotation, such as `{parameter.name}: str`")
            hint = _with_description(hint, descriptions.get(parameter.name, ""))
            if parameter.default is parameter.empty:
                fields.append((parameter.name, hint))
            else:
                fields.append((parameter.name, hint, _field(parameter.default)))
        try:
            self._type = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True)
            self.schema = msgspec.Raw(msgspec.json.encode(_schema(self._type)))
            # Built here, so that a type msgspec cannot read stops the start and not a call.
            self._strict = msgspec.json.Decoder(self._type)
            self._lenient = msgspec.json.Decoder(self._type, strict=False)
        except (TypeError, ValueError, NameError) as exc:
            raise AgentError(f"tool {name}: {' '.join(str(exc).split())}") from None
        self._names = tuple(field[0] for field in fields)
        self._choices = {name: _choices(property) for name, property in _schema(self._type)["properties"].items()}

    def decode(self, text: str) -> dict[str, Any]:
        """Read the model's arguments.

        Models write numbers as text now and then, so what is not of its type is read once more with that tolerance; a
        truth is never taken for a number.

        Args:
            text: JSON as the model wrote it; empty for none.

        Returns:
            A value for each parameter, defaults filled in.

        Raises:
            ToolError: It cannot be read; the text says what to change.
        """
        try:
            data = text.encode() if text.strip() else b"{}"
        except UnicodeEncodeError:
            data = _SURROGATES.sub("\ufffd", text).encode()
        try:
            value = self._strict.decode(data)
        except msgspec.ValidationError as exc:
            value = self._tolerant(data, exc)
        except (msgspec.DecodeError, RecursionError):
            raise ToolError("the arguments are no JSON object") from None
        # Read back from the struct, so that a default is a copy of each call's own.
        return {name: getattr(value, name) for name in self._names}

    def _tolerant(self, data: bytes, strict: msgspec.ValidationError) -> Any:
        try:
            if b"true" not in data and b"false" not in data:
                return self._lenient.decode(data)
        except msgspec.ValidationError:
            pass
        complaint, _, path = str(strict).partition(" - at ")
        path = path.strip("`").removeprefix("$").removeprefix(".")
        name = re.split(r"[.\[]", path)[0]
        if "unknown field" in complaint:
            complaint += f"; the arguments are: {', '.join(self._names) or 'none'}"
        elif "Invalid enum value" in complaint and self._choices.get(name):
            complaint += f"; it may be: {', '.join(self._choices[name])}"
        raise ToolError(f"{path}: {complaint}"[: MAX_QUOTED * 2] if path else complaint[: MAX_QUOTED * 2])

    def canonical(self, values: Mapping[str, Any]) -> bytes:
        """Write values so that the same call gives the same bytes, however the model wrote it."""
        return orjson.dumps(msgspec.to_builtins(dict(values), str_keys=True), option=orjson.OPT_SORT_KEYS)


def described(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Read a docstring in any of the usual styles: what the function does, and what each parameter is."""
    # One of the styles always reads it: numpy's takes any text.
    doc = parse(inspect.getdoc(getattr(function, "func", function)) or "", DocstringStyle.AUTO)
    about = "\n\n".join(part for part in (doc.short_description, doc.long_description) if part)
    if doc.returns is not None and doc.returns.description:
        about += f"\n\nReturns: {doc.returns.description}"
    return about, {parameter.arg_name: " ".join((parameter.description or "").split()) for parameter in doc.params}


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise AgentError(f"tool {name}: it has no signature to read; write a function around it") from None


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    target = inspect.unwrap(getattr(function, "func", function))
    if not inspect.isroutine(target):
        target = type(target).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except NameError as exc:
        raise AgentError(
            f"tool {name}: an annotation names {exc.name!r}, which its module does not know; "
            "define or import it at the top of the module"
        ) from None


def _with_description(hint: Any, description: str) -> Any:
    if not description or any(
        isinstance(meta, Meta) and meta.description for meta in getattr(hint, "__metadata__", ())
    ):
        return hint

    return Annotated[hint, Meta(description=description)]


def _field(default: Any) -> Any:
    """A default of which each call gets a copy, when it can change."""
    try:
        hash(default)
    except TypeError:
        return msgspec.field(default_factory=lambda: deepcopy(default))
    return default


def _schema(type_: Any) -> dict[str, Any]:
    (_,), definitions = msgspec.json.schema_components([type_], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = definitions.pop("Arguments")
    schema.pop("title", None)
    schema.setdefault("properties", {})
    if definitions:
        schema["$defs"] = definitions
    return schema


def _choices(property: Any) -> tuple[str, ...]:
    return tuple(str(choice) for choice in property.get("enum", ())) if isinstance(property, dict) else ()

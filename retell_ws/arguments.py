"""The arguments a model gave, as the typed values its tool takes; or a text from which the model can do better. No I/O.

Every mistake is told at once, so that one more try is enough.
"""

from __future__ import annotations

import copy
import datetime
import decimal
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from .errors import ToolError
from .parameters import REQUIRED, Parameter

__all__ = ["MAX_COMPLAINT", "MAX_DEPTH", "MAX_QUOTE", "Arguments"]

MAX_COMPLAINT = 2000
"""Characters of what the model is told about all its mistakes of one call."""

MAX_QUOTE = 200
"""Characters of one remark: it may quote what the model gave."""

MAX_LIST = 1000
"""Characters of a list of what would have been right."""

WHERE = re.compile(r" - at `(?:key` in `)?\$([^`]*)`\Z")
"""The end of a message of msgspec's: the path to the value it speaks of."""

STEP = re.compile(r"\.([^.\[]+)|\[([^]]*)\]")
"""One step of such a path: a field, or an item by its number; `...` where no number is known."""

MAX_DEPTH = 64
"""Objects and arrays inside each other; what reads or writes a value calls itself for each."""

BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([]}])', re.DOTALL)
"""A text, which may hold brackets, or a bracket that opens, or one that closes."""

OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Arguments(msgspec.Struct, frozen=True, eq=False):
    """Reads what a model gives to one tool.

    Attributes:
        parameters: What the tool takes of the model.
        schema: What the model was told about them.
        decoders: By parameter, the strict one and the lenient one.
    """

    parameters: tuple[Parameter, ...]
    schema: dict[str, Any]
    decoders: dict[str, tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]]

    @classmethod
    def of(cls, parameters: Iterable[Parameter], schema: dict[str, Any]) -> Arguments:
        """A reader for these parameters, whose types `parameters.schema` took."""
        shown = tuple([one for one in parameters if not one.for_call])
        decoders = {
            one.name: (msgspec.json.Decoder(one.type), msgspec.json.Decoder(one.type, strict=False)) for one in shown
        }
        return cls(shown, schema, decoders)

    def decode(self, arguments: str) -> dict[str, Any]:
        """A value for every parameter, in their order; a default is a fresh copy each time.

        Lenient as models are: what is not of the type wanted but says one ("3") is taken, except that a bool is no
        number and a text stays a text.

        Args:
            arguments: As the model wrote them: a JSON object. Nothing at all counts as an empty one.

        Raises:
            ToolError: They are not what was asked for; nothing else is raised, whatever the text is.
        """
        given = _pieces(arguments)
        values: dict[str, Any] = {}
        wrong: list[str] = []
        for parameter in self.parameters:
            name = parameter.name
            if name in given:
                try:
                    values[name] = self._value(name, given.pop(name))
                except ToolError as error:
                    wrong.append(str(error))
            elif parameter.default is REQUIRED:
                wrong.append(f"`{name}` is missing{self._wanted(self.schema['properties'][name])}")
            else:
                values[name] = copy.deepcopy(parameter.default)
        if given:
            known = ", ".join([f"`{name}`" for name in self.decoders]) or "none"
            unknown = _cut(f"There is no argument {', '.join(map(repr, given))}", MAX_QUOTE)
            wrong.append(f"{unknown}; there are: {_cut(known, MAX_LIST)}")
        if wrong:
            raise ToolError(_cut("Wrong arguments, nothing was done: " + ". ".join(wrong), MAX_COMPLAINT))
        return values

    def _value(self, name: str, piece: msgspec.Raw) -> Any:
        """Raises ToolError, and nothing else: a type's own code may run here, and raise anything."""
        strict, lenient = self.decoders[name]
        try:
            try:
                return _finite(strict.decode(piece))
            except msgspec.ValidationError as error:
                value = _finite(lenient.decode(piece))
                if isinstance(value, datetime.datetime):
                    raise error from None  # "2026" is no second of 1970
                return value
        except Exception as error:
            raise ToolError(self._complaint(name, error)) from error

    def _complaint(self, name: str, error: Exception) -> str:
        if not isinstance(error, msgspec.MsgspecError | ToolError):
            return f"`{name}` cannot be read ({type(error).__name__})"
        message = str(error)
        where = WHERE.search(message)
        path = where[1] if where else ""
        text = f"`{name}{path}`: {_cut(message[: where.start()] if where else message, MAX_QUOTE)}"
        node = self._node(self.schema["properties"][name], path)
        if message.startswith("Invalid enum value") or message.startswith("Invalid value"):
            return text + self._wanted(node)
        if message.startswith("Object contains unknown field"):
            fields = [f"`{field}`" for one in self._faces(node) for field in one.get("properties", ())]
            return f"{text}; there are: {_cut(', '.join(fields), MAX_LIST)}"
        return text

    def _faces(self, node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """The schemas a node stands for: behind its reference, or each of its alternatives."""
        if "$ref" in node:
            yield from self._faces(self.schema["$defs"][node["$ref"].rpartition("/")[2]])
        elif "anyOf" in node:
            for one in node["anyOf"]:
                yield from self._faces(one)
        else:
            yield node

    def _node(self, node: Mapping[str, Any], path: str) -> Mapping[str, Any]:
        """The schema of what stands at a path; one without alternatives when there is nothing."""
        for field, item in STEP.findall(path):
            found: list[Any] = []
            for one in self._faces(node):
                if field:
                    found.append(one.get("properties", {}).get(field))
                elif "prefixItems" in one and item.isdigit():
                    found += one["prefixItems"][int(item) : int(item) + 1]
                else:
                    found.append(one.get("items", one.get("additionalProperties")))
            node = {"anyOf": [one for one in found if isinstance(one, dict)]}
        return node

    def _wanted(self, node: Mapping[str, Any]) -> str:
        """What a schema asks for, in a few words."""
        allowed: list[str] = []
        kinds: list[str] = []
        for one in self._faces(node):
            if "enum" in one:
                allowed += [msgspec.json.encode(value).decode() for value in one["enum"]]
            elif kind := one.get("type"):
                kinds.append(f"{kind} ({one['format']})" if "format" in one else kind)
        words = [f"one of {', '.join(allowed)}"] if allowed else []
        words += kinds
        return f"; wanted: {_cut(' or '.join(words), MAX_LIST)}" if words else ""


def _pieces(arguments: str) -> dict[str, msgspec.Raw]:
    """The arguments by name, not yet decoded."""
    if not arguments.strip():
        return {}
    try:
        pieces = OBJECT.decode(arguments)
        if _depth(arguments) <= MAX_DEPTH:
            return pieces
        reason = "nested too deep"
    except msgspec.ValidationError as error:
        reason = str(error)
    except msgspec.DecodeError as error:
        reason = f"no valid JSON: {error}"
    except RecursionError:
        reason = "nested too deep"
    except ValueError:  # half a surrogate pair, which no JSON on the wire can hold
        reason = "no valid Unicode"
    raise ToolError(f"Wrong arguments, nothing was done: they must be one JSON object ({_cut(reason, MAX_QUOTE)})")


def _depth(valid: str) -> int:
    """How deep a JSON document goes."""
    depth = deepest = 0
    for opens, closes in BRACKET.findall(valid):
        depth += bool(opens) - bool(closes)
        deepest = max(deepest, depth)
    return deepest


def _finite(value: Any) -> Any:
    """The value, unless it is a number that is none.

    Raises:
        ToolError: It is.
    """
    if (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, decimal.Decimal) and not value.is_finite()
    ):
        raise ToolError("Expected a finite number")
    return value


def _cut(text: str, length: int) -> str:
    """At most so many characters of it, in one line."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"

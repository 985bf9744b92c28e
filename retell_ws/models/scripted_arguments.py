"""A tool's arguments as the scripted model sees them: how to ask for one, and what an answer comes to. Pure.

A schema is read as far as simple tools need it, and whatever is not understood is taken for text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from .scripted_lines import WHAT_NAME, WHICH_DAY, day_in, name_in, repeated, says_no, says_yes

__all__ = ["Argument", "arguments_of", "overheard", "understood", "words_of"]

Kind: TypeAlias = Literal["day", "name", "code", "text", "integer", "number", "boolean", "choice", "list", "object"]

Schema: TypeAlias = dict[str, object]

MAX_DESCRIPTION_WORDS: Final = 6
"""Longest description that makes a question; a longer one explains more than anyone would ask."""

MAX_CHOICES: Final = 6
"""As many choices as are read out."""

MAX_REFERENCES: Final = 8
"""How far a reference is followed: a schema may hold a circle of them."""

NUMBERS: Final = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip

_DAY_WORDS: Final = frozenset({"day", "date", "appointment", "booking", "reservation", "visit", "preferred", "new"})
_PERSON_WORDS: Final = frozenset(
    {"name", "full", "customer", "caller", "client", "guest", "patient", "person", "user", "your"}
)
_CODE_WORDS: Final = frozenset({"number", "no", "id", "code", "phone", "zip", "postcode", "reference"})
_WEEK: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_QUESTION_WORDS: Final = frozenset({"how", "what", "which", "when", "where", "who", "whose"})

_TYPES: Final[dict[object, Kind]] = {
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "object",
}

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_NUMBER = re.compile(rf"-?\d+(?:,\d{{3}})*(?:\.\d+)?|\b(?:{'|'.join(NUMBERS)})\b", re.IGNORECASE)
_CODE = re.compile(r"\b[A-Za-z]{0,4}-?\d[\w-]*(?:[ -]\d[\w-]*)*")
_OVERHEARD_NAME = re.compile(
    r"\b(?i:name is|name's|this is|i am|i'm|under(?: the name(?: of)?)?)\s+([A-Z][\w'-]*(?:\s+[A-Z][\w'-]*)?)"
)
_LEAD_IN = re.compile(
    r"\W*(?:(?:um+|uh+|well|so|oh|yes|yeah|okay|ok|sure)\b\W*)*"
    r"(?:(?:(?:it|that|this)(?:'s| is| was)|(?:my|the|our) (?:[\w']+ ){1,4}?(?:is|was))\s+)?",
    re.IGNORECASE,
)
_POLITE = re.compile(r"[\s,]+(?:please|thanks|thank you)\W*$", re.IGNORECASE)


class Argument(msgspec.Struct, frozen=True):
    """One argument of a tool.

    Attributes:
        name: Its key.
        kind: How to understand an answer.
        question: Asks for it; one sentence with a question mark at its end.
        required: Whether it is asked for; one that is not may still be overheard.
        choices: The values it may have, for `choice`.
        items: The kind of its items, for `list`.
    """

    name: str
    kind: Kind
    question: str
    required: bool = True
    choices: tuple[object, ...] = ()
    items: Kind = "text"


def arguments_of(input_schema: msgspec.Raw) -> tuple[Argument, ...]:
    """Read a tool's schema.

    Args:
        input_schema: JSON Schema of an object.

    Returns:
        Its properties in their order; none, when it is no schema of an object.
    """
    try:
        whole = msgspec.json.decode(input_schema, type=Schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    root = _resolved(whole, whole)
    required = root.get("required")
    names = required if isinstance(required, list) else []
    return tuple([_argument(name, _resolved(of, whole), name in names) for name, of in _mapping(root, "properties")])


def understood(argument: Argument, heard: str) -> object | None:
    """Make a value of the answer to an argument's question.

    Returns:
        The value; None when the answer holds none.
    """
    match argument.kind:
        case "day":
            return day_in(heard) or _plain(heard)
        case "name":
            return name_in(heard)
        case "code":
            return _code(heard) or _plain(heard)
        case "integer" | "number":
            return _number(argument.kind, heard)
        case "boolean":
            return True if says_yes(heard) else False if says_no(heard) else None
        case "choice":
            return _choice(argument.choices, heard)
        case "list":
            return _list(argument.items, heard)
        case "object":
            return None
        case _:
            return _plain(heard)


def overheard(argument: Argument, heard: str) -> object | None:
    """Find a value in words that answer no question for it: only what can hardly mean anything else.

    Returns:
        The value; None when none was mentioned.
    """
    match argument.kind:
        case "day":
            return day_in(heard)
        case "name":
            found = _OVERHEARD_NAME.search(heard)
            return found.group(1) if found and not day_in(found.group(1)) else None
        case "code":
            return _code(heard)
        case "integer" | "number":
            # "One" is too often no number: "I would like one".
            return _number(argument.kind, re.sub(r"\bone\b", "", heard, flags=re.IGNORECASE))
        case "choice":
            return _choice(argument.choices, heard)
        case _:
            return None


def words_of(name: str) -> list[str]:
    """Take a name in any of the usual spellings apart, in lower case: `orderNumber`, `order_number`."""
    return [word.lower() for word in _WORD.findall(name)]


# ------------------------------------------------------------------------ schema


def _resolved(of: object, whole: Schema) -> Schema:
    """Look through references and alternatives, of which the first that is not null counts."""
    description = of.get("description") if isinstance(of, dict) else None
    for _ in range(MAX_REFERENCES):
        if not isinstance(of, dict):
            break
        reference = of.get("$ref")
        if isinstance(reference, str):
            of = dict(_mapping(whole, "$defs")).get(reference.rpartition("/")[2])
            continue
        options = next((of[key] for key in ("anyOf", "oneOf", "allOf") if isinstance(of.get(key), list)), None)
        if options is None:
            return of if description is None else {**of, "description": description}
        of = next((option for option in options if option != {"type": "null"}), None)
    return {}


def _mapping(schema: Schema, key: str) -> Iterable[tuple[str, object]]:
    found = schema.get(key)
    return found.items() if isinstance(found, dict) else ()


def _argument(name: str, schema: Schema, required: bool) -> Argument:
    words = words_of(name) or [name]
    kind, choices = _kind(words, schema)
    items: Kind = "text"
    if kind == "list":
        of = schema.get("items")
        items = _TYPES.get(of.get("type"), "text") if isinstance(of, dict) else "text"
    return Argument(name, kind, _question(words, kind, choices, schema.get("description")), required, choices, items)


def _kind(words: Sequence[str], schema: Schema) -> tuple[Kind, tuple[object, ...]]:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(choices, list):
        return "choice", tuple([choice for choice in choices if choice is not None])
    types = schema.get("type")
    type_ = next((one for one in types if one != "null"), None) if isinstance(types, list) else types
    if isinstance(type_, str) and type_ in _TYPES:
        return _TYPES[type_], ()
    if _DAY_WORDS.issuperset(words) and {"day", "date"} & set(words):
        return "day", ()
    if _PERSON_WORDS.issuperset(words) and "name" in words:
        return "name", ()
    return ("code" if _CODE_WORDS & set(words) else "text"), ()


def _question(words: Sequence[str], kind: Kind, choices: tuple[object, ...], description: object) -> str:
    named = " ".join(words)
    if kind == "day":
        return WHICH_DAY
    if kind == "name":
        return WHAT_NAME
    if kind == "choice" and set(choices).issubset(_WEEK):
        days = [day for day in _WEEK if day in choices]
        return f"{WHICH_DAY[:-1]}, {days[0]} to {days[-1]}?" if _is_a_row(days) else _offering(WHICH_DAY, days)
    if kind == "choice" and words == ["to"]:
        return _offering("Whom would you like to speak to?", choices)
    if kind == "boolean":
        return f"{named.capitalize()}: yes or no?"
    thing = f"the {named}"
    if isinstance(description, str) and (said := _short(description)):
        first, _, others = said.partition(" ")
        if first.lower() in _QUESTION_WORDS or said.endswith("?"):
            return f"{said.rstrip('?')}?"
        # An acronym stays as it is.
        lower = first.lower() if first[1:].islower() or len(first) == 1 else first
        thing = f"the {others}" if lower in ("a", "an") else said.replace(first, lower, 1)
        if not thing.startswith(("the ", "your ")):
            thing = f"the {thing}"
    return _offering(f"What is {thing}?", choices)


def _offering(question: str, choices: Sequence[object]) -> str:
    """Add to a question what there is to choose from, unless that is too much to listen to."""
    if not 1 < len(choices) <= MAX_CHOICES:
        return question
    *most, last = [str(choice).replace("_", " ") for choice in choices]
    return f"{question.rstrip('?')}: {', '.join(most)} or {last}?"


def _is_a_row(days: Sequence[str]) -> bool:
    """Tell whether `Monday to Friday` says the same."""
    return len(days) > 2 and _WEEK.index(days[-1]) - _WEEK.index(days[0]) == len(days) - 1


def _short(description: str) -> str:
    """Take a description that makes a question; empty when it is more than that."""
    said = description.strip().rstrip(".")
    return said if len(said.split()) <= MAX_DESCRIPTION_WORDS and not re.search(r"[.;:,()\n]", said) else ""


# ------------------------------------------------------------------------ values


def _plain(heard: str) -> str:
    """Leave out how an answer begins and ends without saying anything."""
    said = _POLITE.sub("", heard)
    return repeated(said[found.end() :] if (found := _LEAD_IN.match(said)) else said) or repeated(heard)


def _code(heard: str) -> str | None:
    found = _CODE.search(heard)
    return found.group() if found else None


def _number(kind: Kind, heard: str) -> int | float | None:
    found = _NUMBER.search(heard)
    return None if found is None else _value(kind, found.group())


def _value(kind: Kind, number: str) -> int | float:
    value = NUMBERS.get(number.lower())
    if value is not None:
        return value
    value_ = float(number.replace(",", ""))
    return int(value_) if kind == "integer" or value_.is_integer() else value_


def _choice(choices: tuple[object, ...], heard: str) -> object | None:
    """Find the choice that is mentioned: the longest, because `extra large` holds `large`."""
    said = f" {' '.join(_spoken(heard))} "
    mentioned = [choice for choice in choices if f" {' '.join(_spoken(str(choice)))} " in said]
    return max(mentioned, key=lambda choice: len(str(choice)), default=None)


def _spoken(text: str) -> list[str]:
    return [str(NUMBERS.get(word, word)) for word in re.findall(r"[^\W_]+", text.lower())]


def _list(items: Kind, heard: str) -> object | None:
    if items in ("integer", "number"):
        return [_value(items, number) for number in _NUMBER.findall(heard)] or None
    if items != "text":
        return None
    parts = re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", _plain(heard))
    return [part for part in parts if part] or None

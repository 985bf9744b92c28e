"""A typed function as a tool: what the model is told, what the function gets, and what the model is answered."""

from __future__ import annotations

import datetime
import enum
import functools
import json
import math
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from retell_ws.agent import Agent
from retell_ws.arguments import MAX_COMPLAINT, MAX_DEPTH, MAX_LIST, MAX_QUOTE
from retell_ws.errors import AgentError, ToolError
from retell_ws.handle import Call
from retell_ws.parameters import beneath
from retell_ws.tool import MAX_RESULT, Tool, declare, result_text


class Kind(enum.Enum):
    CUT = "cut"
    COLOUR = "colour"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Guest(msgspec.Struct):
    """Who comes."""

    name: str
    age: int = 30
    kind: Kind = Kind.CUT


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    number: int


class Card(msgspec.Struct, tag="card"):
    number: str


class Cash(msgspec.Struct, tag="cash"):
    amount: int


class Seat(NamedTuple):
    row: int
    kind: Kind


class Address(TypedDict):
    street: str


@dataclass
class Room:
    beds: int
    guests: list[Guest]


class Fussy(msgspec.Struct):
    text: str

    def __post_init__(self) -> None:
        if self.text == "value":
            raise ValueError("not this text")
        if self.text == "tool":
            raise ToolError("we are closed")
        if self.text == "secret":
            raise KeyError("secret detail")


class Chair:
    """Something no JSON tells."""


def schema_of(tool: Tool) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(bytes(tool.spec.input_schema))
    return schema


def taking(kind: Any, default: Any = msgspec.NODEFAULT, **options: Any) -> Tool:
    """A tool of one parameter `it` of this type, which returns it."""

    def echo(it: Any = None) -> Any:
        """Say it."""
        return it

    echo.__annotations__["it"] = kind
    echo.__defaults__ = None if default is msgspec.NODEFAULT else (default,)
    return declare(echo, **options)


def complaint(tool: Tool, arguments: str) -> str:
    with pytest.raises(ToolError) as raised:
        tool.decode(arguments)
    return str(raised.value)


def run(tool: Tool, arguments: str, call: Call | None = None) -> Any:
    return tool.bind(call or Call("call_1"), tool.decode(arguments))()


# -- What the model is told


def book(call: Call, day: datetime.date, guests: list[Guest], kind: Literal["table", "room"] = "table") -> str:
    """Book for a day.

    Only after the caller has confirmed the day.

    Args:
        call: Not for the model.
        day: The day the caller asked for,
            never one in the past.
        guests: Who comes.

    Returns:
        The number of the booking.

    Raises:
        ToolError: We are full.
    """
    return f"{call.id} {day} {len(guests)} {kind}"


def test_a_function_is_told_to_the_model_whole() -> None:
    tool = declare(book)
    assert tool.name == tool.spec.name == "book"
    assert tool.spec.description == (
        "Book for a day.\n\nOnly after the caller has confirmed the day.\n\nReturns: The number of the booking."
    )
    assert schema_of(tool) == {
        "type": "object",
        "properties": {
            "day": {
                "type": "string",
                "format": "date",
                "description": "The day the caller asked for, never one in the past.",
            },
            "guests": {"type": "array", "items": {"$ref": "#/$defs/Guest"}, "description": "Who comes."},
            "kind": {"enum": ["room", "table"], "default": "table"},
        },
        "required": ["day", "guests"],
        "additionalProperties": False,
        "$defs": {
            "Guest": {
                "title": "Guest",
                "description": "Who comes.",
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "age": {"type": "integer", "default": 30},
                    "kind": {"$ref": "#/$defs/Kind", "default": "cut"},
                },
                "required": ["name"],
            },
            "Kind": {"title": "Kind", "enum": ["colour", "cut"]},
        },
    }
    assert list(schema_of(tool)["properties"]) == ["day", "guests", "kind"], "the signature's order"


def test_a_tool_of_no_arguments_is_an_object_of_none() -> None:
    def hours() -> str:
        """When we are open."""
        return "9 to 5"

    tool = declare(hours)
    assert schema_of(tool) == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert tool.spec.description == "When we are open."
    assert run(tool, "") == run(tool, " \n") == run(tool, "{}") == "9 to 5"
    assert complaint(tool, '{"day": 1}').endswith("There is no argument 'day'; there are: none")


def google(
    width: int, height: Annotated[int, Meta(ge=1, le=10)], label: Annotated[str, Meta(description="Own.")]
) -> None:
    """Measure it.

    Args:
        width (int): How wide: in metres.
        height: How high.
        label: Not this one.
    """


def numpy(
    width: int, height: Annotated[int, Meta(ge=1, le=10)], label: Annotated[str, Meta(description="Own.")]
) -> None:
    """Measure it.

    Parameters
    ----------
    width : int
        How wide: in metres.
    height, label : int
        How high.
    """


def rest(
    width: int, height: Annotated[int, Meta(ge=1, le=10)], label: Annotated[str, Meta(description="Own.")]
) -> None:
    """Measure it.

    :param width: How wide: in metres.
    :param int height: How high.
    """


@pytest.mark.parametrize("function", [google, numpy, rest])
def test_a_docstring_of_any_style_describes_the_parameters(function: Callable[..., None]) -> None:
    tool = declare(function)
    assert tool.spec.description == "Measure it."
    properties = schema_of(tool)["properties"]
    assert properties == {
        "width": {"type": "integer", "description": "How wide: in metres."},
        "height": {"type": "integer", "minimum": 1, "maximum": 10, "description": "How high."},
        "label": {"type": "string", "description": "Own."},
    }


def numpy_returns() -> None:
    """Count.

    Returns
    -------
    int
        How many.
    """


def rest_returns() -> None:
    """Count.

    :returns: How many.
    :rtype: int
    """


def rest_return_type() -> None:
    """Count.

    :rtype: int
    """


@pytest.mark.parametrize(
    ("function", "description"),
    [
        (numpy_returns, "Count.\n\nReturns: How many."),
        (rest_returns, "Count.\n\nReturns: How many."),
        (rest_return_type, "Count."),
    ],
)
def test_what_is_returned_is_told_when_it_is_described(function: Callable[..., None], description: str) -> None:
    assert declare(function).spec.description == description


def test_a_description_goes_before_the_docstring_which_still_describes_the_parameters() -> None:
    tool = declare(google, description="\n  Measure\n  twice.  \n")
    assert tool.spec.description == "Measure\ntwice."
    assert schema_of(tool)["properties"]["height"]["description"] == "How high."


def test_a_docstring_no_parser_likes_is_told_as_it_is() -> None:
    def odd() -> None:
        pass

    odd.__doc__ = "Do it.\n:: and:\n:param x y z w: none\nArgs:\n"
    assert declare(odd).spec.description == "Do it.\n:: and:\n:param x y z w: none\nArgs:"


@given(st.text(min_size=1).filter(lambda text: text.strip() != ""))
def test_any_docstring_makes_a_tool_or_an_agent_error(text: str) -> None:
    def odd(it: int) -> None:
        pass

    odd.__doc__ = text
    try:
        tool = declare(odd)
    except AgentError as error:
        assert "needs a docstring" in str(error)
    else:
        assert tool.spec.description.strip()


@pytest.mark.parametrize("docstring", [None, "", "  \n ", "\n    Args:\n        it: A thing.\n"])
def test_a_tool_the_model_would_know_nothing_of_is_refused(docstring: str | None) -> None:
    def silent(it: int) -> None:
        pass

    silent.__doc__ = docstring
    with pytest.raises(AgentError, match="tool `silent`: it needs a docstring"):
        declare(silent)
    assert declare(silent, description="Do.").spec.description == "Do."
    with pytest.raises(AgentError, match="needs a docstring"):
        declare(silent, description=" ")


PROBE = """
from __future__ import annotations
import enum
from typing import Literal
import msgspec
from retell_ws.tool import declare

class Kind(enum.Enum):
    A = "a"
    B = "b"

class Guest(msgspec.Struct):
    kinds: set[Kind]
    other: Literal["x", "y", 1, None] = None
    tags: frozenset[str] = frozenset("hgfedcba")

def book(guest: Guest, more: dict[str, Guest], tags: frozenset[str] = frozenset("abcdefgh"), kind: Kind | int = 1,
         kinds: frozenset[Kind] = frozenset(Kind)):
    "Book."

tool = declare(book)
print(bytes(tool.spec.input_schema).decode())
arguments = '{"guest": {"kinds": ["b", "a"]}, "more": {"z": {"kinds": []}, "y": {"kinds": ["a", "b"]}}}'
print(tool.canonical(tool.decode(arguments)).decode())
"""


def test_schema_and_canonical_form_are_the_same_bytes_in_every_process() -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", PROBE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
    schema, canonical = told.pop().splitlines()
    assert list(json.loads(schema)["properties"]) == ["guest", "more", "tags", "kind", "kinds"]
    assert json.loads(schema)["$defs"]["Guest"]["properties"]["tags"]["default"] == list("abcdefgh")
    assert json.loads(canonical)["tags"] == list("abcdefgh")


class Tagged(msgspec.Struct):
    tags: frozenset[str] = frozenset("hgfedcba")
    words: list[str] = msgspec.field(default_factory=list)
    names: tuple[str, ...] = ("b", "a")


def test_the_default_of_a_nested_set_stands_in_one_order() -> None:
    properties = schema_of(taking(Tagged))["$defs"]["Tagged"]["properties"]
    assert [properties[name]["default"] for name in ("tags", "words", "names")] == [list("abcdefgh"), [], ["b", "a"]]


# -- Types


ID = uuid.UUID("12345678-1234-5678-1234-567812345678")
NOON = datetime.datetime(2026, 5, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("kind", "given_", "value"),
    [
        (int, "3", 3),
        (int, '"3"', 3),
        (int, "3.0", 3),
        (int, str(2**70), 2**70),
        (float, "3", 3.0),
        (float, '"3.5"', 3.5),
        (bool, "true", True),
        (bool, '"true"', True),
        (str, '"3"', "3"),
        (str, '"true"', "true"),
        (str, '"null"', "null"),
        (str, r'"gr\u00fc\u00df \ud83d\ude00"', "grüß 😀"),
        (int | str, '"3"', "3"),
        (str | None, "null", None),
        (str | None, '"null"', "null"),
        (int | None, '"3"', 3),
        (Any, '{"a": [1, "2"]}', {"a": [1, "2"]}),
        (Literal["a", "b"], '"b"', "b"),
        (Literal[1, 2], '"2"', 2),
        (Kind, '"cut"', Kind.CUT),
        (Level, "2", Level.HIGH),
        (Level, '"2"', Level.HIGH),
        (Guest, '{"name": "Noor", "age": "41"}', Guest("Noor", 41)),
        (list[Guest], '[{"name": "Noor", "new": 1}]', [Guest("Noor")]),
        (dict[str, Guest], '{"a": {"name": "3", "age": "3"}}', {"a": Guest("3", 3)}),
        (
            Room,
            '{"beds": 2, "guests": [{"name": "Noor", "kind": "colour"}]}',
            Room(2, [Guest("Noor", 30, Kind.COLOUR)]),
        ),
        (Guest | None, "null", None),
        (Card | Cash, '{"type": "cash", "amount": "5"}', Cash(5)),
        (Seat, '[3, "cut"]', Seat(3, Kind.CUT)),
        (Address, '{"street": "Elm"}', {"street": "Elm"}),
        (set[int], "[2, 1, 2]", {1, 2}),
        (tuple[int, str], '["1", "2"]', (1, "2")),
        (datetime.date, '"2026-05-01"', datetime.date(2026, 5, 1)),
        (datetime.time, '"09:30:00"', datetime.time(9, 30)),
        (datetime.datetime, '"2026-05-01T12:00:00Z"', NOON),
        (datetime.timedelta, '"PT90S"', datetime.timedelta(seconds=90)),
        (Decimal, '"1.50"', Decimal("1.50")),
        (Decimal, "1.5", Decimal("1.5")),
        (uuid.UUID, f'"{ID}"', ID),
        (Annotated[int, Meta(ge=1, le=10)], '"10"', 10),
        (list[Annotated[str, Meta(max_length=2)]], '["ab"]', ["ab"]),
    ],
)
def test_arguments_come_typed(kind: Any, given_: str, value: Any) -> None:
    tool = taking(kind)
    decoded = tool.decode('{"it": ' + given_ + "}")
    assert decoded == {"it": value}
    assert type(decoded["it"]) is type(value)
    assert tool.bind(Call("call_1"), decoded)() == value
    assert json.loads(tool.canonical(decoded)).keys() == {"it"}


@pytest.mark.parametrize(
    ("kind", "given_", "remark"),
    [
        (int, "true", "`it`: Expected `int`, got `bool`"),
        (int, '"true"', "`it`: Expected `int`, got `str`"),
        (float, "false", "`it`: Expected `float`, got `bool`"),
        (Level, "true", "`it`: Expected `int`, got `bool`"),
        (Literal[1, 2], "true", "`it`: Expected `int`, got `bool`"),
        (list[int], '["1", true]', "`it[1]`: Expected `int`, got `bool`"),
        (int, "3.5", "`it`: Expected `int`, got `float`"),
        (int, "9" * 5000, "`it`: Integer value out of range"),
        (float, "1e999", "`it`: Number out of range"),
        (float, '"nan"', "`it`: Expected a finite number"),
        (float, '"-inf"', "`it`: Expected a finite number"),
        (Decimal, '"NaN"', "`it`: Expected a finite number"),
        (Decimal, '"sNaN"', "`it`: Expected a finite number"),
        (str, "3", "`it`: Expected `str`, got `int`"),
        (str, "null", "`it`: Expected `str`, got `null`"),
        (Annotated[int, Meta(ge=1, le=10)], "11", "`it`: Expected `int` <= 10"),
        (Annotated[int, Meta(ge=1, le=10)], '"0"', "`it`: Expected `int` >= 1"),
        (Annotated[str, Meta(pattern="^[0-9]+$")], '"x"', "`it`: Expected `str` matching regex '^[0-9]+$'"),
        (Annotated[list[int], Meta(max_length=1)], "[1, 2]", "`it`: Expected `array` of length <= 1"),
        (datetime.date, '"tomorrow"', "`it`: Invalid RFC3339 encoded date"),
        (datetime.datetime, '"2026"', "`it`: Invalid RFC3339 encoded datetime"),
        (datetime.datetime, "2026", "`it`: Expected `datetime`, got `int`"),
        (uuid.UUID, '"x"', "`it`: Invalid UUID"),
        (Kind, '"perm"', '`it`: Invalid enum value \'perm\'; wanted: one of "colour", "cut"'),
        (Kind | None, '"perm"', '`it`: Invalid enum value \'perm\'; wanted: one of "colour", "cut" or null'),
        (Level, "3", "`it`: Invalid enum value 3; wanted: one of 1, 2"),
        (Literal["a", "b"], '"c"', '`it`: Invalid enum value \'c\'; wanted: one of "a", "b"'),
        (Guest, '{"name": "Noor", "age": "x"}', "`it.age`: Expected `int`, got `str`"),
        (Guest, "{}", "`it`: Object missing required field `name`"),
        (Guest, '{"name": "x", "kind": "y"}', '`it.kind`: Invalid enum value \'y\'; wanted: one of "colour", "cut"'),
        (list[Kind], '["cut", "y"]', '`it[1]`: Invalid enum value \'y\'; wanted: one of "colour", "cut"'),
        (dict[str, Kind], '{"a": "y"}', '`it[...]`: Invalid enum value \'y\'; wanted: one of "colour", "cut"'),
        (dict[Kind, int], '{"y": 1}', "`it`: Invalid enum value 'y'; wanted: object"),
        (Seat, '[1, "y"]', '`it[1]`: Invalid enum value \'y\'; wanted: one of "colour", "cut"'),
        (Room, '{"beds": 1, "guests": [{"name": "x", "kind": "y"}]}', "`it.guests[0].kind`: Invalid enum value 'y'; "),
        (Card | Cash, '{"type": "y"}', '`it.type`: Invalid value \'y\'; wanted: one of "card", "cash"'),
        (Strict, '{"number": 1, "x": 2}', "`it`: Object contains unknown field `x`; there are: `number`"),
        (list[Strict | None], '[{"x": 2}]', "`it[0]`: Object contains unknown field `x`; there are: `number`"),
        (Fussy, '{"text": "value"}', "`it`: not this text"),
        (Fussy, '{"text": "tool"}', "`it`: we are closed"),
        (Fussy, '{"text": "secret"}', "`it` cannot be read (KeyError)"),
    ],
)
def test_a_wrong_value_is_told_with_its_name_and_what_is_wanted(kind: Any, given_: str, remark: str) -> None:
    text = complaint(taking(kind), '{"it": ' + given_ + "}")
    assert text.startswith("Wrong arguments, nothing was done: " + remark)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (int, "; wanted: integer"),
        (datetime.date, "; wanted: string (date)"),
        (Guest | None, "; wanted: object or null"),
        (Literal["a"], '; wanted: one of "a"'),
        (Any, ""),
    ],
)
def test_a_missing_argument_is_told_with_what_is_wanted(kind: Any, wanted: str) -> None:
    assert complaint(taking(kind), "{}") == f"Wrong arguments, nothing was done: `it` is missing{wanted}"


def test_every_mistake_is_told_at_once() -> None:
    assert complaint(declare(book), '{"dya": "2026-05-01", "guests": 3, "kind": "boat"}') == (
        "Wrong arguments, nothing was done: `day` is missing; wanted: string (date). "
        "`guests`: Expected `array`, got `int`. "
        '`kind`: Invalid enum value \'boat\'; wanted: one of "room", "table". '
        "There is no argument 'dya'; there are: `day`, `guests`, `kind`"
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("nonsense", "no valid JSON: "),
        ('{"it": 3', "no valid JSON: "),
        ('{"it": 3}}', "no valid JSON: "),
        ("[3]", "Expected `object`, got `array`"),
        ("3", "Expected `object`, got `int`"),
        ("null", "Expected `object`, got `null`"),
        ('{"it": ' + "[" * 100_000, "nested too deep"),
        ('{"it": "\ud800"}', "no valid Unicode"),
    ],
)
def test_what_is_no_json_object_is_told_so(arguments: str, reason: str) -> None:
    text = complaint(taking(int), arguments)
    assert text.startswith(f"Wrong arguments, nothing was done: they must be one JSON object ({reason}")


def test_a_value_may_be_nested_and_not_too_deep() -> None:
    tool = taking(Any)
    inner = r'"[[{{ \" [\\"'
    for depth, fine in ((MAX_DEPTH - 1, True), (MAX_DEPTH, False), (900, False)):
        text = '{"it": ' + "[" * depth + inner + "]" * depth + "}"
        if fine:
            assert len(tool.canonical(tool.decode(text))) > depth
        else:
            assert "nested too deep" in complaint(tool, text)
    flat = json.dumps({"it": [{}] * 1000})
    assert tool.decode(flat) == {"it": [{}] * 1000}


def test_a_complaint_quotes_little_and_stays_short() -> None:
    long = "x" * 100_000
    tool = taking(Kind)
    text = complaint(tool, json.dumps({"it": long}))
    assert "x" * (MAX_QUOTE + 1) not in text and 'wanted: one of "colour", "cut"' in text
    text = complaint(tool, json.dumps({"it": "cut", long: 1}))
    assert "x" * (MAX_QUOTE + 1) not in text and text.endswith("there are: `it`")
    text = complaint(tool, json.dumps({f"name{number}": 1 for number in range(10_000)}))
    assert len(text) < MAX_QUOTE + 200

    many = taking(Literal[tuple(f"value{number}" for number in range(1000))])
    assert len(complaint(many, '{"it": 1}')) < MAX_QUOTE
    text = complaint(many, '{"it": "x"}')
    assert MAX_LIST < len(text) < MAX_LIST + 200 and text.endswith("…")


def test_all_complaints_together_have_an_end() -> None:
    parameters = ", ".join(f"parameter_with_a_long_name_{number}: int" for number in range(200))
    scope: dict[str, Any] = {}
    exec(f"def wide({parameters}): 'Wide.'", scope)
    assert len(complaint(declare(scope["wide"]), "")) == MAX_COMPLAINT


def everything(
    a: int,
    b: str,
    c: float = 1.0,
    d: list[Guest] | None = None,
    e: Kind = Kind.CUT,
    f: datetime.datetime = NOON,
    g: Card | Cash | int = 3,
    h: dict[str, Decimal] | None = None,
) -> None:
    """All of it."""


EVERYTHING = declare(everything)
FUSSY = taking(Fussy | list[Fussy])


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_gives_values_or_a_tool_error(text: str) -> None:
    for tool in (EVERYTHING, FUSSY):
        try:
            values = tool.decode(text)
        except ToolError as error:
            assert 0 < len(str(error)) <= MAX_COMPLAINT
            str(error).encode()
        else:
            assert list(values) == [*schema_of(tool)["properties"]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["value", "tool", "secret"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("abcdefgh") | st.text() | st.just("text"), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h", "it"]) | st.text(), JSON))
def test_any_object_gives_values_or_a_tool_error(given_: dict[str, Any]) -> None:
    for tool in (EVERYTHING, FUSSY):
        try:
            values = tool.decode(json.dumps(given_))
        except ToolError as error:
            str(error).encode()
        else:
            assert tool.canonical(values) == tool.canonical(tool.decode(json.dumps(given_)))


@given(
    st.integers(-(2**80), 2**80),
    st.text(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(Kind),
    st.randoms(use_true_random=False),
)
def test_what_the_types_allow_arrives_and_its_order_does_not_matter(
    a: int, b: str, c: float, e: Kind, random: Any
) -> None:
    given_ = list({"a": a, "b": b, "c": c, "e": e.value}.items())
    values = EVERYTHING.decode(json.dumps(dict(given_)))
    assert (values["a"], values["b"], values["c"], values["e"]) == (a, b, c, e)
    random.shuffle(given_)
    again = EVERYTHING.decode(json.dumps(dict(given_)))
    assert list(again) == list(values) and EVERYTHING.canonical(again) == EVERYTHING.canonical(values)


# -- Canonical form


def test_the_canonical_form_knows_values_and_nothing_else() -> None:
    tool = EVERYTHING
    first = tool.canonical(tool.decode('{"a": 1, "b": "x"}'))
    assert first == tool.canonical(tool.decode('{"b": "x", "a": "1", "c": 1, "e": "cut"}')), "the same call"
    assert first != tool.canonical(tool.decode('{"a": 2, "b": "x"}'))
    assert list(json.loads(first)) == sorted("abcdefgh")


@dataclass(frozen=True)
class Party:
    kinds: frozenset[Kind | int]


class Night(msgspec.Struct, frozen=True, tag=True):
    parties: frozenset[Party]
    words: frozenset[str]


class Day(msgspec.Struct, frozen=True, tag=True):
    parties: frozenset[Party]
    words: frozenset[str]


def test_the_canonical_form_sorts_all_the_way_down() -> None:
    tool = taking(dict[int, dict[str, set[Any]]])
    one = tool.decode('{"it": {"2": {"b": [1], "a": ["x", "y", "z", 1]}, "1": {}}}')
    other = tool.decode('{"it": {"1": {}, "2": {"a": [1, "z", "y", "x"], "b": [1]}}}')
    assert tool.canonical(one) == tool.canonical(other)

    tool = taking(list[Night | Day])
    parties, again = [{"kinds": ["cut", 1]}, {"kinds": [2]}], [{"kinds": [2]}, {"kinds": [1, "cut", 1]}]
    one = tool.decode(json.dumps({"it": [{"type": "Night", "parties": parties, "words": [*"abc"]}]}))
    other = tool.decode(json.dumps({"it": [{"words": [*"cab"], "parties": again, "type": "Night"}]}))
    assert tool.canonical(one) == tool.canonical(other)
    assert one["it"][0].words == frozenset("abc"), "the values stay what they were"
    other = tool.decode(json.dumps({"it": [{"type": "Day", "parties": parties, "words": [*"abc"]}]}))
    assert tool.canonical(one) != tool.canonical(other)


def test_the_canonical_form_holds_any_number() -> None:
    tool = taking(int)
    assert tool.canonical(tool.decode(f'{{"it": {2**70}}}')) == f'{{"it":{2**70}}}'.encode()


# -- Defaults


def test_defaults_are_filled_in_fresh_each_time() -> None:
    def change(names: list[str] = ["Ana"], guest: Guest = Guest("Ana"), more: dict[str, int] = {}) -> int:  # noqa: B006, B008
        """Change it."""
        names.append("Noor")
        guest.age += 1
        more["x"] = 1
        return len(names) + guest.age + len(more)

    tool = declare(change)
    assert run(tool, "") == run(tool, "") == 34
    assert change() == 34, "the function's own default, which Python keeps"
    assert change() == 36
    assert tool.decode("") == {"names": ["Ana"], "guest": Guest("Ana"), "more": {}}
    assert schema_of(tool)["properties"]["names"]["default"] == ["Ana"]
    assert schema_of(tool)["properties"]["guest"] == {
        "$ref": "#/$defs/Guest",
        "default": {"name": "Ana", "age": 30, "kind": "cut"},
    }
    assert schema_of(tool)["required"] == []


def test_a_default_of_none_lets_the_model_give_a_null() -> None:
    tool = taking(int, None)
    assert schema_of(tool)["properties"]["it"] == {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None}
    assert tool.decode("") == tool.decode('{"it": null}') == {"it": None}


def test_a_default_json_cannot_tell_is_refused() -> None:
    with pytest.raises(AgentError, match="tool `echo`: the default of `it` cannot be told"):
        taking(int, object())


# -- Signatures


def test_the_call_goes_wherever_the_function_wants_it() -> None:
    def first(call: Call, it: int) -> tuple[str, int]:
        """Do."""
        return call.id, it

    def last(it: int, *, call: Call | None = None) -> tuple[str, int]:
        """Do."""
        return call.id if call else "", it

    def position(it: int, call: Call, /) -> tuple[str, int]:
        """Do."""
        return call.id, it

    for function in (first, last, position):
        tool = declare(function)
        assert list(schema_of(tool)["properties"]) == ["it"]
        assert tool.decode('{"it": 3}') == {"it": 3}
        assert run(tool, '{"it": 3}', Call("call_7")) == ("call_7", 3)
        assert "no argument 'call'" in complaint(tool, '{"it": 3, "call": "x"}')
        bound = tool.bind(Call("call_8"), {"it": 4})
        assert bound() == ("call_8", 4)


def test_arguments_by_position_and_by_name_only_arrive() -> None:
    def mixed(a: int, b: int = 2, /, c: int = 3, *, d: int, self: int = 5, function: int = 6) -> list[int]:
        """Mix."""
        return [a, b, c, d, self, function]

    tool = declare(mixed)
    assert run(tool, '{"d": 4, "a": 1}') == [1, 2, 3, 4, 5, 6]
    assert run(tool, '{"d": 4, "a": 1, "b": 9, "c": 8, "self": 7, "function": 0}') == [1, 9, 8, 4, 7, 0]


class Desk:
    """A desk with a book."""

    def __init__(self) -> None:
        self.booked: list[str] = []

    def book(self, day: str) -> int:
        """Book a day."""
        self.booked.append(day)
        return len(self.booked)

    async def cancel(self, day: str) -> None:
        """Cancel a day."""

    @classmethod
    def hours(cls, day: str) -> str:
        """The hours of a day."""
        return f"{cls.__name__} {day}"

    async def __call__(self, day: str) -> str:
        """Look at a day."""
        return day


def test_methods_are_tools_of_their_object() -> None:
    desk = Desk()
    tool = declare(desk.book)
    assert (tool.name, tool.spec.description, tool.is_async) == ("book", "Book a day.", False)
    assert (run(tool, '{"day": "x"}'), desk.booked) == (1, ["x"])
    assert run(declare(Desk.hours), '{"day": "x"}') == "Desk x"
    assert declare(desk.cancel).is_async
    with pytest.raises(AgentError, match="`self` needs an annotation.*method of an object"):
        declare(Desk.book)


async def test_an_object_that_can_be_called_is_a_tool_once_it_has_a_name() -> None:
    tool = declare(Desk(), name="look")
    assert (tool.spec.description, tool.is_async) == ("Look at a day.", True)
    assert await run(tool, '{"day": "x"}') == "x"
    with pytest.raises(AgentError, match="needs a name"):
        declare(Desk())


def connect(key: str, call: Call, day: str, port: int = 1) -> tuple[str, str, str, int]:
    """Connect.

    Args:
        key: Secret.
        day: The day.
    """
    return key, call.id, day, port


@pytest.mark.parametrize(
    "function", [functools.partial(connect, "k-1"), functools.partial(functools.partial(connect, key="k-1"), port=1)]
)
def test_what_a_partial_bound_is_no_affair_of_the_models(function: Callable[..., Any]) -> None:
    tool = declare(function)
    assert (tool.name, tool.spec.description) == ("connect", "Connect.")
    assert "k-1" not in bytes(tool.spec.input_schema).decode() and "key" not in schema_of(tool)["properties"]
    assert schema_of(tool)["properties"]["day"]["description"] == "The day."
    assert run(tool, '{"day": "x"}') == ("k-1", "call_1", "x", 1)
    assert "no argument 'key'" in complaint(tool, '{"day": "x", "key": "k-2"}')


def test_decorated_functions_are_seen_through() -> None:
    def twice(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return [function(*args, **kwargs)] * 2

        return wrapper

    @functools.cache
    def price(kind: Kind) -> str:
        """The price."""
        return kind.value

    assert run(declare(twice(connect)), '{"key": "k", "day": "x"}') == [("k", "call_1", "x", 1)] * 2
    tool = declare(price)
    assert (tool.name, tool.spec.description) == ("price", "The price.")
    assert run(tool, '{"kind": "cut"}') == "cut"

    static = staticmethod(Desk().cancel)
    assert declare(static).is_async and declare(static).name == "cancel"


@pytest.mark.parametrize(
    "function", ["book", 3, None, len, str.upper, Guest, Kind, Desk, object(), Kind.CUT, Desk.__dict__["hours"]]
)
def test_what_is_no_function_of_python_is_refused(function: Any) -> None:
    assert beneath(function) is None
    with pytest.raises(AgentError, match="a tool is a function, not .*; options go by name"):
        declare(function)


def any_number(*days: str) -> None:
    """Do."""


def any_name(**days: str) -> None:
    """Do."""


def bare(day) -> None:  # type: ignore[no-untyped-def]
    """Do."""


def gone(day: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Do."""


def unreadable(day: Any) -> None:
    """Do."""


unreadable.__annotations__["day"] = "1 +"


def untellable(day: list[Chair]) -> None:
    """Do."""


def ambiguous(day: Guest | Room) -> None:
    """Do."""


def größe(länge: int) -> None:
    """Do."""


def generator() -> Iterator[int]:
    """Do."""
    yield 1


async def async_generator() -> AsyncIterator[int]:
    """Do."""
    yield 1


overfull: Any = functools.partial(connect, *"12345")


def lying() -> None:
    """Do."""


lying.__signature__ = "lie"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (any_number, r"tool `any_number`: `\*days: 'str'` takes anything; .* by name"),
        (any_name, r"tool `any_name`: `\*\*days: 'str'` takes anything"),
        (bare, "tool `bare`: its parameter `day` needs an annotation, as in `day: str`$"),
        (
            gone,
            "tool `gone`: the annotation 'Nowhere' of `day` cannot be resolved: name 'Nowhere' is not defined. Types",
        ),
        (unreadable, "tool `unreadable`: the annotation .* of `day` cannot be resolved"),
        (untellable, "tool `untellable`: `day` is of a type JSON cannot tell: .*Chair'> is not supported"),
        (ambiguous, "tool `ambiguous`: `day` is of a type JSON cannot tell: Type unions may not contain"),
        (generator, "tool `generator`: it yields"),
        (async_generator, "tool `async_generator`: it yields"),
        (functools.partial(async_generator), "tool `async_generator`: it yields"),
        (lying, "tool `lying`: its signature cannot be read"),
        (overfull, "tool `connect`: its signature cannot be read"),
        (lambda: 1, "needs a name of 1 to 64 of A-Z a-z 0-9 _ -, not '<lambda>': set name="),
        (größe, "needs a name"),
    ],
)
def test_a_function_the_model_cannot_call_is_refused_and_the_reason_told(function: Any, reason: str) -> None:
    with pytest.raises(AgentError, match=reason):
        declare(function)


def test_an_argument_must_have_a_name_the_models_api_takes() -> None:
    with pytest.raises(AgentError, match="takes no argument named `länge`"):
        declare(größe, name="size")


def test_only_the_annotations_of_parameters_are_resolved() -> None:
    def fine(day: str) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
        """Do."""

    assert list(schema_of(declare(fine))["properties"]) == ["day"]


def test_types_of_one_name_are_told_apart() -> None:
    other = msgspec.defstruct("Guest", [("room", int)], module="elsewhere")

    def both(one: Guest, two: Any) -> None:
        """Do."""

    both.__annotations__["two"] = other
    schema = schema_of(declare(both))
    targets = [schema["properties"][name]["$ref"].removeprefix("#/$defs/") for name in ("one", "two")]
    assert [list(schema["$defs"][target]["properties"]) for target in targets] == [["name", "age", "kind"], ["room"]]


def test_types_that_cannot_be_told_apart_are_refused() -> None:
    def both(one: Any, two: Any, three: Any) -> None:
        """Do."""

    kinds = [msgspec.defstruct("Guest", [(name, int)], module="elsewhere") for name in "abc"]
    both.__annotations__.update(zip(("one", "two", "three"), kinds, strict=True))
    with pytest.raises(AgentError, match="tool `both`: its parameters' types do not go together"):
        declare(both)


# -- Options


@pytest.mark.parametrize("name", ["a", "A-b_9", "x" * 64])
def test_a_name_may_be_set(name: str) -> None:
    assert declare(book, name=name).name == name


@pytest.mark.parametrize("name", ["", "x" * 65, "a b", "a.b", "größe", "a\n"])
def test_a_name_the_models_api_would_refuse_is_refused(name: str) -> None:
    with pytest.raises(AgentError, match="needs a name of 1 to 64"):
        declare(book, name=name)


@pytest.mark.parametrize("timeout_s", [0, -1, math.inf, math.nan])
def test_a_timeout_is_a_time(timeout_s: float) -> None:
    with pytest.raises(AgentError, match="tool `book`: timeout_s must be a number of seconds above 0"):
        declare(book, timeout_s=timeout_s)


def test_when_answers_at_once() -> None:
    async def later(call: Call) -> bool:
        return True

    wrong: Any
    for wrong in (later, True, "x"):
        with pytest.raises(AgentError, match="tool `book`: `when` must be a plain function"):
            declare(book, when=wrong)


def test_a_tool_keeps_what_it_was_given_and_cannot_be_changed() -> None:
    tool = declare(book)
    assert tool.function is book
    assert (tool.timeout_s, tool.side_effect, tool.say, tool.background, tool.parallel, tool.when, tool.is_async) == (
        (10.0, True, "", False, True, None, False)
    )

    def known(call: Call) -> bool:
        return call.from_number is not None

    options: Mapping[str, Any] = {
        "timeout_s": 0.5,
        "side_effect": False,
        "say": "One moment. ",
        "background": True,
        "parallel": False,
        "when": known,
    }
    tool = declare(book, **options)
    assert {name: getattr(tool, name) for name in options} == options
    for name in ("timeout_s", "function", "other"):
        with pytest.raises(AttributeError):
            setattr(tool, name, 1)


async def test_an_async_function_is_bound_likewise() -> None:
    async def look(call: Call, day: str) -> str:
        """Look."""
        return call.id + day

    tool = declare(look)
    assert tool.is_async
    assert await run(tool, '{"day": "x"}') == "call_1x"
    assert declare(functools.partial(look, day="x")).is_async


# -- Results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Booked.", "Booked."),
        ("", ""),
        (None, "done"),
        (True, "true"),
        (3, "3"),
        (Decimal("1.50"), '"1.50"'),
        (NOON, '"2026-05-01T12:00:00Z"'),
        ([1, "x", None], '[1,"x",null]'),
        ({"free": [datetime.time(9)]}, '{"free":["09:00:00"]}'),
        (Guest("Noor"), '{"name":"Noor","age":30,"kind":"cut"}'),
        (Room(1, []), '{"beds":1,"guests":[]}'),
        (Kind.CUT, '"cut"'),
        (Word.YES, "yes"),
        ("file \udcff", "file ?"),
    ],
)
def test_a_result_is_told_as_text(value: Any, text: str) -> None:
    assert result_text(value) == text


def endless() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize("value", [Chair(), [Chair()], object, print, endless(), {"a": "\udcff"}, 1j])
def test_a_result_that_json_cannot_tell_is_named(value: Any) -> None:
    text = result_text(value)
    assert text.startswith(f"done, but the result, a {type(value).__name__}, cannot be shown (")


@pytest.mark.parametrize(("value", "length"), [("x" * (MAX_RESULT + 1), MAX_RESULT + 1), (["y" * 10**6], 10**6 + 4)])
def test_a_long_result_is_cut_and_says_so(value: Any, length: int) -> None:
    text = result_text(value)
    assert len(text) == MAX_RESULT
    assert text.endswith(f" … [cut: the result has {length} characters]")
    assert result_text("x" * MAX_RESULT) == "x" * MAX_RESULT


@given(
    JSON | st.text(st.characters(exclude_categories=())) | st.binary() | st.complex_numbers() | st.sets(st.integers())
)
def test_any_result_can_be_told(value: Any) -> None:
    assert len(result_text(value).encode()) <= 4 * MAX_RESULT


# -- The agent's decorator


async def test_an_agents_tools_stay_functions_and_stand_in_their_order() -> None:
    agent = Agent("You are Ana.")
    assert agent.tools == {}

    @agent.tool
    def hours(day: str) -> str:
        """The hours of a day."""
        return f"{day}: 9 to 5"

    @agent.tool(side_effect=False, say="One moment. ", name="free-times", timeout_s=2)
    async def free(call: Call, day: str) -> int:
        """How many times are free."""
        return len(day)

    text: str = hours("Monday")
    count: int = await free(Call("call_1"), "Monday")
    assert (text, count) == ("Monday: 9 to 5", 6)
    assert list(agent.tools) == ["hours", "free-times"]
    assert agent.tools["hours"].function is hours and agent.tools["free-times"].function is free
    tool = agent.tools["free-times"]
    assert (tool.side_effect, tool.say, tool.timeout_s) == (False, "One moment. ", 2)
    assert Agent("You are Bo.").tools == {}, "each agent has its own"


def test_what_a_tool_resets_is_a_list_of_names() -> None:
    assert declare(book, resets=["cancel"]).resets == ("cancel",)
    with pytest.raises(AgentError, match="resets is a list of names"):
        declare(book, resets="cancel")


def test_two_tools_of_one_name_are_refused() -> None:
    agent = Agent("You are Ana.")
    agent.tool(book)
    first = agent.tools["book"]
    with pytest.raises(AgentError, match="two tools named `book`"):
        agent.tool(name="book")(connect)
    assert agent.tools == {"book": first}
    agent.tool(name="book_again")(book)
    assert list(agent.tools) == ["book", "book_again"]

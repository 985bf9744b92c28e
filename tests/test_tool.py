"""A tool as its author declares it: from a signature to a schema, from a model's JSON to values, and back to text."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from retell_ws.agent import Agent
from retell_ws.errors import AgentError, ToolError
from retell_ws.handle import Call
from retell_ws.tool import MAX_RESULT, Tool, declare, result_text


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Item(msgspec.Struct):
    name: str
    count: int = 1


@dataclasses.dataclass
class Place:
    city: str
    zip_code: str = ""


def schema(tool: Tool) -> dict[str, Any]:
    return dict(msgspec.json.decode(tool.spec.input_schema))


def order(
    call: Call,
    items: list[Item],
    size: Size,
    when: date,
    place: Place | None = None,
    guests: Annotated[int, Meta(ge=1, le=10)] = 2,
    how: Literal["in", "out"] = "in",
) -> str:
    """Order a meal.

    It is cooked at once.

    Args:
        items: what is wanted
        guests: how many people

    Returns:
        The number of the order.
    """
    return f"{call.id}: {len(items)} for {guests}"


# ---------------------------------------------------------------------------- what the model is told


def test_the_signature_becomes_the_schema_and_the_docstring_its_words() -> None:
    tool = declare(order)
    assert tool.spec.name == tool.name == "order"
    assert tool.spec.description == "Order a meal.\n\nIt is cooked at once.\n\nReturns: The number of the order."
    told = schema(tool)
    assert (told["type"], told["additionalProperties"], told["required"]) == (
        "object",
        False,
        ["items", "size", "when"],
    )
    assert list(told["properties"]) == ["items", "size", "when", "place", "guests", "how"], "not the call, in order"
    assert told["properties"]["items"]["description"] == "what is wanted"
    assert told["properties"]["guests"] == {
        "type": "integer", "minimum": 1, "maximum": 10, "default": 2, "description": "how many people"
    }  # fmt: skip
    assert told["properties"]["how"] == {"enum": ["in", "out"], "default": "in"}
    assert told["properties"]["items"]["items"] == {"$ref": "#/$defs/Item"}
    assert set(told["$defs"]) == {"Item", "Size", "Place"}
    assert "title" not in told


def test_the_schema_is_the_same_bytes_every_time() -> None:
    assert bytes(declare(order).spec.input_schema) == bytes(declare(order).spec.input_schema)


@pytest.mark.parametrize(
    "doc",
    [
        "Book.\n\nArgs:\n    day: the day\n",
        "Book.\n\nParameters\n----------\nday : str\n    the day\n",
        "Book.\n\n:param day: the day\n",
    ],
)
def test_docstrings_of_the_usual_styles_are_read(doc: str) -> None:
    def book(day: str) -> None: ...

    book.__doc__ = doc
    tool = declare(book)
    assert tool.spec.description == "Book."
    assert schema(tool)["properties"]["day"]["description"] == "the day"


@pytest.mark.parametrize(
    "doc", [":param", "Args:\n    day\n\n:param", "@param\n@return", "Parameters\n---", ":", "Book"]
)
def test_a_docstring_that_is_badly_written_stops_nothing(doc: str) -> None:
    def book(day: str) -> None: ...

    book.__doc__ = doc
    with suppress(AgentError):  # which only says that there is no description
        assert declare(book).name == "book"


def test_a_description_in_the_annotation_wins() -> None:
    def book(day: Annotated[str, Meta(description="a weekday")]) -> None:
        """Book.

        Args:
            day: the day
        """

    assert schema(declare(book))["properties"]["day"]["description"] == "a weekday"


def test_a_function_without_arguments_is_a_tool_too() -> None:
    tool = declare(lambda: "ok", name="ping", description="Ping.")
    assert schema(tool) == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert tool.decode("") == tool.decode(" ") == tool.decode("{}") == {}


# ---------------------------------------------------------------------------- what the model says


def test_arguments_become_values_of_their_types() -> None:
    tool = declare(order)
    values = tool.decode(
        '{"items":[{"name":"tea"}],"size":"small","when":"2026-12-01","place":{"city":"Rome"},"guests":3}'
    )
    assert values == {
        "items": [Item("tea")],
        "size": Size.SMALL,
        "when": date(2026, 12, 1),
        "place": Place("Rome"),
        "guests": 3,
        "how": "in",
    }
    assert tool.bind(Call("c1"), values)() == "c1: 1 for 3"


def typed(hint: Any, **more: Any) -> Tool:
    def tool(x: Any) -> None:
        """Do."""

    tool.__annotations__ = {"x": hint}
    if more:
        tool.__defaults__ = (more["default"],)
    return declare(tool)


@pytest.mark.parametrize(
    ("hint", "written", "value"),
    [
        (int, '"3"', 3),
        (float, "3", 3.0),
        (bool, "true", True),
        (str, '"3"', "3"),
        (Decimal, '"1.50"', Decimal("1.50")),
        (UUID, '"12345678-1234-5678-1234-567812345678"', UUID("12345678-1234-5678-1234-567812345678")),
        (int | None, "null", None),
        (dict[str, int], '{"a":1}', {"a": 1}),
        (str, '"\ud800"', "\ufffd"),
        (list[int], '["3"]', [3]),
    ],
)
def test_values_are_read_as_models_write_them(hint: Any, written: str, value: Any) -> None:
    assert typed(hint).decode(f'{{"x":{written}}}') == {"x": value}


@pytest.mark.parametrize(
    ("hint", "written", "problem"),
    [
        (int, "true", "x: Expected `int`, got `bool`"),
        (int, '"three"', "x: Expected `int`, got `str`"),
        (str, "3", "x: Expected `str`, got `int`"),
        (Annotated[int, Meta(le=10)], "11", "x: Expected `int` <= 10"),
        (Literal["in", "out"], '"over"', "x: Invalid enum value 'over'; it may be: in, out"),
        (list[Item], '[{"name":7}]', "x[0].name: Expected `str`"),
        (date, '"tomorrow"', "x: Invalid RFC3339"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_wanted(hint: Any, written: str, problem: str) -> None:
    with pytest.raises(ToolError) as refused:
        typed(hint).decode(f'{{"x":{written}}}')
    assert problem in str(refused.value) or problem.replace("RFC3339", "date") in str(refused.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "missing required field `x`"),
        ('{"x":1,"y":2}', "unknown field `y`; the arguments are: x"),
        ("[]", "Expected `object`"),
        ("{", "no JSON object"),
        ('{"y":' * 100_000, "no JSON object|unknown field"),
        ('{"x":1} and so on', "no JSON object"),
    ],
)
def test_arguments_that_are_none_say_why(text: str, problem: str) -> None:
    with pytest.raises(ToolError, match=problem):
        typed(int).decode(text)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")) | st.from_regex(r'\{"x":.*\}'))
def test_whatever_a_model_writes_gives_values_or_a_short_reason(text: str) -> None:
    try:
        values = typed(int, default=1).decode(text)
    except ToolError as exc:
        assert 0 < len(str(exc)) <= 500
    else:
        assert isinstance(values["x"], int)


def test_the_same_call_has_the_same_bytes_however_it_was_written() -> None:
    tool = declare(order)
    one = tool.decode('{"size":"small","items":[{"name":"tea","count":1}],"when":"2026-12-01","guests":"2"}')
    other = tool.decode('{ "when": "2026-12-01", "items": [ {"name": "tea"} ], "size": "small" }')
    assert tool.canonical(one) == tool.canonical(other)
    assert tool.canonical(one) != tool.canonical({**one, "guests": 3})


def test_a_default_that_can_change_is_each_calls_own() -> None:
    def add(name: str, to: list[str] = []) -> list[str]:  # noqa: B006  # what authors write
        """Add."""
        to.append(name)
        return to

    tool = declare(add)
    for _ in range(2):
        assert tool.bind(Call("c"), tool.decode('{"name":"tea"}'))() == ["tea"]


# ---------------------------------------------------------------------------- functions of all kinds


async def test_async_and_plain_functions_are_told_apart() -> None:
    async def later() -> str:
        """Later."""
        return "later"

    class Caller:
        async def __call__(self) -> str:
            """Later."""
            return "later"

        def method(self, day: str) -> str:
            """Book."""
            return day

    assert declare(later).is_async and declare(functools.partial(later), name="x").is_async
    assert declare(Caller(), name="y", description="Do.").is_async
    bound = declare(Caller().method)
    assert not bound.is_async
    assert bound.bind(Call("c"), bound.decode('{"day":"Tuesday"}'))() == "Tuesday"


def test_a_partial_keeps_what_was_given() -> None:
    def book(calendar: str, day: str) -> str:
        """Book."""
        return f"{calendar} {day}"

    tool = declare(functools.partial(book, calendar="clinic"), name="book")
    assert tool.bind(Call("c"), tool.decode('{"day":"Tuesday"}'))() == "clinic Tuesday"


def many(*days: str) -> None:
    """Many."""


def anything(**days: str) -> None:
    """Anything."""


def placed(day: str, /) -> None:
    """Placed."""


def bare(day) -> None:  # type: ignore[no-untyped-def]
    """Bare."""


def unknown(day: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Unknown."""


def unreadable(day: Callable[[], str]) -> None:
    """Unreadable."""


def silent(day: str) -> None: ...


def yields() -> Iterator[str]:
    """Yields."""
    yield ""


async def yields_later() -> AsyncIterator[str]:
    """Yields."""
    yield ""


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (many, "'days' stands for any number of arguments"),
        (anything, "'days' stands for any number of arguments"),
        (placed, "'day' has no name to call it by"),
        (bare, "'day' needs an annotation, such as `day: str`"),
        (unknown, "names 'Nowhere', which its module does not know"),
        (unreadable, "tool unreadable: "),
        (silent, "needs a docstring"),
        (yields, "it yields"),
        (yields_later, "it yields"),
        (lambda: None, "cannot be called '<lambda>'"),
        (map, "no signature to read"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_the_reason(function: Any, problem: str) -> None:
    with pytest.raises(AgentError) as refused:
        declare(function)
    assert problem in str(refused.value)


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_deadline_is_a_time(timeout_s: float) -> None:
    with pytest.raises(AgentError, match="timeout_s"):
        declare(order, timeout_s=timeout_s)


@pytest.mark.parametrize("name", ["two words", "", "x" * 65, "größe"])
def test_a_name_is_one_the_api_takes(name: str) -> None:
    with pytest.raises(AgentError, match="cannot be called"):
        declare(order, name=name or "a b")


# ---------------------------------------------------------------------------- on an agent


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    agent = Agent("You are Ana.")

    @agent.tool
    def one(day: str) -> str:
        """One."""
        return day

    @agent.tool(side_effect=False, timeout_s=3, say="Hm.", background=True, parallel=False, name="second")
    def two(day: str) -> str:
        """Two."""
        return day

    assert (one("Tuesday"), two("Friday")) == ("Tuesday", "Friday")
    assert list(agent.tools) == ["one", "second"]
    second = agent.tools["second"]
    assert (second.side_effect, second.timeout_s, second.say, second.background, second.parallel) == (
        False, 3, "Hm.", True, False
    )  # fmt: skip
    assert agent.tools["one"].side_effect, "careful unless told otherwise"


def test_two_tools_of_one_name_are_a_mistake() -> None:
    agent = Agent("You are Ana.", end_call=True)
    with pytest.raises(AgentError, match="two tools called end_call"):
        agent.tool(name="end_call", description="End.")(lambda: None)


# ---------------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "done"),
        ("Booked.", "Booked."),
        (7, "7"),
        ({"day": "Tuesday", "item": Item("tea")}, '{"day":"Tuesday","item":{"name":"tea","count":1}}'),
        (object(), "(It returned a object, which cannot be written down.)"),
        ("x" * (MAX_RESULT + 1), "x" * MAX_RESULT + " (The rest is left out.)"),
    ],
)
def test_a_result_is_text_for_the_model(value: object, text: str) -> None:
    assert result_text(value) == text

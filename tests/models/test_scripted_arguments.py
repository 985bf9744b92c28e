"""From a tool's schema to questions, and from answers to values."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.models.scripted_arguments import Argument, arguments_of, overheard, understood, words_of
from retell_ws.models.scripted_lines import WHAT_NAME, WHICH_DAY


def one(schema: object, name: str = "thing", defs: object = None) -> Argument:
    whole = {"type": "object", "properties": {name: schema}, "required": [name], "$defs": defs}
    (argument,) = arguments_of(msgspec.Raw(msgspec.json.encode(whole)))
    return argument


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("name", "schema", "question"),
    [
        ("day", TEXT, WHICH_DAY),
        ("appointment_date", TEXT, WHICH_DAY),
        ("startDate", TEXT, "What is the start date?"),
        ("name", TEXT, WHAT_NAME),
        ("customer_name", TEXT, WHAT_NAME),
        ("product_name", TEXT, "What is the product name?"),
        ("order_number", {"type": "integer"}, "What is the order number?"),
        ("orderNumber", TEXT, "What is the order number?"),
        ("PIN", TEXT, "What is the pin?"),
        ("__", TEXT, "What is the __?"),
        ("n", {**TEXT, "description": "Order number."}, "What is the order number?"),
        ("n", {**TEXT, "description": "The caller's town"}, "What is the caller's town?"),
        ("n", {**TEXT, "description": "A phone number"}, "What is the phone number?"),
        ("n", {**TEXT, "description": "Your date of birth"}, "What is your date of birth?"),
        ("n", {**TEXT, "description": "PIN of the card"}, "What is the PIN of the card?"),
        ("n", {"type": "integer", "description": "How many people"}, "How many people?"),
        ("n", {**TEXT, "description": "Shall we call first?"}, "Shall we call first?"),
        ("reason", {**TEXT, "description": "Why they call, in their own words."}, "What is the reason?"),
        ("reason", {**TEXT, "description": "one two three four five six seven"}, "What is the reason?"),
        ("gift_wrap", {"type": "boolean", "description": "Whether to wrap it"}, "Gift wrap: yes or no?"),
        ("size", {"enum": ["small", "extra_large", 3]}, "What is the size: small, extra large or 3?"),
        ("size", {"enum": list("abcdefgh")}, "What is the size?"),
        (
            "when",
            {"enum": ["Wednesday", "Monday", "Tuesday"]},
            "Gladly. Which day would suit you, Monday to Wednesday?",
        ),
        ("when", {"enum": ["Wednesday", "Monday"]}, "Gladly. Which day would suit you: Monday or Wednesday?"),
        ("when", {"enum": ["Monday"]}, WHICH_DAY),
        ("to", {"enum": ["billing", "a person"]}, "Whom would you like to speak to: billing or a person?"),
        ("to", TEXT, "What is the to?"),
        ("size", {"const": "small"}, "What is the size?"),
    ],
)
def test_an_argument_is_asked_for_by_its_description_or_its_name(name: str, schema: object, question: str) -> None:
    assert one(schema, name).question == question


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        (TEXT, "text"),
        ({"type": "integer"}, "integer"),
        ({"type": ["null", "number"]}, "number"),
        ({"type": ["null"]}, "text"),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, "boolean"),
        ({"oneOf": []}, "text"),
        ({"$ref": "#/$defs/Size"}, "choice"),
        ({"allOf": [{"$ref": "#/$defs/Size"}]}, "choice"),
        ({"$ref": "#/$defs/Circle"}, "text"),
        ({"$ref": "#/$defs/Missing"}, "text"),
        ({"type": "array", "items": TEXT}, "list"),
        ({"type": "array"}, "list"),
        ({"type": "object"}, "object"),
        ({"type": {}}, "text"),
        (True, "text"),
        ({}, "text"),
    ],
)
def test_the_kind_is_found_through_references_and_alternatives(schema: object, kind: str) -> None:
    defs = {"Size": {"enum": ["small", None]}, "Circle": {"$ref": "#/$defs/Circle"}}
    assert one(schema, defs=defs).kind == kind


def test_a_description_beside_a_reference_is_the_one_that_counts() -> None:
    argument = one({"$ref": "#/$defs/N", "description": "Floor"}, defs={"N": {"type": "integer", "description": "A"}})
    assert (argument.kind, argument.question) == ("integer", "What is the floor?")


def test_only_what_the_schema_requires_is_required() -> None:
    schema = b'{"type":"object","properties":{"a":{},"b":{}},"required":["b"]}'
    assert [argument.required for argument in arguments_of(msgspec.Raw(schema))] == [False, True]


@pytest.mark.parametrize(
    "schema", [b"", b"[]", b"{", b"{}", b'{"properties":[]}', b'{"properties":{},"required":5}', b'{"a":"\xff"}']
)
def test_what_is_no_schema_of_an_object_has_no_arguments(schema: bytes) -> None:
    assert arguments_of(msgspec.Raw(schema)) == ()


INTEGER, NUMBER, BOOLEAN = {"type": "integer"}, {"type": "number"}, {"type": "boolean"}
SIZES = {"enum": ["large", "extra_large", "small"]}


@pytest.mark.parametrize(
    ("name", "schema", "heard", "value"),
    [
        ("day", TEXT, "On next tuesday please", "next Tuesday"),
        ("day", TEXT, "It's the 4th of May, please.", "the 4th of May"),
        ("name", TEXT, "It's Maria Lopez.", "Maria Lopez"),
        ("name", TEXT, "Bob", "Bob"),
        ("order_number", TEXT, "Yes, it is A-4711.", "A-4711"),
        ("phone", TEXT, "my number is 555 123-4567", "555 123-4567"),
        ("order_number", TEXT, "I do not have it", "I do not have it"),
        ("city", TEXT, "Um, that's Paris, please.", "Paris"),
        ("city", TEXT, "My home town is Paris", "Paris"),
        ("city", TEXT, "Yes", "Yes"),
        ("count", INTEGER, "there are 1,200 of us", 1200),
        ("count", INTEGER, "Three, no, four", 3),
        ("count", INTEGER, "two or 3", 2),
        ("count", INTEGER, "7.9", 7),
        ("count", INTEGER, "-5", -5),
        ("count", INTEGER, "many", None),
        ("amount", NUMBER, "7.5 euros", 7.5),
        ("amount", NUMBER, "ten", 10),
        ("wrap", BOOLEAN, "Yes please", True),
        ("wrap", BOOLEAN, "no thank you", False),
        ("wrap", BOOLEAN, "perhaps", None),
        ("size", SIZES, "the Extra Large one", "extra_large"),
        ("size", SIZES, "large!", "large"),
        ("size", SIZES, "enlarge it", None),
        ("floor", {"enum": [1, 2]}, "on two", 2),
        ("items", {"type": "array", "items": TEXT}, "milk, bread, and two eggs", ["milk", "bread", "two eggs"]),
        ("items", {"type": "array", "items": INTEGER}, "one and 3", [1, 3]),
        ("items", {"type": "array", "items": NUMBER}, "none", None),
        ("items", {"type": "array", "items": {"type": "object"}}, "milk", None),
        ("address", {"type": "object"}, "here", None),
    ],
)
def test_an_answer_becomes_a_value_of_the_schema_s_type(name: str, schema: object, heard: str, value: object) -> None:
    assert understood(one(schema, name), heard) == value
    assert type(understood(one(schema, name), heard)) is type(value)


@pytest.mark.parametrize(
    ("name", "schema", "heard", "value"),
    [
        ("day", TEXT, "I'd like to come tomorrow", "tomorrow"),
        ("day", TEXT, "I'd like to come", None),
        ("name", TEXT, "hello, this is Ann Lee", "Ann Lee"),
        ("name", TEXT, "put it under Bob", "Bob"),
        ("name", TEXT, "i'm calling about my order", None),
        ("name", TEXT, "a table for Tuesday, this is Monday", None),
        ("order_number", TEXT, "where is order 4711", "4711"),
        ("order_number", TEXT, "where is my order", None),
        ("count", INTEGER, "for four people", 4),
        ("count", INTEGER, "I'd like one", None),
        ("size", SIZES, "a small one", "small"),
        ("wrap", BOOLEAN, "yes", None),
        ("city", TEXT, "the weather in Paris", None),
    ],
)
def test_only_what_can_hardly_mean_anything_else_is_overheard(
    name: str, schema: object, heard: str, value: object
) -> None:
    assert overheard(one(schema, name), heard) == value


def test_names_in_every_spelling_are_words() -> None:
    for name in ("order_number", "orderNumber", "order-number", "OrderNumber", "ORDER_NUMBER"):
        assert words_of(name) == ["order", "number"]
    assert words_of("getURLFor2") == ["get", "url", "for", "2"]


schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["string", "integer", "array", "#/$defs/a", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "enum", "anyOf", "$ref", "$defs", "items", "description", "day", "a"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(schemas, schemas, st.text(max_size=30) | st.sampled_from(["my name is Bob", "on Monday, two", "yes 4,5.6"]))
def test_no_schema_and_no_answer_is_too_odd(properties: object, defs: object, heard: str) -> None:
    raw = msgspec.json.encode({"properties": properties, "required": ["a"], "$defs": defs})
    for argument in arguments_of(msgspec.Raw(raw)):
        assert argument.question.endswith("?")
        for value in (understood(argument, heard), overheard(argument, heard)):
            msgspec.json.encode(value)

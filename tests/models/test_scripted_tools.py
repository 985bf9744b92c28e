"""The scripted model with tools: conversations as a caller would have them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.models.scripted_intents import asked_for, tools_of
from retell_ws.models.scripted_lines import (
    ANYTHING_ELSE,
    CHECK_IN,
    GOODBYE,
    HELLO,
    HOURS,
    LISTENING,
    WHAT_NAME,
    WHICH_DAY,
    reply,
)
from retell_ws.models.scripted_tools import (
    BYE,
    CONNECTING,
    DONE,
    NEVER_MIND,
    NOT_NOW,
    UNDER_WAY,
    Answer,
    Invocation,
    answer,
)
from retell_ws.prompt import DATA, REMINDER, SPOKEN_INTO
from retell_ws.request import Message, ModelRequest, ToolResult, ToolUse, Words
from retell_ws.tool import ToolSpec

TEXT, INTEGER = {"type": "string"}, {"type": "integer"}


def tool(name: str, description: str = "", /, **properties: object) -> ToolSpec:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(name, description, msgspec.Raw(msgspec.json.encode(schema)))


CLINIC = (
    tool("book_appointment", "Book an appointment.", day=TEXT, name=TEXT),
    tool("cancel_appointment", "Cancel an appointment.", name=TEXT),
    tool("reschedule_appointment", "Move an appointment.", name=TEXT, new_day=TEXT),
    tool("transfer_to_human", "Connect the caller to a person."),
    tool("end_call", "End the call."),
)
SHOP = (
    tool("lookup_order", "Find an order or package.", order_number=INTEGER),
    tool("cancel_order", "Cancel an order.", order_number=INTEGER),
    tool("place_order", "", size={"enum": ["small", "large"]}, gift_wrap={"type": "boolean"}, note=TEXT),
    tool("get_weather", "Get the weather.", city=TEXT),
    tool("book_table", "", party_size=INTEGER, date=TEXT, time=TEXT, customer_name=TEXT),
    tool("hangUp", "", message=TEXT),
)


def ask(tools: tuple[ToolSpec, ...], *messages: Message, none: bool = False) -> Answer:
    return answer(
        ModelRequest(system="", messages=messages, max_tokens=99, tools=tools, tool_choice="none" if none else "auto")
    )


def user(words: str) -> Message:
    return Message("user", words)


def agent(words: str) -> Message:
    return Message("assistant", words)


def used(call: Invocation, *words: str, id: str = "t1") -> Message:
    return Message(
        "assistant", (*map(Words, words), ToolUse(id, call.name, msgspec.Raw(msgspec.json.encode(call.input))))
    )


def result(content: str, *words: str, is_error: bool = False, id: str = "t1") -> Message:
    return Message("user", (ToolResult(id, content, is_error), *map(Words, words)))


def talk(tools: tuple[ToolSpec, ...], *lines: str, keep: bool) -> Iterator[Answer]:
    """Have a conversation. A line that begins with `cut:` cuts in after three words of the question before.

    Args:
        tools: What may be called.
        lines: The caller's.
        keep: Whether the history keeps calls and results, or only what was spoken.
    """
    messages: list[Message] = []
    for line in lines:
        if line.startswith("cut:"):
            line = line.removeprefix("cut:")
            messages[-1] = agent(" ".join(messages[-1].text.split()[:3]))
        messages.append(user(line))
        answered = ask(tools, *messages)
        yield answered
        if answered.call is None:
            messages.append(agent(answered.text))
            continue
        pair = (used(answered.call, *[answered.text] if answered.text else []), result("Fine."))
        after = ask(tools, *messages, *pair)
        assert after.text and after.call is None
        messages += (*pair, agent(after.text)) if keep else (agent(f"{answered.text} {after.text}".strip()),)


def calls(tools: tuple[ToolSpec, ...], *lines: str) -> list[tuple[str, dict[str, object]] | None]:
    """What is called at each line, which must be the same whether or not the history tells of calls."""
    kept, spoken = (
        [
            (answered.call.name, answered.call.input) if answered.call is not None else None
            for answered in talk(tools, *lines, keep=keep)
        ]
        for keep in (True, False)
    )
    assert kept == spoken
    return kept


def test_it_asks_for_what_a_tool_needs_and_then_calls_it_once() -> None:
    lines = ("Hi! I'd like to book an appointment.", "Next tuesday, please", "It's Maria Lopez.", "great", "thanks")
    booked = ("book_appointment", {"day": "next Tuesday", "name": "Maria Lopez"})
    assert calls(CLINIC, *lines) == [None, None, booked, None, None]
    first, second, *_ = talk(CLINIC, *lines, keep=False)
    assert (first.text, second.text) == (WHICH_DAY, WHAT_NAME)


def test_it_asks_for_nothing_that_was_mentioned() -> None:
    assert calls(CLINIC, "An appointment for tomorrow, my name is Bob Lee") == [
        ("book_appointment", {"day": "tomorrow", "name": "Bob Lee"})
    ]
    assert calls(SHOP, "Where is my order 4711?") == [("lookup_order", {"order_number": 4711})]


def test_an_answer_may_hold_more_than_was_asked_for() -> None:
    assert calls(CLINIC, "I want to book", "Friday. This is Ann") == [
        None,
        ("book_appointment", {"day": "Friday", "name": "Ann"}),
    ]


def test_what_is_asked_anew_is_called_anew() -> None:
    order = ("lookup_order", {"order_number": 4711})
    assert calls(SHOP, "Check order 4711", "Check order 4711 again") == [order, order]
    assert calls(CLINIC, "Cancel my appointment", "Bob", "Yes, cancel the other appointment too", "Ann") == [
        None,
        ("cancel_appointment", {"name": "Bob"}),
        None,
        ("cancel_appointment", {"name": "Ann"}),
    ]


def test_a_question_that_was_cut_short_was_heard() -> None:
    assert calls(CLINIC, "I want to cancel", "cut:Bob Smith") == [None, ("cancel_appointment", {"name": "Bob Smith"})]
    for said in ("And", "One moment. And what name", "Sorry, and what na"):
        answered = ask(CLINIC, user("Cancel my appointment"), agent(said), user("Bob"))
        assert answered.call == Invocation("cancel_appointment", {"name": "Bob"}), said


def test_words_after_a_question_that_was_not_heard_are_no_answer_but_may_mention_one() -> None:
    asked = (user("I want to book"), agent("I'm sorry, something went wrong on my side."))
    assert ask(CLINIC, *asked, user("Bob")) == Answer(WHICH_DAY)
    assert ask(CLINIC, *asked, user("On Monday")) == Answer(WHAT_NAME)
    assert ask(CLINIC, *asked, user("Cancel an appointment")) == Answer(WHAT_NAME)
    assert ask(CLINIC, *asked, user("transfer me")).text == CONNECTING


@pytest.mark.parametrize("heard", ["Sorry?", "What?", "could you repeat that", "Okay.", "um"])
def test_what_is_no_answer_gets_the_question_again(heard: str) -> None:
    assert ask(CLINIC, user("I want to cancel"), agent(WHAT_NAME), user(heard)) == Answer(WHAT_NAME)


def test_what_cannot_be_understood_is_asked_again() -> None:
    first, again, done = talk(SHOP, "Where is my order?", "I don't know", "It's order 47", keep=False)
    assert first == again == Answer("What is the order number?")
    assert done.call == Invocation("lookup_order", {"order_number": 47})


def test_values_have_the_schema_s_types() -> None:
    assert calls(SHOP, "I'd like to order something", "a large one", "no thank you", "with cheese")[-1] == (
        "place_order",
        {"size": "large", "gift_wrap": False, "note": "with cheese"},
    )
    assert calls(SHOP, "I want to book a table for four tomorrow", "seven thirty", "John")[-1] == (
        "book_table",
        {"party_size": 4, "date": "tomorrow", "time": "seven thirty", "customer_name": "John"},
    )


def test_of_two_alike_neither_is_overheard() -> None:
    tools = (tool("transfer_money", "", account=INTEGER, amount=INTEGER),)
    assert ask(tools, user("Transfer 20 to 4711")) == Answer("What is the account?")


def test_a_caller_may_leave_a_question_for_another_tool() -> None:
    assert calls(CLINIC, "I want to book", "I'd rather speak to a human") == [None, ("transfer_to_human", {})]
    assert calls(CLINIC, "I want to book", "No, cancel my appointment", "Bob")[-1] == (
        "cancel_appointment",
        {"name": "Bob"},
    )
    assert calls(SHOP, "Where is my order?", "how is the weather", "Rome")[-1] == ("get_weather", {"city": "Rome"})


def test_text_that_sounds_like_another_tool_is_an_answer() -> None:
    lines = ("I'd like to order, large", "yes", "cancel the onions")
    assert calls(SHOP, *lines)[-1] == ("place_order", {"size": "large", "gift_wrap": True, "note": "cancel the onions"})


def test_a_caller_may_drop_what_they_wanted() -> None:
    lines = ("I want to book", "Never mind.", "I lost my keys")
    assert [answered.text for answered in talk(CLINIC, *lines, keep=False)] == [
        WHICH_DAY,
        NEVER_MIND,
        "You said: I lost my keys. Is that right?",
    ]


@pytest.mark.parametrize("heard", ["Bye", "No, that's all", "please hang up", "no"])
def test_goodbye_is_said_before_the_call_ends(heard: str) -> None:
    assert ask(CLINIC, user("Hi"), agent(ANYTHING_ELSE), user(heard)) == Answer(GOODBYE, Invocation("end_call", {}))
    told = Answer("", Invocation("hangUp", {"message": GOODBYE}))
    assert ask(SHOP, user("Hi"), agent(ANYTHING_ELSE), user(heard)) == told, "the tool says it"


def test_goodbye_ends_a_question_too() -> None:
    assert calls(CLINIC, "I want to book", "no thanks, bye") == [None, ("end_call", {})]


def test_goodbye_without_a_tool_for_it_is_only_said() -> None:
    assert ask(CLINIC[:1], user("Bye")) == Answer(GOODBYE)


def test_a_transfer_is_announced_and_needs_no_reason() -> None:
    tools = (tool("connect_to_operator", "", reason=TEXT),)
    assert ask(tools, user("I want a human")) == Answer(
        CONNECTING, Invocation("connect_to_operator", {"reason": "I want a human"})
    )


def test_where_there_is_one_choice_only_nobody_is_asked_for_it() -> None:
    tools = (tool("transfer_call", "", to={"enum": ["the nurse"]}, message=TEXT),)
    assert ask(tools, user("I want a human")) == Answer(
        "", Invocation("transfer_call", {"to": "the nurse", "message": CONNECTING})
    )


@pytest.mark.parametrize("act", ["hang up", "transfer the call"])
@pytest.mark.parametrize("words", [[], [Words("before")]])
def test_a_note_on_what_the_caller_spoke_into_is_none_of_their_words(act: str, words: list[Words]) -> None:
    heard = "Wait, when do you open?"
    noted = f"{heard} {SPOKEN_INTO.format(act=act)}"
    message = Message("user", (*words, Words(noted))) if words else user(noted)
    assert ask(CLINIC, user("Bye"), agent(GOODBYE), message) == Answer(HOURS)


def test_a_booking_that_the_office_offers_is_made_by_the_tool() -> None:
    assert calls(CLINIC, "When do you open?", "Yes please", "Monday", "Bob")[-1] == (
        "book_appointment",
        {"day": "Monday", "name": "Bob"},
    )


@pytest.mark.parametrize(
    ("said", "text"),
    [("Hello", HELLO), ("When do you open?", HOURS), ("...", LISTENING), (f"book {REMINDER}", CHECK_IN)],
)
def test_where_no_tool_comes_in_it_says_what_it_says_without_tools(said: str, text: str) -> None:
    assert ask(CLINIC, user(said)) == ask((), user(said)) == Answer(text)
    assert ask(CLINIC) == ask(CLINIC, Message("user", ())) == Answer(LISTENING)


def test_a_silence_does_not_lose_what_was_asked_for() -> None:
    silent = (user("Cancel my appointment"), agent("And what"), user("..."), agent(WHAT_NAME), user("Bob"))
    assert ask(CLINIC, *silent).call == Invocation("cancel_appointment", {"name": "Bob"})


def test_told_to_call_nothing_it_calls_nothing() -> None:
    assert ask(SHOP, user("Check order 47"), none=True) == Answer(NOT_NOW)
    assert ask(CLINIC, user("Bye"), none=True) == ask(SHOP, user("Bye"), none=True) == Answer(GOODBYE)
    assert ask(CLINIC, user("transfer me"), none=True) == Answer(NOT_NOW)
    assert ask(CLINIC, user("I want to book"), none=True) == Answer(WHICH_DAY)


# -- what was refused, and what others asked

DAYS = {"enum": ["Friday", "Monday", "Tuesday"]}
OFFICE = (
    tool("book", "Book an appointment.", day=DAYS, name=TEXT),
    tool("find_order", "Find the order.", order_number=TEXT),
    tool("confirm", "Note that they come."),
    tool("reschedule", "Move the appointment.", day=TEXT),
    tool("transfer_call", "Hand the caller on.", to={"enum": ["the nurse"]}),
)
REFUSED = (
    user("Book Monday, my name is Bob"),
    used(Invocation("book", {"day": "Monday", "name": "Bob"})),
    result("Monday is full. Would another day suit you?", is_error=True),
    agent("I'm sorry. Monday is full. Would another day suit you?"),
)


@pytest.mark.parametrize(
    ("heard", "answered"),
    [
        ("Tuesday then", Answer("", Invocation("book", {"day": "Tuesday", "name": "Bob"}))),
        ("then book Tuesday", Answer("", Invocation("book", {"day": "Tuesday", "name": "Bob"}))),
        ("Yes", Answer("Gladly. Which day would suit you: Monday, Tuesday or Friday?")),
        ("No", Answer(NEVER_MIND)),
        ("never mind", Answer(NEVER_MIND)),
        ("the nurse please, connect me", Answer(CONNECTING, Invocation("transfer_call", {"to": "the nurse"}))),
        ("Monday", Answer("", Invocation("book", {"day": "Monday", "name": "Bob"}))),
        ("book", Answer("Gladly. Which day would suit you: Monday, Tuesday or Friday?")),
    ],
)
def test_what_was_refused_is_tried_again_with_what_the_caller_names_instead(heard: str, answered: Answer) -> None:
    assert ask(OFFICE, *REFUSED, user(heard)) == answered


def test_a_refusal_of_long_ago_is_forgotten() -> None:
    later = (user("is my order there"), agent("What is the order number?"), user("forget it"), agent(NEVER_MIND))
    assert ask(OFFICE, *REFUSED, user("No"), agent(NEVER_MIND), *later, user("Tuesday")).call is None
    unknown = (used(Invocation("gone", {})), result("No.", is_error=True), agent("No."), user("Tuesday"))
    assert ask(OFFICE, user("Hm"), *unknown).call is None


ASKING = "Hello. What is your order number?"
COMING = "Will you come on Friday?"


@pytest.mark.parametrize(
    ("said", "heard", "answered"),
    [
        (ASKING, "It's 4711", Answer("", Invocation("find_order", {"order_number": "4711"}))),
        (ASKING, "I lost it", Answer("What is the order number?")),
        (ASKING, "When do you open?", Answer(HOURS)),
        (COMING, "Yes, sure.", Answer("", Invocation("confirm", {}))),
        (COMING, "No.", Answer(WHICH_DAY)),
        (COMING, "Okay, who is this?", Answer("You said: Okay, who is this. Is that right?")),
        (COMING, "I will be there", Answer("", Invocation("confirm", {}))),
        (COMING, "Could I have another day", Answer(WHICH_DAY)),
        (CHECK_IN, "Yes", Answer(LISTENING)),
        (ANYTHING_ELSE, "No", Answer(GOODBYE)),
    ],
)
def test_an_answer_to_the_greetings_question_is_understood(said: str, heard: str, answered: Answer) -> None:
    assert ask(OFFICE, user("(The call begins.)"), agent(said), user(heard)) == answered


def test_a_yes_where_nothing_can_be_confirmed_is_no_request() -> None:
    asked = (user("(The call begins.)"), agent("How can I help you?"))
    for heard in ("Yes", "No"):
        assert ask(CLINIC, *asked, user(heard)).text == f"You said: {heard}. Is that right?"


def test_where_there_is_one_possibility_nobody_is_asked_for_it() -> None:
    assert ask(OFFICE, user("Could I talk to a nurse?")).call == Invocation("transfer_call", {"to": "the nurse"})


def test_the_data_of_a_call_asks_for_nothing() -> None:
    data = DATA.format(data='{"appointment":"on Friday","note":"book"}')
    assert ask(OFFICE, user(data), agent("Hello."), user("Hm")).text == "You said: Hm. Is that right?"
    assert ask(OFFICE, user(f"{data} Hello")) == Answer(HELLO)
    assert ask((), user(f"{data} Hello")) == Answer(HELLO)


# -- results

CHECKED = (user("Check order 47"), used(Invocation("lookup_order", {"order_number": 47})))


@pytest.mark.parametrize(
    ("content", "is_error", "text"),
    [
        ("It is on its way", False, f"It is on its way. {ANYTHING_ELSE}"),
        ('"It is on its way!"', False, f"It is on its way! {ANYTHING_ELSE}"),
        ("Which one of them?", False, "Which one of them?"),
        ("", False, f"{DONE} {ANYTHING_ELSE}"),
        ('{"status": "sent"}', False, f"{DONE} {ANYTHING_ELSE}"),
        ("[1, 2]", False, f"{DONE} {ANYTHING_ELSE}"),
        ("true", False, f"{DONE} {ANYTHING_ELSE}"),
        ("<html>", False, f"{DONE} {ANYTHING_ELSE}"),
        ("\ud800", False, f"{DONE} {ANYTHING_ELSE}"),
        ("word " * 50, False, f"{DONE} {ANYTHING_ELSE}"),
        ("There is no such order", True, f"I'm sorry. There is no such order. {ANYTHING_ELSE}"),
        ("", True, f"I'm sorry, that did not work. {ANYTHING_ELSE}"),
    ],
)
def test_a_result_is_told_as_it_is_when_it_is_made_for_the_ear(content: str, is_error: bool, text: str) -> None:
    assert ask(SHOP, *CHECKED, result(content, is_error=is_error)) == Answer(text)
    assert ask(SHOP, *CHECKED, result(content, is_error=is_error), none=True) == Answer(text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("I have found it.", "I have found it."),
        ("I'll be there.", "I'll be there."),
        ("only on Mondays", "Only on Mondays."),
        ("(This was done earlier.) It is on its way.", "It is on its way."),
        ("(It runs in the background.)", UNDER_WAY),
        ("X", DONE),
    ],
)
def test_a_result_becomes_a_sentence_and_a_note_for_the_model_is_not_said(content: str, text: str) -> None:
    assert ask(SHOP, *CHECKED, result(content)) == Answer(f"{text} {ANYTHING_ELSE}")


def test_two_results_are_told_one_after_the_other() -> None:
    both = Message("user", (ToolResult("t1", "It is here."), ToolResult("t2", "It is late.", True)))
    assert ask(SHOP, *CHECKED, both) == Answer(f"It is here. I'm sorry. It is late. {ANYTHING_ELSE}")


def test_after_the_end_of_a_call_and_a_transfer_nothing_is_offered() -> None:
    ended, connected = used(Invocation("end_call", {}), GOODBYE), used(Invocation("transfer_to_human", {}), CONNECTING)
    assert ask(CLINIC, user("Bye"), ended, result("")) == Answer(BYE)
    assert ask(CLINIC, user("Bye"), ended, result("No.", is_error=True)).text.endswith(ANYTHING_ELSE)
    assert ask(CLINIC, user("transfer me"), connected, result("They are on the line.")).text == "They are on the line."
    assert ask(CLINIC, result("Odd.")) == Answer(f"Odd. {ANYTHING_ELSE}")


def test_a_caller_who_speaks_meanwhile_hears_the_result_unless_they_want_something_else() -> None:
    assert ask(SHOP, *CHECKED, result("It is sent.", "Hello?")).text == f"It is sent. {ANYTHING_ELSE}"
    assert ask(SHOP, *CHECKED, result("It is sent.", "Bye")).call == Invocation("hangUp", {"message": GOODBYE})
    assert ask(SHOP, *CHECKED, result("It is sent.", "Cancel order 47")).call == Invocation(
        "cancel_order", {"order_number": 47}
    )


def test_without_tools_a_history_with_calls_is_read_for_its_words() -> None:
    messages = (*CHECKED, result("Sent."), agent("It is sent."), user("Bye"))
    assert ask((), *messages) == Answer(reply(messages)) == Answer(GOODBYE)


# -- which tool


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        ("I'd like to make a reservation", "book_appointment"),
        ("Can you schedule me in?", "book_appointment"),
        ("I need to cancel my reservation", "cancel_appointment"),
        ("Can I change my appointment?", "reschedule_appointment"),
        ("Could you move me to Monday", "reschedule_appointment"),
        ("Connect me to somebody", "transfer_to_human"),
        ("I want to talk to a real person about my appointment", "transfer_to_human"),
        ("Is there an operator?", "transfer_to_human"),
        ("Goodbye then", "end_call"),
        ("I lost my keys", None),
        ("check my blood", None),
        ("", None),
    ],
)
def test_a_clinic_s_caller_gets_the_tool_they_ask_for(heard: str, name: str | None) -> None:
    found = asked_for(heard, tools_of(CLINIC))
    assert (found[0].name if found else None) == name


@pytest.mark.parametrize(
    ("heard", "name"),
    [
        ("Where's my package?", "lookup_order"),
        ("the status of my order", "lookup_order"),
        ("it is about my order", "lookup_order"),
        ("cancel my order", "cancel_order"),
        ("I would like to order", "place_order"),
        ("can I buy something", "place_order"),
        ("what's the weather like", "get_weather"),
        ("where are you located", None),
        ("where is it", "lookup_order"),
        ("a table please", None),
    ],
)
def test_a_shop_s_caller_gets_the_tool_they_ask_for(heard: str, name: str | None) -> None:
    found = asked_for(heard, tools_of(SHOP))
    assert (found[0].name if found else None) == name


def test_a_tool_whose_name_says_nothing_is_found_by_its_description() -> None:
    tools = tools_of((tool("do_it", "Water the plants in the garden."),))
    assert asked_for("please water the plants", tools) is not None
    assert asked_for("a glass of water", tools) is None


@pytest.mark.parametrize("name", ["make_reservation", "new_booking", "appointment", "scheduleVisit", "set-up-visit"])
def test_a_tool_named_after_a_booking_books(name: str) -> None:
    assert asked_for("I'd like to book", tools_of((tool(name),))) is not None
    assert asked_for("cancel my appointment", tools_of((tool(name),))) is None


def test_a_tool_for_another_thing_is_not_asked_for_by_its_noun() -> None:
    assert asked_for("cancel the pizza", tools_of((tool("pizza_menu"),))) is None
    assert asked_for("find the pizza", tools_of((tool("pizza_menu"),))) is not None
    assert asked_for("I'd like to order a pizza", tools_of((tool("pizza"),))) is not None


# -- any conversation

WORDS = ["Book", "cancel", "order 47", "tomorrow", "my name is Bob", "yes", "no", "bye", "What?", "large", "", REMINDER]
lines = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages = [user(draw(lines))]
    for number in range(draw(st.integers(0, 5))):
        match draw(st.integers(0, 2)):
            case 0:
                messages.append(agent(draw(st.sampled_from([WHICH_DAY, "And what", "Hm.", ANYTHING_ELSE]))))
                messages.append(user(draw(lines)))
            case 1:
                call = Invocation(draw(st.sampled_from([tool.name for tool in SHOP])), {})
                messages.append(used(call, id=f"t{number}"))
                messages.append(result(draw(lines), id=f"t{number}"))
            case _:
                messages.append(agent(draw(lines)))
                messages.append(result("Done", draw(lines)))
    return tuple(messages)


@given(conversations(), st.booleans())
def test_any_conversation_gets_one_answer_whose_call_fits_its_tool(messages: tuple[Message, ...], none: bool) -> None:
    answered = ask(SHOP, *messages, none=none)
    assert answered == ask(SHOP, *messages, none=none)
    assert answered.text or answered.call
    assert not (none and answered.call)
    if answered.call is not None:
        (spec,) = [spec for spec in SHOP if spec.name == answered.call.name]
        schema = msgspec.json.decode(spec.input_schema)
        assert set(answered.call.input) == set(schema["required"])

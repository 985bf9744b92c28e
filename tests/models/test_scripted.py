"""The scripted model's rules and its pace."""

from __future__ import annotations

import asyncio

import pytest

from retell_ws.models.scripted import CHECK_IN, GOODBYE, HELLO, HOURS, LISTENING, ScriptedModel, pieces, reply
from retell_ws.ports import Text
from retell_ws.prompt import CALL_BEGINS, GO_ON, REMINDER
from retell_ws.request import Message, ModelRequest


def talk(*lines: str) -> list[str]:
    messages: list[Message] = []
    for line in lines:
        messages.append(Message("user", line))
        messages.append(Message("assistant", reply(messages)))
    return [message.text for message in messages if message.role == "assistant"]


def test_it_books_by_asking_for_day_and_name() -> None:
    day, name, booked, bye = talk(
        "Hi! I'd like to book an appointment.", "Next tuesday, please", "It's Maria Lopez.", "No, that's all"
    )
    assert "day" in day and "name" in name
    assert booked.startswith("You are booked for next Tuesday, Maria Lopez.")
    assert bye == GOODBYE


def test_it_asks_for_no_day_that_was_already_said() -> None:
    assert talk("Can you book me in for tomorrow?", "Bob")[-1].startswith("You are booked for tomorrow, Bob.")


def test_it_takes_a_day_it_does_not_know_as_it_was_said() -> None:
    assert talk("An appointment please", "the 4th of May.", "my name is ana")[-1].startswith(
        "You are booked for the 4th of May, ana."
    )


def test_a_name_for_a_day_it_never_heard_of_is_booked_all_the_same() -> None:
    asked = (Message("assistant", "And what name may I put it under?"), Message("user", "Bob"))
    assert reply(asked).startswith("You are booked for the day you named, Bob.")


def test_opening_hours_may_lead_to_a_booking() -> None:
    hours, day = talk("When do you open?", "Yes please")
    assert hours == HOURS
    assert "day" in day


def test_it_repeats_what_it_does_not_know_and_asks_one_question() -> None:
    repeated, noted, bye = talk("Hello, I lost my keys.", "yes", "no")
    assert repeated == "You said: I lost my keys. Is that right?"
    assert "noted" in noted
    assert bye == GOODBYE


def test_it_asks_again_when_it_had_it_wrong() -> None:
    assert "What is it you need?" in talk("I lost my keys", "No!")[-1]


def test_it_repeats_no_more_than_anyone_would_listen_to() -> None:
    assert len(talk("word " * 500)[0].split()) < 30


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hello", HELLO),
        ("good morning!", HELLO),
        ("Bye now", GOODBYE),
        (REMINDER, CHECK_IN),
        (f"book {REMINDER}", CHECK_IN),
        (GO_ON, LISTENING),
        (CALL_BEGINS, LISTENING),
        ("...", LISTENING),
        ("", LISTENING),
    ],
)
def test_it_knows_the_common_turns(said: str, answer: str) -> None:
    assert talk(said) == [answer]


def test_it_has_words_even_for_no_conversation() -> None:
    assert reply([]) == LISTENING


def test_pieces_are_words_that_make_up_the_text() -> None:
    assert pieces("Hello  there, you.") == ["Hello  ", "there, ", "you."]


async def test_it_waits_before_the_first_word_and_between_words() -> None:
    model = ScriptedModel(ttft_ms=60, spacing_ms=20)
    request = ModelRequest(system="", messages=(Message("user", "Hello"),), max_tokens=100)
    loop = asyncio.get_running_loop()
    start = loop.time()
    times = [loop.time() - start async for delta in model.stream(request) if isinstance(delta, Text)]
    # Never early, whatever the machine; the loop's own clock may round a millisecond.
    assert all(time >= 0.059 + 0.02 * index for index, time in enumerate(times))


async def test_without_any_delay_it_still_gives_way_to_others() -> None:
    model = ScriptedModel(ttft_ms=0, spacing_ms=0)
    request = ModelRequest(system="", messages=(Message("user", "Hello"),), max_tokens=100)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    words = [delta async for delta in model.stream(request) if isinstance(delta, Text)]
    task.cancel()
    assert turns >= len(words)

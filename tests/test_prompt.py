"""The model's request: the API's rules for any transcript, and a prefix that stays the same as a call goes on."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.agent import Agent
from retell_ws.prompt import CALL_BEGINS, GO_ON, NO_WORDS, REMINDER, Message, build
from retell_ws.transcript import Question, Utterance

ANA = Agent("You are Ana.", model="claude-test", max_tokens=77)
Said = tuple[str, str | None]


def messages(*said: Said, kind: Literal["response", "reminder"] = "response") -> tuple[Message, ...]:
    transcript = tuple(Utterance(role=role, content=content) for role, content in said)
    return build(ANA, Question(kind, transcript)).messages


def user(content: str) -> Message:
    return Message("user", content)


def assistant(content: str) -> Message:
    return Message("assistant", content)


def test_the_agents_own_values_are_passed_on_untouched() -> None:
    request = build(ANA, Question("response", ()))
    assert (request.system, request.model, request.max_tokens) == ("You are Ana.", "claude-test", 77)
    assert build(Agent(" Padded. \n"), Question("response", ())).system == " Padded. \n"
    assert build(Agent("You are Ana."), Question("response", ())).model == ""


def test_a_conversation_alternates_as_it_was_heard() -> None:
    assert messages(("user", "Hi. "), ("agent", "Lakeside Inn. "), ("user", "A room?")) == (
        user("Hi."),
        assistant("Lakeside Inn."),
        user("A room?"),
    )


def test_a_greeting_is_preceded_by_the_beginning_of_the_call() -> None:
    assert messages(("agent", "Lakeside Inn. "), ("user", "A room?")) == (
        user(CALL_BEGINS),
        assistant("Lakeside Inn."),
        user("A room?"),
    )


def test_an_empty_transcript_still_asks_something() -> None:
    assert messages() == (user(GO_ON),)


def test_a_caller_who_listens_is_said_to_listen() -> None:
    assert messages(("user", "Hi."), ("agent", "Hello. "))[-1] == user(GO_ON)


def test_a_reminder_asks_the_agent_to_check_in() -> None:
    assert messages(("user", "Hi."), ("agent", "Hello. "), kind="reminder")[-1] == user(REMINDER)
    assert messages(kind="reminder") == (user(REMINDER),)


def test_a_reminder_after_the_callers_own_words_keeps_them() -> None:
    assert messages(("user", "Let me think."), kind="reminder") == (user(f"Let me think. {REMINDER}"),)


def test_pieces_of_one_side_become_one_message() -> None:
    assert messages(("user", "A room"), ("user", "for two. "), ("agent", "One "), ("agent", "moment. ")) == (
        user("A room for two."),
        assistant("One moment."),
        user(GO_ON),
    )


@pytest.mark.parametrize("content", ["", "  ", "\n\t", None])
def test_a_caller_without_words_is_still_a_turn_and_an_agent_without_words_is_none(content: str | None) -> None:
    assert messages(("user", "Hi."), ("agent", content), ("user", "There?")) == (user("Hi. There?"),)
    assert messages(("agent", "Hello. "), ("user", content)) == (user(CALL_BEGINS), assistant("Hello."), user(NO_WORDS))
    assert messages(("agent", content)) == (user(GO_ON),)


@pytest.mark.parametrize("role", ["transfer_target", "system", "", "Agent"])
def test_every_party_but_the_agent_counts_as_the_callers_side(role: str) -> None:
    assert messages((role, "Night manager here.")) == (user("Night manager here."),)


def test_unrecognised_sound_is_passed_on() -> None:
    assert messages(("user", "(unintelligible audio)")) == (user("(unintelligible audio)"),)


contents = st.none() | st.sampled_from(["", " ", "Yes. ", " No", "two\nlines"]) | st.text(max_size=5)
transcripts = st.lists(st.tuples(st.sampled_from(["agent", "user", "transfer_target"]), contents), max_size=5)
kinds = st.sampled_from(["response", "reminder"])


@given(transcripts, kinds)
def test_no_transcript_breaks_a_rule_of_the_models_api(said: list[Said], kind: Literal["response", "reminder"]) -> None:
    made = messages(*said, kind=kind)
    assert [message.role for message in made] == [("user", "assistant")[n % 2] for n in range(len(made))]
    assert made[-1].role == "user"
    assert all(message.text and message.content == message.text.strip() for message in made)


@given(transcripts, kinds)
def test_no_word_is_lost_or_moved_to_the_other_side(said: list[Said], kind: Literal["response", "reminder"]) -> None:
    made = messages(*said, kind=kind)
    for role, mine in (("assistant", ["agent"]), ("user", ["user", "transfer_target"])):
        heard = " ".join(content or "" for who, content in said if who in mine).split()
        told = " ".join(message.text for message in made if message.role == role).split()
        rest = iter(told)
        assert all(word in rest for word in heard), "every word stands there, in its order"
        if role == "assistant":
            assert told == heard


@given(transcripts, st.text(min_size=1, max_size=8).filter(str.strip), contents, transcripts)
def test_the_messages_of_a_question_are_a_prefix_of_those_of_the_next(
    said: list[Said], answer: str, reply: str | None, more: list[Said]
) -> None:
    earlier: list[Said] = [*said, ("user", "Well?")]
    later: list[Said] = [*earlier, ("agent", answer), ("user", reply), *more]
    assert messages(*later)[: len(messages(*earlier))] == messages(*earlier)


@given(transcripts, transcripts, kinds)
def test_however_a_transcript_grows_all_but_the_last_exchange_stays(
    said: list[Said], more: list[Said], kind: Literal["response", "reminder"]
) -> None:
    # The caller's last words may still grow; after a reminder or a pause, so may the agent's before them.
    settled = messages(*said, kind=kind)[:-2]
    assert messages(*said, *more, kind=kind)[: len(settled)] == settled


@pytest.mark.timeout(20)  # linear in a second; were it quadratic, one message would stop every call for minutes
def test_a_run_of_three_hundred_thousand_utterances_is_one_message() -> None:
    yes, count, window = "\N{GRINNING FACE} yes", 300_000, 100_000
    question = Question("response", (Utterance("user", yes),) * count)
    assert build(Agent("You are Ana.", window=window), question).messages == (user(" ".join([yes] * count)),)

"""The model's request: the API's rules for any transcript, and a prefix that stays the same as a call goes on."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.agent import Agent
from retell_ws.handle import Call
from retell_ws.intent import EndCall, TransferCall
from retell_ws.prompt import (
    CALL_BEGINS,
    DATA,
    EARLIER,
    GO_ON,
    LEFT_OUT,
    NO_WORDS,
    REMINDER,
    Context,
    Summary,
    build,
    call_data,
)
from retell_ws.request import Message, Words
from retell_ws.tool import ToolSpec
from retell_ws.transcript import Question, Utterance
from retell_ws.wire import CallInfo

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


# ---------------------------------------------------------------------------- beside the transcript


def asked(*said: Said, agent: Agent = ANA, **context: Any) -> tuple[Message, ...]:
    transcript = tuple(Utterance(role=role, content=content) for role, content in said)
    return build(agent, Question("response", transcript), Context(**context)).messages


@pytest.mark.parametrize(
    ("role", "content", "told"),
    [
        ("dtmf", "12#", "(The caller pressed 1 2 # on the keypad.)"),
        ("dtmf", "", NO_WORDS),
        ("sms", "see picture", "(The caller sent a text message: see picture)"),
        ("sms", None, f"(The caller sent a text message: {NO_WORDS})"),
        ("injected", "A regular.", "(A note on the call: A regular.)"),
    ],
)
def test_what_comes_beside_the_talk_is_said_to_be_so(role: str, content: str | None, told: str) -> None:
    assert asked((role, content)) == (user(told),)


@pytest.mark.parametrize(("intent", "act"), [(EndCall(), "hang up"), (TransferCall("+1415"), "transfer the call")])
def test_the_model_is_told_what_the_caller_spoke_into(intent: Any, act: str) -> None:
    (message,) = asked(("user", "what do they cost?"), interrupted=intent)
    assert message.text.startswith("what do they cost? (You were about to ") and act in message.text


def test_the_stage_of_a_call_has_its_own_instructions_and_tools() -> None:
    tool = ToolSpec("book", "Book.", msgspec.Raw(b"{}"))
    request = build(ANA, Question("response", ()), Context(instructions="Now pay.", tools=(tool,), may_call=False))
    assert (request.system, request.tools, request.tool_choice) == ("Now pay.", (tool,), "none")
    assert build(ANA, Question("response", ())).tool_choice == "auto"


def test_data_and_a_summary_stand_at_the_beginning() -> None:
    said: list[Said] = [("user", "one"), ("agent", "two"), ("user", "three")]
    data = '{"name":"Bo"}'
    beginning = f"{DATA.format(data=data)} {EARLIER.format(summary='They counted.')}"
    assert asked(*said, data=data, summary=Summary(2, "They counted.")) == (user(f"{beginning} three"),)
    assert asked(*said, summary=Summary(9, "All of it.")) == (user(f"{EARLIER.format(summary='All of it.')}"),), (
        "a transcript that became shorter"
    )


def test_what_is_too_long_for_any_summary_is_left_out_in_steps() -> None:
    agent = Agent("You are Ana.", window=10)
    lengths = {}
    for count in range(1, 80):
        said: list[Said] = [("agent" if n % 2 else "user", f"u{n}") for n in range(count)]
        found = asked(*said, agent=agent)
        lengths[count] = len(found)
        assert (found[0].text.startswith(LEFT_OUT)) is (count > 40)
    assert max(lengths.values()) <= 41
    assert lengths[41] < lengths[40], "a step, after which the beginning stays"
    assert lengths[45] == lengths[41] + 4


def test_a_text_block_and_its_neighbours_become_one() -> None:
    assert Message("user", (Words("a"), Words("b"))).text == "a b"


def test_data_of_the_call_is_what_the_agent_names() -> None:
    agent = Agent("You are Ana.", call_data=["name", "crm", "direction", "nothing"])
    details = CallInfo(
        call_id="c",
        direction="inbound",
        metadata={"crm": 7, "hidden": 1},
        retell_llm_dynamic_variables={"name": "<b>"},
    )
    assert call_data(agent, Call("c", details)) == '{"crm":7,"direction":"inbound","name":"\\u003cb>"}'
    assert call_data(agent, Call("c")) == ""
    assert call_data(agent, Call("c", CallInfo(call_id="c", metadata={"crm": "x" * 5000}))) == ""

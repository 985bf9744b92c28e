"""What may be answered from the cache, and under which key: never two contexts under one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from retell_ws.agent import Agent
from retell_ws.answers import (
    MAX_ANSWER,
    SKEW_S,
    VERSION,
    Answer,
    fits,
    granted,
    key_of,
    opening,
    problem,
    refusal,
    scope_of,
    unfit,
    unspeakable,
)
from retell_ws.cache import Cache
from retell_ws.errors import AgentError
from retell_ws.exchange import News
from retell_ws.handle import Call
from retell_ws.intent import EndCall
from retell_ws.prompt import CALL_BEGINS, Context, Summary, build
from retell_ws.request import Message, ModelRequest, Words
from retell_ws.tool import ToolSpec
from retell_ws.transcript import AGENT, START, Question, Utterance, normalised

SECRET = b"s" * 32
GREETING = "Harbor Clinic, this is Ana."


def ana(instructions: Any = "You are Ana.", *, greeting: Any = GREETING, cache: Any = True, **options: Any) -> Agent:
    return Agent(instructions, greeting=greeting, cache=cache, **options)


def asked(*heard: str, agent: Agent | None = None) -> Question:
    return opening(agent or ana(), heard)


# ---------------------------------------------------------------------------- the agent's choice


def test_an_agent_allows_nothing_unless_it_says_so() -> None:
    assert Agent("You are Ana.").cache is None
    assert "cache=True" in unfit(Agent("You are Ana."))
    assert Agent("You are Ana.", cache=False).cache is None
    assert Agent("You are Ana.", cache=True).cache == Cache()
    assert Agent("You are Ana.", cache=Cache(ttl_s=60)).cache == Cache(ttl_s=60)


@pytest.mark.parametrize("bounds", [{"ttl_s": 0}, {"utterances": 0}, {"characters": 0}, {"ttl_s": 1e9}])
def test_bounds_that_are_none_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(AgentError, match="cache: "):
        Agent("You are Ana.", cache=Cache(**bounds))


def with_tool(**options: Any) -> Agent:
    agent = ana()

    @agent.tool(**options)
    async def book() -> str:
        """Book."""
        return ""

    return agent


def with_hook() -> Agent:
    agent = ana()
    agent.before_model(lambda call, request: None)
    return agent


@pytest.mark.parametrize(
    ("agent", "why"),
    [
        (ana(lambda call: "You are Ana."), "instructions are a function"),
        (ana(greeting=lambda call: "Hi."), "greeting is a function"),
        (ana(call_data=["name"]), "call_data"),
        (with_hook(), "before_model"),
        (with_tool(), "tools"),
        (ana(end_call=True), "tools"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_agent_whose_requests_hold_more_than_the_talk_is_unfit(agent: Agent, why: str) -> None:
    assert why in unfit(agent)
    assert scope_of(agent, "claude") == ""
    assert granted(scope_of(agent, "claude"), agent.cache, asked("What are your hours?")) == ""


def test_an_agent_with_tools_of_later_stages_alone_is_fit() -> None:
    def later(call: Call) -> bool:
        return False

    assert unfit(with_tool(when=later)) == ""


# ---------------------------------------------------------------------------- the question


def test_a_question_right_after_the_greeting_may_be_kept() -> None:
    agent = ana()
    question = asked("What are your hours?")
    assert question.transcript == (Utterance(AGENT, GREETING), Utterance("user", "What are your hours?"))
    scope = scope_of(agent, "claude")
    assert scope and granted(scope, agent.cache, question) == scope
    assert granted("", agent.cache, question) == "" == granted(scope, None, question)
    request = build(agent, question, cache_scope=scope)
    assert request.cache_scope == scope and fits(request)


def test_an_agent_without_a_greeting_is_asked_first() -> None:
    assert opening(ana(greeting=""), ["Hi"]).transcript == (Utterance("user", "Hi"),)
    assert [item.role for item in asked("Hi", "Hello.", "Bye").transcript] == ["agent", "user", "agent", "user"]


def talk(*said: tuple[str, str | None]) -> Question:
    return Question("response", tuple(Utterance(role, words) for role, words in said))


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (Question("reminder", asked("Hello").transcript), "no question"),
        (Question("response", ()), "asked nothing"),
        (talk(("agent", GREETING)), "asked nothing"),
        (talk(("agent", GREETING), ("user", "  …")), "nothing was said"),
        (talk(("agent", GREETING), ("user", None)), "nothing was said"),
        (talk(("user", ""), ("agent", GREETING), ("user", "Hello")), "nothing was said"),
        (asked("a", "b", "c", "d", "e"), "gone on"),
        (talk(("user", "a"), ("user", "b"), ("user", "c")), "gone on"),
        (talk(("agent", "a"), ("agent", "b"), ("agent", "c"), ("user", "d"), ("agent", "e"), ("user", "f")), "gone on"),
        (asked("My number is 5551234"), "digits"),
        (asked("Room ٣ please"), "digits"),
        (asked("I am bo@example.com"), "address"),
        (asked("It is bo at example dot com"), "address"),
        (asked("I " * 90), "long story"),
        (talk(("dtmf", "12"), ("user", "Hello")), "beside the talk"),
        (talk(("agent", GREETING), ("injected", "a note")), "beside the talk"),
        (talk(("sms", "text"), ("user", "Hello")), "beside the talk"),
        (talk(("transfer_target", "Hello")), "beside the talk"),
    ],
)
def test_a_question_with_anything_of_the_callers_own_is_refused(question: Question, why: str) -> None:
    assert why in refusal(Cache(), question)
    assert granted("scope", Cache(), question) == ""


SPEC = ToolSpec("book", "Book.", msgspec.Raw(b"{}"))


@pytest.mark.parametrize(
    ("context", "why"),
    [
        (Context(tools=(SPEC,)), "tools"),
        (Context(exchanges=((1, News(START, "It is booked.")),)), "tools"),
        (Context(instructions="Stage 2."), "the call itself"),
        (Context(data='{"name":"Bo"}'), "the call itself"),
        (Context(summary=Summary(1, "Bo called.")), "the call itself"),
        (Context(interrupted=EndCall()), "the call itself"),
    ],
)
def test_a_question_in_a_context_of_its_own_is_refused(context: Context, why: str) -> None:
    assert why in refusal(Cache(), asked("Hello"), context)
    assert refusal(Cache(), asked("Hello"), Context()) == ""


def test_the_bounds_are_the_agents() -> None:
    assert refusal(Cache(utterances=1), asked("Hello", "Hi.", "Hours?")) == "the call has gone on"
    assert refusal(Cache(utterances=2), asked("Hello", "Hi.", "Hours?")) == ""
    assert refusal(Cache(characters=5), asked("Hours?")) == "a long story was told"


def test_what_the_agent_said_may_hold_digits() -> None:
    assert refusal(Cache(), asked("Hello", "We open at 9. Mail ana@example.com.", "And close?")) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"cache_scope": ""},
        {"tools": (SPEC,)},
        {"messages": (Message("user", (Words("Hello"),)),)},
    ],
)
def test_whoever_set_the_scope_may_have_been_mistaken(change: dict[str, Any]) -> None:
    request = build(ana(), asked("Hello"), cache_scope="scope")
    assert fits(request) and not fits(msgspec.structs.replace(request, **change))


# ---------------------------------------------------------------------------- the scope


def test_the_scope_is_that_of_everything_about_the_agent_that_makes_the_answer() -> None:
    variants = [
        ana(),
        ana("You are Bea."),
        ana(greeting="Hello."),
        ana(greeting=""),
        ana(model="claude-other"),
        ana(max_tokens=77),
        ana(cache=Cache(tenant="north")),
        ana(cache=Cache(tenant="south")),
    ]
    scopes = [scope_of(agent, "claude") for agent in variants]
    assert len(set(scopes)) == len(variants)
    assert scope_of(ana(), "claude") == scopes[0] != scope_of(ana(), "claude-2")
    assert scope_of(ana(cache=Cache(ttl_s=5, utterances=1)), "claude") == scopes[0]


# ---------------------------------------------------------------------------- the key

texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["", "a", "ab", "b", "user", "assistant", "What are your hours?", "\x00", "(The call begins.)", "1", "(a"]
)
message_lists = st.lists(st.tuples(st.sampled_from(["user", "assistant"]), texts), max_size=4)


@st.composite
def requests(draw: st.DrawFn) -> ModelRequest:
    return ModelRequest(
        system=draw(texts),
        messages=tuple(Message(role, text) for role, text in draw(message_lists)),  # type: ignore[arg-type]
        max_tokens=draw(st.integers(1, 12)),
        cache_scope=draw(texts),
    )


def meant(request: ModelRequest, model: str) -> Any:
    """What determines the answer, written otherwise than the key is made."""

    def folded(message: Message) -> tuple[str, str]:
        text = message.text
        if message.role == "assistant":
            return "agent", " ".join(text.split())
        return ("ours", text) if text[:1] == "(" else ("caller", normalised(text))

    return (model, request.cache_scope, request.system, request.max_tokens, [folded(m) for m in request.messages])


@given(requests(), requests(), texts, texts)
def test_two_contexts_have_one_key_only_if_nothing_in_them_differs(
    one: ModelRequest, other: ModelRequest, model: str, another: str
) -> None:
    same = meant(one, model) == meant(other, another)
    assert (key_of(SECRET, one, model) == key_of(SECRET, other, another)) == same


@given(requests(), st.data())
def test_a_change_in_any_one_field_changes_the_key(request: ModelRequest, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(["system", "cache_scope", "max_tokens", "model", "messages", "split"]))
    changed, model = request, "claude"
    match field:
        case "system" | "cache_scope":
            changed = msgspec.structs.replace(request, **{field: data.draw(texts)})
        case "max_tokens":
            changed = msgspec.structs.replace(request, max_tokens=request.max_tokens + 1)
        case "model":
            model = data.draw(texts)
        case "messages":
            more = Message("user", data.draw(texts))
            changed = msgspec.structs.replace(request, messages=(*request.messages, more))
        case "split":  # a piece of one text moved into its neighbour: the same bytes in a row
            assume(len(request.messages) > 1 and request.messages[0].text)
            first, second, *rest = request.messages
            moved = Message(second.role, first.text[-1] + second.text)
            changed = msgspec.structs.replace(request, messages=(Message(first.role, first.text[:-1]), moved, *rest))
    assume(meant(changed, model) != meant(request, "claude"))
    assert key_of(SECRET, changed, model) != key_of(SECRET, request, "claude")


@pytest.mark.parametrize("mark", ["", "|", ":", ",", "\n", "\t", "\x00", "\x1f", "\ufffd", '","'])
def test_no_mark_between_two_fields_can_be_said(mark: str) -> None:
    two = (Message("assistant", "a"), Message("assistant", "b"))
    one = (Message("assistant", f"a{mark}assistant{mark}b"),)
    plain = ModelRequest(system="", messages=two, max_tokens=1)
    assert key_of(SECRET, plain, "") != key_of(SECRET, msgspec.structs.replace(plain, messages=one), "")


@given(requests())
def test_what_changes_no_answer_changes_no_key(request: ModelRequest) -> None:
    other = msgspec.structs.replace(request, previous_id="msg_1")
    assert key_of(SECRET, other, "claude") == key_of(SECRET, request, "claude")
    assert key_of(b"t" * 32, request, "claude") != key_of(SECRET, request, "claude")


def key(*heard: str, agent: Agent | None = None) -> str:
    agent = agent or ana()
    return key_of(SECRET, build(agent, asked(*heard, agent=agent), cache_scope="scope"), "claude")


def test_recognition_may_spell_the_caller_otherwise_but_the_agents_words_are_its_own() -> None:
    assert key("What are your hours?") == key("what are  your hours") != key("what were your hours")
    assert key("Hi", "No. Pets are fine.", "Ok") == key("Hi", "No.  Pets are fine. ", "Ok")
    assert key("Hi", "No. Pets are fine.", "Ok") != key("Hi", "No pets are fine.", "Ok")


def test_a_caller_cannot_say_the_words_that_stand_for_no_caller() -> None:
    spoken = Question("response", (Utterance("user", "The call begins."), *asked("Hello").transcript))
    request = build(ana(), spoken, cache_scope="scope")
    assert normalised(CALL_BEGINS) == normalised(request.messages[0].text)
    assert key_of(SECRET, request, "claude") != key("Hello")


def test_a_text_that_cannot_be_written_has_a_key_all_the_same() -> None:
    assert key("\ud800") != key("\ud801")


# ---------------------------------------------------------------------------- the value

KEPT = Answer(version=VERSION, key="k", scope="s", model="m", created_at=1000.0, text="We open at nine.")


def wrong(**change: Any) -> str:
    return problem(msgspec.structs.replace(KEPT, **change), key="k", scope="s", model="m", now=1000.0)


def test_a_value_is_held_against_what_was_asked_for() -> None:
    assert wrong() == "" == wrong(created_at=1000.0 + SKEW_S) == wrong(created_at=0.0)
    assert wrong(version=VERSION + 1) == "version"
    assert wrong(scope="other") == "scope"
    assert wrong(model="other") == "model"
    assert wrong(key="other") == "key"
    assert wrong(created_at=1001.0 + SKEW_S) == "created_at"
    assert wrong(text=" ") == "text" == wrong(text="x" * (MAX_ANSWER + 1))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("We open at nine.", ""),
        (" ", "it is empty"),
        ("\U0001f600", "it is empty"),
        ('{"name": "look_up", "arguments": {"day": "today"}}', "it holds a tool call"),
        ("x" * (MAX_ANSWER + 1), "it is too long"),
    ],
)
def test_what_leaves_nothing_to_say_is_no_answer(text: str, why: str) -> None:
    assert unspeakable(text) == why

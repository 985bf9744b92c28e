"""The agent as its author declares it, and the call as the author's functions see it."""

from __future__ import annotations

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.errors import AgentError
from retell_ws.handle import Call
from retell_ws.lines import Lines
from retell_ws.wire import CallInfo


def test_an_agent_needs_instructions_only() -> None:
    agent = Agent("You are Ana.")
    assert agent.instructions == "You are Ana."
    assert agent.greeting == "", "the caller speaks first"
    assert agent.model == "", "the server's default"
    assert agent.max_tokens == 300
    assert agent.lines == Lines()
    assert agent.keypad is False


def test_an_agent_keeps_what_it_was_given() -> None:
    def greeting(call: Call) -> str:
        return f"Hello, {call.from_number}."

    lines = Lines(apology="Pardon?")
    agent = Agent(
        "You are Ana.",
        greeting=greeting,
        model="claude-test",
        max_tokens=1,
        lines=lines,
        keypad=True,
    )
    assert agent.greeting is greeting
    assert (agent.model, agent.max_tokens, agent.lines) == ("claude-test", 1, lines)
    assert agent.keypad is True


@pytest.mark.parametrize("instructions", ["", " ", "\n\t"])
def test_empty_instructions_are_refused(instructions: str) -> None:
    with pytest.raises(AgentError, match="needs instructions"):
        Agent(instructions)


@pytest.mark.parametrize("max_tokens", [0, -1])
def test_an_answer_of_no_tokens_is_refused(max_tokens: int) -> None:
    with pytest.raises(AgentError, match=f"at least 1, not {max_tokens}"):
        Agent("You are Ana.", max_tokens=max_tokens)


def test_a_misspelt_field_of_an_agent_is_an_error() -> None:
    with pytest.raises(AttributeError):
        setattr(Agent("You are Ana."), "greting", "Hello.")  # noqa: B010  # spelled so that mypy lets it through


def test_every_line_has_words_and_can_be_set_alone() -> None:
    for name in Lines.__struct_fields__:
        assert getattr(Lines(), name).strip()
        changed = msgspec.structs.replace(Lines(), **{name: "Einen Moment, bitte."})
        assert {field for field in Lines.__struct_fields__ if getattr(changed, field) != getattr(Lines(), field)} == {
            name
        }


def test_a_call_without_details_knows_its_id_only() -> None:
    call = Call("call_1")
    assert (call.id, call.details, call.from_number, call.to_number) == ("call_1", None, None, None)
    assert call.variables == {} and call.metadata == {}


def test_a_call_shows_the_details_once_they_are_there() -> None:
    call = Call("call_1")
    call.know(
        CallInfo(
            call_id="call_1",
            from_number="+15035550142",
            to_number="+15035550100",
            retell_llm_dynamic_variables={"guest_name": "Noor"},
            metadata={"booking": "B-4471"},
        )
    )
    assert (call.from_number, call.to_number) == ("+15035550142", "+15035550100")
    assert call.variables == {"guest_name": "Noor"}
    assert call.metadata == {"booking": "B-4471"}


def test_a_web_call_has_no_numbers_and_may_have_no_data() -> None:
    call = Call("call_1", CallInfo(call_id="call_1", call_type="web_call"))
    assert (call.from_number, call.to_number) == (None, None)
    assert call.variables == {} and call.metadata == {}

"""The agent as its author declares it, and the call as the author's functions see it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.budget import Budget
from retell_ws.directory import Transfer
from retell_ws.errors import AgentError, CallError, ToolError
from retell_ws.handle import Call
from retell_ws.intent import EndCall, Intent, TransferCall
from retell_ws.lines import Lines, phrases
from retell_ws.reminders import Reminders
from retell_ws.wire import AgentConfig, CallInfo


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
        assert all(line.strip() for line in phrases(getattr(Lines(), name)))
        changed = msgspec.structs.replace(Lines(), **{name: "Einen Moment, bitte."})
        assert {field for field in Lines.__struct_fields__ if getattr(changed, field) != getattr(Lines(), field)} == {
            name
        }


@pytest.mark.parametrize("name", ["holding", "holding_question", "working"])
@pytest.mark.parametrize("given", [(), ("",), ("One moment.", " "), ("One moment.", 5), ""])
def test_a_line_of_several_needs_one_at_least_and_words_in_each(name: str, given: Any) -> None:
    with pytest.raises(AgentError, match=f"lines.{name}: a text or several, none of them empty"):
        Lines(**{name: given})


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


# ---------------------------------------------------------------------------- options


def test_an_agent_may_speculate_or_not_whatever_the_server_does() -> None:
    agent = Agent("You are Ana.")
    assert [agent.speculates(by_default) for by_default in (True, False)] == [True, False]
    agent.before_model(lambda call, request: None)
    assert not agent.speculates(True), "its functions would run for answers that nobody hears"
    for speculate in (True, False):
        assert Agent("You are Ana.", speculate=speculate).speculates(not speculate) is speculate


def test_hooks_are_kept_in_order_and_left_as_they_are() -> None:
    agent = Agent("You are Ana.")

    def one(call: Call) -> int:
        return 1

    def two(call: Call) -> int:
        return 2

    assert agent.on_start(one) is one and agent.on_start(two) is two
    assert agent.on_details(one) is one and agent.on_end(two) is two and agent.before_model(one) is one
    assert agent.hooks == {"on_start": [one, two], "on_details": [one], "on_end": [two], "before_model": [one]}


class Stage(msgspec.Struct):
    name: str = ""


class Frozen(msgspec.Struct, frozen=True):
    name: str = ""


class Incomplete(msgspec.Struct):
    name: str


def test_a_state_is_a_struct_that_can_be_made_changed_and_written() -> None:
    assert Agent("You are Ana.", state=Stage).state is Stage
    for state, problem in ((dict, "msgspec.Struct"), (Frozen, "frozen"), (Incomplete, "cannot be made")):
        with pytest.raises(AgentError, match=problem):
            Agent("You are Ana.", state=state)  # type: ignore[arg-type]


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(AgentError, match="reminders: "):
        Agent("You are Ana.", reminders=Reminders(after_s=0))
    with pytest.raises(AgentError, match="set tokens, usd, or both"):
        Agent("You are Ana.", budget=Budget())
    with pytest.raises(AgentError, match="no price for claude-test"):
        Agent("You are Ana.", model="claude-test", budget=Budget(usd=1))
    with pytest.raises(AgentError, match="window must be at least"):
        Agent("You are Ana.", window=1)
    with pytest.raises(AgentError, match="call_data is a list"):
        Agent("You are Ana.", call_data="name")


def test_the_built_in_tools_are_switched_on() -> None:
    assert list(Agent("You are Ana.").tools) == []
    agent = Agent("You are Ana.", end_call=True, transfers={"billing": Transfer("+14155550100", "invoices")})
    assert list(agent.tools) == ["end_call", "transfer_call"]
    told = msgspec.json.decode(agent.tools["transfer_call"].spec.input_schema)
    assert told["properties"]["to"]["enum"] == ["billing"]
    assert "billing: invoices" in told["properties"]["to"]["description"]


def placed_by(tool: str, arguments: str) -> tuple[Intent, str]:
    """What a built-in tool lets happen when the model calls it with these arguments, and the words before it."""
    asked: list[tuple[Intent, str]] = []

    class Controls:
        def place(self, generation: int | None, intent: Intent, words: str) -> None:
            asked.append((intent, words))

        def say(self, generation: int | None, text: str) -> None: ...
        def update(self, config: AgentConfig) -> None: ...
        def send(self, metadata: dict[str, Any]) -> None: ...

    billing = Transfer("+14155550100", message="To billing.")
    agent = Agent("You are Ana.", end_call=True, transfers={"billing": billing}, lines=Lines(link="our page"))
    call = Call("c", directory=agent.directory, controls=Controls())
    built_in = agent.tools[tool]
    assert "once this was said" in built_in.bind(call, built_in.decode(arguments))()
    (happens,) = asked
    return happens


def test_the_built_in_tools_do_what_they_say() -> None:
    assert placed_by("end_call", '{"message":"Bye."}') == (EndCall(), "Bye.")
    assert placed_by("transfer_call", '{"to":"billing"}') == (TransferCall("+14155550100"), "To billing.")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (r"**Goodbye!** 👋\n- See https://clinic.example/a?b=1\n<thinking>She seems annoyed.", "Goodbye! See our page"),
        (" [All the best](/x). ", "All the best."),
        ("<thinking>He seems done.</thinking>", ""),
        ("👋", ""),
    ],
)
def test_what_is_said_before_leaving_is_made_fit_for_the_voice(message: str, words: str) -> None:
    assert placed_by("end_call", f'{{"message":"{message}"}}') == (EndCall(), words)
    transfer = TransferCall("+14155550100"), words or "To billing."
    assert placed_by("transfer_call", f'{{"to":"billing","message":"{message}"}}') == transfer


def test_a_built_in_tool_that_cannot_do_it_did_nothing() -> None:
    agent = Agent("You are Ana.", end_call=True, transfers={"billing": "+14155550100"})
    over = Call("c", directory=agent.directory)
    for name, arguments in (("end_call", "{}"), ("transfer_call", '{"to":"billing"}')):
        tool = agent.tools[name]
        with pytest.raises(ToolError, match="the call is over") as refused:
            tool.bind(over, tool.decode(arguments))()
        assert not isinstance(refused.value, CallError), "which would leave open whether it had done something before"


def test_a_mask_is_a_function() -> None:
    with pytest.raises(AgentError, match="mask is a function"):
        Agent("You are Ana.", mask="[gone]")  # type: ignore[arg-type]
    assert Agent("You are Ana.", mask=str.upper).mask is str.upper

"""The call as an agent's functions see and move it."""

from __future__ import annotations

from typing import Any

import pytest

from retell_ws.directory import Directory, Transfer
from retell_ws.errors import ToolError
from retell_ws.handle import Call, Caller
from retell_ws.intent import EndCall, Intent, PressDigits, TransferCall
from retell_ws.wire import AgentConfig, CallInfo

DIRECTORY = Directory({"billing": Transfer("+14155550100", message="To billing.", show_caller=True)})


class Written:
    """Controls that write down what is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def place(self, generation: int | None, intent: Intent, words: str) -> None:
        self.asked.append((generation, intent, words))

    def say(self, generation: int | None, text: str) -> None:
        self.asked.append((generation, text))

    def update(self, config: AgentConfig) -> None:
        self.asked.append((config,))

    def send(self, metadata: dict[str, Any]) -> None:
        self.asked.append((metadata,))


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def call(written: Written) -> Call:
    return Call("call_1", directory=DIRECTORY, controls=written)


def test_what_is_asked_for_is_done_by_the_controls(call: Call, written: Written) -> None:
    call.end("Bye.")
    call.transfer("billing")
    call.transfer("Billing", "Hold on.", show_caller=False)
    call.press("12#")
    call.say("Hello.")
    call.update(responsiveness=0.5)
    call.send_metadata({"mood": "calm"})
    assert written.asked == [
        (None, EndCall(), "Bye."),
        (None, TransferCall("+14155550100", True), "To billing."),
        (None, TransferCall("+14155550100", False), "Hold on."),
        (None, PressDigits("12#"), ""),
        (None, "Hello."),
        (AgentConfig(responsiveness=0.5),),
        ({"mood": "calm"},),
    ]


def test_a_view_from_a_tool_knows_its_turn_and_shares_the_rest(call: Call, written: Written) -> None:
    placed: list[Intent] = []
    view = call.within(7, lambda intent, words: placed.append(intent))
    view.end()
    view.say("Hi.")
    assert written.asked == [(7, EndCall(), ""), (7, "Hi.")]
    assert placed == [EndCall()]
    call.know(CallInfo(call_id="call_1", from_number="+15035550142"))
    assert view.caller.number == "+15035550142" and view.id == "call_1"
    call.let_go()
    with pytest.raises(ToolError, match="is over"):
        view.say("Hi.")


@pytest.mark.parametrize("digits", ["", "1a", "1 2", "+1", "1" * 65, "１"])
def test_keys_are_keys(call: Call, digits: str) -> None:
    with pytest.raises(ToolError, match="keys are"):
        call.press(digits)


def test_a_number_of_the_models_is_refused_and_one_of_the_codes_is_dialled(call: Call, written: Written) -> None:
    with pytest.raises(ToolError, match="not in the directory"):
        call.transfer("+19005550000")
    assert written.asked == []
    call.transfer("+33612345678", unlisted=True)
    assert written.asked == [(None, TransferCall("+33612345678"), "")]


def test_a_web_call_cannot_be_transferred(call: Call) -> None:
    call.know(CallInfo(call_id="call_1", call_type="web_call"))
    with pytest.raises(ToolError, match="web call"):
        call.transfer("billing")


def test_metadata_is_json(call: Call, written: Written) -> None:
    with pytest.raises(ToolError, match="JSON object"):
        call.send_metadata({"f": object()})
    assert written.asked == []


@pytest.mark.parametrize(
    "do", [lambda c: c.end(), lambda c: c.say("Hi."), lambda c: c.update(), lambda c: c.send_metadata({})]
)
def test_nothing_can_be_done_to_a_call_that_is_none(do: Any) -> None:
    with pytest.raises(ToolError, match="is over"):
        do(Call("call_1"))


# ---------------------------------------------------------------------------- who calls


def test_the_caller_is_whoever_is_at_the_other_end() -> None:
    inbound = CallInfo(call_id="c", direction="inbound", from_number="+1503", to_number="+1415")
    outbound = CallInfo(call_id="c", direction="outbound", from_number="+1415", to_number="+1503")
    assert Call("c").caller == Caller()
    assert Call("c", inbound).caller == Call("c", outbound).caller == Caller("+1503", verified=False)
    assert Call("c", CallInfo(call_id="c", call_type="web_call")).caller == Caller()


def test_what_the_api_confirmed_is_not_overwritten_by_the_socket(call: Call) -> None:
    call.know(CallInfo(call_id="call_1", from_number="+1503"), verified=True)
    call.know(CallInfo(call_id="call_1", from_number="+1666"))
    assert call.caller == Caller("+1503", verified=True)
    assert call.from_number == "+1503"


def test_keys_and_state_are_the_calls(call: Call) -> None:
    assert (call.digits, call.state) == ("", None)
    call.press_heard("12")
    call.restore({"stage": 1})
    assert (call.within(3).digits, call.within(3).state) == ("12", {"stage": 1})

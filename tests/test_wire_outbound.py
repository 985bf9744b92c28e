"""The server's messages: exactly what leaves, and what a peer as strict as Retell refuses to read."""

from __future__ import annotations

import json  # not msgspec: writes lone surrogates as JavaScript does
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws import wire
from retell_ws.errors import WireError
from retell_ws.wire import (
    AgentConfig,
    AgentInterrupt,
    Config,
    ConfigOptions,
    Inbound,
    Metadata,
    Outbound,
    PingPong,
    Pong,
    Response,
    ToolCallInvocation,
    ToolCallResult,
    UpdateAgent,
    decode,
    decode_outbound,
    encode,
)

EXAMPLES = Path(__file__).parent / "wire"
OUTBOUND_EXAMPLES = sorted(path.stem for path in EXAMPLES.glob("out_*.json"))
CANARY = "canary"
DEEP = b"[" * 100_000 + b"]" * 100_000


def example(name: str) -> bytes:
    return (EXAMPLES / f"{name}.json").read_bytes()


def bare(data: bytes) -> Any:
    return msgspec.json.decode(data)


OUTBOUND: dict[str, Outbound] = {
    "out_config": Config(
        config=ConfigOptions(auto_reconnect=True, call_details=True, transcript_with_tool_calls=False)
    ),
    "out_ping_pong": Pong(timestamp=1795000000250),
    "out_response": Response(response_id=3, content="Yes, we do. ", content_complete=False),
    "out_response_end_call": Response(
        response_id=6,
        content="Sleep well, goodbye.",
        content_complete=True,
        no_interruption_allowed=True,
        end_call=True,
    ),
    "out_response_transfer": Response(
        response_id=7,
        content="I'll put you through. ",
        content_complete=True,
        no_interruption_allowed=True,
        transfer_number="+15035550177",
        show_transferee_as_caller=True,
    ),
    "out_response_digits": Response(response_id=8, content="", content_complete=True, digit_to_press="42#"),
    "out_agent_interrupt": AgentInterrupt(
        interrupt_id=1,
        content="The front door closes in five minutes. ",
        content_complete=True,
        no_interruption_allowed=True,
        end_call=True,
        transfer_number="+15035550177",
        digit_to_press="9",
    ),
    "out_tool_call_invocation": ToolCallInvocation(
        tool_call_id="tc_b81", name="find_room", arguments='{"nights":2,"beds":1}'
    ),
    "out_tool_call_result": ToolCallResult(tool_call_id="tc_b81", content='{"room":214}', successful=True),
    "out_update_agent": UpdateAgent(
        agent_config=AgentConfig(
            responsiveness=0.6, interruption_sensitivity=0.25, reminder_trigger_ms=15000, reminder_max_count=2
        )
    ),
    "out_metadata": Metadata(metadata={"form": {"step": 2, "done": False}, "hint": "Zimmer für zwei"}),
}


def test_there_is_an_example_of_every_kind() -> None:
    assert OUTBOUND_EXAMPLES == sorted(OUTBOUND)
    assert {type(message) for message in OUTBOUND.values()} == set(Outbound.__args__)


@pytest.mark.parametrize("name", OUTBOUND_EXAMPLES)
def test_an_outbound_message_is_written_exactly_as_its_example(name: str) -> None:
    assert bare(encode(OUTBOUND[name])) == bare(example(name))


@pytest.mark.parametrize("name", OUTBOUND_EXAMPLES)
def test_an_outbound_message_is_read_back_as_it_was(name: str) -> None:
    assert decode_outbound(example(name)) == OUTBOUND[name]
    assert decode_outbound(encode(OUTBOUND[name])) == OUTBOUND[name]


def test_what_is_not_set_is_not_sent() -> None:
    # §9.18: what `false` or `null` in an action field would do is unknown, so they never leave.
    assert encode(Response(response_id=1, content="", content_complete=False)) == (
        b'{"response_type":"response","response_id":1,"content":"","content_complete":false}'
    )
    assert bare(encode(AgentInterrupt(interrupt_id=1, content="", content_complete=True))) == {
        "response_type": "agent_interrupt",
        "interrupt_id": 1,
        "content": "",
        "content_complete": True,
    }
    assert bare(encode(ToolCallResult(tool_call_id="a", content=""))) == {
        "response_type": "tool_call_result",
        "tool_call_id": "a",
        "content": "",
    }
    assert bare(encode(UpdateAgent(agent_config=AgentConfig()))) == {
        "response_type": "update_agent",
        "agent_config": {},
    }


def test_every_option_of_config_is_sent_even_when_it_is_off() -> None:
    options = ConfigOptions(auto_reconnect=False, call_details=False, transcript_with_tool_calls=False)
    assert bare(encode(Config(config=options)))["config"] == {
        "auto_reconnect": False,
        "call_details": False,
        "transcript_with_tool_calls": False,
    }


def test_update_agent_is_clamped_to_retells_ranges() -> None:
    above = AgentConfig(
        responsiveness=1.5, interruption_sensitivity=7, reminder_trigger_ms=500_000, reminder_max_count=40
    )
    below = AgentConfig(
        responsiveness=-0.5, interruption_sensitivity=-1, reminder_trigger_ms=-20, reminder_max_count=-1
    )
    assert bare(encode(UpdateAgent(agent_config=above)))["agent_config"] == {
        "responsiveness": 1,
        "interruption_sensitivity": 1,
        "reminder_trigger_ms": 500_000,
        "reminder_max_count": 40,
    }
    assert bare(encode(UpdateAgent(agent_config=below)))["agent_config"] == {
        "responsiveness": 0,
        "interruption_sensitivity": 0,
        "reminder_trigger_ms": 1,
        "reminder_max_count": 0,
    }


def test_zero_leaves_as_zero() -> None:
    zeroes = AgentConfig(responsiveness=0.0, interruption_sensitivity=0.0, reminder_max_count=0)
    assert bare(encode(UpdateAgent(agent_config=zeroes)))["agent_config"] == {
        "responsiveness": 0,
        "interruption_sensitivity": 0,
        "reminder_max_count": 0,
    }


def test_text_that_is_no_unicode_is_mended_and_the_rest_stays() -> None:
    message = decode_outbound(encode(Response(response_id=4, content="Sure \ud83d, ", content_complete=True)))
    assert isinstance(message, Response)
    assert (message.response_id, message.content_complete) == (4, True)
    assert message.content.startswith("Sure ") and message.content.endswith(", ")


def test_metadata_that_is_no_unicode_is_mended_at_every_depth() -> None:
    odd = Metadata(metadata={"key\ud83d": ["\udc00", ("good", "\ud83d"), {"n": 1, "none": None}]})
    (key, value), *more = bare(encode(odd))["metadata"].items()
    assert not more
    assert key.startswith("key")
    assert value[1][0] == "good"
    assert value[2] == {"n": 1, "none": None}


@given(st.text(st.characters()))
def test_any_text_leaves_as_one_valid_message(content: str) -> None:
    message = decode_outbound(encode(Response(response_id=1, content=content, content_complete=False)))
    assert isinstance(message, Response)
    if content.isprintable():
        assert message.content == content


@given(st.integers(0, 2**63))
def test_any_ping_can_be_echoed(timestamp: int) -> None:
    ping = decode(msgspec.json.encode({"interaction_type": "ping_pong", "timestamp": timestamp}))
    assert isinstance(ping, PingPong)
    assert bare(encode(Pong(timestamp=ping.timestamp))) == {"response_type": "ping_pong", "timestamp": timestamp}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"response_id":1,"content":"","content_complete":true}',
        b'{"response_type":"hum"}',
        b'{"response_type":"response","response_id":1,"content":"","content_complete":"true"}',
        b'{"response_type":"response","response_id":1,"content":"","content_complete":1}',
        b'{"response_type":"response","response_id":1,"content":null,"content_complete":true}',
        b'{"response_type":"response","response_id":"1","content":"","content_complete":true}',
        b'{"response_type":"response","response_id":1.0,"content":"","content_complete":true}',
        b'{"response_type":"response","response_id":true,"content":"","content_complete":true}',
        b'{"response_type":"response","response_id":1,"content":"\xff","content_complete":true}',
        b'{"response_type":"response","response_id":1,"content":"","content_complete":true,"x":' + DEEP + b"}",
        b'{"response_type":"tool_call_result","tool_call_id":"a","content":{"a":1}}',
        b'{"response_type":"tool_call_invocation","tool_call_id":"a","name":"b","arguments":{}}',
    ],
    ids=range(14),
)
def test_what_retell_would_drop_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_outbound(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"response_type":"response","response_id":1,"content":"canary","content_complete":"canary"}',
        b'{"response_type":"response","response_id":1,"content":"canary","content_complete":true',
        b'{"response_type":"canary","content":"canary"}',
    ],
)
def test_a_wire_error_about_a_servers_message_quotes_nothing_of_it(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decode_outbound(data)
    assert CANARY not in str(caught.value)


def spoiled(name: str) -> st.SearchStrategy[bytes]:
    """An example with something else in one of its fields."""
    message = bare(example(name))
    anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.lists(st.none())
    return st.builds(
        lambda field, value: json.dumps({**message, field: value}).encode(), st.sampled_from(sorted(message)), anything
    )


@given(st.binary(max_size=100) | st.sampled_from(OUTBOUND_EXAMPLES).flatmap(spoiled))
def test_any_bytes_give_a_servers_message_or_a_wire_error(data: bytes) -> None:
    try:
        assert isinstance(decode_outbound(data), Outbound)
    except WireError:
        pass


def test_messages_cannot_be_changed_once_made() -> None:
    with pytest.raises(AttributeError):
        OUTBOUND["out_response"].content = "other"  # type: ignore[union-attr,misc]  # what must fail


def test_the_union_types_hold_every_struct_of_their_direction() -> None:
    structs = [value for value in vars(wire).values() if isinstance(value, type) and issubclass(value, msgspec.Struct)]
    tagged = {
        field: {one for one in structs if one.__struct_config__.tag_field == field and one.__struct_config__.tag}
        for field in ("interaction_type", "response_type")
    }
    assert {one for one in tagged["interaction_type"] if not one.__name__.startswith("_")} == set(Inbound.__args__)
    assert {one for one in tagged["response_type"] if not one.__name__.startswith("_")} == set(Outbound.__args__)

"""A call of several turns, as bytes: what was sent before stands at the front of what is sent next.

The provider's prompt cache reads a prompt as far as it is the same as one before, byte for byte. So a test here fails
as soon as anything before the end of a request changes from one turn to the next; and the last ones show that it can.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from retell_ws.agent import Agent
from retell_ws.exchange import Exchange, Use
from retell_ws.handle import Call
from retell_ws.models.messages_api import body_of, warm_up_of
from retell_ws.prompt import Context, beginning, build, call_data
from retell_ws.request import ModelRequest
from retell_ws.transcript import Place, Question, Utterance
from retell_ws.wire import CallInfo

ANA = Agent("You are Ana, the receptionist of Harbor Clinic.", call_data=("name", "plan"), window=40)


@ANA.tool
async def free_times(day: str) -> str:
    """Look up free times.

    Args:
        day: The day.
    """
    return day


@ANA.tool
async def book(day: str, hour: int) -> str:
    """Book an appointment.

    Args:
        day: The day.
        hour: The hour, 8 to 18.
    """
    return day


def call(**variables: str) -> Call:
    made = Call("call_1")
    made.know(CallInfo(call_id="call_1", retell_llm_dynamic_variables=variables))
    return made


def exchange(place: int, generation: int, said: str, name: str, arguments: bytes, result: str | None) -> Exchange:
    return Exchange(Place(place, ""), generation, said, [Use(f"toolu_{place}", name, msgspec.Raw(arguments), result)])


LOOKED = exchange(2, 1, "Let me see.", "free_times", b'{"day":"Monday"}', "9, 11")
BOOKED = exchange(4, 3, "", "book", b'{"day":"Monday","hour":9}', "Booked.")

SAID = [
    ("agent", "Harbor Clinic, this is Ana."),
    ("user", "I'd like to come on Monday."),
    ("agent", "Let me see. Nine or eleven?"),
    ("user", "Nine, please."),
    ("agent", "You are booked for Monday at nine. Is there anything"),  # the caller spoke into it
    ("user", "Do I need to bring"),
    ("user", "my card?"),
]

Turn = tuple[list[tuple[str, str]], list[Exchange], int, int]
"""What was said, what tools did, the generation that asks, and how many of the last messages of the request before may
legitimately have changed."""

TURNS: list[Turn] = [
    (SAID[:2], [], 1, 0),
    (SAID[:2], [LOOKED], 1, 0),  # the second round of the first turn
    (SAID[:4], [LOOKED], 2, 2),  # what the model said beside its call stands in the transcript now
    (SAID[:4], [LOOKED, BOOKED], 3, 0),
    # More was said than is heard in the end: the transcript is cut back to what the caller heard, always its last line.
    ([*SAID[:4], ("agent", f"{SAID[4][1]} else I can do?"), ("user", "Do I")], [LOOKED, BOOKED], 4, 0),
    (SAID[:6], [LOOKED, BOOKED], 5, 2),
    (SAID, [LOOKED, BOOKED], 6, 1),  # the caller went on: the last words grew
]


def request_of(turn: Turn, agent: Agent = ANA, of: Call | None = None) -> ModelRequest:
    said, exchanges, generation, _ = turn
    context = Context(
        tools=tuple([tool.spec for tool in agent.tools.values()]),
        data=call_data(agent, of or call(name="Ann Ash", plan="gold")),
        exchanges=tuple([(made.place.heard, made) for made in exchanges]),
        generation=generation,
    )
    transcript = tuple([Utterance(role=role, content=content) for role, content in said])
    return build(agent, Question("response", transcript), context)


def sent(request: ModelRequest, number: int) -> bytes:
    request = msgspec.structs.replace(request, previous_id=f"msg_{number}" if number else "")
    return msgspec.json.encode(body_of(request, "m"))


class _Sent(msgspec.Struct):
    messages: list[msgspec.Raw]


def standing(before: bytes, changing: int) -> bytes:
    """Give the part of a request that must stand at the front of the next one."""
    messages = msgspec.json.decode(before, type=_Sent).messages
    kept = [bytes(message) for message in messages[: len(messages) - changing]]
    front, _, _ = before.partition(b'"messages":[')
    assert b'"tools":[' in front and b'"system":[' in front, (
        f"what never changes does not stand at the front: {front!r}"
    )
    return front + b'"messages":[' + b",".join(kept)


def check(bodies: list[bytes], changing: list[int]) -> None:
    for before, after, loose in zip(bodies, bodies[1:], changing[1:], strict=False):
        assert after.startswith(standing(before, loose)), f"{before!r} does not stand at the front of {after!r}"


def test_each_request_begins_with_the_one_before() -> None:
    bodies = [sent(request_of(turn), number) for number, turn in enumerate(TURNS)]
    check(bodies, [changing for *_, changing in TURNS])
    assert all(before != after for before, after in zip(bodies, bodies[1:], strict=False))


def test_tools_and_instructions_are_the_same_bytes_in_every_turn_of_every_call() -> None:
    fronts = {
        sent(request_of(turn, of=call(name=name)), number).partition(b'"messages":')[0]
        for number, turn in enumerate(TURNS)
        for name in ("Ann", "Bob")
    }
    assert len(fronts) == 1


def test_a_warm_up_has_the_bytes_of_tools_and_instructions_that_every_turn_has() -> None:
    made = beginning(ANA)
    assert made is not None
    warm_up = msgspec.json.encode(warm_up_of(body_of(made, "m")))
    _, mark, shared = warm_up.partition(b'"tools":')
    shared = (mark + shared).partition(b'"messages":')[0]
    assert b"free_times" in shared and b"receptionist" in shared and b'"cache_control"' in shared
    for turn in TURNS:
        assert shared in sent(request_of(turn), 0)


@pytest.mark.parametrize(
    "agent",
    [
        Agent(lambda call: "You are Ana."),
        Agent("You are Ana."),
    ],
)
def test_a_call_s_own_beginning_is_not_warmed(agent: Agent) -> None:
    if isinstance(agent.instructions, str):

        @agent.tool(when=lambda call: True)
        async def pay() -> str:
            """Pay."""
            return "Paid."

    assert beginning(agent) is None


def test_a_beginning_that_a_hook_may_change_is_not_warmed() -> None:
    agent = Agent("You are Ana.")

    @agent.before_model
    def change(call: Call, request: ModelRequest) -> ModelRequest:
        return request

    assert beginning(agent) is None


# ------------------------------------------------------------------------ it can fail


def other_tools(request: ModelRequest) -> ModelRequest:
    return msgspec.structs.replace(request, tools=request.tools[::-1])


def other_instructions(request: ModelRequest) -> ModelRequest:
    return msgspec.structs.replace(request, system=f"{request.system} It is 10:{len(request.messages)}.")


def other_history(request: ModelRequest) -> ModelRequest:
    first, *others = request.messages
    said = msgspec.structs.replace(first, content=f"{first.content} ({len(request.messages)} messages)")
    return msgspec.structs.replace(request, messages=(said, *others))


def other_limit(request: ModelRequest) -> ModelRequest:
    return msgspec.structs.replace(request, max_tokens=request.max_tokens + len(request.messages))


@pytest.mark.parametrize("change", [other_tools, other_instructions, other_history, other_limit])
def test_the_check_fails_when_something_before_the_end_changes(change: Callable[[ModelRequest], ModelRequest]) -> None:
    bodies = [
        sent(change(request_of(turn)) if number % 2 else request_of(turn), 0) for number, turn in enumerate(TURNS)
    ]
    with pytest.raises(AssertionError, match="does not stand at the front"):
        check(bodies, [changing for *_, changing in TURNS])


def test_the_check_fails_when_the_conversation_does_not_come_last() -> None:
    def misplaced(body: bytes) -> bytes:
        parts: dict[str, Any] = msgspec.json.decode(body)
        return msgspec.json.encode({"messages": parts.pop("messages"), **parts})

    bodies = [misplaced(sent(request_of(turn), number)) for number, turn in enumerate(TURNS)]
    with pytest.raises(AssertionError, match="does not stand at the front"):
        check(bodies, [changing for *_, changing in TURNS])


def test_the_check_fails_when_less_may_change_than_does() -> None:
    bodies = [sent(request_of(turn), number) for number, turn in enumerate(TURNS)]
    with pytest.raises(AssertionError, match="does not stand at the front"):
        check(bodies, [0] * len(TURNS))

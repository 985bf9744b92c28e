"""One spoken call against a socket that records what is sent and answers: what Retell would say, in its order."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import msgspec
import pytest

from bench.harness.conversations import Conversation, conversation
from bench.harness.socket import CallSocket, Reply
from bench.harness.spoken_call import SpokenCall, Tally

HURRY = 60.0
ANSWER = ("We are open every weekday until five. ", "On Saturday we close at noon. ", "Shall I book you in for then?")


class Peer:
    """The server's end: greets, and answers every request with `ANSWER`, unless told to keep silent."""

    def __init__(self) -> None:
        self.call: SpokenCall | None = None
        self.sent: list[dict[str, Any]] = []
        self.answers = True
        self.hung_up = False

    def send(self, payload: bytes) -> None:
        message = msgspec.json.decode(payload)
        self.sent.append(message)
        if message["interaction_type"] == "response_required" and self.answers:
            asyncio.get_running_loop().call_soon(self.answer, message["response_id"], ANSWER)

    def answer(self, response_id: int, pieces: tuple[str, ...]) -> None:
        assert self.call is not None
        for at, piece in enumerate(pieces, 1):
            self.call.heard(Reply("response", response_id, piece, at == len(pieces)), time.monotonic_ns())

    def hang_up(self) -> None:
        self.hung_up = True


async def played(whole: Conversation) -> tuple[Peer, Tally]:
    peer, tally = Peer(), Tally()
    peer.call = call = SpokenCall(whole, tally, hurry=HURRY)
    call.socket = cast(CallSocket, peer)
    call.heard(Reply("config"), time.monotonic_ns())
    peer.answer(0, ("Harbor Clinic. ", "How can I help?"))
    async with asyncio.timeout(20):
        await call.over
    call.close()
    return peer, tally


def find(**wanted: bool) -> Conversation:
    """A conversation with, or without, early requests and barge-ins."""
    for number in range(2000):
        whole = conversation(3, number)
        early = any(sum(event.asks for event in turn.heard.events) > 1 for turn in whole.turns)
        barges = any(turn.barges_in is not None for turn in whole.turns[:-1])
        if early == wanted["early"] and barges == wanted["barges"]:
            return whole
    raise AssertionError("two thousand conversations without one of these")


@pytest.mark.parametrize("early", [False, True], ids=["in time", "early"])
@pytest.mark.parametrize("barges", [False, True], ids=["listens", "barges in"])
async def test_a_conversation_is_played_to_its_end(early: bool, barges: bool) -> None:
    whole = find(early=early, barges=barges)
    peer, tally = await played(whole)
    assert peer.hung_up
    assert tally.lost == 0
    assert [turn.kind for turn in tally.turns] == [turn.kind for turn in whole.turns]
    assert {turn.outcome for turn in tally.turns} == {"answered"}
    assert all(turn.sentence_ms is not None and 0 <= turn.sentence_ms < 1000 for turn in tally.turns)

    asked = [message for message in peer.sent if message["interaction_type"] == "response_required"]
    assert [message["response_id"] for message in asked] == list(range(1, len(asked) + 1))
    events = [event for turn in whole.turns for event in turn.heard.events if event.asks]
    assert [message["transcript"][-1]["content"] for message in asked] == [event.text for event in events]

    # The transcript grows and takes turns; what was heard of a cut answer is a beginning of it.
    said = asked[-1]["transcript"]
    assert [item["role"] for item in said] == ["agent", "user"] * len(whole.turns)
    assert [item["content"] for item in said if item["role"] == "user"] == [turn.heard.words for turn in whole.turns]
    for turn, item in zip(whole.turns, said[2::2], strict=False):
        heard = item["content"]
        assert heard.endswith(" ")
        if turn.barges_in is None:
            assert heard.strip() == "".join(ANSWER)
        else:
            assert "".join(ANSWER).startswith(heard.strip())
            assert len(heard.split()) == turn.barges_in

    updates = [message for message in peer.sent if message["interaction_type"] == "update_only"]
    floors = [message["turntaking"] for message in updates if "turntaking" in message]
    assert floors == ["agent_turn", "user_turn"] * len(whole.turns) + ["agent_turn"]
    partials = [message["transcript"][-1] for message in updates if message["transcript"][-1]["role"] == "user"]
    shown = [event.text for turn in whole.turns for event in turn.heard.events if not event.asks]
    assert [item["content"] for item in partials] == shown


async def test_a_request_is_repeated_while_nothing_was_heard_and_time_runs_from_the_first() -> None:
    whole = find(early=False, barges=False)
    turn = msgspec.structs.replace(whole.turns[0], again_s=0.05)
    peer, tally = Peer(), Tally()
    peer.call = call = SpokenCall(msgspec.structs.replace(whole, turns=(turn,)), tally, hurry=HURRY)
    call.socket = cast(CallSocket, peer)
    peer.answers = False
    peer.answer(0, ("Hello.",))
    async with asyncio.timeout(10):
        while not (ids := [message["response_id"] for message in peer.sent if "response_id" in message])[1:]:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert ids == [1, 2]
        peer.answer(1, ("An answer to an older id.",))
        assert not tally.turns
        peer.answer(2, ANSWER)
        await call.over
    (heard,) = tally.turns
    assert heard.sentence_ms is not None
    assert heard.sentence_ms >= 50


async def test_a_socket_that_goes_ends_the_call_as_lost() -> None:
    tally = Tally()
    call = SpokenCall(conversation(3, 0), tally, hurry=HURRY)
    call.lost("connection lost")
    await call.over
    call.lost("again")
    assert tally.lost == 1

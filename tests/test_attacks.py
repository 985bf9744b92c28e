"""Hostile callers against an agent as a bank would write it: nobody gets more than is theirs, whatever the model obeys.

The agent decides with what the telephone network, Retell's API and the keypad say. The corpus is also played to an
agent that trusts the model's arguments, so that it is known to bite.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import pytest
from msgspec import Meta

from retell_ws.agent import Agent
from retell_ws.errors import ToolError
from retell_ws.handle import Call
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing import CallEnded, FakeRetell, Superseded
from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.leaks import nothing_left
from retell_ws.wire import CallInfo

from .attacks import ATTACKS, CALLER, VICTIM, Attack, Obedient
from .puppet import single

pytestmark = pytest.mark.usefixtures("clean_loop")

BILLING: Final = "+14155550100"
PINS: Final = {CALLER: "4711", VICTIM: "1234"}
BALANCES: Final = {CALLER: "17 dollars", VICTIM: "9999 dollars"}
CAP: Final = 50

Trust: TypeAlias = Literal["socket", "confirmed", "stranger"]
"""Calls are not verified; they are, and the socket lies about who calls; they are, and this one is none."""


class Effect(msgspec.Struct, frozen=True):
    """Something a tool really did."""

    kind: str
    whose: str
    amount: float = 0


class World:
    """What the tools did, and the file of the caller.

    Attributes:
        effects: In order.
        note: What stands in the caller's file.
    """

    def __init__(self, note: str) -> None:
        self.effects: list[Effect] = []
        self.note = note

    def did(self, kind: str, whose: str | None, amount: float = 0) -> None:
        self.effects.append(Effect(kind, whose or "", amount))


# ---------------------------------------------------------------------------- the agents


class Desk(msgspec.Struct):
    refunded: int = 0


def knows_pin(call: Call) -> bool:
    pin = PINS.get(call.caller.number or "")
    return pin is not None and call.digits.startswith(f"{pin}#")


def careful(world: World, trust: Trust) -> Agent:
    """An agent that decides with the call, never with an argument."""
    agent = Agent(
        "You are Ana of Harbor Bank.",
        greeting="Harbor Bank. Your PIN, please.",
        state=Desk,
        keypad=True,
        transfers={"billing": BILLING},
        end_call=True,
        call_data=["name", "from_number"],
    )

    def who(call: Call) -> str:
        if call.caller.number is None or (trust != "socket" and not call.caller.verified):
            raise ToolError("It is not known yet who calls.")
        return call.caller.number

    @agent.tool(side_effect=False, when=knows_pin)
    async def balance(call: Call, account: str = "") -> str:
        """Tell a balance."""
        if account not in ("", who(call)):
            raise ToolError("That is somebody else's account.")
        world.did("balance", who(call))
        return BALANCES[who(call)]

    @agent.tool(side_effect=False)
    async def read_note(call: Call, number: str = "") -> str:
        """Read the note on the caller."""
        if number not in ("", who(call)):
            raise ToolError("That is somebody else's file.")
        world.did("read_note", who(call))
        return world.note

    @agent.tool(when=knows_pin)
    async def refund(call: Call, amount: Annotated[int, Meta(ge=1, le=CAP)]) -> str:
        """Refund.

        Args:
            amount: dollars
        """
        if call.state.refunded:
            raise ToolError("There was a refund in this call already.")
        call.state.refunded = amount
        await asyncio.sleep(0)
        world.did("refund", who(call), amount)
        return f"{amount} dollars are on their way."

    @agent.tool
    async def cancel(call: Call) -> str:
        """Cancel the caller's appointment."""
        await asyncio.sleep(0)
        world.did("cancel", who(call))
        return "It is cancelled."

    @agent.tool
    def connect(call: Call, number: str) -> str:
        """Hand the caller on."""
        call.transfer(number)
        return "ok"

    return agent


def naive(world: World, _: Trust) -> Agent:
    """An agent that trusts what the model wrote, as a first version does."""
    agent = Agent(
        "You are Ana of Harbor Bank.",
        greeting="Harbor Bank.",
        keypad=True,
        end_call=True,
        call_data=["name", "from_number"],
    )

    @agent.tool(side_effect=False)
    async def balance(account: str) -> str:
        """Tell a balance."""
        world.did("balance", account)
        return BALANCES.get(account, "unknown")

    @agent.tool(side_effect=False)
    async def read_note(call: Call, number: str = "") -> str:
        """Read the note on the caller."""
        world.did("read_note", number or call.caller.number)
        return world.note

    @agent.tool
    async def refund(
        call: Call,
        amount: float,
        account: str = "",
        verified: bool = False,
        caller: str = "",
        override: str = "",
        approved_by: str = "",
    ) -> str:
        """Refund."""
        world.did("refund", account or caller or call.caller.number, amount)
        return "It is on its way."

    @agent.tool
    async def cancel(call: Call, caller: str = "", appointment: int = 0) -> str:
        """Cancel an appointment."""
        world.did("cancel", caller or str(appointment or call.caller.number))
        return "It is cancelled."

    @agent.tool
    def connect(call: Call, number: str) -> str:
        """Hand the caller on."""
        call.transfer(number, unlisted=True)
        return "ok"

    @agent.tool
    def transfer_call(call: Call, to: str = "", number: str = "", show_caller: bool = False) -> str:
        """Hand the caller on."""
        call.transfer(number or to, unlisted=True, show_caller=show_caller)
        return "ok"

    @agent.tool
    def press(call: Call, digits: str) -> str:
        """Press keys."""
        call.press(digits)
        return "ok"

    return agent


# ---------------------------------------------------------------------------- playing an attack


class Played(msgspec.Struct):
    """What one attack came to."""

    world: World
    frames: list[str]
    faults: tuple[Any, ...] = ()
    unclosed: tuple[int, ...] = ()
    is_alive: bool = False
    end: str | None = None


async def play(attack: Attack, make: Any, trust: Trust, *, with_pin: bool) -> Played:
    world = World(attack.note)
    played = Played(world, [])

    async def verify(call_id: str) -> CallInfo | None:
        await asyncio.sleep(0)
        return CallInfo(call_id=call_id, from_number=CALLER) if trust == "confirmed" else None

    details = {
        "call_type": "phone_call",
        "direction": "inbound",
        "from_number": CALLER if trust == "socket" else VICTIM,
        "retell_llm_dynamic_variables": dict(attack.variables),
    }
    server = Server(
        make(world, trust),
        single(Obedient(attack.orders)),
        MemoryCallStore(asyncio.get_running_loop().time),
        Settings(port=0),
        verify=None if trust == "socket" else verify,
    )
    async with asyncio.timeout(20), server:
        async with FakeRetell(
            server.url,
            details=details,
            dial_policy=DialPolicy(attempts=1),
            reminder_max_count=0,
            on_frame=played.frames.append,
        ) as retell:
            await retell.greeting()
            with suppress(CallEnded):
                await _attack(attack, retell, with_pin=with_pin)
                played.is_alive = bool((await retell.ask("Are you still there?")).text)
            played.end = retell.disconnection_reason
        played.faults, played.unclosed = retell.report.faults, retell.report.unclosed
    return played


async def _attack(attack: Attack, retell: FakeRetell, *, with_pin: bool) -> None:
    if keys := (f"{PINS[CALLER]}#" if with_pin else "") + attack.keys:
        await retell.press(keys)
        await retell.answer(await retell.request())
    if attack.text_message:
        retell.conversation.beside("sms", content=attack.text_message)
    for words in attack.says:
        asked = await retell.request(words)
        if not attack.barges_in:
            await retell.answer(asked)
    with suppress(Superseded):
        await retell.answer(retell.rules.latest)


def unauthorised(played: Played, trust: Trust, *, with_pin: bool) -> Iterator[str]:
    """Compare what was done with what this caller may do."""
    refunds = 0
    for effect in played.world.effects:
        if effect.whose != CALLER:
            yield f"{effect.kind} of {effect.whose[:40]!r}, who does not call"
        if trust == "stranger":
            yield f"{effect.kind} for a call that is none"
        if effect.kind in ("refund", "balance") and not with_pin:
            yield f"{effect.kind} without the PIN"
        if effect.kind == "refund":
            refunds += 1
            if not 1 <= effect.amount <= CAP:
                yield f"refund of {effect.amount}"
    if refunds > 1:
        yield f"{refunds} refunds"
    for frame in map(msgspec.json.decode, played.frames):
        number = frame.get("transfer_number")
        if number is not None and (number != BILLING or trust == "stranger"):
            yield f"transfer to {number}"
        if frame.get("show_transferee_as_caller"):
            yield "the target of a transfer sees another number than ours"
        if frame.get("digit_to_press") is not None:
            yield f"keys {frame['digit_to_press']}"


MODES: Final[tuple[tuple[Trust, bool], ...]] = (
    ("socket", False),
    ("socket", True),
    ("confirmed", False),
    ("confirmed", True),
    ("stranger", True),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
async def test_an_attack_gets_nobody_more_than_is_theirs(attack: Attack) -> None:
    wished = {wish.tool for wishes in attack.orders.values() for wish in wishes}
    async with nothing_left():
        plays = [(mode, await play(attack, careful, mode[0], with_pin=mode[1])) for mode in MODES]
    for (trust, with_pin), played in plays:
        found = sorted(set(unauthorised(played, trust, with_pin=with_pin)))
        assert not found, f"{trust}, {with_pin=}: {found}"
        assert played.faults == () and played.unclosed == ()
        match played.end:
            case None:
                assert played.is_alive
            case "agent_hangup":
                assert "end_call" in wished
            case reason:
                assert reason == "call_transfer" and wished & {"transfer_call", "connect"}


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    assert len(ATTACKS) >= 50
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


async def test_the_careful_agent_does_what_it_may() -> None:
    """Otherwise it would be safe because it does nothing."""
    by_name = {attack.name: attack for attack in ATTACKS}
    for name, effects in {
        "refund without a PIN": [Effect("refund", CALLER, 50)],
        "one's own balance without a PIN": [Effect("balance", CALLER)],
        "a poisoned note": [Effect("read_note", CALLER)],
        "refund twenty times": [Effect("refund", CALLER, 50)],
    }.items():
        for trust in ("socket", "confirmed"):
            played = await play(by_name[name], careful, trust, with_pin=True)
            assert played.world.effects == effects, f"{name}, {trust}"


EVERY_PART: Final = (
    "refund above the cap",
    "another's refund",
    "verified by argument",
    "premium number",
    "keys for a machine",
    "a poisoned note",
    "a variable that closes its tag",
    "another amount each time",
    "call data in a text message",
)
"""One of each part of the corpus."""


async def test_the_corpus_bites_an_agent_that_trusts_the_models_arguments() -> None:
    bitten = set()
    for attack in ATTACKS:
        played = await play(attack, naive, "socket", with_pin=False)
        if list(unauthorised(played, "socket", with_pin=False)):
            bitten.add(attack.name)
    assert bitten.issuperset(EVERY_PART), f"no bite: {sorted(set(EVERY_PART) - bitten)}"
    assert len(bitten) >= 50

"""The escalation consumer: a real store, a real receiver, and calls that note what is done to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from retell_ws import control
from retell_ws.consumers import acting, delivery, escalation, runner
from retell_ws.consumers.delivery import Delivery
from retell_ws.consumers.escalation import Escalation
from retell_ws.control import Refused
from retell_ws.entries import Entry
from retell_ws.errands import Errand
from retell_ws.errors import SinkError
from retell_ws.facts import CallEnded, CallStarted, Escalated, ToolFinished, TurnStarted
from retell_ws.stores import sqlite_watches
from retell_ws.stores.sqlite_watches import SqliteWatchStore
from retell_ws.watch import Rulebook
from retell_ws.watch_store import Known

from ..machine import free_port
from ..waiting import until
from .escalated import SECRETS, Call, asks, consuming, entry, hook, rule, told
from .receivers import Receiver, receiving
from .sources import MemorySource

pytestmark = pytest.mark.usefixtures("clean_loop")

TRANSFER = {"action": "transfer", "to": "the nurse", "say": "Wait."}
SAY = {"action": "say", "say": "Hello."}
END = {"action": "end"}


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "AGAIN_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(acting, "TELL_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(acting, "BUSY_S", 0.01)
    monkeypatch.setattr(escalation, "LOOK_S", 0.0)
    monkeypatch.setattr(runner, "WAIT_S", 0.02)
    monkeypatch.setattr(runner, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("retell_ws.errands.FIRST_PAUSE_S", 0.01)


class Fragile(SqliteWatchStore):
    """A store that can be away, or say nothing of what it has done.

    Attributes:
        is_away: It cannot be reached.
        mute: So many of the next writes are made, and nobody is told.
        before: Called before each write.
    """

    is_away = False
    mute = 0
    saves = loads = 0

    async def load(self, call_id: str) -> Known | None:
        self.loads += 1
        if self.is_away:
            raise SinkError("away")
        return await super().load(call_id)

    async def save(self, call_id: str, known: Known, errands: Any, *, over: bytes) -> bool:
        self.saves += 1
        if self.is_away:
            raise SinkError("away")
        said = await super().save(call_id, known, errands, over=over)
        if self.mute:
            self.mute -= 1
            raise SinkError("no reply")
        return said


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Fragile]:
    async with Fragile(tmp_path / "watches.sqlite") as store:
        yield store


@pytest.fixture
def source() -> MemorySource:
    return MemorySource()


@pytest.fixture
def call() -> Call:
    return Call()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def waiting(store: SqliteWatchStore) -> int:
    """Count the errands that are not settled."""
    rows = await store._do(lambda: store._now.execute("SELECT count(*) FROM errand").fetchone())
    return int(rows[0])


# ---------------------------------------------------------------------------- in calls


async def test_what_a_rule_says_is_done_in_the_call_in_its_order_and_told(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    async with consuming(store, source, call.do, rule(SAY, TRANSFER, END)):
        source.add(entry(CallStarted()), asks(seq=2))
        await until(lambda: len(told(source)) == 3)
    assert call.done == [
        ("call_1", control.Say("Hello.")),
        ("call_1", control.Transfer("the nurse", "Wait.")),
        ("call_1", control.End("")),
    ]
    assert told(source) == [("call_1", "one", action, "done") for action in ("say", "transfer", "end")]
    assert await waiting(store) == 0 and source.dead == []
    facts = [each.fact for each in source.entries if isinstance(each.fact, Escalated)]
    assert all(0 <= fact.after_s < 5 for fact in facts)


@pytest.mark.parametrize(
    ("kind", "outcome", "tries"),
    [
        ("impossible", "refused", 1),
        ("no_target", "refused", 1),
        ("unknown", "refused", 1),
        ("unanswered", "failed", 1),
        ("moved", "failed", 4),
        ("unreachable", "failed", 4),
    ],
)
async def test_only_what_was_certainly_not_done_is_tried_again(
    store: Fragile, source: MemorySource, call: Call, kind: Any, outcome: str, tries: int
) -> None:
    call.outcomes = [Refused(kind, "why")] * 4
    async with consuming(store, source, call.do, rule(TRANSFER)):
        source.add(asks())
        await until(lambda: bool(told(source)))
    assert told(source) == [("call_1", "one", "transfer", outcome)]
    assert len(call.done) == tries and await waiting(store) == 0


async def test_a_call_that_was_between_two_servers_is_found_again(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    call.outcomes = [Refused("moved", "why"), Refused("unreachable", "why")]
    async with consuming(store, source, call.do, rule(TRANSFER)):
        source.add(asks())
        await until(lambda: bool(told(source)))
    assert told(source) == [("call_1", "one", "transfer", "done")] and len(call.done) == 3


async def test_what_comes_too_late_for_the_talk_is_not_done(store: Fragile, source: MemorySource, call: Call) -> None:
    async with consuming(store, source, call.do, rule(TRANSFER)):
        source.add(asks(at=time.time() - acting.LATE_S - 5), asks("call_2", at=time.time() - acting.LATE_S + 5))
        await until(lambda: len(told(source)) == 2)
    assert [call_id for call_id, _ in call.done] == ["call_2"]
    assert ("call_1", "one", "transfer", "refused") in told(source)


async def test_a_bug_in_one_errand_costs_only_that_one(store: Fragile, source: MemorySource, call: Call) -> None:
    async def waits(call_id: str) -> None:
        if call_id == "call_1":
            raise AssertionError("a bug")

    call.waits = waits
    async with consuming(store, source, call.do, rule(TRANSFER)):
        source.add(asks(), asks("call_2"))
        await until(lambda: bool(told(source)))
    assert told(source) == [("call_2", "one", "transfer", "done")]


async def test_a_call_that_takes_its_time_holds_up_no_other_one(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    slow = asyncio.Event()
    call.waits = lambda call_id: slow.wait() if call_id == "call_1" else asyncio.sleep(0)
    async with consuming(store, source, call.do, rule(TRANSFER)):
        source.add(asks())
        await until(lambda: len(call.done) == 1)
        source.add(asks("call_2"))
        await until(lambda: bool(told(source)))
        assert told(source) == [("call_2", "one", "transfer", "done")]
        slow.set()
    assert len(told(source)) == 2


async def test_on_leaving_what_hangs_is_left(
    store: Fragile, source: MemorySource, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "LEAVE_S", 0.01)
    call.waits = lambda _: asyncio.Event().wait()
    async with consuming(store, source, call.do, rule(TRANSFER)):
        source.add(asks())
        await until(lambda: bool(call.done))
    assert told(source) == [] and await waiting(store) == 1


# ---------------------------------------------------------------------------- once


async def test_an_entry_that_comes_again_to_another_process_does_nothing(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    for _ in range(3):
        again = MemorySource([entry(CallStarted()), asks(seq=2)])
        async with consuming(store, again, call.do, rule(SAY)):
            await until(lambda again=again: again.committed >= 2)  # type: ignore[misc]
    assert len(call.done) == 1


async def test_of_two_processes_with_the_same_call_one_acts(store: Fragile, tmp_path: Path, call: Call) -> None:
    """As for a moment after a rebalance, when the one that has lost the call does not know yet."""
    async with Fragile(tmp_path / "watches.sqlite") as other_store:
        sources = MemorySource(), MemorySource()
        facts = [entry(ToolFinished("a", "failed", 1.0), n) for n in range(1, 21)]
        async with (
            consuming(store, sources[0], call.do, rule(SAY, tools_failed=15)),
            consuming(other_store, sources[1], call.do, rule(SAY, tools_failed=15)),
        ):
            for fact in facts:  # each in a batch of its own, and both at once
                for source in sources:
                    source.add(fact)
                await until(lambda: all(source.committed == len(source.entries) for source in sources))
            await until(lambda: any(told(source) for source in sources))
        assert len(call.done) == 1
        assert len([*told(sources[0]), *told(sources[1])]) == 1


async def test_a_process_that_takes_a_call_over_goes_on_with_its_counts(
    store: Fragile, tmp_path: Path, call: Call
) -> None:
    async with Fragile(tmp_path / "watches.sqlite") as other_store:
        one, other = MemorySource(), MemorySource()
        async with (
            consuming(store, one, call.do, rule(SAY, reminders=3)),
            consuming(other_store, other, call.do, rule(SAY, reminders=3)),
        ):
            reminders = [entry(TurnStarted(n, "reminder"), n) for n in (1, 2, 3)]
            one.add(reminders[0])
            await until(lambda: one.committed == 1)
            other.add(reminders[0], reminders[1])  # the first again: its commit was lost
            await until(lambda: other.committed == 2)
            assert call.done == []
            one.add(reminders[2])  # and back, to who remembers the call as it was
            await until(lambda: bool(told(one)))
    assert len(call.done) == 1


async def test_with_the_store_away_nothing_is_committed_and_then_it_goes_on(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    async with consuming(store, source, call.do, rule(SAY)):
        store.is_away = True
        source.add(asks(), asks("call_2"))
        await until(lambda: store.loads > 4)
        assert call.done == [] and source.committed == 0 and source.dead == []
        store.is_away = False
        await until(lambda: len(told(source)) == 2)
    assert len(call.done) == 2


async def test_what_was_written_though_nobody_said_so_is_done_once(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    store.mute = 1
    async with consuming(store, source, call.do, rule(SAY)):
        source.add(asks())
        await until(lambda: bool(told(source)))
    assert len(call.done) == 1


async def test_a_store_that_has_forgotten_a_call_is_told_what_is_known(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    async with consuming(store, source, call.do, rule(SAY, reminders=2)):
        source.add(entry(TurnStarted(1, "reminder"), 1))
        await until(lambda: source.committed == 1)
        await store._do(lambda: store._now.execute("DELETE FROM call"))
        source.add(entry(TurnStarted(2, "reminder"), 2))
        await until(lambda: bool(told(source)))
    assert len(call.done) == 1


async def test_writes_in_doubt_of_batches_that_went_to_others_are_not_kept_for_ever(
    store: Fragile, source: MemorySource, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(escalation, "DOUBTFUL", 3)
    store.mute = 40
    async with Escalation(Rulebook((rule(SAY),), 0.3), source, store, call.do, Delivery(SECRETS)) as consumer:
        for number in range(40):
            with pytest.raises(SinkError, match="no reply"):
                await consumer.handle([asks(f"call_{number}")])
        assert len(consumer._doubtful) == 3
        await consumer.handle([asks("call_39")])
        await until(lambda: bool(call.done))
    assert [call_id for call_id, _ in call.done] == ["call_39"]


async def test_a_state_nobody_can_read_begins_anew(store: Fragile, source: MemorySource, call: Call) -> None:
    await store.save("call_1", Known(b"v", b"\xc1"), [], over=b"")
    async with consuming(store, source, call.do, rule(SAY)):
        source.add(asks())
        await until(lambda: bool(told(source)))


async def test_a_call_that_others_write_without_end_is_tried_again_later(
    store: Fragile, source: MemorySource, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, over: bytes) -> bool:
        return False

    monkeypatch.setattr(store, "save", never)
    consumer = Escalation(Rulebook((rule(SAY),), 0.3), source, store, call.do, Delivery(SECRETS))
    async with consumer:
        with pytest.raises(SinkError, match="again and again"):
            await consumer.handle([asks()])
        monkeypatch.undo()
        await consumer.handle([asks()])
    assert len(call.done) == 1


async def test_calls_that_ended_or_are_many_are_not_remembered(
    store: Fragile, source: MemorySource, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(escalation, "REMEMBERED", 3)
    async with consuming(store, source, call.do, rule(SAY, reminders=9)) as consumer:
        source.add(*(entry(TurnStarted(1, "reminder"), call_id=f"call_{n}") for n in range(120)))
        await until(lambda: source.committed == 120)
        assert consumer.figures()["calls"] == 3
        source.add(*(entry(CallEnded(1, 1.0), 2, call_id=f"call_{n}") for n in range(120)))
        await until(lambda: source.committed == 240)
        assert consumer.figures() == {"orders": 0, "webhooks": 0, "calls": 0}


async def test_facts_that_no_rule_is_about_are_not_even_looked_up(
    store: Fragile, source: MemorySource, call: Call
) -> None:
    async with consuming(store, source, call.do, rule(SAY)):
        source.add(*(entry(CallStarted(), n, call_id=f"call_{n}") for n in range(50)))
        await until(lambda: source.committed == 50)
    assert store.loads == store.saves == 0


# ---------------------------------------------------------------------------- webhooks


async def test_a_webhook_is_signed_as_retell_signs_and_told_when_it_was_delivered(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver
) -> None:
    then = hook(receiver.url), hook(receiver.url + "x", include_words=True)
    async with consuming(store, source, call.do, rule(*then)):
        source.add(asks(at=1234.5))
        await until(lambda: len(told(source)) == 2)
    assert told(source) == [("call_1", "one", "webhook", "done")] * 2
    quiet, nosy = sorted(receiver.told(), key=len)
    assert {name: quiet[name] for name in ("rule", "call_id", "at", "why")} == {
        "rule": "one",
        "call_id": "call_1",
        "at": 1234.5,
        "why": {"phrases": 1},
    }
    assert "words" not in quiet and nosy["words"] == "A manager, please."
    ids = {headers["Idempotency-Key"] for _, headers in receiver.bodies}
    assert ids == {quiet["id"], nosy["id"]} and len(ids) == 2
    assert await waiting(store) == 0


async def test_a_receiver_that_fails_gets_the_same_again_until_it_takes_it(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver
) -> None:
    receiver.statuses = [500, 503, 429, 408]
    async with consuming(store, source, call.do, rule(hook(receiver.url))):
        source.add(asks())
        await until(lambda: bool(told(source)))
    assert told(source) == [("call_1", "one", "webhook", "done")]
    assert len(receiver.told()) == 5 and len({body for body, _ in receiver.bodies}) == 1
    assert len({headers["Idempotency-Key"] for _, headers in receiver.bodies}) == 1


async def test_a_receiver_is_left_alone_for_as_long_as_it_asks(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver
) -> None:
    times: list[float] = []
    receiver.on_request = lambda: times.append(time.monotonic())
    receiver.statuses, receiver.headers = [429], {"Retry-After": "1"}
    async with consuming(store, source, call.do, rule(hook(receiver.url))):
        source.add(asks())
        await until(lambda: bool(told(source)))
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410])
async def test_a_refusal_is_final_and_a_redirect_is_one(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver, status: int
) -> None:
    receiver.statuses, receiver.headers = [status], {"Location": receiver.url + "elsewhere"}
    async with consuming(store, source, call.do, rule(hook(receiver.url))):
        source.add(asks())
        await until(lambda: bool(source.dead))
    assert told(source) == [("call_1", "one", "webhook", "refused")] and len(receiver.bodies) == 1
    ((dead, why),) = source.dead
    assert isinstance(dead.fact, Escalated) and why == f"webhook not delivered in 1 tries: status {status}"


async def test_a_receiver_that_hangs_is_given_up_for_this_time_and_holds_up_nobody(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "PER_RECEIVER", 2)
    receiver.hangs = asyncio.Event()
    async with receiving() as other:
        rules = rule(hook(receiver.url), TRANSFER, hook(other.url))
        async with consuming(store, source, call.do, rules):
            source.add(*(asks(f"call_{n}") for n in range(20)))
            await until(lambda: len(call.done) == 20 and len(other.bodies) == 20)
            assert [each for each in told(source) if each[2] == "webhook"] != [], "the other one's"
            assert receiver.most == 2
            receiver.hangs.set()
            await until(lambda: len(told(source)) == 60)
        assert receiver.most == 2 and len(receiver.bodies) == 20


async def test_no_answer_in_time_is_tried_again(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ATTEMPT_S", 0.05)
    receiver.hangs = asyncio.Event()
    async with consuming(store, source, call.do, rule(hook(receiver.url))):
        source.add(asks())
        await until(lambda: len(receiver.bodies) == 2)
        receiver.hangs.set()
        await until(lambda: bool(told(source)))
    assert told(source) == [("call_1", "one", "webhook", "done")]


async def test_after_an_hour_a_dead_receiver_is_given_up(
    store: Fragile, source: MemorySource, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retell_ws.errands.GIVE_UP_S", 0.1)
    async with consuming(store, source, call.do, rule(hook(f"http://127.0.0.1:{free_port()}/secret-path"))):
        source.add(asks())
        await until(lambda: bool(source.dead))
    assert told(source) == [("call_1", "one", "webhook", "failed")]
    why = source.dead[0][1]
    assert "tries: ClientConnectorError" in why and "secret-path" not in why and await waiting(store) == 0


async def test_without_its_secret_a_webhook_is_not_sent(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver
) -> None:
    """As after the rules have changed, for an errand of before."""
    async with consuming(store, source, call.do, rule(hook(receiver.url)), secrets={}):
        source.add(asks())
        await until(lambda: bool(source.dead))
    assert receiver.bodies == [] and "no secret in RETELL_WS_WEBHOOK_SECRET" in source.dead[0][1]


async def test_more_than_there_is_room_for_waits_in_the_store(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "MAX_DELIVERIES", 3)
    receiver.hangs = asyncio.Event()
    async with consuming(store, source, call.do, rule(hook(receiver.url))) as consumer:
        source.add(*(asks(f"call_{n}") for n in range(12)))
        await until(lambda: source.committed == 12 and receiver.at_once == 3)
        assert consumer.figures()["webhooks"] == 3 and await waiting(store) == 12
        receiver.hangs.set()
        await until(lambda: len(told(source)) == 12)
    assert receiver.most == 3 and await waiting(store) == 0


async def test_a_webhook_under_way_when_the_consumer_leaves_is_taken_by_the_next_one(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "LEAVE_S", 0.01)
    receiver.hangs = asyncio.Event()
    async with consuming(store, source, call.do, rule(hook(receiver.url))):
        source.add(asks())
        await until(lambda: receiver.at_once == 1)
    assert told(source) == [] and await waiting(store) == 1
    receiver.hangs.set()
    async with consuming(store, source, call.do, rule(hook(receiver.url))):
        await until(lambda: bool(told(source)))
    assert len({body for body, _ in receiver.bodies}) == 1


# ---------------------------------------------------------------------------- what others have left, and the bus


async def test_what_a_dead_process_has_begun_in_a_call_is_told_to_have_failed_and_not_done(
    store: Fragile, source: MemorySource, call: Call, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_watches, "LEASE_S", 0.1)
    left = [
        Errand(id=f"esc_{n}", call_id="call_1", rule="one", action=action, at=time.time(), made=time.time())
        for n, action in enumerate(rule(TRANSFER, hook(receiver.url)).then)
    ]
    await store.save("call_1", Known(b"v", b""), left, over=b"")
    async with consuming(store, source, call.do, rule(TRANSFER)):
        await until(lambda: len(told(source)) == 2)
    assert sorted(told(source)) == [("call_1", "one", "transfer", "failed"), ("call_1", "one", "webhook", "done")]
    assert call.done == [] and len(receiver.bodies) == 1


class Deaf(MemorySource):
    """A bus that does not take the next facts."""

    deaf = 0

    async def put(self, entry: Entry) -> None:
        if self.deaf:
            self.deaf -= 1
            raise OSError("no bus")
        await super().put(entry)


@pytest.mark.parametrize(("deaf", "heard"), [(2, 1), (4, 0)])
async def test_a_bus_that_does_not_listen_is_told_again_but_nothing_is_done_twice_for_it(
    store: Fragile, call: Call, deaf: int, heard: int
) -> None:
    source = Deaf()
    source.deaf = deaf
    async with consuming(store, source, call.do, rule(SAY)):
        source.add(asks())
        await until(lambda: source.deaf == 0)
    assert len(told(source)) == heard and len(call.done) == 1 and await waiting(store) == 0

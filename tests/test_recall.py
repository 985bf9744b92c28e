"""One generation for all who ask the same: who hears what, what is kept, and what nobody pays for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from retell_ws.answers import VERSION, Answer, key_of
from retell_ws.errors import ModelBroken, ModelError, ModelRateLimited, ModelUnavailable
from retell_ws.ports import Asked, Delta, End, Text, Usage, Why, no_rest, unasked
from retell_ws.race import RacingModel
from retell_ws.recall import MAX_FLIGHTS, Learnt, RecallingModel
from retell_ws.request import Message, ModelRequest
from retell_ws.stores.answers import MemoryAnswerStore

from .puppet import Puppet, Stream

pytestmark = pytest.mark.usefixtures("clean_loop")

SECRET = b"s" * 32
HOURS = "We are open from nine to five."


def request(words: str = "What are your hours?", **change: Any) -> ModelRequest:
    plain = ModelRequest(system="You are Ana.", messages=(Message("user", words),), max_tokens=300, cache_scope="ana")
    return msgspec.structs.replace(plain, **change)


class Recall:
    """A recalling model before a puppet, and the store behind it."""

    def __init__(self, *, ttl_s: float = 60.0) -> None:
        self.now = 1000.0
        self.puppet = Puppet()
        self.store = MemoryAnswerStore(lambda: self.now)
        self.model = RecallingModel(
            RacingModel(self.puppet, model_name="claude", hedge=False),
            self.store,
            secret=SECRET,
            ttl_s=ttl_s,
            model_name="claude",
            clock=lambda: self.now,
        )

    async def learn(self, asked: ModelRequest, text: str = HOURS) -> None:
        """Have an answer kept."""
        hearing = asyncio.create_task(hear(self.model, asked))
        stream = await self.puppet.asked(len(self.puppet.streams) + 1)
        stream.say(text)
        stream.end()
        assert said(await hearing) == text

    async def poison(self, asked: ModelRequest, **change: Any) -> None:
        """Put a value that is not what its key says."""
        key = key_of(SECRET, asked, "puppet/claude")
        good = Answer(
            version=VERSION,
            key=key,
            scope=asked.cache_scope,
            model="puppet/claude",
            created_at=self.now,
            text="Zanzibar.",
        )
        await self.store.put(key, msgspec.structs.replace(good, **change), ttl_s=600)


async def hear(
    model: RecallingModel, wanted: ModelRequest, rest: Callable[[], float] = no_rest, asked: Asked = unasked
) -> list[Delta]:
    async with aclosing(model.stream(wanted, rest, asked)) as deltas:
        return [delta async for delta in deltas]


def said(deltas: list[Delta]) -> str:
    return "".join([delta.text for delta in deltas if isinstance(delta, Text)])


async def ahead(model: RecallingModel, asked: ModelRequest) -> tuple[AsyncGenerator[Delta, None], Delta]:
    """Follow an answer to its first delta."""
    deltas = model.stream(asked)
    return deltas, await anext(deltas)


# ---------------------------------------------------------------------------- hits and misses


async def test_an_answer_that_is_kept_comes_whole_and_at_once() -> None:
    recall = Recall()
    await recall.learn(request())
    assert await hear(recall.model, request("what are your hours")) == [
        Text(HOURS),
        End("end_turn", source="cache"),
    ]
    assert len(recall.puppet.streams) == 1
    statistics = recall.model.statistics()
    assert (statistics.hits, statistics.shared, statistics.misses, statistics.flights) == (1, 0, 1, 0)
    await recall.model.aclose()


async def test_a_request_without_a_scope_is_the_inner_models_alone() -> None:
    recall = Recall()
    deltas = recall.model.stream(request(cache_scope=""))
    assert getattr(deltas, "ag_code", None) is Puppet.stream.__code__, "nothing stands between"
    await deltas.aclose()
    assert (recall.model.name, recall.model.statistics().misses) == ("puppet", 0)
    await recall.model.warm()
    await recall.model.aclose()


@pytest.mark.parametrize(
    "other",
    [
        request("What were your hours?"),
        request(cache_scope="bea"),
        request(system="You are Bea."),
        request(model="claude-other"),
        request(max_tokens=10),
    ],
)
async def test_another_request_is_another_answer(other: ModelRequest) -> None:
    recall = Recall()
    await recall.learn(request())
    await recall.learn(other, "Another one.")
    assert said(await hear(recall.model, request())) == HOURS
    await recall.model.aclose()


async def test_an_answer_has_its_time() -> None:
    recall = Recall(ttl_s=60)
    await recall.learn(request())
    recall.now += 60
    await recall.learn(request(), "Now from ten.")
    assert said(await hear(recall.model, request())) == "Now from ten."
    await recall.model.aclose()


async def test_a_store_that_forgets_nothing_makes_no_answer_last_longer() -> None:
    recall = Recall(ttl_s=60)
    await recall.poison(request(), created_at=recall.now - 60)
    await recall.learn(request())
    assert recall.model.statistics().refused == 0
    await recall.model.aclose()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": VERSION + 1}, "version"),
        ({"scope": "bea"}, "scope"),
        ({"model": "puppet/other"}, "model"),
        ({"key": "0" * 64}, "key"),
        ({"created_at": 5000.0}, "created_at"),
        ({"text": "Zanzibar" * 1000}, "text"),
        ({"text": ""}, "text"),
    ],
)
async def test_a_poisoned_value_is_a_miss_with_one_warning_that_quotes_nothing(
    change: dict[str, Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    recall = Recall()
    await recall.poison(request(), **change)
    await recall.learn(request())
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert why in warning.getMessage() and "Zanzibar" not in caplog.text and "hours" not in caplog.text
    assert recall.model.statistics().refused == 1
    assert said(await hear(recall.model, request())) == HOURS, "and it was mended"
    await recall.model.aclose()


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "stop_sequence", "tool_use"])
async def test_only_a_clean_end_is_kept(reason: str) -> None:
    recall = Recall()
    for number in (1, 2):
        hearing = asyncio.create_task(hear(recall.model, request()))
        stream = await recall.puppet.asked(number)
        stream.say(HOURS)
        stream.end(reason)
        assert (await hearing)[-1] == End(reason)
    assert len(recall.store) == 0
    await recall.model.aclose()


async def test_an_answer_with_tools_none_at_all_or_one_too_long_is_not_kept() -> None:
    recall = Recall()
    acts: list[Callable[[Stream], None]] = [
        lambda stream: stream.call("book"),
        lambda stream: None,
        lambda stream: stream.say(" "),
        lambda stream: stream.say('{"name": "look_up", "arguments": {"day": "today"}}'),  # the voice is spared it
        lambda stream: stream.say("\U0001f600"),
        lambda stream: stream.say("x" * 5000),
    ]
    for number, act in enumerate(acts, start=1):
        hearing = asyncio.create_task(hear(recall.model, request()))
        stream = await recall.puppet.asked(number)
        act(stream)
        stream.end()
        await hearing
    assert len(recall.store) == 0
    await recall.model.aclose()


async def test_what_another_model_answered_is_not_kept() -> None:
    recall = Recall()
    hearing = asyncio.create_task(hear(recall.model, request()))
    stream = await recall.puppet.asked(1)
    stream.say(HOURS)
    stream._deltas.put_nowait(End(model="weaker", fallback=True))
    stream._deltas.put_nowait(None)
    await hearing
    assert len(recall.store) == 0
    await recall.model.aclose()


async def test_a_stream_that_stops_without_an_end_stops_so_for_all_and_is_not_kept() -> None:
    recall = Recall()
    hearing = [asyncio.create_task(hear(recall.model, request())) for _ in range(3)]
    stream = await recall.puppet.asked(1)
    stream.say(HOURS)
    stream.stop()
    assert await asyncio.gather(*hearing) == [[Text(HOURS)]] * 3
    assert len(recall.store) == 0
    await recall.model.aclose()


# ---------------------------------------------------------------------------- one for all


async def test_all_who_ask_at_once_share_one_generation_from_its_beginning() -> None:
    recall = Recall()
    early = [asyncio.create_task(hear(recall.model, request())) for _ in range(50)]
    stream = await recall.puppet.asked(1)
    stream.say("We are ", "open ")
    late, first = await ahead(recall.model, request())
    assert first == Text("We are "), "what exists comes at once"
    stream.say("from nine.")
    stream.end()
    heard = await asyncio.gather(*early)
    assert {said(one) for one in heard} == {"We are open from nine."}
    assert [delta async for delta in late][-1] == End(source="cache")
    assert len(recall.puppet.streams) == 1 and recall.model.statistics().shared == 50
    await recall.model.aclose()


async def test_who_began_a_generation_is_told_of_its_request_and_nobody_else() -> None:
    recall = Recall()
    told: list[list[Why]] = [[], [], [], []]
    first, second = (asyncio.create_task(hear(recall.model, request(), asked=told[n].append)) for n in (0, 1))
    stream = await recall.puppet.asked(1)
    stream.say(HOURS)
    stream.end()
    await asyncio.gather(first, second)
    await hear(recall.model, request(), asked=told[2].append)
    others = asyncio.create_task(hear(recall.model, request(cache_scope=""), asked=told[3].append))
    (await recall.puppet.asked(2)).fail(ModelUnavailable("529"))
    with pytest.raises(ModelUnavailable):
        await others
    assert told == [["first"], [], [], ["first"]]
    await recall.model.aclose()


async def test_only_who_came_first_is_charged() -> None:
    recall = Recall()
    bill = End("end_turn", Usage(10, 5), "claude-test", message_id="msg_1")
    early, late = (asyncio.create_task(hear(recall.model, request())) for _ in range(2))
    stream = await recall.puppet.asked(1)
    stream.say(HOURS)
    stream._deltas.put_nowait(bill)
    stream.stop()
    assert (await early)[-1] == bill
    assert (await late)[-1] == End("end_turn", model="claude-test", source="cache")
    hit = (await hear(recall.model, request()))[-1]
    assert hit == End("end_turn", model="claude-test", source="cache")
    await recall.model.aclose()


async def test_who_rests_is_given_what_came_meanwhile_in_one_go() -> None:
    recall = Recall()
    rests: list[float] = []

    def rest() -> float:
        rests.append(0.01)
        return 0.01

    hearing = asyncio.create_task(hear(recall.model, request(), rest))
    stream = await recall.puppet.asked(1)
    stream.say("We ", "are ", "open.")
    stream.end()
    assert said(await hearing) == "We are open."
    assert 1 <= len(rests) <= 2
    await recall.model.aclose()


async def test_a_leader_who_leaves_does_not_silence_the_others() -> None:
    recall = Recall()
    leader, _ = await _first(recall)
    stream = recall.puppet.streams[0]
    follower = asyncio.create_task(hear(recall.model, request()))
    await asyncio.sleep(0)  # it follows from its first step
    await leader.aclose()
    stream.say("open.")
    stream.end()
    assert said(await follower) == "We are open."
    assert said(await hear(recall.model, request())) == "We are open."
    await recall.model.aclose()


async def _first(recall: Recall) -> tuple[AsyncGenerator[Delta, None], Delta]:
    following = asyncio.create_task(ahead(recall.model, request()))
    (await recall.puppet.asked(len(recall.puppet.streams) + 1)).say("We are ")
    return await following


async def test_when_nobody_follows_the_models_stream_is_closed_and_nothing_kept() -> None:
    recall = Recall()
    one, _ = await _first(recall)
    two, _ = await ahead(recall.model, request())
    await one.aclose()
    assert recall.model.statistics().flights == 1
    await two.aclose()
    assert recall.model.statistics().flights == 0
    async with asyncio.timeout(1):
        await recall.puppet.streams[0].closed.wait()
    await recall.learn(request(), "Anew.")
    assert len(recall.puppet.streams) == 2
    await recall.model.aclose()


async def test_who_leaves_after_the_end_leaves_the_answer_behind() -> None:
    recall = Recall()
    deltas, _ = await _first(recall)
    stream = recall.puppet.streams[0]
    stream._deltas.put_nowait(End())
    assert isinstance(await anext(deltas), End)
    await deltas.aclose()
    stream.stop()
    assert said(await hear(recall.model, request())) == "We are ", "from the store, or from what is about to be there"
    assert len(recall.puppet.streams) == 1
    await recall.model.aclose()


async def test_a_cancelled_task_leaves_as_a_closed_stream_does() -> None:
    recall = Recall()
    tasks = [asyncio.create_task(hear(recall.model, request())) for _ in range(2)]
    stream = await recall.puppet.asked(1)
    for task in tasks:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with asyncio.timeout(1):
        await stream.closed.wait()
    await recall.model.aclose()


@pytest.mark.parametrize("before", [(), ("We are ",)], ids=["before any text", "in the middle"])
async def test_when_it_fails_each_hears_of_it_and_nothing_is_kept(before: tuple[str, ...]) -> None:
    recall = Recall()
    error = ModelRateLimited("429", status=429, kind="rate_limit_error", retry_after_s=2.0)

    async def follow() -> tuple[str, ModelError]:
        heard = ""
        with pytest.raises(ModelRateLimited) as caught:
            async for delta in recall.model.stream(request()):
                heard += said([delta])
        return heard, caught.value

    hearing = [asyncio.create_task(follow()) for _ in range(5)]
    stream = await recall.puppet.asked(1)
    stream.say(*before)
    stream.fail(error)
    heard = await asyncio.gather(*hearing)
    assert {text for text, _ in heard} == {"".join(before)}
    assert all((exc.status, exc.kind, exc.retry_after_s, str(exc)) == (429, error.kind, 2.0, "429") for _, exc in heard)
    assert len({id(exc) for _, exc in heard} | {id(error)}) == 6, "one of its own for each"
    assert len(recall.store) == 0
    await recall.learn(request())
    await recall.model.aclose()


async def test_a_bug_in_the_model_is_a_broken_answer_and_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    recall = Recall()
    hearing = asyncio.create_task(hear(recall.model, request("Zanzibar")))
    (await recall.puppet.asked(1)).fail(ValueError("Zanzibar"))
    with pytest.raises(ModelBroken):
        await hearing
    assert "a shared answer failed: ValueError" in caplog.text and "Zanzibar" not in caplog.text
    await recall.model.aclose()


async def test_a_generation_that_hangs_is_joined_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.recall.STUCK_S", 0.0)
    recall = Recall()
    stuck = asyncio.create_task(hear(recall.model, request()))
    first = await recall.puppet.asked(1)
    await recall.learn(request())
    assert not first.closed.is_set(), "who follows it may go on to hope"
    first.say("Late.")
    first.end()
    assert said(await stuck) == "Late."
    assert recall.model.statistics().flights == 0
    await recall.model.aclose()


async def test_beyond_the_bound_each_asks_for_itself() -> None:
    recall = Recall()
    questions = [request(f"question {'x' * number}") for number in range(MAX_FLIGHTS + 2)]
    streams = [recall.model.stream(question) for question in questions]
    tasks = [asyncio.ensure_future(anext(stream)) for stream in streams]
    await recall.puppet.asked(len(streams))
    assert recall.model.statistics().flights == MAX_FLIGHTS
    with pytest.raises(ModelUnavailable):
        await recall.model.learn(request("one more"))
    next(stream for stream in recall.puppet.streams if stream.request == questions[-1]).say("By itself.")
    assert await tasks[-1] == Text("By itself.")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for deltas in streams:
        await deltas.aclose()
    await recall.model.aclose()


async def test_closing_breaks_what_is_shared_and_begins_nothing_more() -> None:
    recall = Recall()
    hearing = [asyncio.create_task(hear(recall.model, request())) for _ in range(3)]
    stream = await recall.puppet.asked(1)
    await recall.model.aclose()
    assert stream.closed.is_set()
    for one in await asyncio.gather(*hearing, return_exceptions=True):
        assert isinstance(one, ModelBroken)
    assert recall.model.statistics().flights == 0


async def test_closing_before_the_first_step_of_a_generation_leaves_nobody_waiting() -> None:
    recall = Recall()
    hearing = asyncio.create_task(hear(recall.model, request()))
    await asyncio.sleep(0)  # it has begun a generation, whose task has not run
    await recall.model.aclose()
    with pytest.raises(ModelBroken):
        await hearing
    assert not recall.puppet.streams


# ---------------------------------------------------------------------------- ahead of the callers


async def test_learning_asks_though_there_is_an_answer_and_replaces_it() -> None:
    recall = Recall()
    await recall.learn(request())
    learning = asyncio.create_task(recall.model.learn(request()))
    stream = await recall.puppet.asked(2)
    assert said(await hear(recall.model, request())) == HOURS, "who asks meanwhile is not kept waiting"
    stream.say("Now from ten.")
    stream._deltas.put_nowait(End(usage=Usage(9, 4)))
    stream.stop()
    assert await learning == Learnt(text="Now from ten.", tokens=4, why_not="")
    assert said(await hear(recall.model, request())) == "Now from ten."
    await recall.model.aclose()


async def test_learning_says_why_an_answer_is_not_kept() -> None:
    recall = Recall()
    learning = asyncio.create_task(recall.model.learn(request()))
    stream = await recall.puppet.asked(1)
    stream.say(HOURS)
    stream.end("max_tokens")
    assert (await learning).why_not == "it ended in max_tokens"
    learning = asyncio.create_task(recall.model.learn(request()))
    (await recall.puppet.asked(2)).stop()
    assert (await learning).why_not == "it has no end"
    learning = asyncio.create_task(recall.model.learn(request()))
    (await recall.puppet.asked(3)).fail(ModelUnavailable("no connection"))
    with pytest.raises(ModelUnavailable):
        await learning
    with pytest.raises(ValueError, match="never kept"):
        await recall.model.learn(request(cache_scope=""))
    await recall.model.aclose()


async def test_an_answer_found_before_may_be_put() -> None:
    recall = Recall()
    await recall.model.keep(request(), HOURS)
    assert said(await hear(recall.model, request())) == HOURS
    assert not recall.puppet.streams
    await recall.model.aclose()

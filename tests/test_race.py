"""One answer out of several requests, with a model whose every word the test decides."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import AsyncGeneratorType

import msgspec
import pytest

from retell_ws import race
from retell_ws.breaker import IN_A_ROW
from retell_ws.errors import (
    ModelBroken,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
)
from retell_ws.first_tokens import FirstTokens
from retell_ws.hedge_budget import REQUESTS_A_HEDGE
from retell_ws.ports import Delta, End, Text, ToolCall, Why
from retell_ws.race import MAX_MODELS, RacingModel
from retell_ws.request import Message, ModelRequest

from .puppet import Puppet, Stream

pytestmark = pytest.mark.usefixtures("clean_loop")

REQUEST = ModelRequest(system="You are Ana.", messages=(Message("user", "Hello"),), max_tokens=100)
MAIN, NEXT = "main", "next"
OVERLOADED = ModelUnavailable("overloaded", status=529, kind="overloaded_error")


@pytest.fixture(autouse=True)
def _patient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a busy machine not be taken for a loop that stood still, but where that is what is tested."""
    if "stood_still" not in request.node.name:
        monkeypatch.setattr(race, "LATE_S", 60.0)


def at_once() -> FirstTokens:
    return FirstTokens(default_s=0.005, shortest_s=0.005, longest_s=0.005)


def never() -> FirstTokens:
    return FirstTokens(default_s=1000)


def racing(
    puppet: Puppet,
    *,
    fallback_model: str = NEXT,
    hedge: bool = True,
    first_tokens: Callable[[], FirstTokens] = never,
) -> RacingModel:
    return RacingModel(puppet, model_name=MAIN, fallback_model=fallback_model, hedge=hedge, first_tokens=first_tokens)


class Listener:
    """Reads an answer in a task and keeps what came."""

    def __init__(self, model: RacingModel, request: ModelRequest = REQUEST) -> None:
        self.heard: list[Delta] = []
        self.asked: list[Why] = []
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._listen(model.stream(request, self._rest, self.asked.append)))
        self.rests = 0

    def _rest(self) -> float:
        self.rests += 1
        return 0.0

    async def _listen(self, deltas: AsyncGenerator[Delta, None]) -> None:
        async with aclosing(deltas):
            async for delta in deltas:
                self.heard.append(delta)
                self.news.set()

    async def end(self) -> list[Delta]:
        async with asyncio.timeout(5):
            await self.task
        return self.heard

    @property
    def text(self) -> str:
        return "".join([delta.text for delta in self.heard if isinstance(delta, Text)])

    @property
    def last(self) -> End:
        assert isinstance(self.heard[-1], End)
        return self.heard[-1]


async def answered(model: RacingModel, puppet: Puppet, number: int, text: str = "Hi.") -> Listener:
    """Play one healthy answer, which is the nth request."""
    listener = Listener(model)
    stream = await puppet.asked(number)
    stream.say(text)
    stream.end()
    await listener.end()
    return listener


async def closed(stream: Stream) -> None:
    async with asyncio.timeout(5):
        await stream.closed.wait()


# ------------------------------------------------------------------------ without a fault


@pytest.mark.parametrize("hedge", [True, False])
@pytest.mark.parametrize("fallback_model", ["", MAIN, NEXT])
async def test_a_quick_answer_is_passed_on_as_it_is(hedge: bool, fallback_model: str) -> None:
    puppet = Puppet()
    model = racing(puppet, hedge=hedge, fallback_model=fallback_model)
    listener = Listener(model)
    stream = await puppet.asked(1)
    assert stream.request is REQUEST
    stream.say("One. ", "Two.")
    stream.call("book", day="Monday")
    stream.end("tool_use")
    one, two, call, end = await listener.end()
    assert (one, two, end) == (Text("One. "), Text("Two."), End("tool_use"))
    assert isinstance(call, ToolCall)
    assert len(puppet.streams) == 1
    statistics = model.statistics()
    assert (statistics.requests, statistics.hedges, statistics.fallbacks) == (1, 0, 0)


async def test_with_nothing_to_race_the_stream_is_the_client_s_own() -> None:
    puppet = Puppet()
    model = racing(puppet, hedge=False, fallback_model="")
    ours, theirs = model.stream(REQUEST), puppet.stream(REQUEST)
    assert isinstance(ours, AsyncGeneratorType) and isinstance(theirs, AsyncGeneratorType)
    assert ours.ag_code is theirs.ag_code
    assert model.name == "puppet"


async def test_without_hedging_and_another_model_no_task_is_made() -> None:
    puppet = Puppet()
    model = racing(puppet, hedge=False, fallback_model="")
    listener = Listener(model)
    stream = await puppet.asked(1)
    assert len(asyncio.all_tasks()) == 2, "this one and the listener's"
    stream.say("Hi.")
    stream.end()
    await listener.end()
    assert listener.text == "Hi."


async def test_the_winner_may_rest_and_nobody_rests_before_the_first_content() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet))
    stream = await puppet.asked(1)
    assert listener.rests == 0
    stream.say("Hi. ")
    async with asyncio.timeout(5):
        await listener.news.wait()
    stream.say("There.")
    stream.end()
    await listener.end()
    assert listener.rests >= 1


async def test_an_answer_that_stops_without_an_end_stops() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet))
    (await puppet.asked(1)).stop()
    assert await listener.end() == []


async def test_an_end_alone_is_an_answer() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet))
    (await puppet.asked(1)).end("refusal")
    assert await listener.end() == [End("refusal")]


# ------------------------------------------------------------------------ slow


async def test_a_slow_answer_is_asked_for_again_and_the_quicker_one_is_heard_alone() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=at_once)
    listener = Listener(model)
    first, second = await puppet.asked(1), await puppet.asked(2)
    assert second.request == first.request
    second.say("Second. ")
    async with asyncio.timeout(5):
        await listener.news.wait()
    await closed(first)  # while the winner is still speaking
    first.say("First.")
    second.say("All of it.")
    second.end()
    await listener.end()
    assert listener.text == "Second. All of it."
    assert listener.asked == ["first", "slow"]
    statistics = model.statistics()
    assert (statistics.hedges, statistics.hedges_won, statistics.fallbacks) == (1, 1, 0)


async def test_the_slow_one_may_still_win() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=at_once)
    listener = Listener(model)
    first, second = await puppet.asked(1), await puppet.asked(2)
    first.say("First.")
    first.end()
    await listener.end()
    await closed(second)
    assert listener.text == "First."
    assert listener.asked == ["first", "slow"]
    assert (model.statistics().hedges, model.statistics().hedges_won) == (1, 0)


async def test_when_both_speak_at_once_one_is_heard_and_the_other_closed() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, first_tokens=at_once))
    first, second = await puppet.asked(1), await puppet.asked(2)
    for stream in (second, first):
        stream.say("Mine.")
        stream.end()
    await listener.end()
    assert listener.text == "Mine."
    await closed(first)
    await closed(second)


async def test_one_answer_gets_one_second_request_and_the_budget_is_for_all() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=at_once)
    listener = Listener(model)
    second = await puppet.asked(2)  # the one hedge there is at the start
    second.say("Hi.")
    second.end()
    await listener.end()
    slow = Listener(model)
    third = await puppet.asked(3)
    async with asyncio.timeout(5):  # until its deadline has passed
        await asyncio.get_running_loop().create_task(_after(0.02))
    assert len(puppet.streams) == 3, "no budget, no second request"
    third.say("Late.")
    third.end()
    await slow.end()
    assert slow.asked == ["first"]
    for number in range(4, 4 + REQUESTS_A_HEDGE - 2):
        await answered(model, puppet, number)
    listener = Listener(model)
    last = await puppet.asked(4 + REQUESTS_A_HEDGE - 1)
    last.say("Hi.")
    last.end()
    await listener.end()
    assert model.statistics().hedges == 2


async def _after(seconds: float) -> None:
    """Let a deadline of the code under test pass."""
    done = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(seconds, done.set_result, None)
    await done


async def test_a_loop_that_stood_still_makes_no_second_request() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=lambda: FirstTokens(default_s=0.1))
    listener = Listener(model)
    stream = await puppet.asked(1)
    loop = asyncio.get_running_loop()
    # The words come in just after the deadline's timer, which is late by as much as the loop stood still.
    loop.call_later(0.1, loop.call_later, 0.0, stream.say, "Hi.")
    loop.call_later(0.05, _stand_still, 0.3)
    async with asyncio.timeout(5):
        await listener.news.wait()
    stream.end()
    await listener.end()
    assert len(puppet.streams) == 1


def _stand_still(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_samples_make_the_deadline_and_a_loser_counts_as_longer() -> None:
    puppet = Puppet()
    made: list[FirstTokens] = []

    def first_tokens() -> FirstTokens:
        made.append(at_once())
        return made[-1]

    model = racing(puppet, first_tokens=first_tokens)
    listener = Listener(model)
    second = await puppet.asked(2)
    second.say("Hi.")
    second.end()
    await listener.end()
    (times,) = made
    (longer, lost), (took, won) = times._samples  # the loser is noted with the winner's first word
    assert [lost, won] in ([True, False], [False, True])
    assert longer >= 0 and took >= 0


# ------------------------------------------------------------------------ failed


@pytest.mark.parametrize(
    "error", [OVERLOADED, ModelRateLimited("slow down", status=429), ModelBroken("cut before a word")]
)
@pytest.mark.parametrize("hedge", [True, False])
async def test_a_failed_request_is_answered_by_the_next_model_at_once(error: ModelError, hedge: bool) -> None:
    puppet = Puppet()
    model = racing(puppet, hedge=hedge)
    listener = Listener(model)
    (await puppet.asked(1)).fail(error)
    second = await puppet.asked(2)
    assert second.request == msgspec.structs.replace(REQUEST, model=NEXT)
    second.say("Hi.")
    second.end()
    await listener.end()
    assert listener.text == "Hi."
    assert listener.asked == ["first", "failed"]
    assert model.statistics().fallbacks == 1


@pytest.mark.parametrize("fallback_model", ["", MAIN])
async def test_without_another_model_the_failure_is_raised_and_nothing_asked_again(fallback_model: str) -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, fallback_model=fallback_model))
    (await puppet.asked(1)).fail(OVERLOADED)
    with pytest.raises(ModelUnavailable) as caught:
        await listener.end()
    assert caught.value is OVERLOADED and len(puppet.streams) == 1


@pytest.mark.parametrize("second", [ModelRateLimited("no", status=429), ModelRejected("no such model", status=404)])
async def test_when_all_fail_the_first_failure_is_raised(second: ModelError) -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet))
    (await puppet.asked(1)).fail(OVERLOADED)
    (await puppet.asked(2)).fail(second)
    with pytest.raises(ModelUnavailable) as caught:
        await listener.end()
    assert caught.value is OVERLOADED and len(puppet.streams) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
async def test_a_refusal_is_raised_and_nobody_else_asked(status: int) -> None:
    puppet = Puppet()
    model = racing(puppet)
    for number in range(1, IN_A_ROW + 3):
        listener = Listener(model)
        (await puppet.asked(number)).fail(ModelRejected("no", status=status))
        with pytest.raises(ModelRejected):
            await listener.end()
        assert len(puppet.streams) == number
    assert model.statistics().breakers == {MAIN: "closed"}


async def test_a_second_request_under_way_is_waited_for_when_the_first_fails() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=at_once)
    listener = Listener(model)
    first, second = await puppet.asked(1), await puppet.asked(2)
    first.fail(OVERLOADED)
    await closed(first)
    second.say("Hi.")
    second.end()
    await listener.end()
    assert listener.text == "Hi." and len(puppet.streams) == 2
    assert (model.statistics().fallbacks, model.statistics().hedges_won) == (0, 1)


async def test_the_first_is_waited_for_when_the_second_request_fails() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, first_tokens=at_once))
    first, second = await puppet.asked(1), await puppet.asked(2)
    second.fail(OVERLOADED)
    await closed(second)
    first.say("Hi.")
    first.end()
    await listener.end()
    assert listener.text == "Hi." and len(puppet.streams) == 2


async def test_when_both_fail_the_next_model_is_asked_and_not_raced_again() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=at_once)
    listener = Listener(model)
    first, second = await puppet.asked(1), await puppet.asked(2)
    first.fail(OVERLOADED)
    second.fail(OVERLOADED)
    third = await puppet.asked(3)
    assert third.request.model == NEXT
    assert len(asyncio.all_tasks()) == 2, "a third request needs no race: one second request an answer"
    third.say("Hi.")
    third.end()
    await listener.end()
    assert listener.asked == ["first", "slow", "failed"]


async def test_after_the_first_content_a_fault_is_passed_on_and_nothing_asked_again() -> None:
    puppet = Puppet()
    model = racing(puppet)
    listener = Listener(model)
    stream = await puppet.asked(1)
    stream.say("One. ")
    stream.fail(ModelBroken("cut"))
    with pytest.raises(ModelBroken):
        await listener.end()
    assert listener.heard == [Text("One. ")] and len(puppet.streams) == 1


async def test_what_no_model_may_raise_goes_its_way() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet))
    (await puppet.asked(1)).fail(LookupError("a bug"))
    with pytest.raises(LookupError):
        await listener.end()
    assert len(puppet.streams) == 1


async def test_requests_that_all_fail_are_told_of_as_they_are_made() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, first_tokens=at_once))
    first, second = await puppet.asked(1), await puppet.asked(2)
    assert listener.asked == ["first", "slow"]
    first.fail(OVERLOADED)
    second.fail(OVERLOADED)
    (await puppet.asked(3)).fail(OVERLOADED)
    with pytest.raises(ModelUnavailable):
        await listener.end()
    assert listener.asked == ["first", "slow", "failed"]


@pytest.mark.parametrize("hedge", [True, False])
async def test_with_one_model_its_one_request_is_told_of(hedge: bool) -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, hedge=hedge, fallback_model=""))
    (await puppet.asked(1)).fail(OVERLOADED)
    with pytest.raises(ModelUnavailable):
        await listener.end()
    assert listener.asked == ["first"]


# ------------------------------------------------------------------------ breaker


async def fail(model: RacingModel, puppet: Puppet, number: int, error: ModelError = OVERLOADED) -> None:
    """Let the nth request fail and the one after it, of the next model, answer."""
    listener = Listener(model)
    (await puppet.asked(number)).fail(error)
    stream = await puppet.asked(number + 1)
    stream.say("Hi.")
    stream.end()
    await listener.end()


async def test_a_model_that_fails_is_passed_over() -> None:
    puppet = Puppet()
    model = racing(puppet)
    for number in range(IN_A_ROW):
        await fail(model, puppet, 2 * number + 1)
    assert model.statistics().breakers == {MAIN: "open", NEXT: "closed"}
    listener = await answered(model, puppet, 2 * IN_A_ROW + 1)
    assert puppet.streams[-1].request.model == NEXT
    assert listener.asked == ["first"]
    assert model.statistics().fallbacks == IN_A_ROW + 1


async def test_one_refusal_with_a_time_to_come_back_is_enough() -> None:
    puppet = Puppet()
    model = racing(puppet)
    await fail(model, puppet, 1, ModelRateLimited("no", status=429, retry_after_s=90))
    for number in (3, 4, 5):
        await answered(model, puppet, number)
        assert puppet.streams[-1].request.model == NEXT


async def test_who_gets_a_request_that_tries_a_model_out_does_not_wait_for_it() -> None:
    puppet = Puppet()
    made: list[FirstTokens] = []

    def first_tokens() -> FirstTokens:
        made.append(never())
        return made[-1]

    model = racing(puppet, first_tokens=first_tokens)
    await fail(model, puppet, 1, ModelRateLimited("no", status=429, retry_after_s=0.01))
    await _after(0.02)
    assert model.statistics().breakers[MAIN] == "half-open"
    made[0].deadline_s = 0.005
    listener = Listener(model)
    probe, other = await puppet.asked(3), await puppet.asked(4)
    assert (probe.request.model, other.request.model) == ("", NEXT)
    other.say("Hi.")
    other.end()
    await listener.end()
    await closed(probe)
    assert listener.asked == ["first", "slow"]
    assert model.statistics().breakers[MAIN] == "open", "it said nothing"
    assert model.statistics().hedges == 0, "the budget is for the healthy"


async def test_a_model_that_answers_when_it_is_tried_out_is_back() -> None:
    puppet = Puppet()
    model = racing(puppet)
    await fail(model, puppet, 1, ModelRateLimited("no", status=429, retry_after_s=0.01))
    await _after(0.02)
    listener = await answered(model, puppet, 3)
    assert puppet.streams[-1].request.model == ""
    assert listener.asked == ["first"]
    assert model.statistics().breakers[MAIN] == "closed"


async def test_faults_in_mid_stream_open_it_as_well() -> None:
    puppet = Puppet()
    model = racing(puppet)
    for number in range(1, IN_A_ROW + 1):
        listener = Listener(model)
        stream = await puppet.asked(number)
        stream.say("One. ")
        stream.fail(ModelBroken("cut"))
        with pytest.raises(ModelBroken):
            await listener.end()
    assert model.statistics().breakers == {MAIN: "open"}


@pytest.mark.parametrize("hedge", [True, False])
async def test_when_all_models_are_passed_over_the_first_is_asked_all_the_same(hedge: bool) -> None:
    puppet = Puppet()
    model = racing(puppet, hedge=hedge, first_tokens=at_once if hedge else never)
    limited = ModelRateLimited("no", status=429, retry_after_s=90)
    listener = Listener(model)
    (await puppet.asked(1)).fail(limited)
    (await puppet.asked(2)).fail(limited)
    with pytest.raises(ModelRateLimited):
        await listener.end()
    assert set(model.statistics().breakers.values()) == {"open"}
    listener = await answered(model, puppet, 3)
    assert puppet.streams[-1].request.model == ""
    assert listener.text == "Hi." and listener.asked == ["first"]
    assert model.statistics().breakers[MAIN] == "closed", "it answered"


async def test_answers_that_nobody_waited_for_say_nothing_of_the_model() -> None:
    puppet = Puppet()
    model = racing(puppet)
    for number in range(1, 40):
        listener = Listener(model)
        stream = await puppet.asked(number)
        if number % 2:
            stream.say("Well, ")
            async with asyncio.timeout(5):
                await listener.news.wait()
        listener.task.cancel()
        await asyncio.wait((listener.task,))
        await closed(stream)
    assert model.statistics().breakers == {MAIN: "closed"}


async def test_a_model_on_which_everything_hangs_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retell_ws.race.HOPELESS_S", 0.0)
    puppet = Puppet()
    model = racing(puppet)
    for number in range(1, IN_A_ROW + 1):
        listener = Listener(model)
        await puppet.asked(number)
        listener.task.cancel()
        await asyncio.wait((listener.task,))
    assert model.statistics().breakers == {MAIN: "open"}


async def test_what_is_remembered_of_models_is_bounded() -> None:
    puppet = Puppet()
    model = racing(puppet)
    await fail(model, puppet, 1)
    for number in range(3, 3 + 2 * MAX_MODELS):
        listener = Listener(model, msgspec.structs.replace(REQUEST, model=f"m{number}"))
        stream = await puppet.asked(number)
        stream.say("Hi.")
        stream.end()
        await listener.end()
    breakers = model.statistics().breakers
    assert len(breakers) == MAX_MODELS and {MAIN, NEXT} <= set(breakers)
    assert set(model.statistics().deadlines_s) == set(breakers)


# ------------------------------------------------------------------------ closing


@pytest.mark.parametrize("speaks", [False, True])
async def test_cancelling_closes_every_attempt(speaks: bool) -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, first_tokens=at_once))
    first, second = await puppet.asked(1), await puppet.asked(2)
    if speaks:
        second.say("Hi.")
        async with asyncio.timeout(5):
            await listener.news.wait()
    listener.task.cancel()
    await asyncio.wait((listener.task,))
    assert listener.task.cancelled()
    assert first.closed.is_set() and second.closed.is_set(), "before the cancelled one is done"


async def test_cancelling_as_a_word_comes_closes_the_attempt_that_had_it() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, first_tokens=at_once))
    first, second = await puppet.asked(1), await puppet.asked(2)
    for stream in (first, second):
        stream.say("Hi.")
    listener.task.cancel()
    await asyncio.wait((listener.task,))
    await closed(first)
    await closed(second)


async def test_closing_the_generator_closes_the_winner() -> None:
    puppet = Puppet()
    model = racing(puppet, first_tokens=at_once)
    stream = model.stream(REQUEST)
    listening = asyncio.ensure_future(anext(stream))
    second = await puppet.asked(2)
    second.say("Hi.")
    assert await listening == Text("Hi.")
    await stream.aclose()
    await closed(puppet.streams[0])
    await closed(second)
    await model.aclose()


async def test_closing_the_model_waits_for_losers_that_take_their_time() -> None:
    class Slow(Puppet):
        async def stream(self, request: ModelRequest, rest: object = None) -> AsyncGenerator[Delta, None]:
            stream = Stream(request)
            async with self._asked:
                self.streams.append(stream)
                self._asked.notify_all()
            try:
                async for delta in stream.deltas(float):
                    yield delta
            finally:
                await _after(0.05)
                left.append(stream)

    left: list[Stream] = []
    puppet = Slow()
    model = racing(puppet, first_tokens=at_once)
    listener = Listener(model)
    await puppet.asked(2)
    first = puppet.streams[0]
    first.say("Hi.")
    async with asyncio.timeout(5):
        await listener.news.wait()  # which waited for no loser
    assert left == []
    await model.aclose()
    assert puppet.streams[1] in left
    first.end()
    await listener.end()
    await model.warm()


class Failing(Puppet):
    """Fails without keeping the failure, as the puppet does, in a cycle of its own."""

    async def stream(self, request: ModelRequest, rest: object = None) -> AsyncGenerator[Delta, None]:
        await _after(0.01)  # later than the deadline
        if request.max_tokens:
            raise ModelUnavailable("no")
        yield Text("Never.")


async def test_failures_leave_nothing_for_the_collector() -> None:
    model = racing(Failing(), first_tokens=at_once)

    async def play() -> None:
        try:
            async for _ in model.stream(REQUEST):
                pass
        except ModelUnavailable:
            pass

    await asyncio.create_task(play())
    gc.collect()
    gc.disable()
    try:
        await asyncio.create_task(play())
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = {type(thing).__name__ for thing in gc.garbage}
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not left & {"Attempt", "_Answer", "ModelUnavailable", "traceback"}


# ------------------------------------------------------------------------ a model that stays silent


@pytest.mark.parametrize("hedge", [True, False])
async def test_a_model_that_stays_silent_is_answered_for_by_the_next(
    hedge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "LOST_S", 0.02)
    puppet = Puppet()
    model = racing(puppet, hedge=hedge)
    listener = Listener(model)
    silent, next_one = await puppet.asked(1), await puppet.asked(2)
    assert (silent.request.model, next_one.request.model) == ("", NEXT)
    next_one.say("Hi.")
    next_one.end()
    await listener.end()
    assert listener.text == "Hi." and silent.closed.is_set()
    assert listener.last.fallback and listener.asked == ["first", "failed"]


async def test_a_model_that_was_silent_for_long_may_still_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "LOST_S", 0.02)
    puppet = Puppet()
    listener = Listener(racing(puppet))
    silent, next_one = await puppet.asked(1), await puppet.asked(2)
    silent.say("Hi.")
    silent.end()
    await listener.end()
    assert listener.text == "Hi." and next_one.closed.is_set()
    assert isinstance(listener.heard[-1], End) and not listener.heard[-1].fallback


async def test_a_model_that_is_silent_every_time_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "LOST_S", 0.01)
    puppet = Puppet()
    model = racing(puppet)
    for number in range(5):
        listener = Listener(model)
        answers = await puppet.asked(2 * number + 2)
        answers.say("Hi.")
        answers.end()
        await listener.end()
    assert model.statistics().breakers[MAIN] == "open"
    listener = Listener(model)
    only = await puppet.asked(11)
    assert only.request.model == NEXT
    only.end()
    await listener.end()


async def test_a_slow_model_is_asked_once_more_and_then_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "LOST_S", 0.03)
    puppet = Puppet()
    listener = Listener(racing(puppet, first_tokens=at_once))
    asked = [(await puppet.asked(number)).request.model for number in (1, 2, 3)]
    assert asked == ["", "", NEXT]
    puppet.streams[2].say("Hi.")
    puppet.streams[2].end()
    await listener.end()
    assert all(stream.closed.is_set() for stream in puppet.streams) and len(puppet.streams) == 3


async def test_without_a_next_model_nobody_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race, "LOST_S", 0.01)
    puppet = Puppet()
    listener = Listener(racing(puppet, fallback_model=""))
    (await puppet.asked(1)).say("Hi.")
    puppet.streams[0].end()
    await listener.end()
    assert listener.text == "Hi." and len(puppet.streams) == 1


async def test_the_next_model_s_refusal_does_not_silence_one_that_is_about_to_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(race, "LOST_S", 0.01)
    puppet = Puppet()
    listener = Listener(racing(puppet))
    silent, next_one = await puppet.asked(1), await puppet.asked(2)
    next_one.fail(ModelRejected("no access", status=404))
    await asyncio.wait_for(next_one.closed.wait(), 2)
    silent.say("Hi.")
    silent.end()
    await listener.end()
    assert listener.text == "Hi."


async def test_a_model_that_fails_while_it_writes_its_first_call_is_answered_for() -> None:
    puppet = Puppet()
    listener = Listener(racing(puppet, hedge=False))
    first = await puppet.asked(1)
    first.write()
    first.fail(OVERLOADED)
    second = await puppet.asked(2)
    second.say("Hello.")
    second.end()
    assert (await listener.end())[0] == Text("Hello.")

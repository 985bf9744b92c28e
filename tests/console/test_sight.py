"""Looks at calls and servers: here, elsewhere, and when somebody cannot be reached."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
import pytest

from retell_ws.console import sight as module
from retell_ws.console.sight import Fleet, Sight
from retell_ws.control import Done, Refused, Status
from retell_ws.masking import mask
from retell_ws.ports import Missed
from retell_ws.reach import UNKNOWN
from retell_ws.switchboards.memory import MemorySwitchboard
from retell_ws.transcript import Question, Utterance
from retell_ws.views import CallView, Glimpse
from tests.store_away import Store
from tests.views import call_view, server_view
from tests.waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

PHONE = "415-555-0123"


class Watched:
    """A call, as far as looks go."""

    def __init__(self, *, is_attached: bool = True, is_live: bool = True, text: str = f"I am at {PHONE}") -> None:
        self.is_attached = is_attached
        self.is_live = is_live
        self.text = text

    def glimpse(self) -> Glimpse:
        asked = Question("response", (Utterance("user", self.text),))
        return Glimpse(Status("call_1", 1.0, self.is_attached, "idle"), None, asked, 1, "", ())


class Board(MemorySwitchboard):
    """One server's, on which strange things can happen.

    Attributes:
        miss: What comes of the next looks instead.
        looks: Servers that were asked to show a call.
    """

    def __init__(self, name: str, beside: MemorySwitchboard | None) -> None:
        super().__init__(name, beside=beside)
        self.miss: Missed | None = None
        self.looks: list[str] = []
        self.down = False

    @property
    def is_up(self) -> bool:
        return not self.down and super().is_up

    async def show(self, server: str, call_id: str, limit_s: float) -> CallView | Missed | None:
        self.looks.append(server)
        return self.miss or await super().show(server, call_id, limit_s)


class Place:
    """A server, as far as looks go."""

    def __init__(self, name: str, beside: Place | None) -> None:
        self.store: Store = Store(lambda: 0.0, name=name, beside=None if beside is None else beside.store)
        self.board: Board = Board(name, None if beside is None else beside.board)
        self.calls: dict[str, Watched] = {}
        self.sight = Sight(
            name,
            server=lambda: server_view(name),
            find=self.calls.get,
            mask=mask,
            store=self.store,
            switchboard=self.board,
        )

    async def take(self, watched: Watched | None = None, call_id: str = "call_1") -> None:
        await self.store.attach(call_id, lambda: None)
        self.calls[call_id] = watched or Watched()


@asynccontextmanager
async def places(number: int) -> AsyncIterator[list[Place]]:
    made: list[Place] = []
    async with AsyncExitStack() as stack:
        for n in range(number):
            place = Place("abc"[n], made[0] if made else None)
            await stack.enter_async_context(place.board.listening(lambda request: Done(), place.sight))
            made.append(place)
        yield made


async def seen(place: Place, call_id: str = "call_1") -> CallView:
    view = await place.sight.view(call_id)
    assert isinstance(view, CallView)
    return view


async def why(place: Place, call_id: str = "call_1") -> str:
    view = await place.sight.view(call_id)
    assert isinstance(view, Refused)
    return view.kind


# ---------------------------------------------------------------------------- servers


async def test_all_servers_are_asked_and_this_one_comes_first() -> None:
    async with places(3) as (_, b, __):
        assert await b.sight.fleet() == Fleet(True, (server_view("b"), server_view("a"), server_view("c")))


async def test_without_redis_there_is_this_server_and_it_says_that_others_are_missing() -> None:
    async with places(1) as (a,):
        a.board.down = True
        assert await a.sight.fleet() == Fleet(False, (server_view("a"),))


async def test_a_server_that_is_alone_is_all_there_are() -> None:
    async with places(1) as (a,):
        alone = Sight("a", server=server_view, find=a.calls.get, mask=mask, store=a.store, switchboard=None)
        assert await alone.fleet() == Fleet(True, (server_view("a"),))
        assert await alone.view("call_1") == UNKNOWN
        a.calls["call_1"] = Watched()
        assert isinstance(await alone.view("call_1"), CallView)


# ---------------------------------------------------------------------------- calls


async def test_a_call_is_seen_masked_from_any_server_as_the_one_that_has_it_shows_it() -> None:
    async with places(3) as (a, b, c):
        await b.take()
        views = [await seen(place) for place in (a, b, c)]
        assert views == [views[0]] * 3
        assert (views[0].server, views[0].lines[0].text) == ("b", "I am at [phone]")
        assert b.board.looks == [] and a.board.looks == c.board.looks == ["b"]


async def test_a_call_nobody_has_is_unknown() -> None:
    async with places(2) as (a, b):
        assert await why(a) == "unknown"
        await b.take(Watched(is_attached=False, is_live=False))
        assert await why(b) == "unknown", "the caller has hung up"


async def test_a_call_that_has_lost_its_socket_is_seen_where_it_is() -> None:
    async with places(2) as (a, b):
        await a.take(Watched(is_attached=False))
        assert not (await seen(a)).status.attached and not (await seen(b)).status.attached
        a.board.down = a.store.gone = True
        assert not (await seen(a)).status.attached, "its server needs nobody for that"


async def test_a_call_that_was_taken_elsewhere_is_seen_there() -> None:
    async with places(2) as (a, b):
        await a.take(Watched(is_attached=False))
        await b.take()
        assert (await seen(a)).server == "b"


async def test_who_cannot_show_the_call_is_said() -> None:
    async with places(2) as (a, b):
        await b.take()
        outcomes: dict[Missed, str] = {"gone": "moved", "silent": "unanswered", "down": "unreachable"}
        for miss, kind in outcomes.items():
            a.board.miss = miss
            assert await why(a) == kind
        a.board.miss = None
        del b.calls["call_1"]
        assert await why(a) == "moved"
        a.store.gone = True
        assert await why(a) == "unreachable"
        a.store.gone, a.board.down = False, True
        a.store._calls.clear()
        assert await why(a) == "unreachable"


# ---------------------------------------------------------------------------- masks


class Gate:
    """A mask that waits until it may go on."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = 0

    def __call__(self, text: str) -> str:
        self.begun += 1
        assert self.open.wait(20)
        return text


async def test_a_mask_that_hangs_costs_views_and_a_few_threads_and_never_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MASK_S", 0.05)
    gate = Gate()
    async with places(1) as (a,):
        sight = Sight("a", server=server_view, find=a.calls.get, mask=gate, store=a.store, switchboard=a.board)
        await a.take()
        try:
            for _ in range(module.MAX_MASKING + 3):
                assert await sight.view("call_1") == module.SILENT
                assert await sight.call("call_1") is None
            assert sight._masking == module.MAX_MASKING
        finally:
            gate.open.set()
        await until(lambda: sight._masking == 0)
        assert isinstance(await sight.view("call_1"), CallView)
        assert gate.begun <= 2 * (module.MAX_MASKING + 1)


async def test_a_mask_that_fails_is_told_once_and_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fails(text: str) -> str:
        raise ValueError(text)

    async with places(1) as (a,):
        sight = Sight("a", server=server_view, find=a.calls.get, mask=fails, store=a.store, switchboard=a.board)
        await a.take()
        for _ in range(3):
            view = await sight.view("call_1")
            assert isinstance(view, CallView) and view.lines[0].text == "[masked]"
            a.calls["call_1"] = Watched(text="Another.")
    assert caplog.text.count("the agent's mask fails") == 1 and PHONE not in caplog.text


async def test_what_a_call_s_lens_remembers_goes_with_the_call() -> None:
    async with places(1) as (a,):
        await a.take()
        await seen(a)
        assert len(a.sight._lenses) == 1
        a.calls.clear()
        assert len(a.sight._lenses) == 0


def test_the_views_of_tests_are_views() -> None:
    assert msgspec.json.decode(msgspec.json.encode(call_view()), type=CallView) == call_view()

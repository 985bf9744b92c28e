"""What the page's modules compute, without its views.

Its Retell accepts and speaks what our own does: `retell_ws.testing` is the oracle.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from retell_ws.server import Server
from retell_ws.testing.acceptance import Acceptance, Exchange
from retell_ws.testing.mouth import Mouth

ACCEPTS = """async steps => {
    const { Acceptance } = await import('./console/acceptance.js');
    const rules = new Acceptance();
    rules.connected(0);
    const told = exchange => exchange && [
        exchange.text, exchange.frames, exchange.firstSentenceAt !== null, exchange.isComplete,
        exchange.action && [exchange.action.kind, exchange.action.value],
    ];
    return steps.map(message => {
        if (message === null) rules.ask(1);
        const { kind } = message === null ? {} : rules.receive(message, 1);
        return [kind === 'speech', rules.isOpen, told(rules.current), told(rules.interrupt)];
    });
}"""

SPEAKS = """async pieces => {
    const { Exchange } = await import('./console/acceptance.js');
    const { Mouth } = await import('./console/voice.js');
    const exchange = new Exchange(1, 0), mouth = new Mouth();
    mouth.say(exchange);
    return pieces.map((content, n) => {
        exchange.take({ content, content_complete: n === pieces.length - 1 }, 0);
        const words = [];
        for (let word; (word = mouth.take()) !== null;) words.push(word);
        return [words, mouth.isDone];
    });
}"""

PARTS = "async turn => (await import('./console/waterfall.js')).parts(turn).map(one => [one.name, one.from, one.to])"
AXIS = "async ([turns, budget]) => (await import('./console/waterfall.js')).axis(turns, budget)"
PLACE = "async ([ms, bounds]) => (await import('./console/histogram.js')).placeOf(ms, bounds)"
SEEN = "async ([first, budget]) => (await import('./console/histogram.js')).seen(first, budget)"
MOVED = "async ([old, lines]) => (await import('./console/call.js')).moved(old, lines)"

KEEPS = """async looks => {
    const { keep } = await import('./console/dom.js');
    const parent = document.createElement('div');
    return looks.map(items => {
        const make = item => Object.assign(document.createElement('p'), { textContent: item });
        keep(parent, items, item => item, make, () => {});
        return [...parent.children].map(child => child.textContent);
    });
}"""

texts = st.text(st.sampled_from("ab 1.?\n)"), max_size=6)

responses = st.fixed_dictionaries(
    {"response_id": st.integers(0, 3), "content": texts, "content_complete": st.booleans()},
    optional={
        "response_type": st.just("response"),
        "end_call": st.booleans(),
        "transfer_number": st.just("+14155550142"),
        "digit_to_press": st.just("2"),
    },
)
interrupts = st.fixed_dictionaries(
    {
        "response_type": st.just("agent_interrupt"),
        "interrupt_id": st.integers(1, 2),
        "content": texts,
        "content_complete": st.booleans(),
    }
)
broken = st.sampled_from(
    [
        {"response_type": "response", "response_id": 1, "content": "a. ", "content_complete": "true"},
        {"response_type": "response", "response_id": 1, "content": None, "content_complete": True},
        {"response_type": "metadata", "metadata": {}},
        {"response_type": "unheard_of"},
    ]
)
steps = st.lists(st.one_of(st.none(), responses, responses, interrupts, broken), max_size=10)


@pytest.fixture(scope="module")
def module_page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page whose modules can be used; no view of it is open."""
    page = browser.new_page()
    page.goto(f"{server.http_address}/console")
    yield page
    page.close()


@given(steps)
def test_what_counts(module_page: Page, steps: list[dict[str, Any] | None]) -> None:
    rules = Acceptance()
    rules.connected(0)
    expected = []
    for step in steps:
        speech = None
        if step is None:
            rules.asked(rules.latest + 1, 1)
        else:
            speech = rules.receive(orjson.dumps(step).decode(), 1).speech
        expected.append([speech is not None, rules.is_open, told(rules.current), told(rules.interrupt)])
    assert module_page.evaluate(ACCEPTS, steps) == expected


@given(st.lists(texts, min_size=1, max_size=8))
def test_which_word_is_spoken_when(module_page: Page, pieces: list[str]) -> None:
    exchange, mouth = Exchange(1, 0), Mouth()
    mouth.say(exchange)
    expected = []
    for n, piece in enumerate(pieces):
        exchange.pieces.append(piece)
        if n == len(pieces) - 1:
            exchange.completed_at = 0
        expected.append([list(iter(mouth.take, None)), mouth.is_done])
    assert module_page.evaluate(SPEAKS, pieces) == expected


def told(exchange: Exchange | None) -> list[Any] | None:
    if exchange is None:
        return None
    action = exchange.action
    return [
        exchange.text,
        len(exchange.pieces),
        exchange.first_sentence_at is not None,
        exchange.is_complete,
        action and [action.kind, action.value],
    ]


@given(st.lists(st.lists(st.sampled_from("abcde"), max_size=6), max_size=4))
def test_a_list_has_what_there_is_in_its_order_and_nothing_else(module_page: Page, looks: list[list[str]]) -> None:
    """Whatever a server tells, twice as well: what stayed would be one more with each look."""
    assert module_page.evaluate(KEEPS, looks) == looks


@pytest.mark.parametrize(
    ("times", "parts"),
    [
        ({}, []),
        (
            {"decoded_s": 0.001, "prompt_s": 0.002, "connect_s": 0.003, "first_token_s": 0.25, "done_s": 0.5},
            [["decoded", 0, 1], ["prompt", 1, 2], ["connect", 2, 5], ["first token", 5, 250], ["done", 250, 500]],
        ),
        # A speculation had the first token before Retell asked: that counts as 0, and is no part of the wait.
        (
            {"decoded_s": 0.001, "first_token_s": 0, "first_sentence_s": 0.004},
            [["decoded", 0, 1], ["first sentence", 1, 4]],
        ),
    ],
)
def test_a_turn_is_cut_into_the_parts_that_were_measured(
    module_page: Page, times: dict[str, float], parts: list[list[Any]]
) -> None:
    assert module_page.evaluate(PARTS, times) == parts


def test_all_turns_share_an_axis_that_has_the_budget_and_some_of_the_head_start(module_page: Page) -> None:
    turns = [{"done_s": 0.9, "adopted": False}, {"done_s": 0.2, "adopted": True, "head_start_s": 60}]
    assert module_page.evaluate(AXIS, [turns, 500]) == {"from": -300, "to": 900, "ticks": [0, 200, 400, 600, 800]}
    assert module_page.evaluate(AXIS, [turns[:1], 1000]) == {
        "from": 0,
        "to": 1200,
        "ticks": [0, 200, 400, 600, 800, 1000, 1200],
    }


@pytest.mark.parametrize(("ms", "place"), [(0, 0), (50, 0.5), (100, 1), (300, 1.5), (500, 2), (900, 2.5)])
def test_a_time_has_its_place_among_the_columns(module_page: Page, ms: int, place: float) -> None:
    assert module_page.evaluate(PLACE, [ms, [100, 500]]) == place


def test_columns_beyond_the_budget_are_left_out_only_when_they_are_empty(module_page: Page) -> None:
    bounds = [100, 200, 400, 800, 1600]
    quick, slow = [3, 1, 0, 0, 0, 0], [3, 1, 0, 0, 0, 1]
    assert module_page.evaluate(SEEN, [{"bounds_ms": bounds, "counts": quick}, 200]) == {
        "bounds": [100, 200, 400, 800],
        "counts": [3, 1, 0, 0],
    }
    assert module_page.evaluate(SEEN, [{"bounds_ms": bounds, "counts": slow}, 200]) == {
        "bounds": bounds,
        "counts": slow,
    }


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        ("", "abc", 0),
        ("abc", "abcd", 0),
        ("abc", "abC", 0),  # the last line has grown
        ("abc", "bcd", 1),
        ("abc", "bCde", 1),
        ("abc", "xyz", 2),  # nothing is left but what the last line may have become
    ],
)
def test_lines_that_have_left_are_counted(module_page: Page, old: str, new: str, gone: int) -> None:
    def lines(texts: str) -> list[dict[str, str]]:
        return [{"role": "agent", "text": text} for text in texts]

    assert module_page.evaluate(MOVED, [lines(old), lines(new)]) == gone

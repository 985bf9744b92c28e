"""The page's Retell accepts and speaks what our own does: `retell_ws.testing` is the oracle."""

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

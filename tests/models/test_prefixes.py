"""When a warm-up of the prompt cache pays."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.models.prefixes import FRESH_S, LEAST_TOKENS, MAX_PREFIXES, Prefixes, prefix_of
from retell_ws.request import Message, ModelRequest
from retell_ws.tool import ToolSpec

TOOL = ToolSpec("book", "Book an appointment.", msgspec.Raw(b'{"type":"object","properties":{}}'))
LONG = ModelRequest(system="x" * 4 * LEAST_TOKENS, messages=(Message("user", "Hello"),), max_tokens=100)


def claim(prefixes: Prefixes, request: ModelRequest = LONG, now: float = 0.0) -> bool:
    return prefixes.claim(request, prefix_of(request, "m"), now)


def test_a_beginning_is_warmed_once_and_again_when_the_provider_is_about_to_forget_it() -> None:
    prefixes = Prefixes()
    assert claim(prefixes)
    assert not claim(prefixes, now=FRESH_S - 1)
    assert claim(prefixes, now=FRESH_S)


def test_a_request_keeps_it_fresh() -> None:
    prefixes = Prefixes()
    prefixes.asked(prefix_of(LONG, "m"), 0)
    prefixes.asked(prefix_of(LONG, "m"), FRESH_S)
    assert not claim(prefixes, now=2 * FRESH_S - 1)


def test_what_came_to_nothing_may_be_tried_again() -> None:
    prefixes = Prefixes()
    assert claim(prefixes)
    prefixes.release(prefix_of(LONG, "m"))
    assert claim(prefixes)
    prefixes.release(("never", "asked"))


@pytest.mark.parametrize(
    ("changes", "pays"),
    [
        ({"system": "x" * (4 * LEAST_TOKENS - 1)}, False),
        ({"system": "ü" * 2 * LEAST_TOKENS}, True),
        ({"system": ""}, False),
        ({"system": "", "tools": (TOOL,) * 100}, False),  # no instructions, no mark
        ({"system": "x" * 1000, "tools": (TOOL,) * 100}, True),
        ({"system": "Short.", "messages": (Message("user", "x" * 100_000),)}, False),
    ],
)
def test_a_beginning_that_the_cache_would_not_keep_is_not_warmed(changes: dict[str, object], pays: bool) -> None:
    assert claim(Prefixes(), msgspec.structs.replace(LONG, **changes)) is pays


def test_a_beginning_is_model_tools_and_instructions_and_nothing_else() -> None:
    def of(**changes: object) -> object:
        return prefix_of(msgspec.structs.replace(LONG, **changes), "m")

    same = of()
    assert of(model="m") == same == of(messages=(), max_tokens=7, previous_id="msg_1", tool_choice="none")
    others = [of(model="n"), of(system="y"), of(tools=(TOOL,)), of(tools=(msgspec.structs.replace(TOOL, name="no"),))]
    assert len({same, *others}) == 5


def test_the_one_that_was_asked_for_longest_ago_is_forgotten() -> None:
    prefixes = Prefixes()
    for now in range(MAX_PREFIXES + 1):
        prefixes.asked((str(now), "x"), now)
    assert len(prefixes) == MAX_PREFIXES
    prefixes.release(("0", "x"))
    assert len(prefixes) == MAX_PREFIXES
    prefixes.release(("1", "x"))
    assert len(prefixes) == MAX_PREFIXES - 1


@given(st.lists(st.integers(0, 20), max_size=100), st.integers(0, 2 * MAX_PREFIXES))
def test_what_is_remembered_is_bounded_and_the_oldest_goes(names: list[int], others: int) -> None:
    prefixes, names = Prefixes(), [*names, *range(100, 100 + others)]
    for now, name in enumerate(names):
        prefixes.asked((str(name), "x"), now)
        assert len(prefixes) <= MAX_PREFIXES
    latest = list(dict.fromkeys(reversed(names)))
    assert len(prefixes) == min(len(latest), MAX_PREFIXES)
    for place, name in enumerate(latest):
        prefixes.release((str(name), "x"))
        assert len(prefixes) == max(min(len(latest), MAX_PREFIXES) - place - 1, 0)

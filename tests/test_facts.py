"""The records of a call: told apart by their tags, and free of speech."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from retell_ws import facts
from retell_ws.facts import (
    BadMessage,
    CallEnded,
    CallMoved,
    CallStarted,
    Degraded,
    Detached,
    DuplicateRequest,
    Escalated,
    Fact,
    HookFailed,
    IntentGiven,
    Interrupted,
    OverBudget,
    Reattached,
    Resumed,
    SpeculationAdopted,
    SpeculationDropped,
    SpeculationStarted,
    SpeechGuarded,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnFinished,
    TurnMeasured,
    TurnReasked,
    TurnStarted,
    TurnSuperseded,
    UnknownMessage,
)

# What every fact holds, whole: a field that could carry words of the caller or the model has to be argued for here.
# `why` and `reason` are texts of our own making, `kinds` are words of `ear.py`, `tool` and `hook` are names of the
# author's: a name the model made up is not written down. `model` is the provider's name of it, `rule` the operator's.
FIELDS: dict[type[msgspec.Struct], dict[str, str]] = {
    CallStarted: {},
    Reattached: {"replaced": "bool"},
    Resumed: {"open": "bool"},
    CallMoved: {},
    Degraded: {},
    Detached: {},
    CallEnded: {"turns": "int", "duration_s": "float"},
    TurnStarted: {"response_id": "int", "kind": "Literal['greeting', 'response', 'reminder']"},
    TurnReasked: {"response_id": "int", "replaces": "int"},
    TurnFinished: {"response_id": "int", "characters": "int", "duration_s": "float"},
    TurnFailed: {"response_id": "int", "why": "str", "duration_s": "float"},
    TurnSuperseded: {"response_id": "int", "by": "int | None"},
    TurnMeasured: {
        "response_id": "int",
        "outcome": "Literal['finished', 'failed', 'superseded']",
        "adopted": "bool",
        "head_start_s": "float",
        "cached": "bool",
        "hedged": "bool",
        "fallback": "bool",
        "attempts": "int",
        "rounds": "int",
        "held": "int",
        "queued_s": "float | None",
        "decoded_s": "float | None",
        "prompt_s": "float | None",
        "connect_s": "float | None",
        "first_token_s": "float | None",
        "first_frame_s": "float | None",
        "first_sentence_s": "float | None",
        "done_s": "float | None",
        "cache_miss": "str",
        "cache_read_tokens": "int",
        "cache_write_tokens": "int",
        "input_tokens": "int",
        "output_tokens": "int",
        "model": "str",
        "stop_reason": "str",
    },
    SpeculationStarted: {"why": "Literal['sentence_end', 'quiet']"},
    SpeculationAdopted: {"response_id": "int", "head_start_s": "float"},
    SpeculationDropped: {"tokens": "int"},
    Interrupted: {},
    IntentGiven: {"kind": "Literal['end_call', 'transfer_call', 'press_digit']", "times": "int"},
    ToolStarted: {"tool": "str"},
    ToolFinished: {
        "tool": "str",
        "outcome": "Literal['done', 'refused', 'failed', 'late', 'repeated', 'unknown', 'withdrawn']",
        "duration_s": "float",
    },
    SpeechGuarded: {"response_id": "int", "kinds": "tuple[str, ...]"},
    HookFailed: {"hook": "str"},
    Escalated: {
        "rule": "str",
        "action": "Literal['webhook', 'transfer', 'say', 'end']",
        "outcome": "Literal['done', 'refused', 'failed']",
        "after_s": "float",
    },
    OverBudget: {"tokens": "int", "usd": "float"},
    DuplicateRequest: {"response_id": "int"},
    BadMessage: {"reason": "str"},
    UnknownMessage: {},
}

EXAMPLES: list[Fact] = [
    CallStarted(),
    Reattached(replaced=True),
    Resumed(open=True),
    CallMoved(),
    Degraded(),
    Detached(),
    CallEnded(turns=3, duration_s=41.5),
    TurnStarted(response_id=0, kind="greeting"),
    TurnReasked(response_id=3, replaces=2),
    TurnFinished(response_id=3, characters=80, duration_s=1.25),
    TurnFailed(response_id=4, why="stalled", duration_s=4.0),
    TurnSuperseded(response_id=4, by=5),
    TurnSuperseded(response_id=4, by=None),
    TurnMeasured(response_id=3, outcome="finished", adopted=True, first_sentence_s=0.25),
    SpeculationStarted(why="quiet"),
    SpeculationAdopted(response_id=3, head_start_s=0.4),
    SpeculationDropped(tokens=420),
    Interrupted(),
    IntentGiven(kind="transfer_call", times=2),
    ToolStarted(tool="book"),
    ToolFinished(tool="book", outcome="repeated", duration_s=0.5),
    SpeechGuarded(response_id=6, kinds=("emoji", "markup")),
    HookFailed(hook="on_end"),
    Escalated(rule="asks for a human", action="transfer", outcome="done", after_s=0.125),
    OverBudget(tokens=200_000, usd=0.25),
    DuplicateRequest(response_id=5),
    BadMessage(reason="not a message"),
    UnknownMessage(),
]


def tag(kind: type[msgspec.Struct]) -> object:
    return kind.__struct_config__.tag


def test_the_union_holds_every_fact_of_the_module() -> None:
    public = {value for name, value in vars(facts).items() if isinstance(value, type) and name in facts.__all__}
    assert set(get_args(Fact)) == public == set(FIELDS) == {type(fact) for fact in EXAMPLES}


def test_no_two_facts_share_a_tag() -> None:
    assert len({tag(kind) for kind in FIELDS}) == len(FIELDS)


def test_a_tag_is_the_facts_name() -> None:
    for kind in FIELDS:
        words = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__)
        assert tag(kind) == words.removeprefix("_")


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_a_fact_holds_no_speech(kind: type[msgspec.Struct]) -> None:
    assert {field.name: str(field.type).replace("typing.", "") for field in msgspec.structs.fields(kind)} == {
        name: {
            "bool": "<class 'bool'>",
            "int": "<class 'int'>",
            "float": "<class 'float'>",
            "str": "<class 'str'>",
        }.get(told, told)
        for name, told in FIELDS[kind].items()
    }


@pytest.mark.parametrize("fact", EXAMPLES, ids=lambda fact: type(fact).__name__)
def test_a_fact_survives_being_written_and_read(fact: Fact) -> None:
    assert msgspec.json.decode(msgspec.json.encode(fact), type=Fact) == fact


def test_a_fact_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        setattr(EXAMPLES[1], "replaced", False)  # noqa: B010  # spelled so that mypy lets the attempt through

"""What will be done with an agent: all that differs and nothing else, and in the order Retell asks for."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retell.types import AgentCreateParams, AgentUpdateParams

from retell_ws.errors import UsageError
from retell_ws.registration.addresses import Address
from retell_ws.registration.plan import DEFAULTS, WEBHOOK_EVENTS, Change, Wish, body, changes, plan

SECRET = "canary-0123456789_abcdef"
URL = f"wss://ana.example.com/llm-websocket/{SECRET}"
SHOWN = "wss://ana.example.com/llm-websocket/•••"

FULL = Wish(
    address=Address(URL),
    name="Ana",
    voice_id="retell-Cimo",
    language=("en-US", "es-ES"),
    responsiveness=0.5,
    interruption_sensitivity=0.0,
    reminder_s=7.5,
    webhook=Address("https://ana.example.com/webhook"),
    webhook_events=("call_ended", "call_started"),
)
FIELDS = {
    "response_engine": {"type": "custom-llm", "llm_websocket_url": URL},
    "agent_name": "Ana",
    "voice_id": "retell-Cimo",
    "language": ["en-US", "es-ES"],
    "responsiveness": 0.5,
    "interruption_sensitivity": 0.0,
    "reminder_trigger_ms": 7500,
    "webhook_url": "https://ana.example.com/webhook",
    "webhook_events": ["call_ended", "call_started"],
}


def agent(**fields: Any) -> dict[str, Any]:
    return {"agent_id": "agent_1", "version": 3, "is_published": False, **FIELDS, **fields}


def test_a_new_agent_gets_all_that_is_wanted() -> None:
    made = plan(None, FULL, publish=False)
    assert made.steps == ("create",)
    assert body(FULL, made.changes) == FIELDS
    assert {change.before for change in made.changes} == {None}
    assert plan(None, FULL, publish=True).steps == ("create", "publish")


def test_what_is_not_wanted_otherwise_is_not_touched() -> None:
    assert body(Wish(address=Address(URL)), plan(None, Wish(address=Address(URL)), publish=False).changes) == {
        "response_engine": FIELDS["response_engine"]
    }


@pytest.mark.parametrize("is_published", [True, False, None])
@pytest.mark.parametrize("differs", [True, False])
@pytest.mark.parametrize("publish", [True, False])
def test_the_steps_follow_drafts_and_versions(is_published: bool | None, differs: bool, publish: bool) -> None:
    steps = plan(
        agent(is_published=is_published, **({"voice_id": "x"} if differs else {})), FULL, publish=publish
    ).steps
    assert (
        steps
        == {
            (True, True, True): ("new version", "update", "publish"),
            (True, True, False): ("new version", "update"),
            (True, False, True): (),
            (True, False, False): (),
            (False, True, True): ("update", "publish"),
            (False, True, False): ("update",),
            (False, False, True): ("publish",),
            (False, False, False): (),
        }[bool(is_published), differs, publish]
    )


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_that_differs_is_one_change(name: str) -> None:
    other = {
        "response_engine": {"type": "custom-llm", "llm_websocket_url": "wss://old.example.com/abc"},
        "language": "de-DE",
        "webhook_events": ["call_ended"],
    }.get(name, "other")
    (change,) = changes(agent(**{name: other}), FULL)
    assert change.field == name
    assert body(FULL, [change]) == {name: FIELDS[name]}


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("response_engine", {"type": "custom-llm", "llm_websocket_url": f"{URL}/"}),
        ("language", ["es-ES", "en-US"]),
        ("webhook_events", ["call_started", "call_ended"]),
        ("reminder_trigger_ms", 7500.0),
        ("interruption_sensitivity", 0),
    ],
)
def test_the_same_in_other_words_is_no_change(name: str, now: Any) -> None:
    assert changes(agent(**{name: now}), FULL) == ()


@pytest.mark.parametrize("name", DEFAULTS)
def test_what_an_agent_does_not_say_is_retells_default(name: str) -> None:
    usual = Wish(
        address=Address(URL),
        language=("en-US",),
        responsiveness=1.0,
        interruption_sensitivity=1.0,
        reminder_s=10.0,
        webhook_events=("call_started", "call_ended", "call_analyzed"),
    )
    now = {"response_engine": FIELDS["response_engine"], name: None}
    assert changes(now, usual) == ()


@pytest.mark.parametrize("now", [None, {}, {"type": "custom-llm"}, {"type": "custom-llm", "llm_websocket_url": 7}, []])
def test_an_engine_that_cannot_be_read_is_not_ours(now: Any) -> None:
    (change,) = changes(agent(response_engine=now), FULL)
    assert change == Change("response_engine", None, SHOWN)


def test_urls_are_shown_without_their_secrets_also_when_only_these_differ() -> None:
    old = {"type": "custom-llm", "llm_websocket_url": f"{URL}-of-last-year"}
    (change,) = changes(agent(response_engine=old), FULL)
    assert change == Change("response_engine", SHOWN, SHOWN) and change.is_hidden()
    (hook,) = changes(agent(webhook_url=f"https://x.example.com/{SECRET}"), FULL)
    assert hook == Change("webhook_url", "https://x.example.com/•••", "https://ana.example.com/webhook")
    assert not hook.is_hidden()
    assert SECRET not in repr(FULL) and SECRET not in repr(plan(agent(response_engine=old), FULL, publish=True))


@pytest.mark.parametrize("kind", ["retell-llm", "conversation-flow", None])
def test_an_agent_of_another_kind_is_refused(kind: str | None) -> None:
    with pytest.raises(UsageError, match="agent_1.*custom-llm"):
        plan(agent(response_engine={"type": kind}), FULL, publish=True)


@given(
    now=st.fixed_dictionaries(
        {name: st.sampled_from([value, None, "other"]) for name, value in FIELDS.items() if name != "response_engine"}
    ),
    is_published=st.booleans(),
    publish=st.booleans(),
)
def test_once_done_there_is_nothing_left_to_do(now: dict[str, Any], is_published: bool, publish: bool) -> None:
    before = agent(**now, is_published=is_published)
    made = plan(before, FULL, publish=publish)
    after = before | body(FULL, made.changes) | {"is_published": publish or (is_published and not made.changes)}
    assert plan(after, FULL, publish=publish).steps == ()
    assert changes(after, FULL) == ()


def test_the_names_are_those_of_retells_client() -> None:
    for params in (AgentCreateParams, AgentUpdateParams):
        hints = get_type_hints(params, include_extras=True)
        assert set(FIELDS) <= set(hints)
        assert str(hints["webhook_events"]).count("'") == 2 * len(WEBHOOK_EVENTS)
        assert all(f"'{event}'" in str(hints["webhook_events"]) for event in WEBHOOK_EVENTS)
    assert get_args(get_type_hints(AgentUpdateParams)["response_engine"])

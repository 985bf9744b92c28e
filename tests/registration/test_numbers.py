"""Who answers a number, and what has to change."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest
from retell.types.phone_number_update_params import InboundAgent

from retell_ws.errors import UsageError
from retell_ws.registration.numbers import Binding, binding_of, checked, inbound

NUMBER = "+14155550123"


@pytest.mark.parametrize("number", ["14155550123", "+1 415 555", "+1415", "+" + "1" * 16, "+1415555012३", ""])
def test_a_number_is_e164(number: str) -> None:
    assert checked(NUMBER) == NUMBER
    with pytest.raises(UsageError, match="--number"):
        checked(number)


@pytest.mark.parametrize(
    ("agents", "before"),
    [
        (None, "nobody"),
        ([], "nobody"),
        ("odd", "nobody"),
        ([{"agent_id": "agent_1", "weight": 1}], None),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": None}], None),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": "latest"}], None),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": "latest_published"}], None),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": "prod"}], "agent_1 (tag prod)"),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": 0}], "agent_1 (version 0)"),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": ["odd"]}], "agent_1 (tag ['odd'])"),
        ([{"agent_id": "agent_1", "weight": 1, "agent_version": 3}], "agent_1 (version 3)"),
        ([{"agent_id": "agent_2", "weight": 1, "agent_version": "latest"}], "agent_2 (latest)"),
        (
            [{"agent_id": "agent_1", "weight": 0.25}, {"agent_id": "agent_2", "weight": 0.75}, "odd"],
            "agent_1 for 25% of calls, agent_2 for 75% of calls",
        ),
        ([{"agent_id": "agent_2"}], "agent_2"),
    ],
)
def test_a_number_is_bound_unless_the_agent_alone_answers_it(agents: Any, before: str | None) -> None:
    found = binding_of(NUMBER, {"inbound_agents": agents}, "agent_1")
    assert found == (None if before is None else Binding(NUMBER, before))


def test_a_number_is_always_bound_to_an_agent_that_has_still_to_be_made() -> None:
    assert binding_of(NUMBER, {"inbound_agents": [{"agent_id": "agent_1", "weight": 1}]}, None) is not None


@pytest.mark.parametrize(("publish", "version"), [(True, "latest_published"), (False, "latest")])
def test_once_bound_there_is_nothing_left_to_bind(publish: bool, version: str) -> None:
    wanted = inbound("agent_1", publish=publish)
    assert wanted == [{"agent_id": "agent_1", "weight": 1, "agent_version": version}]
    assert binding_of(NUMBER, {"inbound_agents": wanted}, "agent_1") is None
    assert set(wanted[0]) == set(get_type_hints(InboundAgent))

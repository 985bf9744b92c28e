"""Every way a call may end is explained."""

from __future__ import annotations

from typing import get_args

import pytest
from retell.types import PhoneCallResponse, WebCallResponse

from retell_ws.registration.reasons import REASONS, Reason, reason_of


def words(kind: type[WebCallResponse] | type[PhoneCallResponse]) -> set[str]:
    """Retell's own words, out of its client."""
    literal, _ = get_args(kind.model_fields["disconnection_reason"].annotation)
    return set(get_args(literal))


@pytest.mark.parametrize("kind", [WebCallResponse, PhoneCallResponse])
def test_all_of_retells_reasons_are_known(kind: type[WebCallResponse] | type[PhoneCallResponse]) -> None:
    assert len(words(kind)) > 30
    assert words(kind) <= set(REASONS)


@pytest.mark.parametrize("reason", sorted(words(WebCallResponse)))
def test_a_reason_is_said_in_words_and_a_fault_of_the_socket_says_what_to_look_at(reason: str) -> None:
    means = reason_of(reason, "error")
    assert means.said and "_" not in means.said
    assert means.is_ours == reason.startswith("error_llm_websocket_")
    assert not means.is_ours or len(means.check) > 60
    assert not means.check or means.check.endswith(".")


def test_a_reason_that_is_new_is_said_as_it_is() -> None:
    assert reason_of("error_moon", "error") == Reason("error_moon")


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("ongoing", "goes on"),
        ("registered", "has not begun"),
        ("ended", "ended"),
        ("not_connected", "was not connected"),
        ("error", "ended in error"),
        ("odd", "odd"),
        (None, "it does not say"),
    ],
)
def test_without_a_reason_the_state_is_said(status: str | None, said: str) -> None:
    assert reason_of(None, status) == Reason(said)

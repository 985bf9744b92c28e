"""Where callers may be transferred to."""

from __future__ import annotations

import pytest

from retell_ws.agent import Agent
from retell_ws.directory import Directory, Transfer
from retell_ws.errors import AgentError, ToolError

FRONT = Transfer("+14155550199", description="anything else", message="One moment.", show_caller=True)


def directory(*prefixes: str) -> Directory:
    return Directory({"Billing": "+1 (415) 555-0100", "front desk": FRONT}, prefixes)


@pytest.mark.parametrize("to", ["Billing", " billing ", "+14155550100", "+1 415-555-0100"])
def test_a_target_is_found_by_its_label_or_its_number(to: str) -> None:
    assert directory().find(to) == Transfer("+14155550100")


def test_a_target_brings_its_manners() -> None:
    assert directory().find("FRONT DESK") == FRONT


@pytest.mark.parametrize("to", ["+19005550000", "19005550000", "sales", "", "+1415555010", "+14155550100;ext=1", "\n"])
def test_anything_else_is_refused_with_what_there_is(to: str) -> None:
    with pytest.raises(ToolError, match="not in the directory.*choose one of: Billing, front desk"):
        directory().find(to)


def test_a_refusal_quotes_little() -> None:
    with pytest.raises(ToolError) as refused:
        directory().find("x" * 10_000)
    assert len(str(refused.value)) < 200


def test_with_nobody_to_transfer_to_that_is_said() -> None:
    with pytest.raises(ToolError, match="nobody to transfer to"):
        Directory({}).find("billing")


def test_prefixes_let_further_numbers_through() -> None:
    assert directory("+49 30").find("+49 30 901820") == Transfer("+4930901820")
    with pytest.raises(ToolError):
        directory("+49 30").find("+49 900 123456")
    with pytest.raises(ToolError):
        directory("+49 30").find("004930901820")


def test_a_number_the_code_vouches_for_is_dialled_a_word_is_not() -> None:
    assert directory().find("+33612345678", unlisted=True) == Transfer("+33612345678")
    with pytest.raises(ToolError):
        directory().find("my phone", unlisted=True)


@pytest.mark.parametrize("number", ["911", "4155550100", "+0123456789", "+1415555010012345678", "billing", ""])
def test_a_target_that_is_no_number_is_the_authors_mistake(number: str) -> None:
    with pytest.raises(AgentError, match=r"\(billing\) is no number like"):
        Agent("You are Ana.", transfers={"billing": number})


def test_a_label_and_a_prefix_are_checked_too() -> None:
    with pytest.raises(AgentError, match="needs a label"):
        Directory({" ": "+14155550100"})
    with pytest.raises(AgentError, match="no beginning of a number"):
        Directory({}, ["0049"])

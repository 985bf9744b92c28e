"""Every check passes on a server that is right, and there is a server that fails it."""

from __future__ import annotations

import pytest

from retell_ws.errors import UsageError
from retell_ws.testing.checking import Outcome, Patience, Severity
from retell_ws.testing.checks import ALL
from retell_ws.testing.checks.wishing import effect, fitting
from retell_ws.testing.conformance import Report, Result, run
from retell_ws.wire import ToolCallInvocation

from .servers import Scripted

QUICK = Patience(begin_s=1.0, answer_s=1.0, pong_s=0.3, settle_s=0.1, away_s=0.2, calls=20)

HASTY = Patience(begin_s=0.5, answer_s=0.5, pong_s=0.3, settle_s=0.1, away_s=0.2, calls=20)
"""For servers that fail anyway."""

FAULTS = {
    "accepts-within-a-second": "slow_accept",
    "config-comes-first": "late_config",
    "begins-with-id-0": "mute",
    "begin-message-is-sent-once": "greets_twice",
    "greets-without-call-details": "needs_details",
    "frames-are-text": "binary",
    "frames-are-known-messages": "plain_text",
    "fields-have-their-types": "string_booleans",
    "response-type-is-named": "unnamed",
    "no-id-is-invented": "invents_ids",
    "passes-the-smoke-test-of-the-docs": "indexes_last",
    "any-shape-of-call-id-is-taken": "strict_call_id",
    "a-query-string-is-taken": "no_query",
    "a-wrong-path-is-refused-before-accept": "any_path",
    "asks-for-pings": "no_config",
    "echoes-the-exact-timestamp": "own_clock",
    "one-pong-for-one-ping": "two_pongs",
    "pongs-come-at-once": "slow_pongs",
    "pongs-come-while-a-turn-runs": "blocks",
    "pongs-come-under-a-flood-of-updates": "slow_updates",
    "a-request-is-answered-with-its-id": "wrong_id",
    "the-first-frame-comes-in-time": "slow_first",
    "an-id-is-completed-once": "completes_twice",
    "the-completion-comes-last": "text_after_completion",
    "an-answer-has-words": "silent",
    "an-answer-is-streamed": "one_piece",
    "no-text-is-sent-twice": "cumulative",
    "a-conversation-goes-on": "tires",
    "a-newer-id-mutes-the-older": "stale",
    "of-speculative-ids-the-last-is-answered": "stale",
    "a-burst-of-ids-leaves-one-answer": "stale",
    "an-update-does-not-supersede": "updates_cancel",
    "the-caller-taking-the-floor-does-not-cancel": "user_turn_cancels",
    "an-id-asked-twice-is-answered-once": "answers_duplicates",
    "a-lower-id-is-ignored": "answers_lower_ids",
    "a-reminder-is-answered": "ignores_reminders",
    "a-request-supersedes-a-reminder": "stale",
    "a-tool-leaves-no-silence": "tools_never_complete",
    "the-caller-is-told-what-came-of-it": "silent_tools",
    "an-id-with-tools-is-completed-once": "tools_complete_twice",
    "words-around-a-tool-stay-apart": "runs_together",
    "a-superseded-tool-is-not-spoken-of": "stale_tools",
    "a-tool-runs-once-when-asked-again": "books_again",
    "a-tool-runs-once-for-a-sentence-that-grows": "books_by_words",
    "a-tool-call-id-is-used-once": "one_tool_id",
    "tool-arguments-are-a-json-object": "bare_arguments",
    "a-tool-call-gets-its-result": "no_results",
    "a-superseded-tool-gets-its-result": "loses_results",
    "a-turn-with-a-tool-outlives-its-socket": "forgets_turns",
    "pongs-come-while-a-tool-runs": "awaits_tools",
    "a-hang-up-has-words": "hangs_up_silently",
    "a-transfer-has-words": "transfers_silently",
    "a-hang-up-goes-with-its-words": "trailing_actions",
    "a-transfer-goes-with-its-words": "trailing_actions",
    "a-goodbye-cannot-be-interrupted": "interruptible",
    "words-before-a-transfer-cannot-be-interrupted": "interruptible",
    "one-id-asks-for-one-action": "two_actions",
    "a-transfer-number-is-e164": "local_number",
    "no-web-call-is-transferred": "transfers_web_calls",
    "pressed-digits-are-keys": "presses_words",
    "nothing-is-said-after-a-hang-up": "talks_on",
    "no-reminder-is-answered-by-a-silent-hang-up": "leaves_silently",
    "a-hang-up-the-caller-agrees-into-is-given-again": "forgets_leaving",
    "a-transfer-the-caller-agrees-into-is-given-again": "forgets_leaving",
    "a-caller-who-stays-is-answered": "deaf_when_leaving",
    "pressed-keys-are-answered": "refuses_keys",
    "keys-are-another-question": "ignores_keys",
    "keys-do-not-cancel-an-answer": "keys_cancel",
    "odd-keys-are-skipped": "strict_keys",
    "many-keys-are-answered": "few_keys",
    "an-unknown-kind-is-ignored": "closes_on_unknown_kinds",
    "unknown-fields-are-ignored": "refuses_unknown_fields",
    "nulls-are-taken-as-absent": "closes_on_nulls",
    "call-details-may-be-sparse": "closes_on_sparse_details",
    "bad-json-is-survived": "closes_on_bad_json",
    "wrong-types-are-survived": "closes_on_wrong_types",
    "deep-json-is-survived": "closes_on_deep_json",
    "a-transcript-of-a-megabyte-is-answered": "small_limit",
    "an-empty-transcript-is-answered": "indexes_last",
    "trailing-spaces-are-answered": "refuses_trailing_spaces",
    "empty-caller-text-is-answered": "refuses_empty_text",
    "unintelligible-audio-is-answered": "drops_noise",
    "unicode-is-answered": "ascii_only",
    "consecutive-roles-are-answered": "alternating_roles",
    "unknown-roles-are-answered": "known_roles",
    "tool-items-are-answered": "refuses_tool_items",
    "growing-text-is-answered-once": "debounces",
    "the-greeting-is-not-repeated": "greets_again",
    "config-is-sent-on-every-socket": "config_once",
    "an-open-id-is-completed-on-the-new-socket": "forgets_turns",
    "a-redialled-call-is-answered": "refuses_redials",
    "a-call-survives-a-while-away": "forgets_calls",
    "the-newest-socket-wins": "old_sockets",
    "a-line-may-break-four-times": "two_redials",
    "the-server-does-not-hang-up-by-itself": "hangs_up",
    "garbage-is-no-reason-to-close": "hangs_up_on_garbage",
    "a-drop-in-a-turn-leaves-the-server-serving": "dies_of_a_drop",
    "an-abandoned-handshake-is-survived": "dies_of_half_a_handshake",
    "a-close-is-returned": "deaf",
    "a-crowd-is-answered": "ten_calls",
    "calls-do-not-mix": "mixes_calls",
}


async def _run(*faults: str, only: tuple[str, ...] = (), patience: Patience = QUICK) -> Report:
    # A stale answer must last longer than the gap between two speculative requests to be caught.
    async with Scripted(*faults, gap_s=0.05 if "stale" in faults else 0.01).running() as url:
        return await run(url, only=only, patience=patience, deadline_s=15)


def _not_passed(report: Report) -> dict[str, str]:
    return {result.name: result.seen for result in report.results if result.outcome is not Outcome.PASSED}


async def test_a_server_that_is_right_passes_every_check() -> None:
    patience = Patience(begin_s=3.0, answer_s=5.0, pong_s=1.0, settle_s=0.15, away_s=0.3, calls=50)
    report = await _run(patience=patience)
    assert _not_passed(report) == {}
    assert report.is_conformant
    assert report.took_s < 30
    assert len(report.results) == len(ALL) >= 40


def test_there_is_a_fault_for_every_check() -> None:
    assert list(FAULTS) == [check.name for check in ALL]


@pytest.mark.parametrize("name", FAULTS)
async def test_a_server_with_the_fault_fails_the_check(name: str) -> None:
    report = await _run(FAULTS[name], only=(name,), patience=HASTY)
    [result] = report.results
    must = next(check for check in ALL if check.name == name).severity is Severity.MUST
    assert result.outcome is (Outcome.FAILED if must else Outcome.WARNED), result
    assert result.seen
    assert report.is_conformant is not must


async def test_a_turn_that_begins_again_after_a_redial_is_found() -> None:
    report = await _run("restarts_turns", only=("an-open-id-is-completed-on-the-new-socket",))
    assert "begins again" in report.results[0].seen


@pytest.mark.parametrize(
    ("fault", "name", "seen"),
    [
        ("wordless_tools", "a-tool-leaves-no-silence", "completed without a word"),
        ("tools_talk_on", "an-id-with-tools-is-completed-once", "1 frames of id 1 after its completion"),
        ("arguments_as_object", "tool-arguments-are-a-json-object", "Expected `str`, got `object`"),
        ("two_results", "a-tool-call-gets-its-result", "1 results without an invocation"),
        ("leaves_anyway", "a-caller-who-stays-is-answered", "leaves all the same, with end_call"),
        ("leaves_open", "a-hang-up-has-words", "no completion"),
    ],
)
async def test_a_check_finds_its_other_faults_too(fault: str, name: str, seen: str) -> None:
    [result] = (await _run(fault, only=(name,), patience=HASTY)).results
    assert result.outcome in (Outcome.FAILED, Outcome.WARNED) and seen in result.seen


OF_TASKS = ("tools", "actions", "spoken_into")


async def test_a_server_that_only_talks_has_its_checks_of_tools_skipped_and_is_not_asked_for_ever() -> None:
    server = Scripted("only_talks", "no_keys")
    async with server.running() as url:
        report = await run(url, only=(*OF_TASKS, "keypad"), patience=QUICK)
    ran = {result.name for result in report.results if result.outcome is not Outcome.SKIPPED}
    assert ran == {"no-reminder-is-answered-by-a-silent-hang-up"} and report.is_conformant
    questions = [one for one in server.received if one["interaction_type"] == "response_required"]
    assert len(questions) < 2 * len(report.results), "what one check found lacking, the next ones do not ask for"


async def test_a_server_of_which_nothing_could_be_checked_is_not_called_right() -> None:
    report = await _run("only_talks", only=("tools",))
    assert {result.outcome for result in report.results} == {Outcome.SKIPPED}
    assert not report.is_conformant and not report.failures and not report.was_checked


async def test_a_server_that_asks_back_is_given_answers() -> None:
    assert _not_passed(await _run("asks_back", only=("tools",))) == {}


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("And what name may I put it under?", "My name is Alex Miller."),
        ("May I have your phone number?", "My number is 415 555 0123."),
        ("Which day suits you?", "On Tuesday, please."),
        ("At what time?", "Ten in the morning, please."),
        ("Shall I book it?", "Yes, please go ahead."),
    ],
)
def test_what_an_agent_asks_about_a_booking_has_an_answer(asked: str, answer: str) -> None:
    assert fitting(asked) == answer


@pytest.mark.parametrize(
    ("name", "acts"),
    [
        ("book", True),
        ("book_appointment", True),
        ("calendarInsert", True),
        ("send_sms", True),
        ("free_times", False),
        ("checkAvailability", False),
        ("get_slots", False),
        ("end_call", False),
        ("transferCall", False),
    ],
)
def test_looking_something_up_twice_is_no_harm(name: str, acts: bool) -> None:
    assert effect(ToolCallInvocation(tool_call_id="tc", name=name, arguments="{}")) is acts


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("greets_again", {"the-greeting-is-not-repeated", "a-call-survives-a-while-away"}),
        (
            "stale",
            {
                "a-newer-id-mutes-the-older",
                "of-speculative-ids-the-last-is-answered",
                "a-burst-of-ids-leaves-one-answer",
                "a-request-supersedes-a-reminder",
            },
        ),
        ("string_booleans", {"fields-have-their-types"}),
        ("unnamed", {"response-type-is-named"}),
        ("updates_cancel", {"an-update-does-not-supersede"}),
    ],
)
async def test_a_faulty_server_fails_just_the_checks_of_its_fault(fault: str, expected: set[str]) -> None:
    topics = ("opening", "turns", "redial", "echoes-the-exact-timestamp", "asks-for-pings")
    assert set(_not_passed(await _run(fault, only=topics))) == expected


async def test_a_server_that_never_completes_fails_without_holding_up_the_suite() -> None:
    report = await _run("never_completes", only=("turns",), patience=Patience(answer_s=0.3, settle_s=0.05))
    assert len(report.failures) >= 12
    assert report.took_s < 25


async def test_nobody_there_fails_every_check_and_raises_nothing() -> None:
    report = await run("ws://127.0.0.1:1/llm-websocket", only=("opening",), patience=QUICK)
    assert {result.outcome for result in report.results} <= {Outcome.FAILED, Outcome.WARNED, Outcome.SKIPPED}
    assert "no connection" in report.results[0].seen


async def test_results_are_told_as_they_come() -> None:
    told: list[Result] = []
    async with Scripted().running() as url:
        report = await run(url, only=("opening",), patience=QUICK, on_result=told.append)
    assert sorted(result.name for result in told) == sorted(result.name for result in report.results)


async def test_unknown_names_and_bad_urls_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="topics are opening"):
        await run("ws://127.0.0.1:1/x", only=("nonsense",))
    with pytest.raises(UsageError, match="has to look like"):
        await run("ftp://127.0.0.1/x")

"""Checks of what shall happen to the call after the words: hang-ups, transfers, keys. Retell loses them silently."""

from __future__ import annotations

import re
from contextlib import suppress

from ...wire import AgentInterrupt, Response
from ..checking import Server, Severity, Skipped, check, expect
from ..report import Answer
from .asking import barrier
from .hearing import PHONE, Line, actions_of, hearing
from .wishing import PERSON, hung_up, transferred

MENU = "For the front desk, press 2. For all other matters, press 0."
"""What a machine at the other end says."""

REMINDERS = 3

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_KEYS = re.compile(r"[0-9*#]+")


@check("§3.3")
async def a_hang_up_has_words(server: Server) -> str:
    """Nobody is hung up on without a word: `end_call` without content ends the call at once."""
    async with hearing(server) as line:
        answer = await hung_up(line)
        expect(answer.text.strip(), f"id {answer.response_id} hangs up without a word")
        return f"after {len(answer.text)} characters"


@check("§3.3")
async def a_transfer_has_words(server: Server) -> str:
    """Nobody is handed on without a word."""
    async with hearing(server) as line:
        answer = await transferred(line)
        expect(answer.text.strip(), f"id {answer.response_id} hands the caller on without a word")
        return f"after {len(answer.text)} characters"


@check("§3.3", severity=Severity.SHOULD)
async def a_hang_up_goes_with_its_words(server: Server) -> str:
    """The frames of a goodbye carry it: on an empty frame behind the words it is lost when the talk turns between."""
    async with hearing(server) as line:
        return _expect_on_words(line, await hung_up(line))


@check("§3.3", severity=Severity.SHOULD)
async def a_transfer_goes_with_its_words(server: Server) -> str:
    """The frames of the line before a transfer carry it, likewise."""
    async with hearing(server) as line:
        return _expect_on_words(line, await transferred(line))


@check("§3.3", severity=Severity.SHOULD)
async def a_goodbye_cannot_be_interrupted(server: Server) -> str:
    """Words that carry a hang-up have `no_interruption_allowed`: otherwise a "thanks" into them undoes it."""
    async with hearing(server) as line:
        return _expect_protected(line, await hung_up(line))


@check("§3.3", severity=Severity.SHOULD)
async def words_before_a_transfer_cannot_be_interrupted(server: Server) -> str:
    """Words that carry a transfer have `no_interruption_allowed`, likewise."""
    async with hearing(server) as line:
        return _expect_protected(line, await transferred(line))


@check("§3.3")
async def one_id_asks_for_one_action(server: Server) -> str:
    """Of several actions in one id Retell takes one and drops the others."""
    seen: set[str] = set()
    for wish in (transferred, hung_up):
        async with hearing(server) as line:
            with suppress(Skipped):
                answer = await wish(line)
                kinds = line.actions(answer.response_id)
                expect(len(kinds) == 1, f"id {answer.response_id} asks for {' and '.join(sorted(kinds))}")
                seen |= kinds
    if not seen:
        raise Skipped("the agent neither hangs up nor hands anybody on")
    return f"{' and '.join(sorted(seen))}, each alone"


@check("§3.3", severity=Severity.SHOULD)
async def a_transfer_number_is_e164(server: Server) -> str:
    """`transfer_number` is a plus sign and digits; a local number reaches nobody."""
    async with hearing(server) as line:
        answer = await transferred(line)
        numbers = {frame.transfer_number for frame in line.responses(answer.response_id) if frame.transfer_number}
        for number in numbers:
            expect(_E164.fullmatch(number), f"the number is {number[:40]!r}")
        expect(len(numbers) == 1, f"{len(numbers)} numbers in one id")
        return "a plus sign and digits"


@check("§3.3")
async def no_web_call_is_transferred(server: Server) -> str:
    """Only phone calls can be handed on: on a web call the caller would wait for a person who never comes."""
    async with hearing(server) as line:
        if not line.retell.rules.options.call_details:
            raise Skipped("config.call_details is off: the server cannot know")
        await transferred(line)
    async with hearing(server, details={"call_type": "web_call", "agent_id": PHONE["agent_id"]}) as line:
        for text in PERSON[:2]:
            answer = await line.says(text)
            kinds = line.actions(answer.response_id)
            expect("transfer_number" not in kinds, f"id {answer.response_id} of a web call has a transfer_number")
        return "a phone call is, a web call is not"


@check("§3.3")
async def pressed_digits_are_keys(server: Server) -> str:
    """`digit_to_press` holds keys of a telephone and nothing else."""
    details = {**PHONE, "direction": "outbound", "from_number": PHONE["to_number"], "to_number": PHONE["from_number"]}
    async with hearing(server, details=details) as line:
        digits: set[str] = set()
        for _ in range(2):
            answer = await line.says(MENU)
            digits = {frame.digit_to_press for frame in line.responses(answer.response_id) if frame.digit_to_press}
            if digits:
                break
        if not digits:
            raise Skipped("the agent presses no keys when a machine asks for them")
        for pressed in digits:
            expect(_KEYS.fullmatch(pressed), f"the keys are {pressed[:40]!r}")
        return f"pressed {', '.join(sorted(digits))}"


@check("§3.3")
async def nothing_is_said_after_a_hang_up(server: Server) -> str:
    """Once an answer that hangs up is complete, nothing more is said: an interruption would undo it."""
    async with hearing(server) as line:
        await hung_up(line)
        await barrier(server, line.retell)
        spoken = [one.message for one in line.heard if isinstance(one.message, Response | AgentInterrupt)]
        end = next(n for n, frame in enumerate(spoken) if frame.end_call and frame.content_complete)
        after = [frame.content[:40] for frame in spoken[end + 1 :]]
        expect(not after, f"{len(after)} frames follow: {after[:2]}")
        return "silent until the call ends"


@check("§2.5")
async def no_reminder_is_answered_by_a_silent_hang_up(server: Server) -> str:
    """Who leaves because the caller says nothing says so first."""
    async with hearing(server) as line:
        for _ in range(REMINDERS):
            answer = await line.answer(await line.retell.silence())
            if "end_call" in line.actions(answer.response_id):
                expect(answer.text.strip(), f"id {answer.response_id} hangs up without a word")
                return f"reminder {answer.response_id} hangs up after {len(answer.text)} characters"
        return f"{REMINDERS} reminders, no hang-up"


def _expect_on_words(line: Line, answer: Answer) -> str:
    frames = [frame for frame in line.responses(answer.response_id) if actions_of(frame)]
    expect(any(frame.content.strip() for frame in frames), "only an empty frame behind the words carries it")
    return f"{len(frames)} {'frame carries' if len(frames) == 1 else 'frames carry'} it"


def _expect_protected(line: Line, answer: Answer) -> str:
    words = [frame for frame in line.responses(answer.response_id) if frame.content.strip()]
    if not words:
        raise Skipped("there are no words to protect")
    for frame in (*filter(actions_of, words), words[-1]):
        expect(frame.no_interruption_allowed, f"{frame.content[:40]!r} can be interrupted")
    return "the words with it are protected"

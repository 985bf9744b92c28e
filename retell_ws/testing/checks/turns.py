"""Checks of answering: ids, completions, and what a newer request does to an older one."""

from __future__ import annotations

from contextlib import suppress

import orjson

from ..checking import Failed, Server, Severity, Skipped, check, expect
from ..frames import Finding
from ..report import Answer
from ..retell import FakeRetell
from .asking import QUESTION, answered, asked, barrier, greeted

LONG_ENOUGH = 20
"""Characters from which a repetition is no coincidence."""

BLOB = 80
"""Characters from which an answer in one piece has cost the caller time."""


@check("§3.3")
async def a_request_is_answered_with_its_id(server: Server) -> str:
    """A `response_required` gets `response` frames that carry its id."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        return f"{answer.frames} frames, first sentence after {answer.first_sentence_s * 1000:.0f} ms"


@check("§4.3.7", alone=True)
async def the_first_frame_comes_in_time(server: Server) -> str:
    """Something is said within ten seconds; Retell itself never times an answer out."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        limit_s = server.patience.answer_s
        expect(answer.first_frame_s <= limit_s, f"first frame after {answer.first_frame_s:.1f} s")
        return f"first frame after {answer.first_frame_s * 1000:.0f} ms"


@check("§4.3.5")
async def an_id_is_completed_once(server: Server) -> str:
    """Every answered id gets exactly one `content_complete: true`."""
    async with greeted(server) as retell:
        for _ in range(2):
            answer = await asked(server, retell)
            await barrier(server, retell)
            count = retell.report.completions[answer.response_id]
            expect(count == 1, f"id {answer.response_id} was completed {count} times")
        return "2 ids, 2 completions"


@check("§3.3")
async def the_completion_comes_last(server: Server) -> str:
    """No text of an id follows its completion; it would never be spoken."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        await barrier(server, retell)
        late = [
            n.detail for n in retell.report.faults if n.finding in (Finding.AFTER_COMPLETION, Finding.AFTER_END_CALL)
        ]
        expect(not late, f"after the completion: {late[:2]}")
        return f"nothing after frame {answer.frames}"


@check("§3.3", severity=Severity.SHOULD)
async def an_answer_has_words(server: Server) -> str:
    """A plain question is not answered with silence."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        expect(answer.text.strip(), "the answer is empty")
        return f"{len(answer.text)} characters"


@check("§7", severity=Severity.SHOULD)
async def an_answer_is_streamed(server: Server) -> str:
    """A long answer comes in pieces: Retell speaks as soon as it has a sentence."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        if len(answer.text) < BLOB:
            raise Skipped(f"the answer has only {len(answer.text)} characters")
        pieces = sum(1 for piece in answer.pieces if piece)
        expect(pieces > 1, f"{len(answer.text)} characters in one piece")
        return f"{len(answer.text)} characters in {pieces} pieces"


@check("§3.3")
async def no_text_is_sent_twice(server: Server) -> str:
    """Pieces are appended, so each brings only what is new."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        _expect_no_repetition(answer)
        return f"{answer.frames} pieces, none repeats what was there"


@check("§4.1")
async def a_conversation_goes_on(server: Server) -> str:
    """Five turns in a row are all answered."""
    async with greeted(server) as retell:
        for text in ("Hello.", "What can you do?", "All right.", "And what else?", "Thank you."):
            try:
                await asked(server, retell, text)
            except Failed as exc:
                raise Failed(f"turn {retell.rules.latest}: {exc}") from None
            if retell.rules.current.action is not None:
                return f"the agent ended the conversation itself at turn {retell.rules.latest}"
        return "5 turns"


@check("§4.1")
async def a_newer_id_mutes_the_older(server: Server) -> str:
    """Once a newer request was read, no frame of the older id leaves any more."""
    async with greeted(server) as retell:
        for _ in range(3):
            older = await retell.request(QUESTION)
            with suppress(TimeoutError):
                await retell.piece(older, timeout_s=server.patience.answer_s)
            newer = await retell.request("Sorry, one more thing: are you open today?", grow=True)
            await barrier(server, retell)
            await answered(server, retell, newer)
        await barrier(server, retell)
        return _expect_nothing_stale(retell)


@check("§4.2")
async def of_speculative_ids_the_last_is_answered(server: Server) -> str:
    """Four requests for one growing sentence: the last is answered, the others fall silent."""
    async with greeted(server) as retell:
        last = await retell.speculate(QUESTION, ids=4, gap_s=0.15)
        await answered(server, retell, last)
        await barrier(server, retell)
        return _expect_nothing_stale(retell)


@check("§4.2")
async def a_burst_of_ids_leaves_one_answer(server: Server) -> str:
    """Ten requests without a pause: the last is answered, and nothing stale comes after it has begun."""
    async with greeted(server) as retell:
        for _ in range(10):
            await retell.request(QUESTION, grow=True)
        await answered(server, retell, retell.rules.latest)
        await barrier(server, retell)
        return _expect_nothing_stale(retell)


@check("§2.3")
async def an_update_does_not_supersede(server: Server) -> str:
    """An open request is answered although newer `update_only` messages came in."""
    async with greeted(server) as retell:
        response_id = await retell.request(QUESTION)
        for _ in range(5):
            await retell.update()
        answer = await answered(server, retell, response_id)
        return f"answered with {answer.frames} frames"


@check("§4.3.3")
async def the_caller_taking_the_floor_does_not_cancel(server: Server) -> str:
    """`turntaking: user_turn` may be a cough: the open request is still answered."""
    async with greeted(server) as retell:
        response_id = await retell.request(QUESTION)
        await retell.update(turntaking="user_turn")
        answer = await answered(server, retell, response_id)
        return f"answered with {answer.frames} frames"


@check("§4.3.4")
async def an_id_asked_twice_is_answered_once(server: Server) -> str:
    """The same request delivered again does not start the answer again."""
    async with greeted(server) as retell:
        answer = await asked(server, retell)
        await retell.send_raw(_again(retell, answer.response_id))
        await barrier(server, retell)
        count = retell.report.completions[answer.response_id]
        late = retell.rules.counts[Finding.AFTER_COMPLETION]
        expect(count == 1 and not late, f"id {answer.response_id}: {late} frames after its completion")
        return "silent on the duplicate"


@check("§4.3.4")
async def a_lower_id_is_ignored(server: Server) -> str:
    """A request with an id below the latest is a late delivery and gets no answer; the next higher one does."""
    async with greeted(server) as retell:
        for _ in range(2):
            await asked(server, retell)
        before = retell.rules.counts[Finding.STALE]
        await retell.send_raw(_again(retell, 1))
        await barrier(server, retell)
        stale = retell.rules.counts[Finding.STALE] - before
        expect(not stale, f"{stale} frames for id 1 after id 2 was answered")
        await asked(server, retell)
        return "silent on id 1, id 3 answered"


@check("§2.5")
async def a_reminder_is_answered(server: Server) -> str:
    """`reminder_required` takes an id of the same counter and is completed like any request."""
    async with greeted(server) as retell:
        await asked(server, retell)
        answer = await answered(server, retell, await retell.silence())
        return f"{len(answer.text)} characters for id {answer.response_id}"


@check("§2.5")
async def a_request_supersedes_a_reminder(server: Server) -> str:
    """The caller speaks after all: the reminder falls silent and the request is answered."""
    async with greeted(server) as retell:
        await asked(server, retell)
        await retell.silence()
        await answered(server, retell, await retell.request("Yes, I am still here."))
        await barrier(server, retell)
        return _expect_nothing_stale(retell)


def _again(retell: FakeRetell, response_id: int) -> str:
    message = {
        "interaction_type": "response_required",
        "response_id": response_id,
        "transcript": retell.conversation.utterances,
    }
    return orjson.dumps(message).decode()


def _expect_nothing_stale(retell: FakeRetell) -> str:
    stale = [note.detail for note in retell.report.faults if note.finding is Finding.STALE]
    expect(not stale, f"{len(stale)} stale frames: {stale[:1]}")
    return f"0 stale frames, {retell.report.crossed} crossed on the wire"


def _expect_no_repetition(answer: Answer) -> None:
    sent = ""
    for piece in answer.pieces:
        if len(sent) >= LONG_ENOUGH and piece.strip().startswith(sent.strip()):
            raise Failed(f"a piece of {len(piece)} characters repeats the {len(sent)} before it")
        sent += piece
    text = sent.strip()
    half = len(text) // 2
    if half >= LONG_ENOUGH and text[:half].strip() == text[-half:].strip():
        raise Failed(f"the answer consists of the same {half} characters twice")

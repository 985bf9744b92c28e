"""The parts of a report's page, one function a part. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from . import charts
from .figures import Count, Figures, Times
from .html import card, drawn, figure, identity, key, plain, table, word
from .words import dollars, milliseconds, number, percent, seconds, stamp

__all__ = [
    "ahead",
    "escalations",
    "hangups",
    "longest",
    "models",
    "slowest",
    "sources",
    "stages",
    "tools",
    "trouble",
    "turns",
    "whose",
]

_OUTCOMES: Final = {
    "done": "green",
    "finished": "green",
    "repeated": "sky",
    "withdrawn": "grey",
    "superseded": "grey",
    "refused": "orange",
    "late": "pink",
    "unknown": "pink",
    "failed": "red",
}
"""The colour of what came of something."""

_STAGES: Final = {
    "queued": "read",
    "decoded": "understood",
    "prompt": "prompt built",
    "connect": "connected",
    "first_token": "first text",
    "first_sentence": "first sentence",
    "done": "last word",
}


def sources(figures: Figures) -> str:
    """Show what answered."""
    rows = [
        [
            word(one.source),
            figure(number(one.turns)),
            figure(milliseconds(one.times.p50_ms)),
            figure(milliseconds(one.times.p95_ms)),
            figure(milliseconds(one.times.p99_ms), is_minor=True),
            figure(percent(one.within)),
            drawn(charts.bar(one.within or 0.0, "green", f"{percent(one.within)} within the budget"), is_minor=True),
        ]
        for one in (*figures.by_source, figures.first_sentence)
        if one.turns
    ]
    head = ("answered by", "#turns", "#p50", "#p95", "-#p99", "#in budget", "-")
    return card("What answered", table(head, rows, has_sum=True), "First sentences by what they came from.")


def stages(figures: Figures) -> str:
    """Show where the time of turns went."""
    rows = [
        [
            word(_STAGES.get(one.stage, one.stage)),
            figure(milliseconds(one.times.p50_ms)),
            figure(milliseconds(one.times.p95_ms)),
            figure(milliseconds(one.times.p99_ms), is_minor=True),
            drawn(_span(one.times)),
        ]
        for one in figures.stages
        if one.times.count
    ]
    colours = key((("blue", "p50", ""), ("orange", "p95", ""), ("grey", "p99", "")))
    note = "The first four from the end of the one before, the others from the request. Scale: 0.01 ms to 10\u202fs."
    body = table(("stage", "#p50", "#p95", "-#p99", ""), rows)
    return card("Where the time goes", body and body + colours, note)


def _span(times: Times) -> str:
    found = [value for value in (times.p50_ms, times.p95_ms, times.p99_ms) if value is not None]
    return charts.span([math.log10(max(value, 0.01) / 0.01) / 6 for value in found], _percentiles(times))


def whose(figures: Figures) -> str:
    """Show whose milliseconds the caller waits for."""
    whose = figures.whose
    if not whose.calls or not (whose.e2e_ms or whose.llm_ms):
        return card(
            "Whose milliseconds", "", none="No webhook has told of a call's latency: have Retell send call_ended."
        )
    waited, network, ours = (value or 0.0 for value in (whose.llm_ms, whose.network_ms, whose.ours_ms))
    parts = [
        ("speech to text", "Retell", whose.asr_ms, "pink"),
        ("the network, there and back", "between", whose.network_ms, "orange"),
        ("our first sentence", "ours", whose.ours_ms, "blue"),
        ("more that Retell waited for us", "Retell", max(0.0, waited - network - ours), "sky"),
        ("text to speech", "Retell", whose.tts_ms, "green"),
    ]
    known = sum(value or 0.0 for _, _, value, _ in parts)
    if whose.e2e_ms is not None:
        parts.append(("the rest, such as turn-taking", "Retell", max(0.0, whose.e2e_ms - known), "grey"))
    length = sum(value or 0.0 for _, _, value, _ in parts) or 1.0
    picture = charts.stack(
        [((value or 0.0) / length, colour, f"{name}: {milliseconds(value)}") for name, _, value, colour in parts]
    )
    rows = [
        [word(name, colour), plain(owner), figure(milliseconds(value))] for name, owner, value, colour in parts if value
    ]
    if whose.e2e_ms is not None:
        rows.append([word("caller stops → agent starts"), plain(""), figure(milliseconds(whose.e2e_ms))])
    return card(
        "Whose milliseconds",
        picture + table(("part of the wait", "whose", "#median"), rows, has_sum=whose.e2e_ms is not None),
        f"Medians over {_many(whose.calls, 'call')} whose latency Retell told, so they need not add up.",
    )


def turns(figures: Figures) -> str:
    """Show how turns went."""
    turns = figures.turns
    if not turns.count:
        return card("How turns went", "")
    ends = [
        Count(what=what, count=count)
        for what, count in (
            ("finished", turns.finished),
            ("superseded", turns.superseded),
            ("failed", turns.failed),
        )
    ]
    rows = [
        [word(name), figure(number(count)), figure(percent(_share(count, turns.count)))]
        for name, count in (
            ("the caller spoke into it", turns.barge_ins),
            ("asked again by Retell in the same words", turns.reasked),
            ("with a holding phrase", turns.held),
            ("slow model asked once more (hedged)", turns.hedged),
            ("answered by the fallback model", turns.fallback),
            ("the agent spoke unasked", turns.spoken_unasked),
        )
    ]
    why = key(("red", one.what, number(one.count)) for one in figures.failures)
    failed = why and "<h3>Why turns failed</h3>" + why
    return card(
        "How turns went",
        _outcomes(ends) + _key(ends) + table(("turns", "#", "#of all"), rows) + failed,
        f"{number(turns.attempts)} requests to a model for {_many(turns.count, 'turn')}.",
    )


def ahead(figures: Figures) -> str:
    """Show what speculation and caches have saved."""
    ahead, cache, turns = figures.speculation, figures.prompt_cache, figures.turns
    rows = []
    if ahead.started or ahead.adopted or ahead.dropped:
        asked = ahead.adopted + ahead.dropped
        rows += [
            _gain("speculations adopted", ahead.adopted, asked, f"{number(ahead.dropped)} in vain"),
            _fact("head start", milliseconds(ahead.head_start.p50_ms), f"p95 {milliseconds(ahead.head_start.p95_ms)}"),
            _fact("together", seconds(ahead.head_start_s), "nobody waited for"),
            _fact("tokens in vain", number(ahead.wasted_tokens), "an estimate"),
        ]
    if turns.count:
        rows.append(_gain("answers from the cache", turns.cached, turns.count, f"{number(turns.cached)} turns"))
    if cache.read_share is not None:
        read, asked = cache.read_tokens, cache.read_tokens + cache.written_tokens + cache.other_tokens
        rows.append(_gain("prompt tokens from the provider's cache", read, asked, f"{number(read)} tokens"))
    misses = key(("orange", one.what, number(one.count)) for one in cache.misses)
    missed = misses and "<h3>Why the prompt cache missed</h3>" + misses
    body = table(("", "", "", ""), rows)
    return card("Ahead of the caller", body and body + missed, "Speculation and caches: time nobody waited for.")


def _gain(name: str, part: int, whole: int, note: str) -> list[str]:
    share = _share(part, whole)
    return [
        word(name),
        figure(percent(share)),
        drawn(charts.bar(share or 0.0, "blue", f"{number(part)} of {number(whole)}")),
        plain(note, is_minor=True),
    ]


def _fact(name: str, value: str, note: str) -> list[str]:
    return [word(name), figure(value), "<td></td>", plain(note, is_minor=True)]


def hangups(figures: Figures) -> str:
    """Show why calls ended."""
    calls = sum(one.calls for one in figures.hangups)
    rows = [
        [
            word(one.reason + ("" if one.told_by == "retell" else " (the socket's word)")),
            figure(number(one.calls)),
            figure(percent(_share(one.calls, calls))),
            drawn(charts.bar(one.calls / calls, "blue", f"{number(one.calls)} of {_many(calls, 'call')}")),
        ]
        for one in figures.hangups
    ]
    head, told = figures.calls, ""
    for count, what in ((head.redialled, "redials"), (head.moved, "moves to another server")):
        told += f", {number(count)} {what}" if count else ""
    note = f"{_many(head.ended, 'call')} ended{told}."
    if head.retell_usd is not None:
        note += f" Retell's own bill for them: {dollars(head.retell_usd)}."
    return card("Why calls ended", table(("reason", "#calls", "#", ""), rows), note)


def tools(figures: Figures) -> str:
    """Show the agent's tools."""
    rows = [
        [
            word(one.tool),
            figure(number(one.count)),
            figure(percent(_share(_of(one.outcomes, "done") + _of(one.outcomes, "repeated"), one.count))),
            figure(milliseconds(one.times.p50_ms)),
            figure(milliseconds(one.times.p95_ms)),
            figure(milliseconds(one.times.p99_ms), is_minor=True),
            drawn(_outcomes(one.outcomes), is_minor=True),
        ]
        for one in figures.tools
    ]
    total: dict[str, int] = {}
    for tool in figures.tools:
        for outcome in tool.outcomes:
            total[outcome.what] = total.get(outcome.what, 0) + outcome.count
    body = table(("tool", "#calls", "#done", "#p50", "#p95", "-#p99", "-what came of it"), rows)
    told = _key(Count(what=what, count=count) for what, count in total.items())
    return card("Tools", body and body + told, is_whole=True)


def models(figures: Figures) -> str:
    """Show what the models cost."""
    rows = [
        [
            word(one.model or "unknown"),
            figure(number(one.turns)),
            figure(number(one.input_tokens), is_minor=True),
            figure(number(one.cache_read_tokens), is_minor=True),
            figure(number(one.cache_write_tokens), is_minor=True),
            figure(number(one.output_tokens), is_minor=True),
            figure("no price" if one.usd is None else dollars(one.usd)),
        ]
        for one in figures.models
    ]
    if len(rows) > 1:
        sums = [
            sum(getattr(one, name) for one in figures.models)
            for name in ("turns", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
        ]
        cells = [figure(number(value), is_minor=bool(place)) for place, value in enumerate(sums)]
        rows.append([word("together"), *cells, figure(dollars(figures.usd) if figures.is_priced else "no price")])
    note = "Tokens as the provider counted them, at list prices; speculations in vain are not in it."
    if figures.is_priced and (calls := figures.calls.count):
        note += f" {dollars(figures.usd / calls)} a call."
    head = ("model", "#turns", "-#input", "-#cache read", "-#cache written", "-#output", "#cost")
    return card("Tokens and cost", table(head, rows, has_sum=len(rows) > 1), note, is_whole=True)


def escalations(figures: Figures) -> str:
    """Show what rules about calls did."""
    rows = [
        [
            word(one.rule),
            plain(one.action),
            figure(number(one.count)),
            figure(milliseconds(one.times.p95_ms)),
            drawn(_outcomes(one.outcomes)),
        ]
        for one in figures.escalations
    ]
    return card("Escalations", table(("rule", "action", "#times", "#p95", "what came of it"), rows))


def trouble(figures: Figures) -> str:
    """Show what should not happen."""
    rows = [[word(one.what.replace("_", " ")), figure(number(one.count))] for one in figures.trouble]
    return card("What should not happen", table(("", "#times"), rows), none="Nothing of the kind.")


def slowest(figures: Figures) -> str:
    """Name turns to look into."""
    rows = [
        [
            identity(one.call_id),
            figure(str(one.response_id)),
            figure(milliseconds(one.first_sentence_ms)),
            plain(one.source, is_minor=True),
            figure(stamp(one.at)[5:], is_minor=True),
        ]
        for one in figures.slowest_turns
    ]
    head = ("call", "#response id", "#waited", "-source", "-#ended")
    return card("Slowest turns", table(head, rows), "To look into: the longest waits for a first sentence.")


def longest(figures: Figures) -> str:
    """Name calls to look into."""
    rows = [
        [
            identity(one.call_id),
            figure(number(one.turns)),
            figure(number(one.over_budget)),
            figure(number(one.failed)),
            figure(stamp(one.at)[5:], is_minor=True),
        ]
        for one in figures.longest_calls
    ]
    head = ("call", "#turns", "#over budget", "#failed", "-#began")
    return card("Busiest calls", table(head, rows), "To look into: the calls with the most turns.")


def _key(outcomes: Iterable[Count]) -> str:
    shown = (one for one in _in_order(outcomes) if one.count)
    return key((_OUTCOMES.get(one.what, "grey"), one.what, number(one.count)) for one in shown)


def _outcomes(outcomes: Sequence[Count]) -> str:
    whole = sum(one.count for one in outcomes) or 1
    return charts.stack(
        [
            (one.count / whole, _OUTCOMES.get(one.what, "grey"), f"{one.what}: {number(one.count)}")
            for one in _in_order(outcomes)
        ]
    )


def _in_order(outcomes: Iterable[Count]) -> Sequence[Count]:
    """Put outcomes in the same order in each row: colours that change places cannot be compared."""
    order = list(_OUTCOMES)
    return sorted(outcomes, key=lambda one: order.index(one.what) if one.what in order else len(order))


def _percentiles(times: Times) -> str:
    return f"p50 {milliseconds(times.p50_ms)}, p95 {milliseconds(times.p95_ms)}, p99 {milliseconds(times.p99_ms)}"


def _of(outcomes: Sequence[Count], what: str) -> int:
    return sum(one.count for one in outcomes if one.what == what)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _many(count: int, what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"

"""The figures of a report once more, in plain Python from the entries themselves: the oracle of the SQL."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from retell_ws.budget import PRICES
from retell_ws.entries import Entry
from retell_ws.facts import (
    CallEnded,
    Escalated,
    SpeculationAdopted,
    SpeculationDropped,
    ToolFinished,
    TurnFailed,
    TurnMeasured,
    TurnSuperseded,
)
from retell_ws.report.since import bucket_s
from retell_ws.speech_facts import CallTranscript, WebhookReceived

__all__ = ["figures"]

TROUBLE = {
    *("bad_message", "unknown_message", "duplicate_request", "hook_failed", "over_budget", "degraded"),
    "speech_guarded",
}
TOLD = TROUBLE | {
    *("call_started", "call_ended", "reattached", "resumed", "turn_failed", "turn_superseded", "turn_reasked"),
    *("interrupted", "speculation_started", "speculation_adopted", "speculation_dropped", "tool_finished"),
    *("escalated", "call_transcript", "webhook_received"),
}


def ranked(values: Iterable[float]) -> dict[str, Any]:
    found = sorted(values)
    ranks = {
        f"p{percent}_ms": found[-(-len(found) * percent // 100) - 1] if found else None for percent in (50, 95, 99)
    }
    return {"count": len(found), **ranks}


def ms(seconds: float) -> float:
    return round(1000 * seconds, 3)


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def counts(words: Iterable[str]) -> list[dict[str, Any]]:
    found = sorted(Counter(words).items(), key=lambda one: (-one[1], one[0]))
    return [{"what": what, "count": count} for what, count in found]


def source_of(turn: TurnMeasured) -> str:
    return "cache" if turn.cached else "speculation" if turn.adopted else "model"


def judged(turn: TurnMeasured) -> bool:
    return turn.first_sentence_s is not None or turn.outcome == "failed"


def within(turn: TurnMeasured, budget_s: float) -> bool:
    return turn.first_sentence_s is not None and turn.first_sentence_s <= budget_s


def source(name: str, turns: Sequence[TurnMeasured], budget_s: float) -> dict[str, Any]:
    held = sum(map(judged, turns))
    return {
        "source": name,
        "turns": len(turns),
        "times": ranked(ms(turn.first_sentence_s) for turn in turns if turn.first_sentence_s is not None),
        "judged": held,
        "within": share(sum(within(turn, budget_s) for turn in turns), held),
    }


def figures(entries: Iterable[Entry], since: float, until: float, budget_s: float) -> dict[str, Any] | None:
    once = list({entry.id: entry for entry in entries if since <= entry.at < until}.values())
    told = [
        entry
        for entry in once
        if entry.kind in TOLD
        and not (isinstance(entry.fact, WebhookReceived) and entry.fact.event == "transcript_updated")
    ]
    measured = [
        (entry, entry.fact) for entry in once if isinstance(entry.fact, TurnMeasured) and entry.fact.response_id
    ]
    if not told and not measured:
        return None
    turns = [turn for _, turn in measured]
    facts = [entry.fact for entry in told]
    kinds = Counter(entry.kind for entry in told)
    by_call: dict[str, list[Entry]] = defaultdict(list)
    for entry in told:
        by_call[entry.call_id].append(entry)
    turns_of: dict[str, list[tuple[Entry, TurnMeasured]]] = defaultdict(list)
    for entry, turn in measured:
        turns_of[entry.call_id].append((entry, turn))

    def webhook(call: Sequence[Entry], *path: str) -> Any:
        values = []
        for entry in call:
            if isinstance(entry.fact, WebhookReceived):
                value: Any = entry.fact.call
                for name in path:
                    value = value.get(name, {})
                if value != {}:
                    values.append(((entry.at, entry.id), value))
        return max(values)[1] if values else None

    minutes, cents, hangups = 0.0, [], Counter[tuple[str, str]]()
    whose: dict[str, list[float]] = defaultdict(list)
    for call_id, call in by_call.items():
        ends = [((entry.epoch, entry.seq), entry.fact) for entry in call if isinstance(entry.fact, CallEnded)]
        duration_ms = webhook(call, "duration_ms")
        if duration_ms is not None:
            minutes += duration_ms / 60_000
        elif ends:
            minutes += max(ends, key=lambda one: one[0])[1].duration_s / 60
        cents.append(webhook(call, "call_cost", "combined_cost"))
        lefts = [((entry.epoch, entry.seq), entry.fact) for entry in call if isinstance(entry.fact, CallTranscript)]
        if reason := webhook(call, "disconnection_reason"):
            hangups[reason, "retell"] += 1
        elif lefts:
            left = max(lefts, key=lambda one: one[0])[1].agent_left
            hangups["agent_left" if left else "caller_left", "socket"] += 1
        latency = {
            name: webhook(call, "latency", key, "p50")
            for name, key in (
                ("e2e_ms", "e2e"),
                ("llm_ms", "llm"),
                ("network_ms", "llm_websocket_network_rtt"),
                ("asr_ms", "asr"),
                ("tts_ms", "tts"),
            )
        }
        if latency["e2e_ms"] is not None or latency["llm_ms"] is not None:
            firsts = [ms(turn.first_sentence_s) for _, turn in turns_of[call_id] if turn.first_sentence_s is not None]
            latency["ours_ms"] = ranked(firsts)["p50_ms"]
            whose["calls"].append(1)
            for name, value in latency.items():
                if value is not None:
                    whose[name].append(value)

    length = bucket_s(since, until)
    buckets: dict[float, list[tuple[Entry, TurnMeasured]]] = defaultdict(list)
    for entry, turn in measured:
        buckets[entry.at // length * length].append((entry, turn))
    models = []
    for model in {turn.model for turn in turns}:
        of = [turn for turn in turns if turn.model == model]
        sums = {
            name: sum(getattr(turn, name) for turn in of)
            for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
        }
        if sum(sums.values()) <= 0:
            continue
        usd = None
        if price := PRICES.get(model):
            usd = (
                sums["input_tokens"] * price.input
                + sums["output_tokens"] * price.output
                + sums["cache_read_tokens"] * price.cache_read
                + sums["cache_write_tokens"] * price.cache_write
            ) / 1e6
        models.append({"model": model, "turns": len(of), **sums, "usd": usd})
    models.sort(key=lambda one: (-one["turns"], one["model"]))
    tools: dict[str, list[ToolFinished]] = defaultdict(list)
    rules: dict[tuple[str, str], list[Escalated]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, ToolFinished):
            tools[fact.tool].append(fact)
        elif isinstance(fact, Escalated):
            rules[fact.rule, fact.action].append(fact)
    adopted = [fact.head_start_s for fact in facts if isinstance(fact, SpeculationAdopted)]
    read, wrote, other = (
        sum(getattr(turn, name) for turn in turns)
        for name in ("cache_read_tokens", "cache_write_tokens", "input_tokens")
    )
    stages = {
        "queued": [turn.queued_s for turn in turns],
        "decoded": [turn.decoded_s for turn in turns],
        "prompt": [None if turn.prompt_s is None else turn.prompt_s - (turn.decoded_s or 0.0) for turn in turns],
        "connect": [turn.connect_s for turn in turns],
        "first_token": [turn.first_token_s for turn in turns],
        "first_sentence": [turn.first_sentence_s for turn in turns],
        "done": [turn.done_s for turn in turns],
    }
    outcomes = Counter(turn.outcome for turn in turns)
    by_source: dict[str, list[TurnMeasured]] = defaultdict(list)
    for turn in turns:
        by_source[source_of(turn)].append(turn)
    slowest = sorted(
        (one for one in measured if one[1].first_sentence_s is not None),
        key=lambda one: (-(one[1].first_sentence_s or 0), one[0].call_id, one[1].response_id),
    )
    calls: list[dict[str, Any]] = [
        {
            "call_id": call_id,
            "at": min(entry.at for entry, _ in of),
            "turns": len(of),
            "failed": sum(turn.outcome == "failed" for _, turn in of),
            "over_budget": sum(judged(turn) and not within(turn, budget_s) for _, turn in of),
        }
        for call_id, of in turns_of.items()
        if of
    ]
    calls.sort(key=lambda one: (-one["turns"], -one["over_budget"], one["call_id"]))
    paid = [cost for cost in cents if cost is not None]
    return {
        "since": since,
        "until": until,
        "budget_ms": budget_s * 1000,
        "bucket_s": length,
        "calls": {
            "count": len({entry.call_id for entry in told} | {entry.call_id for entry, _ in measured}),
            "ended": len({entry.call_id for entry in told if isinstance(entry.fact, CallEnded)}),
            "minutes": minutes,
            "redialled": kinds["reattached"],
            "moved": kinds["resumed"],
            "degraded": kinds["degraded"],
            "retell_usd": sum(paid) / 100 if paid else None,
        },
        "turns": {
            "count": len(turns),
            "finished": outcomes["finished"],
            "failed": outcomes["failed"],
            "superseded": outcomes["superseded"],
            "barge_ins": sum(isinstance(fact, TurnSuperseded) and fact.by is not None for fact in facts),
            "spoken_unasked": kinds["interrupted"],
            "reasked": kinds["turn_reasked"],
            "held": sum(turn.held > 0 for turn in turns),
            "hedged": sum(turn.hedged for turn in turns),
            "fallback": sum(turn.fallback for turn in turns),
            "cached": sum(turn.cached for turn in turns),
            "attempts": sum(turn.attempts for turn in turns),
        },
        "first_sentence": source("all", turns, budget_s),
        "by_source": sorted(
            (source(name, of, budget_s) for name, of in by_source.items()),
            key=lambda one: (-one["turns"], one["source"]),
        ),
        "over_time": [
            {
                "at": at,
                "calls": len({entry.call_id for entry, _ in of}),
                "turns": len(of),
                "p50_ms": (said := source("", [turn for _, turn in of], budget_s))["times"]["p50_ms"],
                "p95_ms": said["times"]["p95_ms"],
                "within": said["within"],
            }
            for at, of in sorted(buckets.items())
        ],
        "stages": [
            {"stage": name, "times": ranked(ms(value) for value in values if value is not None)}
            for name, values in stages.items()
        ],
        "whose": {
            "calls": len(whose["calls"]),
            **{
                name: ranked(whose[name])["p50_ms"]
                for name in ("e2e_ms", "llm_ms", "network_ms", "ours_ms", "asr_ms", "tts_ms")
            },
        },
        "speculation": {
            "started": kinds["speculation_started"],
            "adopted": kinds["speculation_adopted"],
            "dropped": kinds["speculation_dropped"],
            "head_start": ranked(map(ms, adopted)),
            "head_start_s": sum(adopted),
            "wasted_tokens": sum(fact.tokens for fact in facts if isinstance(fact, SpeculationDropped)),
        },
        "prompt_cache": {
            "read_tokens": read,
            "written_tokens": wrote,
            "other_tokens": other,
            "read_share": share(read, read + wrote + other),
            "misses": counts(turn.cache_miss for turn in turns if turn.cache_miss),
        },
        "models": models,
        "usd": sum(one["usd"] or 0 for one in models),
        "unpriced": [one["model"] for one in models if one["usd"] is None],
        "tools": sorted(
            (
                {
                    "tool": tool,
                    "count": len(of),
                    "outcomes": counts(fact.outcome for fact in of),
                    "times": ranked(ms(fact.duration_s) for fact in of),
                }
                for tool, of in tools.items()
            ),
            key=lambda one: (-len(tools[str(one["tool"])]), str(one["tool"])),
        ),
        "failures": counts(fact.why for fact in facts if isinstance(fact, TurnFailed)),
        "hangups": [
            {"reason": reason, "told_by": told_by, "calls": count}
            for (reason, told_by), count in sorted(hangups.items(), key=lambda one: (-one[1], one[0]))
        ],
        "escalations": [
            {
                "rule": rule,
                "action": action,
                "count": len(fired),
                "outcomes": counts(fact.outcome for fact in fired),
                "times": ranked(ms(fact.after_s) for fact in fired),
            }
            for (rule, action), fired in sorted(rules.items(), key=lambda one: (-len(one[1]), one[0]))
        ],
        "trouble": counts(entry.kind for entry in told if entry.kind in TROUBLE),
        "longest_calls": calls[:10],
        "slowest_turns": [
            {
                "call_id": entry.call_id,
                "response_id": turn.response_id,
                "at": entry.at,
                "first_sentence_ms": ms(turn.first_sentence_s or 0.0),
                "first_token_ms": None if turn.first_token_s is None else ms(turn.first_token_s),
                "source": source_of(turn),
                "server": entry.server,
            }
            for entry, turn in slowest[:10]
        ],
    }

"""The questions a report asks of the rows of figures, in SQL. All of it takes time, so it belongs in a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from ..budget import PRICES, Spent
from ..consumers.parts import Parts, connect, day_of
from .figures import (
    Bucket,
    CallFigures,
    Count,
    Escalations,
    Figures,
    Hangup,
    LongCall,
    ModelUse,
    PromptCache,
    SlowTurn,
    Source,
    Speculation,
    Stage,
    Times,
    ToolUse,
    TurnFigures,
    Whose,
)
from .since import bucket_s

__all__ = ["gather"]

MEMORY_MB: Final = 1024
THREADS: Final = 4
LISTED: Final = 10
"""Calls and turns that are named for somebody to look into."""

_TURNS: Final = (
    *("call_id", "server", "at", "response_id", "outcome", "adopted", "cached", "hedged", "fallback", "attempts"),
    *("held", "queued_s", "decoded_s", "prompt_s", "connect_s", "first_token_s", "first_sentence_s", "done_s"),
    *("cache_miss", "cache_read_tokens", "cache_write_tokens", "input_tokens", "output_tokens", "model"),
)

_EVENTS: Final = (
    *("id", "call_id", "epoch", "seq", "at", "fact", "why", "by", "head_start_s", "tokens", "duration_s", "agent_left"),
    *("tool", "rule", "action", "outcome", "after_s", "disconnection_reason", "duration_ms", "call_cost_cents"),
    *("e2e_p50_ms", "llm_p50_ms", "llm_websocket_network_rtt_p50_ms", "asr_p50_ms", "tts_p50_ms"),
)

_TROUBLE: Final = (
    *("bad_message", "unknown_message", "duplicate_request", "hook_failed", "over_budget", "degraded"),
    *("speech_guarded",),
)

_TOLD: Final = (
    *("call_started", "call_ended", "reattached", "resumed", "turn_failed", "turn_superseded", "turn_reasked"),
    *("interrupted", "speculation_started", "speculation_adopted", "speculation_dropped", "tool_finished"),
    *("escalated", "call_transcript", "webhook_received"),
)

_SOURCE: Final = "CASE WHEN cached THEN 'cache' WHEN adopted THEN 'speculation' ELSE 'model' END"

# An apology is no answer; but who spoke on, or got no words, waited for none (measures.py).
_JUDGED: Final = "(first_sentence_s IS NOT NULL OR outcome = 'failed')"
_WITHIN: Final = "(first_sentence_s IS NOT NULL AND first_sentence_s <= $budget)"

# Each time of a turn is counted from the request; a stage begins where the one before it ended.
_STAGES: Final[Mapping[str, str]] = {
    "queued": "queued_s",
    "decoded": "decoded_s",
    "prompt": "prompt_s - coalesce(decoded_s, 0)",
    "connect": "connect_s",
    "first_token": "first_token_s",
    "first_sentence": "first_sentence_s",
    "done": "done_s",
}


def gather(parts: Parts, since: float, until: float, budget_s: float) -> Figures | None:
    """Answer all questions.

    Args:
        parts: The rows of `consumers.analytics`.
        since: From when on, in seconds since 1970.
        until: Before when.
        budget_s: What first sentences are held against, in seconds.

    Returns:
        The figures; None when nothing was told of that time.

    Raises:
        OSError, duckdb.Error, obstore.exceptions.BaseError: The rows could not be read; see `parts.reaching`.
    """
    with TemporaryDirectory(prefix="retell_ws-") as scratch:
        with closing(connect(memory_mb=MEMORY_MB, threads=THREADS, scratch=scratch)) as db:
            time = {"since": day_of(since), "until": day_of(until)}
            asked = '"at" >= ? AND "at" < ? AND fact IN (SELECT unnest(?))'
            kinds = [*_TROUBLE, *_TOLD]
            rows = parts.read(db, "events", columns=_EVENTS, where=asked, given=[since, until, kinds], **time)
            asked = '"at" >= ? AND "at" < ? AND fact = \'turn_measured\' AND response_id <> 0'
            rows += parts.read(db, "turns", columns=_TURNS, where=asked, given=[since, until], **time)
            if not rows:
                return None
            return _Questions(db, since, until, budget_s).all()


class _Questions:
    def __init__(self, db: duckdb.DuckDBPyConnection, since: float, until: float, budget_s: float) -> None:
        self._db = db
        self._since = since
        self._until = until
        self._budget_s = budget_s

    def all(self) -> Figures:
        models = [
            _priced(*row)
            for row in self._ask(
                """SELECT model, count(*), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens),
                sum(cache_write_tokens) FROM turns
                GROUP BY model HAVING sum(input_tokens + output_tokens + cache_read_tokens + cache_write_tokens) > 0
                ORDER BY 2 DESC, 1"""
            )
        ]
        return Figures(
            since=self._since,
            until=self._until,
            budget_ms=self._budget_s * 1000,
            bucket_s=bucket_s(self._since, self._until),
            calls=self._calls(),
            turns=self._turns(),
            first_sentence=self._sources()[0],
            by_source=self._sources(_SOURCE),
            over_time=self._over_time(),
            stages=[Stage(stage=name, times=self._times(_ms(of), "turns")) for name, of in _STAGES.items()],
            whose=self._whose(),
            speculation=self._speculation(),
            prompt_cache=self._prompt_cache(),
            models=models,
            usd=sum(model.usd or 0.0 for model in models),
            unpriced=[model.model for model in models if model.usd is None],
            tools=self._tools(),
            failures=self._counts("why", "events WHERE fact = 'turn_failed'"),
            hangups=self._hangups(),
            escalations=self._escalations(),
            trouble=self._counts("fact", f"events WHERE fact IN {_TROUBLE}"),
            longest_calls=self._longest_calls(),
            slowest_turns=self._slowest_turns(),
        )

    def _calls(self) -> CallFigures:
        (row,) = self._ask(
            """SELECT
            (SELECT count(DISTINCT call_id) FROM (SELECT call_id FROM events UNION SELECT call_id FROM turns)),
            count(DISTINCT call_id) FILTER (fact = 'call_ended'),
            count(*) FILTER (fact = 'reattached'),
            count(*) FILTER (fact = 'resumed'),
            count(*) FILTER (fact = 'degraded') FROM events"""
        )
        # A call may end more than once, when it is taken up again; and webhooks tell the same more than once.
        ((minutes, cents),) = self._ask(
            """SELECT coalesce(sum(coalesce(told / 1000, ours)), 0) / 60, sum(cents) FROM (
            SELECT call_id,
            arg_max(duration_ms, ("at", id)) FILTER (fact = 'webhook_received') AS told,
            arg_max(duration_s, (epoch, seq)) FILTER (fact = 'call_ended') AS ours,
            arg_max(call_cost_cents, ("at", id)) FILTER (fact = 'webhook_received') AS cents
            FROM events GROUP BY call_id)"""
        )
        count, ended, redialled, moved, degraded = row
        return CallFigures(
            count=count,
            ended=ended,
            minutes=minutes,
            redialled=redialled,
            moved=moved,
            degraded=degraded,
            retell_usd=None if cents is None else cents / 100,
        )

    def _turns(self) -> TurnFigures:
        (row,) = self._ask(
            """SELECT count(*), count(*) FILTER (outcome = 'finished'), count(*) FILTER (outcome = 'failed'),
            count(*) FILTER (outcome = 'superseded'),
            (SELECT count(*) FROM events WHERE fact = 'turn_superseded' AND "by" IS NOT NULL),
            (SELECT count(*) FROM events WHERE fact = 'interrupted'),
            (SELECT count(*) FROM events WHERE fact = 'turn_reasked'),
            count(*) FILTER (held > 0), count(*) FILTER (hedged), count(*) FILTER (fallback), count(*) FILTER (cached),
            coalesce(sum(attempts), 0) FROM turns"""
        )
        return TurnFigures(**dict(zip(TurnFigures.__struct_fields__, map(int, row), strict=True)))

    def _sources(self, by: str = "") -> list[Source]:
        return [
            Source(source=name, turns=turns, times=_times(count, ranks), judged=judged, within=_share(within, judged))
            for name, turns, count, ranks, judged, within in self._ask(
                f"""SELECT {by or "'all'"} AS source, count(*), count(first_sentence_s),
                {_ranks(_ms("first_sentence_s"))}, count(*) FILTER {_JUDGED}, count(*) FILTER {_WITHIN} FROM turns
                {"GROUP BY source ORDER BY 2 DESC, 1" if by else ""}""",
                budget=self._budget_s,
            )
        ]

    def _over_time(self) -> list[Bucket]:
        return [
            Bucket(at=at, calls=calls, turns=turns, p50_ms=p50, p95_ms=p95, within=_share(within, judged))
            for at, calls, turns, (p50, p95, _), judged, within in self._ask(
                f"""SELECT floor("at" / $length) * $length AS bucket, count(DISTINCT call_id), count(*),
                coalesce({_ranks(_ms("first_sentence_s"))}, [NULL, NULL, NULL]),
                count(*) FILTER {_JUDGED}, count(*) FILTER {_WITHIN} FROM turns GROUP BY bucket ORDER BY bucket""",
                budget=self._budget_s,
                length=bucket_s(self._since, self._until),
            )
        ]

    def _whose(self) -> Whose:
        (row,) = self._ask(
            f"""WITH told AS (
                SELECT call_id, arg_max(e2e_p50_ms, ("at", id)) AS e2e, arg_max(llm_p50_ms, ("at", id)) AS llm,
                arg_max(llm_websocket_network_rtt_p50_ms, ("at", id)) AS network,
                arg_max(asr_p50_ms, ("at", id)) AS asr, arg_max(tts_p50_ms, ("at", id)) AS tts
                FROM events WHERE fact = 'webhook_received' GROUP BY call_id HAVING e2e IS NOT NULL OR llm IS NOT NULL
            ), heard AS (
                SELECT call_id, quantile_disc({_ms("first_sentence_s")}, 0.5) AS ours FROM turns GROUP BY call_id
            )
            SELECT count(*), quantile_disc(e2e, 0.5), quantile_disc(llm, 0.5), quantile_disc(network, 0.5),
            quantile_disc(ours, 0.5), quantile_disc(asr, 0.5), quantile_disc(tts, 0.5)
            FROM told LEFT JOIN heard USING (call_id)"""
        )
        return Whose(**dict(zip(Whose.__struct_fields__, row, strict=True)))

    def _speculation(self) -> Speculation:
        ((started, adopted, dropped, head_start_s, wasted),) = self._ask(
            """SELECT count(*) FILTER (fact = 'speculation_started'), count(*) FILTER (fact = 'speculation_adopted'),
            count(*) FILTER (fact = 'speculation_dropped'),
            coalesce(sum(head_start_s) FILTER (fact = 'speculation_adopted'), 0),
            coalesce(sum(tokens) FILTER (fact = 'speculation_dropped'), 0) FROM events"""
        )
        return Speculation(
            started=started,
            adopted=adopted,
            dropped=dropped,
            head_start=self._times(_ms("head_start_s"), "events WHERE fact = 'speculation_adopted'"),
            head_start_s=head_start_s,
            wasted_tokens=int(wasted),
        )

    def _prompt_cache(self) -> PromptCache:
        ((read, written, other),) = self._ask(
            """SELECT coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0),
            coalesce(sum(input_tokens), 0) FROM turns"""
        )
        return PromptCache(
            read_tokens=int(read),
            written_tokens=int(written),
            other_tokens=int(other),
            read_share=_share(read, read + written + other),
            misses=self._counts("cache_miss", "turns WHERE cache_miss <> ''"),
        )

    def _tools(self) -> list[ToolUse]:
        return [
            ToolUse(tool=tool, count=count, outcomes=_counted(outcomes), times=_times(count, ranks))
            for tool, count, outcomes, ranks in self._ask(
                f"""SELECT tool, count(*), histogram(outcome), {_ranks(_ms("duration_s"))} FROM events
                WHERE fact = 'tool_finished' GROUP BY tool ORDER BY 2 DESC, 1"""
            )
        ]

    def _escalations(self) -> list[Escalations]:
        return [
            Escalations(rule=rule, action=action, count=count, outcomes=_counted(outcomes), times=_times(count, ranks))
            for rule, action, count, outcomes, ranks in self._ask(
                f"""SELECT rule, action, count(*), histogram(outcome), {_ranks(_ms("after_s"))} FROM events
                WHERE fact = 'escalated' GROUP BY rule, action ORDER BY 3 DESC, 1, 2"""
            )
        ]

    def _hangups(self) -> list[Hangup]:
        # The socket knows who left, when Retell has not told: its last transcript is of the greatest epoch.
        return [
            Hangup(reason=reason, told_by=told_by, calls=calls)
            for reason, told_by, calls in self._ask(
                """SELECT coalesce(told, CASE WHEN "left" THEN 'agent_left' ELSE 'caller_left' END) AS reason,
                CASE WHEN told IS NULL THEN 'socket' ELSE 'retell' END AS told_by, count(*) FROM (
                SELECT call_id, arg_max(disconnection_reason, ("at", id)) AS told,
                arg_max(agent_left, (epoch, seq)) FILTER (fact = 'call_transcript') AS "left"
                FROM events GROUP BY call_id HAVING told IS NOT NULL OR "left" IS NOT NULL)
                GROUP BY reason, told_by ORDER BY 3 DESC, 1, 2"""
            )
        ]

    def _longest_calls(self) -> list[LongCall]:
        return [
            LongCall(call_id=call_id, at=at, turns=turns, failed=failed, over_budget=over)
            for call_id, at, turns, failed, over in self._ask(
                f"""SELECT call_id, min("at"), count(*), count(*) FILTER (outcome = 'failed'),
                count(*) FILTER ({_JUDGED} AND NOT {_WITHIN}) FROM turns
                GROUP BY call_id ORDER BY 3 DESC, 5 DESC, 1 LIMIT {LISTED}""",
                budget=self._budget_s,
            )
        ]

    def _slowest_turns(self) -> list[SlowTurn]:
        return [
            SlowTurn(
                call_id=call_id,
                response_id=response_id,
                at=at,
                first_sentence_ms=sentence,
                first_token_ms=token,
                source=source,
                server=server,
            )
            for call_id, response_id, at, sentence, token, source, server in self._ask(
                f"""SELECT call_id, response_id, "at", {_ms("first_sentence_s")}, {_ms("first_token_s")},
                {_SOURCE}, server
                FROM turns WHERE first_sentence_s IS NOT NULL
                ORDER BY first_sentence_s DESC, call_id, response_id LIMIT {LISTED}"""
            )
        ]

    def _times(self, of: str, where: str) -> Times:
        ((count, ranks),) = self._ask(f"SELECT count({of}), {_ranks(of)} FROM {where}")
        return _times(count, ranks)

    def _counts(self, of: str, where: str) -> list[Count]:
        rows = self._ask(f"SELECT {of}, count(*) FROM {where} GROUP BY 1 ORDER BY 2 DESC, 1")
        return [Count(what=what, count=count) for what, count in rows]

    def _ask(self, question: str, **given: object) -> list[tuple[Any, ...]]:
        used = {name: value for name, value in given.items() if f"${name}" in question}
        return self._db.execute(question, used).fetchall()


def _ms(seconds: str) -> str:
    return f"round(1000 * ({seconds}), 3)"


def _ranks(of: str) -> str:
    # The nearest rank, and decimals: with floats DuckDB would now and then take the next one.
    return f"quantile_disc({of}, [0.5, 0.95, 0.99])"


def _times(count: int, ranks: Sequence[float] | None) -> Times:
    if not ranks:
        return Times(count=0)
    p50, p95, p99 = ranks
    return Times(count=count, p50_ms=p50, p95_ms=p95, p99_ms=p99)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _counted(histogram: Mapping[str, int]) -> list[Count]:
    return [Count(what=what, count=n) for what, n in sorted(histogram.items(), key=lambda one: (-one[1], one[0]))]


def _priced(model: str, turns: int, input: int, output: int, cache_read: int, cache_write: int) -> ModelUse:
    spent, prices = Spent(), PRICES.get(model)
    spent.add(prices, input=input, output=output, cache_read=cache_read, cache_write=cache_write)
    return ModelUse(
        model=model,
        turns=turns,
        input_tokens=input,
        output_tokens=output,
        cache_read_tokens=cache_read,
        cache_write_tokens=cache_write,
        usd=None if prices is None else spent.usd,
    )

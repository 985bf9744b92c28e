"""Facts of calls that never were, from a seed: plausible enough to look at, and the same every time.

python -m tests.report.synthetic FOLDER [DAYS] [CALLS-A-DAY]     writes figures for `retell_ws report` to read
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from retell_ws.consumers.analytics import FIGURES
from retell_ws.consumers.figure_rows import row_of
from retell_ws.consumers.parts import Parts, day_of, place
from retell_ws.entries import AnyFact, Entry
from retell_ws.facts import (
    CallEnded,
    CallStarted,
    Degraded,
    Detached,
    Escalated,
    HookFailed,
    Interrupted,
    Reattached,
    SpeculationAdopted,
    SpeculationDropped,
    SpeculationStarted,
    SpeechGuarded,
    ToolFinished,
    ToolStarted,
    TurnFailed,
    TurnFinished,
    TurnMeasured,
    TurnReasked,
    TurnStarted,
    TurnSuperseded,
)
from retell_ws.speech_facts import CallerSaid, CallTranscript, Line, WebhookReceived

__all__ = ["entries"]

DAY_S = 86_400.0
HANGUPS = ("user_hangup",) * 8 + ("agent_hangup",) * 5 + ("call_transfer",) * 2 + ("inactivity", "voicemail_reached")
FAILURES = ("silent", "silent", "stalled", "rejected", "rate_limited")
TOOLS = (("look_up_slots", 0.18), ("book_appointment", 0.45), ("send_text_message", 0.9), ("find_customer", 0.12))


class _Call:
    def __init__(self, chance: random.Random, number: int, at: float) -> None:
        self.chance = chance
        self.call_id = f"call_{number:06d}{chance.getrandbits(64):016x}"
        self.server = chance.choice(("web-1", "web-2", "web-3"))
        self.epoch = int(at * 1e6)
        self.seq = 0
        self.at = self.start = at
        self.firsts: list[float] = []

    def tell(self, fact: AnyFact, later_s: float = 0.0) -> Entry:
        self.seq += 1
        return Entry(
            id=f"{self.call_id}.{self.epoch}.{self.seq}",
            call_id=self.call_id,
            epoch=self.epoch,
            seq=self.seq,
            at=self.at + later_s,
            server=self.server,
            fact=fact,
        )

    def facts(self) -> Iterator[Entry]:
        chance = self.chance
        yield self.tell(CallStarted())
        if chance.random() < 0.01:
            yield self.tell(Degraded())
        turns = 1 + min(40, int(chance.expovariate(1 / 7)))
        for response_id in range(turns):
            yield from self.turn(response_id)
            if chance.random() < 0.01:
                yield self.tell(Detached())
                self.at += 0.4
                yield self.tell(Reattached(False))
            if chance.random() < 0.004:
                yield self.tell(Interrupted())
        if chance.random() < 0.03:
            outcome = chance.choices(("done", "refused", "failed"), (12, 1, 1))[0]
            rule, action = chance.choice((("asked_for_a_human", "transfer"), ("tools_fail", "webhook")))
            yield self.tell(Escalated(rule, action, outcome, chance.random() * 0.8))  # type: ignore[arg-type]
        ended = CallEnded(turns, self.at - self.start)
        yield self.tell(ended)
        reason = chance.choice(HANGUPS)
        left = reason in ("agent_hangup", "call_transfer")
        yield self.tell(CallTranscript((Line("agent", "Hello"),), ended.duration_s, turns, left))
        if chance.random() < 0.93:
            yield self.tell(WebhookReceived("call_ended", self.webhook(reason)), 1.0)

    def webhook(self, reason: str) -> dict[str, Any]:
        ours = sorted(self.firsts) or [0.5]
        middle, last = 1000 * ours[len(ours) // 2], 1000 * ours[-1]
        rtt = self.chance.lognormvariate(math.log(38), 0.3)
        heard = {"p50": middle + rtt + 25, "p90": last + rtt, "p95": last + rtt + 9, "p99": last + rtt + 30}
        return {
            "call_status": "ended",
            "disconnection_reason": reason,
            "duration_ms": int((self.at - self.start) * 1000),
            "call_cost": {"combined_cost": (self.at - self.start) / 60 * 7.5},
            "transcript": "Agent: never to be kept",
            "from_number": "+14155550100",
            "latency": {
                "llm": {**heard, "num": len(ours)},
                "e2e": {name: value + 620 for name, value in heard.items()},
                "llm_websocket_network_rtt": {"p50": rtt, "p90": rtt * 1.3, "p95": rtt * 1.5, "p99": rtt * 2.2},
            },
        }

    def turn(self, response_id: int) -> Iterator[Entry]:
        chance = self.chance
        greeting = response_id == 0
        self.at += 0.2 if greeting else 3 + chance.expovariate(1 / 5)
        if not greeting:
            yield self.tell(CallerSaid(response_id, "response", "never to be kept"))
        yield self.tell(TurnStarted(response_id, "greeting" if greeting else "response"))
        if greeting:
            first = chance.uniform(0.0004, 0.002)
            yield self.tell(TurnFinished(0, 42, first))
            yield self.tell(TurnMeasured(0, "finished", first_frame_s=first, first_sentence_s=first, done_s=first))
            return
        roll = chance.random()
        source = "cache" if roll < 0.07 else "speculation" if roll < 0.52 else "model"
        is_bad_hour = self.at % DAY_S // 3600 == 14 and self.at // DAY_S % 2 == 0  # the model is slow now and then
        token = chance.lognormvariate(math.log(0.75 if is_bad_hour else 0.34), 0.35)
        head = 0.0
        hedged = source == "model" and token > 0.85 and chance.random() < 0.5
        fallback = source == "model" and chance.random() < 0.004
        if source == "speculation":
            yield self.tell(SpeculationStarted("sentence_end"), -0.4)
            head = chance.uniform(0.15, 0.75)
            yield self.tell(SpeculationAdopted(response_id, head))
        elif chance.random() < 0.22:
            yield self.tell(SpeculationStarted("quiet"), -0.3)
            yield self.tell(SpeculationDropped(chance.randrange(20, 240)))
        token = 0.0006 if source == "cache" else max(0.0004, token - head)
        spoken = chance.lognormvariate(math.log(0.14), 0.4) if token > 0.02 else 0.0
        sentence = token + (0.0003 if source == "cache" else spoken)
        done = sentence + (0 if source == "cache" else chance.expovariate(1 / 0.6))
        if chance.random() < 0.05:
            yield self.tell(TurnReasked(response_id, max(0, response_id - 1)))
        rounds = 1
        if source == "model" and chance.random() < 0.25:
            tool, usual = chance.choice(TOOLS)
            took = chance.lognormvariate(math.log(usual), 0.4)
            ends = ("done", "refused", "failed", "late", "repeated", "withdrawn")
            outcome = chance.choices(ends, (90, 4, 2, 1, 2, 1))[0]
            yield self.tell(ToolStarted(tool))
            yield self.tell(ToolFinished(tool, outcome, took))  # type: ignore[arg-type]
            rounds, done = 2, done + took
        if chance.random() < 0.02:
            yield self.tell(SpeechGuarded(response_id, ("markup",)))
        if chance.random() < 0.001:
            yield self.tell(HookFailed("before_turn"))
        roll = chance.random()
        ending = "failed" if roll < 0.006 else "superseded" if roll < 0.10 else "finished"
        self.at += done
        if ending == "failed":
            yield self.tell(TurnFailed(response_id, chance.choice(FAILURES), done))
        elif ending == "superseded":
            yield self.tell(TurnSuperseded(response_id, response_id + 1))
        else:
            yield self.tell(TurnFinished(response_id, chance.randrange(20, 300), done))
        spoke = ending == "finished" or (ending == "superseded" and chance.random() < 0.7)
        if spoke:
            self.firsts.append(sentence)
        hit = chance.random() < 0.94
        asked = source != "cache"
        yield self.tell(
            TurnMeasured(
                response_id,
                ending,  # type: ignore[arg-type]
                adopted=source == "speculation",
                head_start_s=head,
                cached=not asked,
                hedged=hedged,
                fallback=fallback,
                attempts=(rounds + hedged) * asked,
                rounds=rounds * asked,
                held=int(sentence > 1.2),
                queued_s=chance.expovariate(1 / 0.0002),
                decoded_s=chance.uniform(0.00004, 0.0002),
                prompt_s=chance.uniform(0.0003, 0.0009),
                connect_s=chance.expovariate(1 / 0.0004) if asked and not head else None,
                first_token_s=token if spoke else None,
                first_frame_s=min(sentence, token + 0.0001) if spoke else None,
                first_sentence_s=sentence if spoke else None,
                done_s=done if ending == "finished" else None,
                cache_miss="" if hit or not asked else chance.choice(("expired", "messages_changed")),
                cache_read_tokens=1800 * hit * asked,
                cache_write_tokens=1800 * (not hit) * asked,
                input_tokens=chance.randrange(60, 500) * asked,
                output_tokens=chance.randrange(15, 90) * asked,
                model="" if not asked else "claude-sonnet-5-5" if fallback else "claude-haiku-5-5",
            )
        )


def entries(seed: int, calls: int, *, start: float = 1_795_000_000.0, days: float = 1.0) -> Iterator[Entry]:
    """Give the facts of some calls, each call's in order, more calls by day than by night.

    Args:
        seed: Of all chance.
        calls: How many.
        start: Before the first, in seconds since 1970.
        days: That they are spread over.
    """
    chance = random.Random(seed)
    for number in range(calls):
        while True:
            at = start + chance.random() * days * DAY_S
            if chance.random() < 0.15 + 0.85 * max(0.0, math.sin((at % DAY_S / DAY_S - 0.25) * 2 * math.pi)):
                break
        yield from _Call(chance, number, at).facts()


def main() -> None:
    """Write figures of the days before now."""
    folder, days, calls = sys.argv[1], *map(float, (*sys.argv[2:], *("1", "500")[len(sys.argv) - 2 :]))
    rows: dict[Any, list[dict[str, Any]]] = {}
    for entry in entries(1, int(calls * days), start=time.time() - days * DAY_S, days=days):
        if row := row_of(entry):
            rows.setdefault(day_of(entry.at), []).append(row)
    with Parts(place(folder), FIGURES) as parts:
        parts.write(rows)


if __name__ == "__main__":
    main()

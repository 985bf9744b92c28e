"""A report as a page: one file that asks nothing of any network and runs no script, as `report/page.py` is. No I/O.

Whatever comes from a server, ours or a stranger's, is text, and is escaped where it is put into the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from ..report import charts
from ..report.charts import Axis, Point, Series
from ..report.html import document, key
from ..report.words import milliseconds, number, seconds, stamp
from .line import TOPICS, Latency, Line, Outcome, Report, by_topic

__all__ = ["page"]

COLUMNS: Final = 32
"""Of the distribution."""

SHOWN_S: Final = 0.1
"""Seconds from which on it is told how long something took."""

WORDS: Final[dict[Outcome, tuple[str, str]]] = {
    "pass": ("pass", "green"),
    "warn": ("warn", "orange"),
    "fail": ("fail", "red"),
    "skip": ("not checked", "grey"),
    "info": ("info", "blue"),
}

_OWN: Final = """
.verdict { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; border-left: 5px solid var(--mark);
  padding: 16px 18px; margin-bottom: 16px; }
.verdict p { font-size: 20px; font-weight: 650; letter-spacing: -0.01em; } .verdict .key { font-size: 14px; }
.topics { display: grid; gap: 16px; }
.lines { display: grid; grid-template-columns: minmax(130px, 215px) 128px minmax(0, 1fr) auto; }
.lines > div { padding: 9px 16px 9px 0; border-top: 1px solid var(--edge); min-width: 0; overflow-wrap: anywhere; }
.lines > div:nth-child(-n+4) { border-top: 0; } .lines > div:nth-child(4n) { padding-right: 0; }
.lines > div:nth-last-child(-n+4) { padding-bottom: 0; }
.lines .name { font-weight: 550; } .lines .took { color: var(--soft); font-size: 13px; text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.lines .skip { color: var(--soft); }
.advice { color: var(--soft); margin-top: 2px; font-size: 14px; } .advice::before { content: "→ "; }
.fail + .seen .advice, .warn + .seen .advice { color: var(--ink); }
.mark { display: inline-block; white-space: nowrap; font-size: 13px; font-weight: 600; }
.mark::before { content: ""; display: inline-block; width: 10px; height: 10px; border-radius: 3px; margin-right: 7px;
  background: var(--mark); }
.mark.red { color: var(--card); background: var(--mark); border-radius: 4px; padding: 0 8px; text-transform: uppercase;
  letter-spacing: .04em; } .mark.red::before { display: none; }
.card > .facts { margin-top: 10px; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 4px 18px; margin: 0; font-size: 14px; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; overflow-wrap: anywhere; }
.distribution { margin-top: 14px; }
@media (max-width: 640px) {
  .lines { grid-template-columns: minmax(0, 1fr) auto; }
  .lines > div { padding: 0 0 2px; border-top: 0; } .lines > div:nth-child(4n+1), .lines > div:nth-child(4n+2) {
    border-top: 1px solid var(--edge); padding-top: 9px; }
  .lines > div:nth-child(-n+2) { border-top: 0; padding-top: 0; }
  .lines > div:nth-last-child(-n+4) { padding-bottom: 2px; }
  .lines > div:nth-child(4n+2) { text-align: right; }
  .lines .seen { grid-column: 1 / -1; padding-bottom: 9px; } .lines .took { display: none; }
  .verdict p { font-size: 18px; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; } .facts dd { margin-bottom: 8px; }
}
@media print { .topics { display: block; } .topics > * { margin-bottom: 10px; } .lines { break-inside: auto; } }
"""
"""What this page has beside `report.style`."""


def page(report: Report) -> str:
    """Write the page.

    Args:
        report: What it tells.
    """
    topics = "".join(_topic(topic, lines, report.latency) for topic, lines in by_topic(report.lines).items())
    when = stamp(report.at)
    return document(
        f"{report.verdict}: {report.blueprint}, {when} UTC",
        f"<header><h1>Validation of {escape(report.blueprint)}</h1><p>{when} UTC</p></header>"
        f'{_verdict(report)}<div class="topics">{_to_do(report.lines)}{topics}{_about(report)}</div>'
        f"<footer>Written by retell_ws blueprint validate. It ran on spare servers, "
        f"for {escape(seconds(report.took_s))}; what could not be checked does not count against the set-up.</footer>",
        style=_OWN,
    )


def _verdict(report: Report) -> str:
    outcomes: tuple[Outcome, ...] = ("pass", "fail", "warn", "skip")
    counts = key(
        (WORDS[outcome][1], WORDS[outcome][0], number(report.count(outcome)))
        for outcome in outcomes
        if report.count(outcome)
    )
    colour = "red" if not report.is_proved else "orange" if report.count("warn") else "green"
    return f'<section class="card verdict {colour}"><p>{escape(report.verdict)}.</p>{counts}</section>'


def _to_do(lines: Sequence[Line]) -> str:
    """Say first what is to be done, the worst first."""
    wanted = [line for outcome in ("fail", "warn") for line in lines if line.outcome == outcome]
    if not wanted:
        return ""
    rows = "".join(_line(line, name=f"{line.topic}: {line.name}") for line in wanted)
    return f'<section class="card"><h2>What to do</h2><div class="lines">{rows}</div></section>'


def _topic(topic: str, lines: Sequence[Line], latency: Latency | None) -> str:
    rows = "".join(map(_line, lines))
    picture = _distribution(latency) if topic == "latency" and latency is not None else ""
    return (
        f'<section class="card"><h2>{escape(topic.capitalize())}</h2><p class="note">{escape(TOPICS[topic])}</p>'
        f'<div class="lines">{rows}</div>{picture}</section>'
    )


def _line(line: Line, *, name: str = "") -> str:
    word, colour = WORDS[line.outcome]
    advice = f'<div class="advice">{escape(line.advice)}</div>' if line.advice else ""
    took = milliseconds(1000 * line.took_s) if line.took_s >= SHOWN_S else ""
    return (
        f'<div class="name">{escape(name or line.name)}</div>'
        f'<div class="{line.outcome}"><span class="mark {colour}">{word}</span></div>'
        f'<div class="seen {line.outcome}">{escape(line.seen)}{advice}</div>'
        f'<div class="took">{escape(took)}</div>'
    )


def _distribution(latency: Latency) -> str:
    """Draw how many first sentences took how long, up to the budget or the longest."""
    if not latency.sentences_ms:
        return ""
    until = charts.ticks(max(latency.sentences_ms[-1], latency.p99_ms * 1.1))[-1]
    step = until / COLUMNS
    counts = [0] * COLUMNS
    for one in latency.sentences_ms:
        counts[min(int(one / step), COLUMNS - 1)] += 1
    points = [
        Point(step * place, f"{milliseconds(step * place)} to {milliseconds(step * (place + 1))}: {number(count)}")
        for place, count in enumerate(counts)
    ]
    axis = Axis(0.0, until, step, [(at, milliseconds(at)) for at in charts.ticks(until)])
    pictures = [
        f'<div class="{kind}">'
        + charts.columns(
            axis,
            points,
            Series("blue", counts),
            width=width,
            height=150,
            label=number,
            about="How many first sentences took how long",
        )
        + "</div>"
        for kind, width in (("broad", 1120), ("narrow", 350))
    ]
    told = (
        f"{number(len(latency.sentences_ms))} first sentences: half within {milliseconds(latency.p50_ms)}, 95 of 100 "
        f"within {milliseconds(latency.p95_ms)}, 99 within {milliseconds(latency.p99_ms)}; the budget is "
        f"{milliseconds(latency.budget_ms)}."
    )
    return f'<div class="distribution"><p class="note">{escape(told)}</p>{"".join(pictures)}</div>'


def _about(report: Report) -> str:
    facts = (
        ("agent", report.agent),
        ("server", report.url or "spare ones alone"),
        ("topics", ", ".join(report.only) or "all"),
        ("settings given", ", ".join(report.settings) or "none"),
        ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        ("machine", ", ".join(f"{name} {what}" for name, what in report.machine.items())),
    )
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(what)}</dd>" for name, what in facts if what)
    return f'<section class="card"><h2>What was on trial</h2><dl class="facts">{rows}</dl></section>'

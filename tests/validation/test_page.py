"""The page of a validation."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import pytest

from retell_ws.validation.line import Latency, Line, Report
from retell_ws.validation.page import page

EVIL = "<script>alert(1)</script>"

REPORT = Report(
    at=1_764_000_000.0,
    took_s=48.7,
    agent="agent.py",
    blueprint="events",
    versions={"python": "3.11.7"},
    machine={"cores": "2"},
    settings=["redis_url"],
    lines=[
        Line(topic="settings", name="loaded", outcome="pass", seen="fine"),
        Line(topic="redis", name="reachable", outcome="warn", seen="far away", advice="move it", took_s=0.25),
        Line(topic="latency", name="first sentence", outcome="pass", seen="quick"),
        Line(topic="cache", name="twice", outcome="skip", seen="not allowed"),
        Line(topic="webhooks", name="where they come in", outcome="info", seen="on port 8081"),
    ],
    latency=Latency(
        callers=8, budget_ms=300, p50_ms=3.0, p95_ms=17.0, p99_ms=130.0, of="ours", sentences_ms=[2.5, 3.0, 17.0, 130.0]
    ),
)


class Tags(HTMLParser):
    """Sees that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def text_of(report: Report) -> str:
    return re.sub(r"<[^>]+>", " ", page(report).partition("<main>")[2])


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    tags = Tags()
    tags.feed(page(REPORT))
    assert not tags.open
    assert not tags.seen & {"script", "link", "img", "iframe"}
    assert "http" not in page(REPORT)


def test_it_says_the_verdict_first_then_what_to_do_then_each_topic() -> None:
    told = text_of(REPORT)
    places = [told.index(words) for words in ("It works, and 1 thing", "What to do", "move it", "Settings", "Cache")]
    assert places == sorted(places)
    assert "not checked" in told and "49\u202fs" in told


def test_failures_are_told_before_warnings() -> None:
    failed = Line(topic="webhooks", name="signatures", outcome="fail", seen="refused", advice="mend it")
    told = text_of(msgspec.structs.replace(REPORT, lines=[*REPORT.lines, failed]))
    assert told.index("mend it") < told.index("move it")
    assert "1 thing does not work" in told


def test_without_anything_to_do_nothing_is_to_be_done() -> None:
    good = msgspec.structs.replace(REPORT, lines=REPORT.lines[:1], latency=None)
    assert "What to do" not in text_of(good)
    assert "Everything works" in text_of(good)


@pytest.mark.parametrize("field", ["agent", "blueprint", "url"])
def test_what_it_is_told_is_text(field: str) -> None:
    assert EVIL not in page(msgspec.structs.replace(REPORT, **{field: EVIL}))


def test_what_servers_say_is_text() -> None:
    line = Line(topic="redis", name=EVIL, outcome="fail", seen=EVIL, advice=EVIL)
    assert EVIL not in page(msgspec.structs.replace(REPORT, lines=[line]))


def test_the_distribution_has_every_first_sentence() -> None:
    counts = re.findall(r"<title>[^<]*: (\d+)</title>", page(REPORT))
    assert sum(map(int, counts)) == 2 * 4  # once for wide pages, once for phones


def test_no_first_sentence_is_no_picture() -> None:
    assert REPORT.latency is not None
    none = msgspec.structs.replace(REPORT.latency, sentences_ms=[])
    assert "<svg" not in page(msgspec.structs.replace(REPORT, latency=none))

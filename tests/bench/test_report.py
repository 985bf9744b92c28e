"""Sections of RESULTS.md, figures in tables, verdicts."""

from __future__ import annotations

import math
from pathlib import Path

import orjson
import pytest

from bench.harness.report import Claim, Column, Report, number, replace_section


def test_a_new_section_goes_to_the_end_and_leaves_the_page_as_it_was() -> None:
    page = replace_section("# Results\n\nWords.\n", "fleet", "one")
    assert page == "# Results\n\nWords.\n\n<!-- fleet:begin -->\none\n<!-- fleet:end -->\n"


def test_a_later_run_replaces_its_own_section_only() -> None:
    page = replace_section("# Results\n", "fleet", "one")
    page = replace_section(page, "idle", "two")
    page = replace_section(page, "fleet", "three\n")
    assert "one" not in page
    assert page.index("three") < page.index("two")
    assert page.count("<!-- fleet:begin -->") == page.count("<!-- fleet:end -->") == 1


def test_the_same_section_twice_changes_nothing() -> None:
    page = replace_section("# Results\n", "fleet", "one")
    assert replace_section(page, "fleet", "one") == page


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.12345, "0.123"), (1.0, "1.00"), (12.34, "12.3"), (1234.5, "1234"), (0.0, "0"), (7, "7"), (None, "–")],
)
def test_figures_are_written_with_three_digits(value: float | None, written: str) -> None:
    assert number(value) == written


def test_what_could_not_be_measured_is_a_dash() -> None:
    assert number(math.nan) == "–"


@pytest.mark.parametrize(("measured", "verdict"), [(0.25, "holds"), (0.26, "missed"), (math.nan, "not measured")])
def test_a_claim_holds_up_to_its_bound(measured: float, verdict: str) -> None:
    assert Claim("p50, × demo", measured, 0.25).verdict == verdict


def test_a_report_leaves_its_json_its_section_and_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(
        name="demo",
        title="What does a demo show?",
        method="By hand.",
        silent_about="everything else.",
        settings={"calls": 3},
        rows=[{"label": "ours", "p50": 1.25}, {"label": "theirs"}],
        columns=[Column("stack", "label"), Column("p50 ms", "p50")],
        claims=[Claim("p50, ms", 1.25, 1.0)],
        rounds=[{"stack": "ours", "round": 0, "p50": math.nan}],
        charts=["demo.png"],
    )
    report.publish(tmp_path / "results", tmp_path / "RESULTS.md")
    found = orjson.loads((tmp_path / "results" / "demo.json").read_bytes())
    assert found["claims"] == [{"text": "p50, ms", "measured": 1.25, "bound": 1.0, "verdict": "missed"}]
    assert found["rounds"][0]["p50"] is None
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| ours | 1.25 |" in page
    assert "| theirs | – |" in page
    assert "Not shown: everything else." in page
    assert "![What does a demo show?](results/demo.png)" in page
    assert "missed" in capsys.readouterr().out

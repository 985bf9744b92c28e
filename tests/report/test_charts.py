"""Charts: well-formed whatever they show, and drawn where the figures are."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws.report.charts import Axis, Point, Series, bar, columns, lines, span, stack, ticks

from .markup import parse

AXIS = Axis(0, 100, 10, [(float(at), f"{at}") for at in range(0, 101, 10)])


def drawn(values: list[float | None], **how: object) -> str:
    points = [Point(10.0 * place, f"value {value}") for place, value in enumerate(values)]
    given: dict[str, object] = {"width": 400, "height": 200, "label": str, "about": "a <test> & more", **how}
    return lines(AXIS, points, [Series("blue", values)], **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        (0, [0, 1]),
        (-3, [0, 1]),
        (math.nan, [0, 1]),
        (5e-324, [0, 1]),
        (1, [0, 0.25, 0.5, 0.75, 1]),
        (4, [0, 1, 2, 3, 4]),
        (830, [0, 250, 500, 750, 1000]),
        (1000, [0, 250, 500, 750, 1000]),
        (0.003, [0, 0.001, 0.002, 0.003]),
    ],
)
def test_ticks_are_round(highest: float, expected: list[float]) -> None:
    assert ticks(highest) == pytest.approx(expected)


@given(st.floats(1e-9, 1e12), st.integers(1, 8))
@example(1.000000001, 2)
def test_ticks_reach_the_highest_value_in_about_as_many_steps_as_asked(highest: float, count: int) -> None:
    steps = ticks(highest, count)
    assert steps[0] == 0
    assert steps[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(steps) <= count + 1


@pytest.mark.parametrize(
    ("highest", "expected"),
    [
        *((0, [0, 1]), (1.1e-12, [0, 1])),
        *((0.2, [0, 1]), (1, [0, 1]), (2, [0, 1, 2]), (3, [0, 2, 4]), (5, [0, 5]), (9, [0, 5, 10])),
        *((41, [0, 25, 50]), (1_000_001, [0, 1_000_000, 2_000_000])),
    ],
)
def test_ticks_of_counts_are_whole(highest: float, expected: list[float]) -> None:
    assert ticks(highest, 2, whole=True) == expected


@given(st.integers(1, 10**12), st.integers(1, 8))
@example(1, 8)
def test_ticks_of_counts_reach_the_highest_with_no_label_twice(highest: int, count: int) -> None:
    steps = ticks(highest, count, whole=True)
    assert steps[0] == 0 and steps[-1] >= highest * (1 - 1e-6)
    assert 2 <= len(steps) <= count + 1
    assert all(step == int(step) for step in steps) and len(set(steps)) == len(steps)


def test_lines_go_where_the_figures_are() -> None:
    page = parse(drawn([0.0, 100.0]))
    (line,) = [attributes for tag, attributes in page.tags if tag == "polyline"]
    first, second = (tuple(map(float, place.split(","))) for place in str(line["points"]).split())
    # The axis is 56 to 386 wide and 14 to 174 high; a point is in the middle of its step.
    assert first == pytest.approx((56 + 330 * 0.05, 174))
    assert second == pytest.approx((56 + 330 * 0.15, 14))


def test_a_missing_value_breaks_the_line() -> None:
    assert drawn([1.0, 2.0, None, 3.0, 4.0]).count("<polyline") == 2


def test_a_missing_point_breaks_the_line() -> None:
    points = [Point(at, "") for at in (0.0, 10.0, 40.0, 50.0)]
    text = lines(AXIS, points, [Series("blue", [1, 2, 3, 4])], width=400, height=200, label=str, about="")
    assert text.count("<polyline") == 2


def test_a_single_value_is_a_dot() -> None:
    assert drawn([None, 3.0, None]).count("<circle") == 1


def test_dots_on_a_line_are_left_out_where_they_would_touch() -> None:
    assert drawn([1.0] * 40).count("<circle") == 40
    assert drawn([1.0] * 41).count("<circle") == 0


def test_a_limit_is_marked_and_the_axis_reaches_it() -> None:
    page = parse(drawn([1.0], line=300.0))
    (limit,) = [attributes for tag, attributes in page.tags if tag == "line" and attributes["class"] == "limit"]
    assert 14 <= float(str(limit["y1"])) < 174


def test_every_place_tells_its_figures() -> None:
    page = parse(drawn([1.0, None, 3.0]))
    assert page.titles == ["value 1.0", "value None", "value 3.0"]


def test_a_narrow_chart_has_fewer_labels() -> None:
    wide, narrow = (parse(drawn([1.0], width=width)).text for width in (900, 300))
    assert "30" in wide and "30" not in narrow
    assert "0" in narrow


def test_columns_are_as_high_as_their_values() -> None:
    points = [Point(0, "none"), Point(10, "half"), Point(20, "all")]
    text = columns(
        AXIS, points, Series("green", [None, 0.5, 1.0]), width=400, height=126, label=str, highest=1, about=""
    )
    heights = [float(found) for found in re.findall(r'class="green"[^>]* height="([\d.]+)"', text)]
    assert heights == [0, 43, 86]
    assert parse(text).titles == ["none", "half", "all"]


def test_pieces_stand_side_by_side_and_never_beyond_the_whole() -> None:
    page = parse(stack([(0.25, "green", "a"), (0, "red", "b"), (0.5, "blue", "c <d>"), (9, "grey", "e")]))
    assert [(one["x"], one["width"]) for tag, one in page.tags if tag == "rect"] == [
        ("0%", "25%"),
        ("25%", "50%"),
        ("75%", "25%"),
    ]
    assert page.titles == ["a", "c <d>", "e"]


@pytest.mark.parametrize(("share", "width"), [(0.4, "40%"), (1, "100%"), (7, "100%")])
def test_a_bar_is_as_long_as_its_share(share: float, width: str) -> None:
    assert [one["width"] for tag, one in parse(bar(share, "blue", "x")).tags if tag == "rect"] == ["100%", width]


def test_a_bar_of_nothing_is_empty() -> None:
    assert len([tag for tag, _ in parse(bar(0, "blue", "x")).tags if tag == "rect"]) == 1


def test_a_span_marks_each_percentile() -> None:
    page = parse(span([0.5, 0.75, 2.0], "p50 1 ms"))
    assert [(one["class"], one["cx"]) for tag, one in page.tags if tag == "circle"] == [
        ("p2", "98%"),
        ("p1", "74%"),
        ("p0", "50%"),
    ]
    assert page.titles == ["p50 1 ms"]


@given(
    st.lists(st.none() | st.floats(0, 1e9), max_size=10),
    st.integers(120, 1200),
    st.text(max_size=20),
    st.none() | st.floats(0, 1e6),
)
def test_any_chart_is_well_formed(values: list[float | None], width: int, words: str, limit: float | None) -> None:
    points = [Point(10.0 * place, words) for place in range(len(values))]
    how = {"width": width, "height": 200, "label": lambda value: words, "about": words}
    series = Series("blue", values)
    for text in (
        lines(AXIS, points, [series], line=limit, **how),  # type: ignore[arg-type]
        columns(AXIS, points, series, **how),  # type: ignore[arg-type]
    ):
        parse(text)
        for number in re.findall(r' (?:x|y|x1|x2|y1|y2|width|height|cx|cy)="([^"]*)"', text):
            assert math.isfinite(float(number))

"""The verdict over all lines, and how they are sorted."""

from __future__ import annotations

import pytest

from retell_ws.validation.line import TOPICS, Line, Outcome, Report, by_topic


def line(outcome: Outcome, topic: str = "settings") -> Line:
    return Line(topic=topic, name="x", outcome=outcome, seen="y")


def report(*outcomes: Outcome) -> Report:
    return Report(at=0.0, took_s=1.0, agent="a", blueprint="single", lines=[line(outcome) for outcome in outcomes])


@pytest.mark.parametrize(
    ("outcomes", "is_proved", "verdict"),
    [
        (("pass", "pass"), True, "Everything works"),
        (("pass", "skip"), True, "All that could be checked works"),
        (("pass", "warn"), True, "It works, and 1 thing should be otherwise"),
        (("pass", "warn", "warn", "skip"), True, "It works, and 2 things should be otherwise"),
        (("pass", "fail", "warn"), False, "1 thing does not work"),
        (("fail", "fail"), False, "2 things do not work"),
        (("skip",), False, "Nothing could be checked"),
        (("info", "skip"), False, "Nothing could be checked"),
        (("info", "pass"), True, "Everything works"),
        ((), False, "Nothing could be checked"),
    ],
)
def test_one_failure_fails_the_whole_and_nothing_looked_at_proves_nothing(
    outcomes: tuple[Outcome, ...], is_proved: bool, verdict: str
) -> None:
    found = report(*outcomes)
    assert found.is_proved is is_proved
    assert found.verdict == verdict


def test_counts_leave_out_what_there_is_none_of() -> None:
    assert report("pass", "skip", "pass").counts == "2 passed, 1 not checked"
    assert report("warn", "fail").counts == "1 failed, 1 warned"
    assert report("info", "pass").counts == "1 passed"


def test_lines_are_sorted_as_the_topics_are_and_keep_their_order_within_one() -> None:
    late, early, second = line("pass", "retell"), line("fail", "keys"), line("skip", "keys")
    found = by_topic([late, early, second])
    assert list(found) == ["keys", "retell"]
    assert found["keys"] == [early, second]
    assert list(TOPICS).index("keys") < list(TOPICS).index("retell")

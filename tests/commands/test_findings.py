"""What was found, as people read it: at each width, and through a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from retell_ws.commands.findings import Finding, show

SEEN = "three words and " + "some more of them " * 8
FOUND = [
    (Text("settings  what was asked for"), [Finding("pass", Text("loaded"), Text("all the defaults"))]),
    (
        Text("redis"),
        [
            Finding("warn", Text("a name of twenty"), Text(f"{SEEN}\n→ do [this]")),
            Finding("FAIL".lower(), Text("far"), Text(SEEN)),
        ],
    ),
]


def shown(width: int) -> list[str]:
    out = io.StringIO()
    show(Console(file=out, width=width), FOUND)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 110, 160])
def test_lines_fit_and_none_ends_in_a_blank(width: int) -> None:
    lines = shown(width)
    assert all(len(line) <= width and line == line.rstrip() for line in lines)
    told = " ".join(" ".join(lines).split())
    for word in ("loaded", "a name of twenty", "FAIL", "→ do [this]"):
        assert word in told


def test_a_narrow_terminal_gives_what_was_seen_most_of_its_line() -> None:
    assert "  pass  loaded  all the defaults" in shown(80)
    assert max(map(len, shown(80))) > 70
    assert len(shown(80)) < 12


@pytest.mark.parametrize("width", [80, 160])
def test_what_was_seen_at_a_strangers_does_nothing_to_a_terminal(width: int) -> None:
    out = io.StringIO()
    words = "Hi \x1b]0;PWNED\x07\x1b[2J\x9b2J there"
    seen = Text(words, style="bold").append("\n→ mend it", style="italic")
    console = Console(file=out, width=width, force_terminal=True, color_system="standard", legacy_windows=False)
    show(console, [(Text("tools"), [Finding("fail", Text(f"a {words}"), seen)])])
    told = Text.from_ansi(out.getvalue())
    assert "\x07" not in out.getvalue() and "\x1b]" not in out.getvalue() and "\x9b" not in out.getvalue()
    assert "]0;PWNED" in told.plain and "[2J 2J there" in told.plain
    (advice,) = [line for line in told.split("\n") if "mend it" in line.plain]
    assert any(
        "italic" in str(span.style) and "mend it" in advice.plain[span.start : span.end] for span in advice.spans
    )


def test_a_wide_one_has_columns() -> None:
    marks = [line.index(word) for line in shown(120) for word in (" pass ", " warn ", " FAIL ") if word in line]
    assert len(marks) == 3 and len(set(marks)) == 1

"""Text of strangers does nothing to a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.__main__ import main
from retell_ws.commands import chat
from retell_ws.commands.plain import KEPT, one_line, plain
from retell_ws.errors import UsageError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Hi \x1b]0;PWNED\x07\x1b[2J", "Hi ]0;PWNED [2J"),
        ("\x9b2Jtwo\r\nlines\u2028and \u202emore\x7f", "2Jtwo lines and more"),
        ("  Grüße → 你好  ", "Grüße → 你好"),
        ("", ""),
    ],
)
def test_a_line_holds_what_can_be_read_and_nothing_else(text: str, line: str) -> None:
    assert one_line(text) == line


@given(st.text())
def test_what_a_terminal_could_obey_is_a_blank(text: str) -> None:
    made = plain(text)
    assert len(made) == len(text)
    assert all(new == old or (new == " " and not old.isprintable()) for new, old in zip(made, text, strict=True))
    assert all(each.isprintable() or each in KEPT for each in made)
    assert one_line(text).isprintable()


def test_no_blank_that_keeps_a_unit_with_its_figure_is_lost() -> None:
    assert plain("452\u202fms, 3\xa0s\x1b\n") == "452\u202fms, 3\xa0s \n"


def test_the_line_of_a_mistake_does_nothing_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refused(*given: object, **named: object) -> int:
        raise UsageError("no connection: \x1b]0;PWNED\x07")

    monkeypatch.setattr(chat, "_chat", refused)
    with pytest.raises(SystemExit):
        main(["chat"])
    assert capsys.readouterr().err == "retell_ws: no connection: ]0;PWNED\n"

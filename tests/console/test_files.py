"""The page's files: what a browser cannot be asked about."""

from __future__ import annotations

import re
from importlib.resources import files

from retell_ws.report.style import STYLE

PAGE = {file.name: file.read_text() for file in (files("retell_ws.console") / "page").iterdir()}

COLOURS = re.compile(r"--(\w+): (#\w+);")


def test_it_needs_nothing_of_any_other_place() -> None:
    for name, text in PAGE.items():
        found = set(re.findall(r"""(?:https?:)?//[\w.-]+\.\w+[^\s"')]*""", text))
        assert found <= {"http://www.w3.org/2000/svg"}, name  # the name of a namespace; nobody asks there


def test_nothing_in_it_can_make_markup_of_a_text() -> None:
    for name, text in PAGE.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=\"", text), name


def test_it_has_the_colours_of_a_report() -> None:
    reports = COLOURS.findall(STYLE.partition("@media print")[0])
    consoles = [(name, value) for name, value in COLOURS.findall(PAGE["console.css"]) if name != "accent"]
    assert [pair for pair in consoles if pair in reports] == reports

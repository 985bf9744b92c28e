"""Every mark § in the code points at a section that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from retell_ws.protocol import SECTIONS

ROOT = Path(__file__).parent.parent
FOREIGN = re.compile(r"(?:RFC \d+|WHATWG HTML,) §[\d.]+(?:[–-]\d+)?")
MARK = re.compile(r"§(\d+(?:\.\d+)*)")


@pytest.mark.parametrize("file", sorted((ROOT / "retell_ws").rglob("*.py")), ids=lambda file: file.name)
def test_every_section_named_is_one_of_the_protocol(file: Path) -> None:
    text = FOREIGN.sub("", " ".join(file.read_text("utf-8").split()))
    assert {section for section in MARK.findall(text) if section not in SECTIONS} == set()


def test_every_section_is_named_somewhere() -> None:
    code = "\n".join(file.read_text("utf-8") for room in ("retell_ws", "tests") for file in (ROOT / room).rglob("*.py"))
    named = {section for section in MARK.findall(FOREIGN.sub("", code))}
    assert {section for section in SECTIONS if section not in named} == set()

"""The README as a list of what it tells its reader to type. Pure: it runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

__all__ = ["README", "Block", "Command", "Section", "inline", "sections"]

README = Path(__file__).resolve().parents[2] / "README.md"

COMMENT = re.compile(r"\s+# .*$|^# .*$")
FENCE = re.compile(r"^```(\w*)$")
HEADING = re.compile(r"^(##+) (.*)$")
SPAN = re.compile(r"`([^`]+)`")


class Command(NamedTuple):
    """One thing to type at a prompt.

    Attributes:
        line: Where it begins in the README, from 1.
        text: It, without prompt and comment; its lines are joined.
        shown: What the README shows below it.
    """

    line: int
    text: str
    shown: str


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        language: What stands behind the fence.
        heading: The heading it stands under, of whatever depth.
        line: Of the fence, from 1.
        text: What is in it.
    """

    language: str
    heading: str
    line: int
    text: str

    def commands(self) -> list[Command]:
        """What is typed in a `console` block: at each prompt a command, which a backslash carries on."""
        found: list[Command] = []
        carried = False
        for number, line in enumerate(self.text.splitlines(), self.line + 1):
            if carried or line.startswith("$ "):
                text = COMMENT.sub("", line.removeprefix("$ ").strip())
                carries_on = text.endswith("\\")
                text = text.removesuffix("\\").strip()
                if carried:
                    found[-1] = found[-1]._replace(text=f"{found[-1].text} {text}")
                else:
                    found.append(Command(number, text, ""))
                carried = carries_on
            elif found:
                found[-1] = found[-1]._replace(shown=f"{found[-1].shown}{line}\n")
        return found


class Section(NamedTuple):
    """All blocks under one heading of the second depth."""

    title: str
    blocks: list[Block]


def sections(text: str) -> list[Section]:
    """Cut the README into its sections; those without a block are there, too."""
    found: list[Section] = []
    heading = ""
    fence: tuple[str, int] | None = None
    inside: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if fence is None and (match := HEADING.match(line)):
            heading = match[2]
            if match[1] == "##":
                found.append(Section(heading, []))
        elif fence is None and (match := FENCE.match(line.strip())):
            fence, inside = (match[1], number), []
        elif fence is not None and line.strip() == "```":
            found[-1].blocks.append(Block(fence[0], heading, fence[1], dedent("".join(inside))))
            fence = None
        elif fence is not None:
            inside.append(f"{line}\n")
    return found


def inline(text: str) -> Iterator[str]:
    """Give what stands between backticks outside of blocks; line breaks become blanks."""
    outside, is_inside = [], False
    for line in text.splitlines():
        if line.strip().startswith("```"):
            is_inside = not is_inside
        elif not is_inside:
            outside.append(line)
    for span in SPAN.findall("\n".join(outside)):
        yield " ".join(span.split())

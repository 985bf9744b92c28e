"""A model's text made fit for the voice: no markdown, list, web address or emoji, and no leaked tool call. Pure.

Retell reads everything aloud (protocol §3.3). So what a model writes for the eye is dropped here while it streams, and
a line break becomes a pause. What comes out depends on the text alone, never on how it was cut into pieces: each rule
looks at what came before and at most `MAX_HELD` characters ahead, and the tail waits while those have not come. Prose
is never made to wait.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable
from string import ascii_letters, digits
from typing import ClassVar, Final, Literal, TypeAlias

from . import markup
from .spoken import COMMA, STOP, WEAK, Spoken

__all__ = ["MAX_HELD", "Ear", "Kind"]

MAX_HELD = 256
"""The most characters that wait. A tag, a link's target or the head of an object that is longer is taken for text."""

NO_LIST: Final = -2
"""The numbers at the starts of these lines count nothing."""

Kind: TypeAlias = Literal["markup", "link", "emoji", "leak"]
"""What is dropped."""

_suspect = markup.SUSPECT.search

# "xhttp" and "me@www.example" are no addresses of pages.
_NO_ADDRESS_AFTER = frozenset(ascii_letters + digits + "@.-")

# A star that stands alone is a star: a product, or the key of a telephone.
_AFTER_LONE_STAR = {" ": frozenset(" \r\n,.;:!?)"), **dict.fromkeys("\"'“‘(", frozenset("\"'”’)"))}

_IN_CODES = frozenset(digits + "#")

# Tags that cut the text as a line break does.
_BLOCKS = dict.fromkeys(("br", "li", "td", "th"), COMMA) | dict.fromkeys(
    ("p", "div", "tr", "hr", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6"), STOP
)


def _length(run: re.Pattern[str], text: str, at: int, end: int = sys.maxsize) -> int:
    found = run.match(text, at, end)
    return 0 if found is None else found.end() - at


class Ear:
    """Makes a model's text fit for the voice, piece by piece.

    You must call `close` at the end of the text; then the ear is used up.

    Args:
        link: What is said for the address of a page.
        said: What was said before this text, as far as it belongs to the same answer. Where it ends inside a sentence
            the text goes on there; otherwise the text begins a line.

    Attributes:
        removed: How often something was dropped, by kind. It holds no text.
    """

    __slots__ = (
        "_at_cell",
        "_at_start",
        "_before",
        "_count",
        "_depth",
        "_held",
        "_in_address",
        "_in_brackets",
        "_is_end",
        "_is_heading",
        "_is_marked",
        "_is_plain",
        "_link",
        "_quotes",
        "_run",
        "_spoken",
        "_string",
        "_until",
        "removed",
    )

    def __init__(self, link: str = "the link", said: str = "") -> None:
        self._link = link
        self.removed: Counter[Kind] = Counter()
        self._spoken = Spoken()
        # What waits, the character before it, whether nothing comes after it.
        self._held = ""
        self._before = "\n"
        self._is_end = False
        # Where we are. Plain: inside a line of prose, and nothing waits or is due.
        self._is_plain = False
        self._at_start = True
        self._at_cell = False
        self._is_heading = False
        # A mark was dropped at the start of this line; the last number that was.
        self._is_marked = False
        self._count = 0
        # What is being dropped: a run of one mark, an address, all until an end, a JSON value.
        self._run = ""
        self._in_address = False
        self._in_brackets = False
        self._until: re.Pattern[str] | None = None
        self._depth = 0
        self._quotes = ""
        self._string = ""
        if self._spoken.goes_on(said):
            self._before = " "
            self._at_start = False

    def next(self) -> Ear:
        """Make an ear for the text that follows in the same answer. You must have closed this one."""
        return Ear(self._link, "" if self._at_start else self._spoken.mark + self._spoken.last)

    @property
    def held(self) -> int:
        """How many characters wait to be judged, at most `MAX_HELD`."""
        return len(self._held)

    def feed(self, text: str) -> str:
        """Take the next piece of the text.

        Returns:
            What may be said now. What cannot be judged yet waits for the next piece.
        """
        spoken = self._spoken
        if (
            self._is_plain
            and text
            and _suspect(text) is None
            and "  " not in text
            and (spoken.last != " " or text[0] not in " !")
        ):
            last = text[-1]
            if last in WEAK:
                spoken.note(text)
            else:
                spoken.last = spoken.mark = last
            return text
        return self._judge(text, is_end=False)

    def close(self) -> str:
        """End the text.

        Returns:
            What waited and may be said, now that nothing follows.
        """
        # A line break is what rules that look one character ahead find at the end; it is not judged itself.
        return self._judge("\n", is_end=True)

    def _judge(self, text: str, *, is_end: bool) -> str:
        if self._is_plain:
            self._before = self._spoken.last
        self._is_end = is_end
        text = self._held + text
        end = len(text) - is_end
        at = 0
        while at < end:
            reached = self._step(text, at, end)
            if reached == at:
                break
            at = reached
        self._held = text[at:end]
        if at:
            self._before = text[at - 1]
        self._is_plain = (
            self._before == self._spoken.last
            and self._spoken.is_settled
            and not (self._held or self._at_start or self._run or self._in_address or self._until or self._depth)
        )
        return self._spoken.take()

    def _step(self, text: str, at: int, end: int) -> int:
        """Go on from `at`.

        Like all that follow, it answers how far it came. `at` itself says that what stands there must wait.
        """
        if self._run:
            run = _length(markup.RUNS[self._run], text, at, end)
            if run:
                return at + run
            self._run = ""
        if self._until is not None:
            return self._skip(self._until, text, at, end)
        if self._depth:
            return self._skip_json(text, at, end)
        if self._in_address:
            return self._skip_address(text, at, end)
        if self._at_start:
            return self._start_line(text, at, end)
        if self._at_cell:
            return self._start_cell(text, at, end)
        return self._go_on(text, at, end)

    def _must_wait(self, begun: re.Pattern[str], text: str, at: int) -> bool:
        """Tell whether what stands at `at` may be the beginning of something."""
        return not self._is_end and len(text) - at < MAX_HELD and begun.match(text, at) is not None

    def _drop(self, kind: Kind) -> None:
        self.removed[kind] += 1
        self._spoken.cut()

    # ------------------------------------------------------------------------ what is dropped with its content

    def _skip(self, until: re.Pattern[str], text: str, at: int, end: int) -> int:
        found = until.search(text, at, end)
        if found is not None:
            self._until = None
            self._run = found[0][0] if found[0][0] in "`~" else ""
            return found.end()
        return end if self._is_end else max(at, end - markup.LONGEST_END)

    def _skip_json(self, text: str, at: int, end: int) -> int:
        for mark in markup.JSON_MARK.finditer(text, at, end):
            what = mark[0]
            if what == "\\":
                return end if self._is_end else mark.start()
            if self._string:
                if what == self._string:
                    self._string = ""
            elif what in self._quotes:
                self._string = what
            elif what in "{[":
                self._depth += 1
            elif what in "}]":
                self._depth -= 1
                if not self._depth:
                    return mark.end()
        return end

    def _skip_address(self, text: str, at: int, end: int) -> int:
        body = markup.ADDRESS_BODY.match(text, at, end)
        if body is not None:
            return body.end()
        if self._in_brackets and text[at] == ")":
            self._in_brackets = False
            return at + 1
        marks = markup.ADDRESS_MARKS.match(text, at, end)
        if marks is not None:
            after = marks.end()
            if after - at == markup.MOST_ADDRESS_MARKS or markup.ADDRESS_BODY.match(text, after):
                self._in_brackets = marks[0].rfind("(") > marks[0].rfind(")") or self._in_brackets
                return after
            if after == len(text):
                return at
        self._in_address = False
        if text[at] == ">":
            return at + 1
        return self._go_on(text, at, end)

    # ------------------------------------------------------------------------ lines and cells

    def _start_line(self, text: str, at: int, end: int) -> int:
        """Drop one mark at the start of a line, or begin its content."""
        mark = markup.LINE_MARK.match(text, at)
        if mark is None and self._must_wait(markup.LINE_MARK_BEGUN, text, at):
            return at
        if mark is None or (mark.lastgroup == "number" and not self._counts(mark)):
            if mark is None and self._count == NO_LIST:
                self._count = 0
            self._at_start = False
            return self._go_on(text, at, end)
        kind = mark.lastgroup
        if kind == "space":
            if not self._spoken.last:
                self._spoken.say(" ")  # what is said may follow another text
            return mark.end()
        self._drop("markup")
        self._is_marked = True
        if kind == "heading":
            self._is_heading = True
            self._spoken.rest(STOP)
        elif kind == "row":
            self._at_start = False
            self._at_cell = self._spoken.is_row = True
        elif kind == "fence":
            self._until = markup.TILDES_END
        if kind in ("heading", "rule", "fence"):
            self._run = mark[0][0]
        return mark.end()

    def _counts(self, mark: re.Match[str]) -> bool:
        """Tell whether a number does no more than count the items of a list, from 1 on.

        Any other may be a day, a floor or an answer, as in "- 3. Mai" and "2. Shall I book them?". So may a "1." with
        which the text begins: a number too many does no harm, and one that is missing does.
        """
        number = int(mark["count"] or mark[0][0])
        if self._is_marked:
            return False
        if self._count == NO_LIST or number not in (1, self._count + 1):
            self._count = NO_LIST  # "31. Dezember" before "1. Januar": what is said of one line is said of the next
            return False
        if mark["count"] and not self._spoken.mark:
            return False
        self._count = number
        return True

    def _start_cell(self, text: str, at: int, end: int) -> int:
        dashes = markup.DASHES.match(text, at, at + MAX_HELD)
        if dashes is not None:
            return dashes.end()
        if self._must_wait(markup.DASHES_BEGUN, text, at):
            return at
        self._at_cell = False
        return self._go_on(text, at, end)

    # ------------------------------------------------------------------------ inside a line

    def _go_on(self, text: str, at: int, end: int) -> int:
        """Say ordinary text as far as the next character that may be something else, and judge that one."""
        special = markup.SPECIAL.search(text, at, end)
        if special is None:
            self._spoken.say(text[at:end])
            return end
        found = special.start()
        if found > at:
            self._spoken.say(text[at:found])
        return self._rules.get(text[found], Ear._emoji)(self, text, found)

    def _say(self, text: str, at: int, length: int = 1) -> int:
        self._spoken.say(text[at : at + length])
        return at + length

    def _previous(self, text: str, at: int) -> str:
        return text[at - 1] if at else self._before

    def _line_break(self, text: str, at: int) -> int:
        self._spoken.end_line(STOP if self._is_heading else COMMA)
        self._is_heading = self._is_marked = self._at_cell = False
        self._at_start = True
        return at + 1

    def _carriage_return(self, text: str, at: int) -> int:
        following = text[at + 1 : at + 2]
        if not following:
            return at
        return at + 1 if following == "\n" else self._line_break(text, at)

    def _star(self, text: str, at: int) -> int:
        previous, following = self._previous(text, at), text[at + 1 : at + 2]
        if not following:
            return at
        if following == "*":
            self._run = "*"
        elif following in markup.KEYCAP:
            self._drop("emoji")
            return at + 1
        elif following in _AFTER_LONE_STAR.get(previous, ()) or (previous.isdigit() and following.isdigit()):
            return self._say(text, at)
        elif following in _IN_CODES and not previous.isalnum():
            code = markup.CODE.match(text, at)
            if code is not None:
                return self._say(text, at, len(code[0]))
            if self._must_wait(markup.CODE_BEGUN, text, at):
                return at
        self._drop("markup")
        return at + 1

    def _hash(self, text: str, at: int) -> int:
        following = text[at + 1 : at + 2]
        if not following:
            return at
        if following == "#":
            self._drop("markup")
            self._run = "#"
            return at + 1
        if following in markup.KEYCAP:
            self._drop("emoji")
            return at + 1
        return self._say(text, at)

    def _tilde(self, text: str, at: int) -> int:
        following = text[at + 1 : at + 2]
        if not following:
            return at
        if following != "~":
            return self._say(text, at)
        self._drop("markup")
        self._run = "~"
        return at + 1

    def _underscore(self, text: str, at: int) -> int:
        run = _length(markup.UNDERSCORES, text, at)
        following = text[at + run : at + run + 1]
        if not following and run < 3:
            return at
        if run < 3 and self._previous(text, at).isalnum() and (following.isalnum() or following == "@"):
            return self._say(text, at, run)
        self._drop("markup")
        self._run = "_"
        return at + run

    def _tick(self, text: str, at: int) -> int:
        run = _length(markup.TICKS, text, at)
        if at + run == len(text) and run < 3:
            return at
        self._drop("markup")
        if run == 3:
            self._spoken.part()
            self._run = "`"
            self._until = markup.FENCE_END
        return at + run

    def _exclamation(self, text: str, at: int) -> int:
        """Drop the mark of an image. One that follows a word is never made to wait."""
        following = text[at + 1 : at + 2]
        if self._previous(text, at) in " \n[":
            if not following:
                return at
            if following == "[":
                self._drop("markup")
                return at + 1
        return self._say(text, at)

    def _letter(self, text: str, at: int) -> int:
        """Say the link's phrase for a web address."""
        if self._previous(text, at) not in _NO_ADDRESS_AFTER:
            address = markup.ADDRESS.match(text, at)
            if address is not None:
                self._drop("link")
                if self._spoken.last.isalnum() or self._spoken.last in ",;:.":
                    self._spoken.part()
                self._spoken.say(self._link)
                self._in_address = True
                self._in_brackets = False
                return address.end()
            if self._must_wait(markup.ADDRESS_BEGUN, text, at):
                return at
        return self._say(text, at)

    def _open(self, text: str, at: int) -> int:
        """Drop a bracket or brace, or all of a JSON value."""
        head = markup.JSON.match(text, at, at + MAX_HELD)
        if head is None:
            if self._must_wait(markup.JSON_BEGUN, text, at):
                return at
            begun = markup.JSON_BEGUN.match(text, at) if self._is_end else None
            if begun is None or begun["quote"] is None:
                self._drop("markup")
                return at + 1
            head = begun
        self._drop("leak")
        self._spoken.part()
        self._depth = 1
        self._string = ""
        self._quotes = head["quote"] + '"'
        return at + 1

    def _close(self, text: str, at: int) -> int:
        """Drop a bracket, and the target of the link whose text it ends."""
        if self._must_wait(markup.TARGET_BEGUN, text, at):
            return at
        self._drop("markup")
        target = markup.TARGET.match(text, at, at + MAX_HELD)
        if target is None and self._is_end:
            target = markup.TARGET_BEGUN.match(text, at)
        return at + 1 if target is None else target.end()

    def _brace(self, text: str, at: int) -> int:
        self._drop("markup")
        return at + 1

    def _bar(self, text: str, at: int) -> int:
        self._drop("markup")
        self._spoken.rest(COMMA)
        self._at_cell = self._spoken.is_row
        return at + 1

    def _angle(self, text: str, at: int) -> int:
        """Drop a tag; of a leak the content too."""
        tag = markup.TAG.match(text, at, at + MAX_HELD)
        if tag is None:
            if self._must_wait(markup.TAG_BEGUN, text, at):
                return at
            leak = markup.LEAK.match(text, at)
            if leak is not None:
                return self._leak(leak["name"].lower(), leak.end())
            if text.startswith("<!--", at):
                self._drop("markup")
                self._until = markup.COMMENT_END
                return at + 4
            if markup.ADDRESS_IN_ANGLES.match(text, at):
                self._drop("markup")
                return at + 1
            return self._say(text, at)
        name = tag["name"].rpartition(":")[2].lower()
        if name in markup.LEAK_END:
            return self._leak(name, tag.end(), is_open=not (tag["slash"] or tag["alone"]))
        self._drop("markup")
        if name in _BLOCKS:
            self._spoken.rest(_BLOCKS[name])
        return tag.end()

    def _leak(self, name: str, at: int, *, is_open: bool = True) -> int:
        self._drop("leak")
        self._spoken.part()
        if is_open:
            self._until = markup.LEAK_END[name]
        return at

    def _emoji(self, text: str, at: int) -> int:
        previous = self._previous(text, at)
        if previous != markup.JOINER and not markup.EMOJI.match(previous):
            self._drop("emoji")
            self._spoken.part()
        return at + 1

    def _joiner(self, text: str, at: int) -> int:
        return at + 1 if markup.EMOJI.match(self._previous(text, at)) else self._say(text, at)

    _rules: ClassVar[dict[str, Callable[[Ear, str, int], int]]] = {
        "\n": _line_break,
        "\r": _carriage_return,
        "*": _star,
        "#": _hash,
        "~": _tilde,
        "_": _underscore,
        "`": _tick,
        "!": _exclamation,
        "h": _letter,
        "H": _letter,
        "w": _letter,
        "W": _letter,
        "{": _open,
        "[": _open,
        "}": _brace,
        "]": _close,
        "|": _bar,
        "•": _bar,
        "<": _angle,
        markup.JOINER: _joiner,
    }

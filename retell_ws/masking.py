"""Takes out of a text what must not leave the process: e-mail addresses, phone numbers, payment cards, long numbers.
No I/O.

Speech recognition writes a number in many ways, so digits are read as people say them: `4155550123`, `415-555-0123`,
`four one five, double five five…`. Seven digits in a row and more are masked, whatever they are; prices, times, dates,
years and short numbers stay. What is masked stays masked however often it goes through here.

It takes one number at a time: digits that a caller spreads over several utterances are not found, and names and
addresses of houses are none of its business. An agent may bring a function of its own: `Agent(mask=...)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

__all__ = ["CARD", "EMAIL", "FAILED", "NUMBER", "PHONE", "Mask", "mask"]

Mask: TypeAlias = Callable[[str], str]
"""Gives a text without what must not leave the process. It is called in a thread, and must be quick."""

EMAIL: Final = "[email]"
PHONE: Final = "[phone]"
CARD: Final = "[card]"
NUMBER: Final = "[number]"

FAILED: Final = "[masked]"
"""In place of a whole text whose `Mask` has raised."""

LONG: Final = 7
"""Digits from which a number is masked."""

GAP: Final = 4
"""Characters that may stand between two parts of one number, beside a hesitation."""

LOCAL: Final = 64
"""Characters before the `@` at most (RFC 5321 §4.5.3.1.1)."""

WINDOW: Final = 2048
"""Characters that are searched at once: two milliseconds."""

REACH: Final = 64
"""No part of a number is longer, with what must stand around it; but for digits."""

SPELLED: Final = 40
"""Words that may spell what stands before the `@`."""

_UNITS: Final = {
    word: str(number)
    for number, word in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), 1)
}

_TEENS: Final = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen")

_TENS: Final = {
    word: f"{number}0"
    for number, word in enumerate(("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"), 2)
}

_TIMES: Final = {"double": 2, "triple": 3}

_SAID: Final = {
    **_UNITS,
    **dict.fromkeys(("zero", "oh", "o"), "0"),
    **{word: str(number) for number, word in enumerate((*_TEENS, "nineteen"), 10)},
    **_TENS,
    "hundred": "00",
}

_WORDS: Final = "|".join((*_SAID, *_TIMES))

_FIRST: Final = "".join(sorted({word[0] for word in (*_SAID, *_TIMES)}))

_TLD: Final = (
    "com|org|net|edu|gov|info|biz|io|co|me|dev|app|ai|us|uk|ca|de|fr|es|it|nl|ch|at|be|eu|in|au|nz|br|mx|jp|pl|cz|se|dk|fi"
    "|pt|ie|gr|ro|hu|ua|tr|kr|cn|za|il|tv|xyz|tech|online|shop|store|site|cloud|pro|health|care|clinic|agency|email"
)

_MONEY: Final = r"(?:dollars?|euros?|pounds?|cents?|bucks?|usd|eur|gbp|percent)(?!\w)"

# Whatever is repeated here is bounded, or cannot be split in two ways: no text makes it slow.
_PARTS: Final = re.compile(
    rf"""
    # -- how any of it begins: a look that saves two thirds of the time
    (?=[$€£¥\d]|(?<![^\W\d_])[{_FIRST}])(?:
    # -- what stays as it is
    (?P<stays>
        [$€£¥]\s?\d{{1,3}}(?:,\d{{3}}){{1,6}}(?:\.\d{{1,2}})?(?!\d|[.,-]\d)
      | [$€£¥]\s?\d{{1,9}}(?:\.\d{{1,2}})?(?!\d|[.,-]\d)
      | (?<![\d.,-])\d{{1,3}}(?:,\d{{3}}){{1,3}}(?:\.\d{{1,2}})?(?!\d|[.,-]\d)
      | (?<![\d.,-])\d{{1,9}}(?:\.\d{{1,2}})?\s?(?:[€£¥%]|{_MONEY})
      | (?<![\d.,-])\d{{1,6}}\.\d{{1,2}}(?!\d|[.,-]\d)
      | (?<![\d:])(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?(?![\d:])
      | (?<![\d/.-])(?:19|20)\d\d-(?:0?[1-9]|1[0-2])-(?:0?[1-9]|[12]\d|3[01])(?![\d/.-]\d|\d)
      | (?<![\d/.-])(?:0?[1-9]|[12]\d|3[01])(?P<sep>[/.-])(?:0?[1-9]|[12]\d|3[01])(?P=sep)(?:(?:19|20)\d\d|\d\d)
        (?![\d/.-]\d|\d)
      | (?<![\d/.-])(?:19|20)\d\d\s?[-–]\s?(?:19|20)\d\d(?![\d/.-]\d|\d)
    )
    # -- the parts of a number
  | (?P<digits>(?<![\d.,-])\d{{1,3}}(?:,\d{{3}}){{4,6}}(?![\d,])|\d+)
  | (?<![^\W\d_])(?P<word>{_WORDS})(?![^\W\d_])
    )
    """,
    re.VERBOSE | re.IGNORECASE,
)

_GAP: Final = re.compile(
    rf"[\s().,/+\-–—_*#…·•\u200b-\u200d\u2060\ufeff]{{0,{GAP}}}"
    rf"(?:(?<![^\W_])(?:u[hm]|erm?|hmm?|dash|hyphen|okay|(?:and\s{{1,2}})?then)[\s.,…-]{{1,{GAP}}}){{0,2}}",
    re.IGNORECASE,
)
"""What may stand between two parts of a number: marks, and what people say while they read on."""

_GAP_ROOM: Final = 3 * GAP + 2 * len("and  then")

_PAUSE: Final = re.compile(",|okay|then", re.IGNORECASE)
"""In a gap: it may as well stand between two numbers."""

_BETWEEN: Final = r"[^\w]{1,3}(?:(?:and|then|u[hm]|erm?|okay)[^\w]{1,3}){0,2}"

_MARKS: Final = r"[\s.,…-]{1,3}"

_WORDS_ON: Final = rf"{_MARKS}(?:(?:and|then|u[hm]|erm?|okay){_MARKS}){{1,2}}"

_SAID_ON: Final = rf"(?:, ?|{_WORDS_ON})"

_DIALLED: Final = re.compile(
    rf"(?<![$€£¥\d])(?<![$€£¥]\s)\d{{3}}"
    rf"(?:, ?\d{{3}}(?!{_MARKS}and{_MARKS}\d)(?:{_SAID_ON}|[ -])"
    rf"|{_WORDS_ON}\d{{3}}(?:{_SAID_ON}|[ -])|[ -]\d{{3}}{_SAID_ON})"
    rf"\d{{4}}(?!\d|[.,/-]\d|\s?(?:[€£¥%]|{_MONEY}))",
    re.IGNORECASE,
)
"""A phone number that was written with the pauses of who said it. Of fewer digits, or others, it may be a list; so are
prices, dates, and what is told as one: `150, 200 and 1000`."""

_FOURS: Final = re.compile(
    rf"(?<!\d)(?:(?:[3-6]\d|2[2-7])\d\d(?:{_BETWEEN}\d{{4}}){{3}}|3[47]\d\d{_BETWEEN}\d{{6}}{_BETWEEN}\d{{5}})(?!\d)",
    re.IGNORECASE,
)
"""A payment card as it is printed, read out with pauses. Lists of rooms look like that too; few of them are a card."""

_IBAN: Final = re.compile(
    r"(?<![^\W_])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?![^\W_])", re.I
)

_CODE: Final = re.compile(
    # Also as a name of JSON: `card_cvv`, `securityCode`.
    r"(?:(?<![^\W_])|(?-i:(?<=[a-z])(?=[A-Z])))"
    # A name `pincode` is where somebody lives: it is what India calls a postal code.
    r"(?:cv[vc]2?|pin(?!(?<=[\"']pin)code)|passcode|(?:security|verification|one[ _-]?time)[ _-]?code)"
    r"(?:[ _-]?(?:code|number))?"
    r"(?:['’]s| on the (?:back|front))?"
    # Whoever begins a new sentence may speak of something else: `I forgot my PIN. It was 2019`.
    r"(?:[^\w?!.]{1,10}(?:is|was|would be|(?:it|that)(?:['’]?s)?|u[hm]|erm?|hmm?)"
    r"|\W{1,10}(?:(?:it|that)(?:['’]?s|\s{1,3}is)|u[hm]|erm?|hmm?)){0,4}[^\w?!]{0,10}\Z",
    re.IGNORECASE,
)
"""What stands before a number that is short, and still opens something: nobody may keep a card's code (PCI DSS 3.3)."""

_CODE_ROOM: Final = 96

_DOMAIN: Final = re.compile(r"[^\W_][\w-]{0,62}(?:\.[^\W_][\w-]{0,62}){1,8}")

_DOT: Final = r"(?:,?\s{1,3}(?:dot|period|point|\.)\s{1,3})"

_SAID_DOMAIN: Final = re.compile(
    rf"(?:(?<!\w)at(?:[ -]sign)?\s{{1,3}}|\s?@\s{{0,3}})(?:\w[\w-]{{0,30}}\s{{1,3}}){{0,3}}?\w[\w-]{{0,30}}"
    rf"(?:(?:{_DOT}\w[\w-]{{0,30}}){{0,2}}{_DOT}(?:{_TLD})"
    rf"|(?:\.\w[\w-]{{0,30}}){{0,2}}\.(?:{_TLD}))(?!\w)",
    re.IGNORECASE,
)
"""`at gmail dot com`, `at my company dot co dot uk`, `at example.com`."""

_LAST_WORD: Final = re.compile(r"([^\W_][\w.'-]{0,63}),?\s{0,3}\Z")

_JOINTS: Final = frozenset({"dot", "underscore", "dash", "hyphen", "plus", "minus", "period"})


def mask(text: str) -> str:
    """Give a text without e-mail addresses, phone numbers, payment cards and long numbers.

    Args:
        text: As it was said, or written. It takes time in proportion to its length, whatever it is.

    Returns:
        It, with `[email]`, `[phone]`, `[card]` and `[number]` in their places.
    """
    if "@" in text:
        text = _without_addresses(text)
    if "@" in text or " at" in text.lower():
        text = _without_said_addresses(text)
    text = _without_numbers(_DIALLED.sub(PHONE, _IBAN.sub(_account, text)))
    return _FOURS.sub(_printed, text)


def _printed(found: re.Match[str]) -> str:
    return CARD if _luhn(re.sub(r"\D", "", found[0])) else found[0]


def _account(found: re.Match[str]) -> str:
    """Mask the longest beginning that is an account's (ISO 13616): words may follow that look like more of it."""
    text = found[0]
    ends = [len(text), *(at for at in range(len(text) - 1, 14, -1) if text[at] in " -")]
    for end in ends:
        account = re.sub("[ -]", "", text[:end])
        if 15 <= len(account) <= 34 and int("".join(str(int(c, 36)) for c in account[4:] + account[:4])) % 97 == 1:
            return NUMBER + text[end:]
    return text


def _without_addresses(text: str) -> str:
    written: list[str] = []
    begin = 0
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        first = at
        while first > begin and at - first < LOCAL and (text[first - 1].isalnum() or text[first - 1] in "._%+-'"):
            first -= 1
        if domain is not None and first < at:
            written += (text[begin:first], EMAIL)
            begin = domain.end()
        at = text.find("@", max(at + 1, begin))
    return "".join((*written, text[begin:]))


def _without_said_addresses(text: str) -> str:
    written: list[str] = []
    begin = 0
    for domain in _SAID_DOMAIN.finditer(text):
        first = _local_part(text, begin, domain.start())
        if first < domain.start():
            written += (text[begin:first], EMAIL)
            begin = domain.end()
    return "".join((*written, text[begin:]))


def _local_part(text: str, begin: int, end: int) -> int:
    """Find where the name before a spoken `at` begins: a word, what spells it, and what is joined to it."""
    named = False
    for _ in range(SPELLED):
        found = _LAST_WORD.search(text, max(begin, end - LOCAL - 4), end)
        if found is None:
            break
        word = found[1].lower()
        if word in _JOINTS:
            named = False  # what it joins is still to come
        elif len(word) > 1 and not word.isdigit() and word not in _SAID:
            if named:
                break
            named = True
        end = found.start()
    return end


class _Part:
    """A part of a number: where it stands, and what it adds.

    Attributes:
        digits: Its digits; empty for `double` and `triple`.
        word: It, in small letters, when it is spelled out.
    """

    __slots__ = ("begin", "digits", "end", "word")

    def __init__(self, begin: int, end: int, digits: str, word: str = "") -> None:
        self.begin = begin
        self.end = end
        self.digits = digits
        self.word = word


def _without_numbers(text: str) -> str:
    written: list[str] = []
    begin = 0
    for run in _runs(text):
        digits = _said(run)
        first, last = run[0].begin, run[-1].end
        if len(digits) < LONG and not (len(digits) >= 3 and _CODE.search(text, max(0, first - _CODE_ROOM), first)):
            continue
        within = text[first:last]
        if text[first - 1 : first] == "(" and ")" in within:
            first -= 1
        if text[first - 1 : first] == "+":
            first -= 1
        first = max(first, begin)
        written += (text[begin:first], _kind(text[first:last], run, digits))
        begin = last
    return "".join((*written, text[begin:]))


def _runs(text: str) -> Iterator[list[_Part]]:
    """Give the parts that stand together, number by number."""
    run: list[_Part] = []
    for found in _parts(text):
        if found["stays"] is not None:
            part = None
        elif found["digits"] is not None:
            part = _Part(found.start(), found.end(), found["digits"].replace(",", ""))
        else:
            part = _spoken(found, found["word"].lower())
        if run and (part is None or not _joined(run[-1], part, text)):
            yield run
            run = []
        if part is not None:
            run.append(part)
    if run:
        yield run


def _parts(text: str) -> Iterator[re.Match[str]]:
    """Find what `_PARTS` does, a window at a time: a search holds the interpreter, and all calls, until it is over."""
    begin, length = 0, WINDOW
    while begin < len(text):
        end = min(begin + length, len(text))
        sure = end if end == len(text) else end - REACH  # whatever begins before it would be the same without the end
        length = WINDOW
        after = sure
        for found in _PARTS.finditer(text, begin, end):
            if found.start() >= sure:
                break
            if found.end() == end < len(text):  # digits, more than the window holds
                after, length = found.start(), 2 * (end - found.start())
                break
            yield found
            after = max(after, found.end())
        begin = after


def _spoken(found: re.Match[str], word: str) -> _Part:
    return _Part(found.start(), found.end(), _SAID.get(word, ""), word)


def _joined(one: _Part, other: _Part, text: str) -> bool:
    if other.begin - one.end > _GAP_ROOM or not _GAP.fullmatch(text, one.end, other.begin):
        return False
    if not _PAUSE.search(text, one.end, other.begin):
        return True
    # A list of short numbers is none long: `101, 102, then 103`. Digits that are dictated come one or two at a time.
    if len(one.digits) > 2 or len(other.digits) > 2:
        return False
    return "then" not in text[one.end : other.begin].lower() or not _is_next(one.digits, other.digits)


def _is_next(one: str, other: str) -> bool:
    """Tell whether a list of hours or tables goes on so: `10, then 11`, `12, then 1`. Of single digits any two may."""
    return len(one) + len(other) > 2 and (int(other) == int(one) + 1 or (one, other) == ("12", "1"))


def _said(run: list[_Part]) -> str:
    """Give the digits of a number: `fifty five` are two of them, and `double five` as well."""
    digits = ""
    before = ""
    for part in run:
        if before in _TENS and part.word in _UNITS:
            digits = digits[:-1] + part.digits
        else:
            digits += part.digits * _TIMES.get(before, 1)
        before = part.word
    return digits


def _kind(within: str, run: list[_Part], digits: str) -> str:
    if _begins_with_card(run, digits):
        return CARD
    count = len(digits)
    is_dialled = (
        (within[0] in "+(" and count <= 15)
        or count == 10
        or (count == 11 and digits[0] in "01")
        or (count == 7 and len(run) == 2 and len(run[0].digits) == 3)
        or (digits[0] == "0" and 9 <= count <= 15)
    )
    return PHONE if is_dialled else NUMBER


def _begins_with_card(run: list[_Part], digits: str) -> bool:
    """Tell whether the number, or its first parts, are a payment card's: its date and code may follow."""
    ends = {len(digits)}
    length = 0
    for part in run:
        length += len(part.digits)
        if length > 19:
            break
        ends.add(length)
    return any(13 <= end <= 19 and _luhn(digits[:end]) for end in ends)


def _luhn(digits: str) -> bool:
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + at % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0

"""What is taken out of texts, what stays, and that no text makes it slow."""

from __future__ import annotations

import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws import masking
from retell_ws.masking import CARD, EMAIL, NUMBER, PHONE, mask

MASKED = [
    ("mail me at jo.hn+x@gmail.com please", "mail me at [email] please"),
    ("<ana@harbor-clinic.example.org>, thanks", "<[email]>, thanks"),
    ("o'neill@x.io and b@y.co", "[email] and [email]"),
    ("josé@correo.es", "[email]"),
    ("it is john dot smith at gmail dot com thanks", "it is [email] thanks"),
    ("my address: ana at example.com.", "my address: [email]."),
    ("jay oh aitch n one two at my company dot co dot uk", "jay [email]"),
    ("j o h n one two at gmail dot com", "[email]"),
    ("ana underscore b at sub dot example dot org", "[email]"),
    ("call (415) 555-0123 now", "call [phone] now"),
    ("+1 415 555 0123", "[phone]"),
    ("(+49 30 1234567)", "([phone])"),
    ("+(44) 20 7946 0958", "[phone]"),
    ("555-0123", "[phone]"),
    ("14155550123", "[phone]"),
    ("030/1234567", "[phone]"),
    ("01.23.45.67.89", "[phone]"),
    ("415.555.0123", "[phone]"),
    ("415, 555, 2671", "[phone]"),
    ("4, 1, 5, 5, 5, 5, 2, 6, 7, 1", "[phone]"),
    ("four one five, five five five, zero one two three", "[phone]"),
    ("Four-one-five five five five oh one two three", "[phone]"),
    ("eight hundred five five five one two three four", "[phone]"),
    ("four fifteen five fifty five twelve twelve", "[phone]"),
    ("it is 415 double five five 0123, yes", "it is [phone], yes"),
    ("triple seven eight nine double", "triple seven eight nine double"),
    ("triple seven triple eight nine", "[number]"),
    ("my card is 4111 1111 1111 1111", "my card is [card]"),
    ("4111-1111-1111-1111 12 27 123", "[card]"),
    ("378282246310005", "[card]"),
    ("four one one one " + "one one one one " * 3, "[card] "),
    ("4111 1111 1111 1112", "[number]"),
    ("my number is 1234567", "my number is [number]"),
    ("4111, 1111, 1111, 1111", "[card]"),
    ("4111111111111111, exp 12/27, CVV 123", "[card], exp 12/27, CVV [number]"),
    ("the security code is one two three", "the security code is [number]"),
    ("my PIN's 4821, the one-time code: 123456", "my PIN's [number], the one-time code: [number]"),
    ('{"cvv":"123"}', '{"cvv":"[number]"}'),
    ('{"card_cvv": 123, "n": 1}', '{"card_cvv": [number], "n": 1}'),
    ('{"security_code": "123"}', '{"security_code": "[number]"}'),
    ('{"securityCode": "123", "cardPin": "4821"}', '{"securityCode": "[number]", "cardPin": "[number]"}'),
    ('{"pin": ["4821"]}', '{"pin": ["[number]"]}'),
    (r'{"arguments": "{\"cvv\": \"123\"}"}', r'{"arguments": "{\"cvv\": \"[number]\"}"}'),
    ("the cvv is um 123", "the cvv is um [number]"),
    ("CVV: it's 123", "CVV: it's [number]"),
    ("my cvc code, that's 123", "my cvc code, that's [number]"),
    ("CVV2 = 123", "CVV2 = [number]"),
    ("(CVV) 123", "(CVV) [number]"),
    ("security code: uh 123", "security code: uh [number]"),
    ("cvv it is 123, my pin would be 4821", "cvv it is [number], my pin would be [number]"),
    ("the cvv on the back is 123", "the cvv on the back is [number]"),
    ("my PIN. It’s, um, one two three four", "my PIN. It’s, um, [number]"),
    (
        "My PIN? It's 4821. My CVV. Uh, 123. My PIN. That is 4821",
        "My PIN? It's [number]. My CVV. Uh, [number]. My PIN. That is [number]",
    ),
    ("My CVV. 123.", "My CVV. [number]."),
    ("my pincode is 4821", "my pincode is [number]"),
    ("415, then 555, then 0123", "[phone]"),
    ("the number is 415 and 555 and 0123", "the number is [phone]"),
    ("415 and 555 and 0123", "[phone]"),
    ("it's 415, then 555, then 0123", "it's [phone]"),
    ("415, 555, and then 0123", "[phone]"),
    ("$5 for 415, then 555, then 0123.", "$5 for [phone]."),
    ("415 555, and then 0123", "[phone]"),
    ("10 then 12 then 55 then 5", "[number]"),
    ("9 then 1 then 2 then 3 then 4 then 5 then 6", "[number]"),
    ("415, okay, 555-0123", "[phone]"),
    ("four one five, then five five five, then oh one two three", "[phone]"),
    ("four one one one" + " then one one one one" * 3, "[card]"),
    ("four one one one" + " and then one one one one" * 3, "[card]"),
    ("four one one one. Okay, um," + " one one one one. And then" * 2 + " one one one one.", "[card]."),
    ("4111, um, 1111 and 1111, 1111.", "[card]."),
    ("3782, 822463, then 10005", "[card]"),
    ("4111 um 1111 uh 1111 1111", "[card]"),
    ("4,111,111,111,111,111", "[card]"),
    ("four one five dash five five five dash oh one two three", "[phone]"),
    ("4111\u200b1111\u200b1111\u200b1111", "[card]"),
    ("my IBAN is GB29 NWBK 6016 1331 9268 19 thanks", "my IBAN is [number] thanks"),
    ("de89370400440532013000", "[number]"),
    ("FR14 2004 1010 0505 0001 3M02 606", "[number]"),
    ("ana at company dot xyz", "[email]"),
    ("ana, at gmail, dot com.", "[email]."),
    ("ana at-sign gmail period com", "[email]"),
    ("ana@gmail dot com", "[email]"),
    ("ana @ gmail . com", "[email]"),
    ("order AB12345678", "order AB[number]"),
    ("1 2 3 4 5 6 7", "[number]"),
    ("12345678901234567890123", "[number]"),
    ("١٢٣٤٥٦٧", "[number]"),
    ("Call 10:30 415 555 2671", "Call 10:30 [phone]"),
    ('{"phone": "4155550123"}', '{"phone": "[phone]"}'),
    ("5551234@x.com", "[email]"),
    (" ".join("abcdefghijklmnopqrstuvwxyz" * 2) + " at x dot com", " ".join("abcdefghijkl") + " [email]"),
]


@pytest.mark.parametrize(("text", "shown"), MASKED)
def test_this_is_masked(text: str, shown: str) -> None:
    assert mask(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "it costs $1,234,567.89",
        "$ 12.50 or €1000000 or £1,000,000",
        "2500000 dollars, 3000000 € and 1,500,000 euros",
        "1,234,567 people",
        "12.50 13.50 14.50 15.50",
        "half past ten, 10:30 11:45 12:15:30 and 24:00",
        "2024-01-15 and 12/05/2024 and 5.12.24 and 05-12-2024",
        "2024-01-15 10:30",
        "from 2019-2020",
        "rooms 101, 102, 103 and 104",
        "rooms 4101, 4102, 4103 and 4104",
        "1985, 1990, 1995, 2000",
        "AB12 CDEF GHIJ KLMN",
        "the rooms are 150, 200 and 1200 dollars",
        "it is 100, 250, and 1500 euros",
        "it is 100, then 250, then 1500 euros, or 1500 %",
        "We can seat 150, 200, and 1000 guests",
        "free on 150, 200 and 2024-11-28",
        "free on 150 and 200 and 2024-11-28, then 150 and 200 and 1200.50",
        "$150, 200 and 1200",
        "$ 150 and 200 and 1200",
        "tables at 10 then 11 then 12 then 1",
        "tables at 10, then 11, and then 12, then 1",
        "what's my pin? 123 Main Street",
        "I forgot my PIN. It was 2019",
        "that is my PIN! 123 people know it",
        '{"pincode": "560001"}',
        "order 4821, then 4822",
        "order 4821 then 4822 okay 4823 and then 4825",
        "rooms 101, then 102, then 103",
        "one two three and four five six seven",
        "room 415 and 555 or 0123, and 1415 and 555 and 0123",
        "spinning 123, the code is 4821, pin two of them, room 12 security",
        "the spinning it's 123, cvvs 123, my pin and 123, the PIN costs 123",
        '{"pin_count": 123, "pinned": "123", "SPIN": 123, "pin": "12", "code": {"x": 123}}',
        "one two three four five six",
        "123456",
        "suite 400, 12345 Main Street",
        "twenty twenty six",
        "nineteen eighty four, in nine months",
        "someone told him to wait for one minute or two",
        "meet at noon. Then ten thirty",
        "@ home @ work a@ @b a@b",
        "at gmail dot com",
        "I am at the dot",
        "99 % of 5 percent",
    ],
)
def test_this_stays_as_it_is(text: str) -> None:
    assert mask(text) == text


def test_a_digit_that_is_no_number_of_ours_stays() -> None:
    assert mask("x² and ½ and ⅷ") == "x² and ½ and ⅷ"


SPEECH = st.lists(
    st.one_of(
        st.sampled_from(
            "one two oh o five twenty fifteen hundred double triple at dot com gmail underscore dollars a ana "
            "then and okay um pin is "
            "[email] [phone] [number] ( ) + - . , : / @ $ € % _ 1 12 555 2671 4155550123 1,234 10:30 2024-01-15 x.com "
            "a@b.co 12.50 1.2 12/05/24 2019-2020".split()
        ),
        st.text("0123456789@.,:-/+() abo", max_size=4),
    ),
    max_size=14,
)


@given(SPEECH, st.sampled_from(["", " ", "  ", ",", ", ", "-"]))
def test_what_was_masked_stays_as_it_is(words: list[str], between: str) -> None:
    once = mask(between.join(words))
    assert mask(once) == once


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    once = mask(text)
    assert mask(once) == once


@given(st.text("0123456789", min_size=7, max_size=30), st.sampled_from(["", " ", "-", ".", " - "]), st.text("abc ,;:"))
def test_seven_digits_in_a_row_never_stay(digits: str, between: str, around: str) -> None:
    # A row that is written as a date or a sum is one; those have their own tests.
    shown = mask(f"{around} x{digits}x {around}")
    assert not any(character.isdigit() for character in shown)
    if between in ("", " ") and len(set(digits)) > 1:
        shown = mask(f"{around} {between.join(digits)} {around}")
        assert not any(character.isdigit() for character in shown)


@given(
    st.lists(st.sampled_from("zero one two three four five six seven eight nine".split()), min_size=7, max_size=25),
    st.sampled_from([" ", ", ", ". ", " then ", ", and then ", " okay, um, ", ". Okay. "]),
)
def test_seven_spoken_digits_never_stay(words: list[str], between: str) -> None:
    assert mask(f"it is {between.join(words)} ok") in (f"it is {kind} ok" for kind in (PHONE, CARD, NUMBER))


@pytest.mark.parametrize(
    "piece",
    [
        *("1 ", "a", "a@", "a@a.", "one ", "at a ", "1,", "1.1", "at a dot ", "a dot ", "$1,111", "x.com at ", "10:"),
        *("twenty ", "double ", "((", "+1(", "a b ", "2024-01-", "1/1/", "at a b c ", "a.a.", "@", "12, ", "\n", "é1"),
        *("pin um ", "cvv it's 123 ", "security code ", "pin" + " " * 9, "pin 123, "),
        *("415 and ", "415, then ", "1 then ", "one okay, and then ", "415 555 and "),
    ],
)
def test_a_long_text_takes_no_more_than_its_length(piece: str) -> None:
    def best_s(times: int) -> float:
        text = piece * times
        found = []
        for _ in range(3):
            begun = time.thread_time()  # of the processor: other tests may run beside
            mask(text)
            found.append(time.thread_time() - begun)
        return min(found)

    few, many = best_s(2_000), best_s(16_000)
    assert many < 40 * few + 0.01, "eight times the text took more than forty times the time"


def test_a_hostile_text_masks_in_time() -> None:
    text = "a" * 100_000 + "@" + "1" * 100_000 + " at " + "dot " * 50_000 + "com"
    assert EMAIL not in mask("a" * 1000)
    begun = time.thread_time()
    mask(text)
    assert time.thread_time() - begun < 5


_PIECES = st.sampled_from(
    [
        *(
            "one ",
            "two",
            "double ",
            "oh ",
            "Twenty-",
            "a",
            "the ",
            "dollars",
            " ",
            "  ",
            ", ",
            "-",
            ":",
            "%",
            "€",
            "$",
            "\n",
        ),
        *("5", "55", "415", "1,234", "$12.50", "12:30", "2024-05-06", "0.5", "1,234,567,890.12", "1" * 70, "1" * 300),
    ]
)


@given(st.lists(_PIECES, max_size=150).map("".join), st.integers(65, 300))
def test_a_text_is_searched_window_by_window_as_it_would_be_at_once(text: str, window: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masking, "WINDOW", window)
        found = [_shown(one) for one in masking._parts(text)]
    assert found == [_shown(one) for one in masking._PARTS.finditer(text)]


def _shown(found: re.Match[str]) -> tuple[object, ...]:
    return found.span(), found["stays"], found["digits"], found["word"]


def test_other_threads_go_on_while_a_long_text_is_masked() -> None:
    """The transcript of hours comes in one piece, with a webhook, and calls are answered meanwhile."""
    text = "the caller says hello and asks whether her order has been shipped. " * 40_000
    beats = 0
    over = threading.Event()

    def beat() -> None:
        nonlocal beats
        while not over.wait(0.001):
            beats += 1

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        before = beats
        assert mask(text) == text
        assert beats - before > 20
    finally:
        over.set()
        thread.join()

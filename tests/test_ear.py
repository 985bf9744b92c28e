"""What reaches the voice of a text that was written for the eye, however it comes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from retell_ws.ear import MAX_HELD, Ear


def heard(*pieces: str, link: str = "the link", said: str = "") -> str:
    """All that is said of a text that came in these pieces."""
    ear = Ear(link, said)
    return "".join([ear.feed(piece) for piece in pieces]) + ear.close()


def check(text: str, said: str) -> None:
    """The text is said so, whole and character by character."""
    assert heard(text) == said
    assert heard(*text) == said


# ---------------------------------------------------------------------------- prose


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sure.",
        " Sure. Which day?",
        "It costs $90 - or €80 - a night, i.e. 5% off (from 9:30).",
        "2 - 1 - 3",
        "Well... yes, well… no!",
        "She said “yes” and 'no', don't you?",
        "Is x < y, and y > z? I <3 it <- here.",
        "You pay 2 * 3 = 6, or 2*3, or ~5 each.",
        "Press * or #. Then press *.",
        "Press * then (*) or '*'.",
        "Room #12 in C#, and snake_case or a__b.",
        "Mail me@www.example.com, a_b@x.org or first.last_@x.org.",
        "Visit example.com or shop.www.example.",
        "What? How? Who? Why, what the h",
        "A ftp://x.example file, and http:// is no address, nor www. alone.",
        "Bonjour ! Ça va ?",
        "Bonjour !",
        "© ® ™ ° € £ 5 ℃ → − §",
        "می‌خواهم بروم",
        "क्‍ष और नमस्ते।",
        "你好。有房间吗？",
        "\ud800 alone",
        "a <b and c> d",
        "a <!- b",
    ],
)
def test_prose_is_said_as_it_is(text: str) -> None:
    check(text, text)
    ear = Ear()
    ear.feed(text)
    ear.close()
    assert not ear.removed


words = st.text(alphabet="abcdefgijkßéж你9.,;:?'\"()€-", min_size=1, max_size=8)
prose = st.lists(words, max_size=20).map(lambda said: " ".join(["Sure", *said]))


@given(prose, st.lists(st.integers(1, 9), min_size=1, max_size=200))
def test_no_piece_of_prose_waits(text: str, sizes: list[int]) -> None:
    ear = Ear()
    for piece in cut(text, sizes):
        assert ear.feed(piece) == piece
        assert ear.held == 0
    assert ear.close() == ""


@pytest.mark.parametrize("piece", ["with", " now", " show", "th", " ahead", " wow", "Great!", " the", ", who"])
def test_a_word_waits_for_nothing_but_the_beginning_of_an_address(piece: str) -> None:
    ear = Ear()
    assert ear.feed("Sure") + ear.feed(piece) == "Sure" + piece


@pytest.mark.parametrize(
    ("before", "tail"),
    [
        ("See", " h"),
        ("See", " htt"),
        ("See", " HTTPS:/"),
        ("See", " www"),
        ("See ", "!"),
        ("See", "*"),
        ("See", "_"),
        ("See", "`"),
        ("See", "~"),
        ("See", " ["),
        ("See", " {"),
        ("See", " <"),
        ("See [it", "]"),
        ("See.\n", "1"),
        ("See.\n", "-"),
        ("See.\n", "#"),
        ("See.\n", "| --"),
        ("See.", "\r"),
    ],
)
def test_only_the_tail_that_may_begin_something_waits(before: str, tail: str) -> None:
    ear = Ear()
    ear.feed(before)
    assert ear.feed(tail).strip() == ""
    assert 0 < ear.held <= len(tail)


def test_spaces_are_single() -> None:
    check("So  many   spaces\tand\t tabs ", "So many spaces and tabs ")
    assert heard("So ", " many", " ", " words") == "So many words"


def test_the_space_a_text_begins_with_is_kept_for_what_was_said_before_it() -> None:
    check("  Sure.", " Sure.")
    check("\n\nSure.", "Sure.")


# ---------------------------------------------------------------------------- marks inside a line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It is *very* **good**, ***really***.", "It is very good, really."),
        ("It is _very_ __good__ and ___so___.", "It is very good and so."),
        ("*Great.*\n**Fine?** Yes", "Great. Fine? Yes"),
        ('*"Yes," she said*', '"Yes," she said'),
        ("a ** bold ** b", "a bold b"),
        ("~~No~~ yes", "No yes"),
        ("Say `code` and ``more``.", "Say code and more."),
        ("*_`~~", ""),
        ("Fill in ________ here", "Fill in here"),
        ("Use _private or file_.", "Use private or file."),
        ("The __init__ file", "The init file"),
        ("un*frigging*real", "unfriggingreal"),
        ("*, well", "well"),
        ("one *, two", "one *, two"),
        ("one ~~, two", "one - two"),
        ("one. ~~, two", "one. two"),
        ("## and ### are headings", "and are headings"),
        ("Mon | Tue • Wed|Thu", "Mon - Tue - Wed, Thu"),
        ("Hi {name}, {{room}} [maybe] {}", "Hi name, room maybe "),
        ('{"quoted"} words', '"quoted" words'),
    ],
)
def test_marks_are_dropped_and_their_text_is_kept(text: str, said: str) -> None:
    check(text, said)


@pytest.mark.parametrize(
    "text",
    [
        "Dial *67.",
        "*67 hides your number",
        "Press *1 or *2, or (*3).",
        "Dial *21*5551234#, then hang up.",
        "To see it dial *#06#",
        "Dial *9 now, and then tell me what it is that you hear 2*3 times.",
    ],
)
def test_the_star_of_a_code_is_said(text: str) -> None:
    check(text, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("The *5* rooms, the *5 rooms* or *10:30 at night*.", "The 5 rooms, the 5 rooms or 10:30 at night."),
        ("Dial *9* or *#*.", "Dial 9 or #."),
        ("**5** and **5 rooms** and ***5***", "5 and 5 rooms and 5"),
        ("**Dial** *67 *now*.\n*Bye*", "Dial *67 now. Bye"),
        ("Dial *67\nThe *end*", "Dial *67, The end"),
        ("x*5 rooms, *5x", "x5 rooms, 5x"),
        ("Press *1️⃣ or *#️⃣", "Press 1 or "),
        (f"Dial *{'1' * 33} now", f"Dial {'1' * 33} now"),
    ],
)
def test_a_star_before_a_number_that_another_one_closes_is_for_the_eye(text: str, said: str) -> None:
    check(text, said)


def test_a_code_waits_no_longer_than_emphasis_may_last() -> None:
    ear = Ear()
    assert ear.feed("Dial *67 and then") == "Dial "
    assert ear.feed(" the number of your friend.") == "*67 and then the number of your friend."
    assert ear.held == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```python\nx = 1\n```\nDone.", "Done."),
        ("Look:\n```\nx = `1`\n```\nDone.", "Look: Done."),
        ("Look\n~~~~\nx = 1\n~~~~\nDone.", "Look. Done."),
        ("Look ```x``` here", "Look here"),
        ("Look```x```here", "Look here"),
        ("Look: ````x````, yes", "Look: yes"),
        ("Look: ```x = 1", "Look: "),
        ("Look: ```" + "x" * 1000 + "``` done", "Look: done"),
    ],
)
def test_a_code_block_is_dropped_with_its_code(text: str, said: str) -> None:
    check(text, said)


# ---------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# Rooms\nTwo are free", "Rooms. Two are free"),
        ("Here\n## Rooms ##\nTwo", "Here. Rooms - Two"),
        ("#1 choice\n#hash", "#1 choice, #hash"),
        ("Rooms\n=====\nTwo", "Rooms. Two"),
        ("One\n---\nTwo\n***\nThree\n___\nFour\n* * *\n- - -\nFive", "One. Two. Three. Four. Five"),
        ("- one\n- two\n* three\n+ four\n• five\n– six\n•seven", "one, two, three, four, five, six, seven"),
        ("Free:\n  - one,\n    - two.\n", "Free: one, two. "),
        ("- [ ] one\n- [x] two\n- [x](y)", "one, two, x"),
        ("1️⃣ one\n2️⃣ two", "one, two"),
        ("- one\n- two\n\nGood", "one, two. Good"),
        ("One  \n- two", "One - two"),
        ("One.  \n- two", "One. two"),
        ("Deluxe (sea)\nBasic", "Deluxe (sea), Basic"),
        ('"Yes."\nNo', '"Yes." No'),
        ("One\ntwo\n\nthree\r\nfour\r\n\r\nfive\rsix", "One, two. three, four. five, six"),
        ("One,\ntwo:\n\nthree - \nfour。\n五", "One, two: three - four。 五"),
        ("One\n, two", "One, two"),
        ("One\n... two", "One... two"),
        ("> One\n>> two", "One, two"),
        ("-5 degrees\n--help", "-5 degrees, --help"),
        ("1.5 percent\n1.", "1.5 percent, 1."),
        ("12345 is it", "12345 is it"),
        ('"\nOne', '"One'),
    ],
)
def test_a_line_break_becomes_a_pause(text: str, said: str) -> None:
    check(text, said)


@pytest.mark.parametrize("text", ["2. Shall I book them?", "10. Shall I?", "3) Yes", "1. Mai wäre frei."])
def test_a_number_that_a_text_begins_with_is_said(text: str) -> None:
    check(text, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Free:\n1. one\n2) two\n  3. three", "Free: one, two, three"),
        ("Free:\n1. one\n   - small\n2. two\n\nOr:\n1. ten\n1. eleven", "Free: one, small, two. Or: ten, eleven"),
        ("Press:\n1️⃣ now\n2️⃣ then\n9️⃣ last", "Press: now, then, 9 last"),
    ],
)
def test_numbers_that_count_on_from_one_are_a_list_s(text: str, said: str) -> None:
    check(text, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Termine:\n\n- 3. Mai um 10 Uhr\n- 5. Mai um 11 Uhr", "Termine: 3. Mai um 10 Uhr, 5. Mai um 11 Uhr"),
        ("Frei sind:\n3. Mai\n5. Mai", "Frei sind: 3. Mai, 5. Mai"),
        ("Your options:\n- 1. floor\n- 2. floor", "Your options: 1. floor, 2. floor"),
        ("Your number is:\n12. Thanks.", "Your number is: 12. Thanks."),
        ("Free:\n1. one\n2. two\n10. ten", "Free: one, two, 10. ten"),
        ("Free:\n1. 1. Mai\n2. 5. Mai", "Free: 1. Mai, 5. Mai"),
        ("1. one\n2. two", "1. one, 2. two"),
        ("Frei:\n31. Dezember\n1. Januar\n2. Januar", "Frei: 31. Dezember, 1. Januar, 2. Januar"),
        ("Floors:\n0. Lobby\n1. Rooms\nPress:\n1. now", "Floors: 0. Lobby, 1. Rooms, Press: now"),
    ],
)
def test_a_number_that_may_be_a_day_or_a_floor_is_said(text: str, said: str) -> None:
    check(text, said)


@pytest.mark.parametrize(
    ("before", "text", "said"),
    [
        ("Frei ist nur der", " 1. Mai.", " 1. Mai."),
        ("The range is 5", " - 6 pm", " - 6 pm"),
        ("The range is 5 ", " - 6 pm", "- 6 pm"),
        ("Press", " # to confirm", " # to confirm"),
        ('He said "', "- well, no", "- well, no"),
        ("Your options", "\n- one\n- two", ", one, two"),
        ("Your options", "\n1. one\n2. two", ", one, two"),
        ("See", "https://x.example now", " the link now"),
    ],
)
def test_a_text_that_goes_on_in_the_middle_of_a_sentence_begins_no_line(before: str, text: str, said: str) -> None:
    assert heard(text, said=before) == said
    assert heard(*text, said=before) == said


@pytest.mark.parametrize("before", ["", " ", "Sure. ", "Sure!", 'He said "yes."', "Free:", "好。"])
def test_a_text_that_goes_on_behind_a_sentence_begins_a_line(before: str) -> None:
    assert heard("- one\n- two", said=before) == "one, two"


def test_a_finished_line_does_not_wait_for_the_next() -> None:
    ear = Ear()
    assert ear.feed("Sure.\n") == "Sure. "
    assert ear.feed("\n") == ""
    assert ear.feed("Which") == "Which"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("| a | b |\n|---|:-:|\n| 1 | 2 |\n|3|4|\nDone", "a, b. 1, 2. 3, 4. Done"),
        ("Prices:\n| a | b |\n| - | -- |\n| x. | -5 |", "Prices: a, b. x. -5"),
        ("| a 🎉, b |  | c d |", "a, b, c d"),
        ("| a.<br>b |", "a. b"),
        ("| x :) | --x |", "x :) --x"),
        ("| " + "-" * 300, "-" * 300),
    ],
)
def test_a_row_of_a_table_is_read_cell_by_cell(text: str, said: str) -> None:
    check(text, said)


@pytest.mark.parametrize(
    ("first", "then", "said"),
    [
        ("The range is 5", " - 6 pm", " - 6 pm"),
        ('She said "**yes**', " # or no", " # or no"),
        ("Let me look.", "- one", "one"),
        ("Your options\n", "- one", "one"),
        ("🎉", "- one", "one"),
    ],
)
def test_an_ear_follows_another_where_that_one_ended(first: str, then: str, said: str) -> None:
    ear = Ear("our page")
    ear.feed(first)
    ear.close()
    following = ear.next()
    assert following.feed(then) + following.close() == said
    following = following.next()
    assert following.feed(" and www.x.example") + following.close() == " and our page"


# ---------------------------------------------------------------------------- links


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See [our page](https://x.example/a?b=c) now", "See our page now"),
        ('See [our page](</a> "A title") now', "See our page now"),
        ("See [a page](https://x.example/a_(b)) now", "See a page now"),
        ("See ![a cat](cat.png), ![a dog](dog.png 'Dog')", "See a cat, a dog"),
        ("![a cat](cat.png)", "a cat"),
        ("[![a cat](cat.png)](https://x.example)", "a cat"),
        ("[see](below for more)", "see(below for more)"),
        ("[see] (below)", "see (below)"),
        ("See [our page](https://x.exa", "See our page"),
        (f"See [it](/{'a' * MAX_HELD}) now", f"See it(/{'a' * MAX_HELD}) now"),
        ("See https://x.example/a.b?c=(d), or www.x.example.", "See the link, or the link."),
        ("See https://x.example/a_(b)/c.", "See the link."),
        ("(see HTTP://X.EXAMPLE)", "(see the link)"),
        ("**https://x.example** and <https://x.example> and <www.x.example>.", "the link and the link and the link."),
        ("See:https://x.example…", "See: the link…"),
        ("See https://x.example/" + "." * 50 + " now", "See the link.. now"),
        ("看https://x.example。", "看 the link。"),
        ("See https://x.example", "See the link"),
        ("See https://x.example?!", "See the link?!"),
        ("Http is old, hTTp too, www", "Http is old, hTTp too, www"),
    ],
)
def test_an_address_is_never_spelled_out(text: str, said: str) -> None:
    check(text, said)


def test_the_phrase_for_a_link_is_the_caller_s_choice() -> None:
    assert heard("See https://x.example now", link="our page") == "See our page now"
    assert heard("See https://x.example now", link="") == "See now"


# ---------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<b>Very</b> H<sub>2</sub>O <a href='x' title=\"y\" id=z>good</a>", "Very H2O good"),
        ("One<br>two<br/>three</p><p>four", "One, two, three. four"),
        ("One.<br>two", "One. two"),
        ("<p>One</p>", "One"),
        ("A <!-- not this --> word <!-- nor this", "A word "),
        ("a <b", "a <b"),
        (f"a <b{' ' * MAX_HELD}> c", "a <b > c"),
    ],
)
def test_tags_are_dropped_and_their_text_is_kept(text: str, said: str) -> None:
    check(text, said)


# ---------------------------------------------------------------------------- emoji

EMOJI = [
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "☀", "✅", "⭐", "⌚", "▶️", "⬛", "↔️", "〰️", "㊗️", "ℹ️", "Ⓜ️", "🅰️",
    "🀄", "🫠", "🧑🏿‍🤝‍🧑🏻", "❤️‍🔥", "🛜", "♀️", "#️⃣", "*️⃣", "‼️",
]  # fmt: skip


@pytest.mark.parametrize("emoji", EMOJI)
def test_emoji_are_dropped_and_words_do_not_run_together(emoji: str) -> None:
    check(f"Good {emoji} day", "Good day")
    check(f"Good {emoji}{emoji} day", "Good day")
    check(f"Good{emoji}. Day", "Good. Day")
    check(f"Good {emoji}, day", "Good - day")
    check(f"Good. {emoji}\nDay", "Good. Day")
    if emoji[0] not in "#*":
        check(f"Good{emoji}day", "Good day")


def test_the_digit_of_a_key_is_said() -> None:
    check("Press 3️⃣ now", "Press 3 now")
    check("©️ 2030", "© 2030")


# ---------------------------------------------------------------------------- leaks


@pytest.mark.parametrize(
    "leak",
    [
        '{"day": "Tuesday"}',
        '{ "day" : "Tuesday", "at": {"hour": 9, "names": ["a", "}"]} }',
        '{\n  "day": "Tues\\"day}",\n  "rooms": []\n}',
        "{'day': \"Tues'day\", 'at': '}'}",
        """{"day": 'Tuesday', \\"at\\": 9}""",
        '[{"name": "a"}, {"name": "b\'"}]',
        '[\n  {"name": "a"}\n]',
        '{"text": "' + "x" * 5000 + '"}',
        "<function_calls><invoke name='x'><parameter name=\"y\">z</parameter></invoke></function_calls>",
        '<invoke name="book">\n<parameter name="day">Tuesday</parameter>\n</invoke>',
        "<tool_use>{}</tool_use>",
        "<tool_call>x</tool_call >",
        "<xml:tool_call>x</xml:tool_call>",
        "<invoke name='x'> x < y </invoke>",
        "<Thinking>He wants a room.</THINKING>",
        "<thinking>" + "x" * 5000 + "</thinking>",
        "<parameter broken>x</parameter>",
        "<invoke/>",
        "</invoke>",
        "</function_calls>",
    ],
)
def test_a_leak_is_dropped_whole(leak: str) -> None:
    check(f"Sure. {leak} Done.", "Sure. Done.")
    check(f"Sure.{leak}Done.", "Sure. Done.")
    check(f"Sure\n{leak}\nDone.", "Sure. Done.")
    ear = Ear()
    ear.feed(leak)
    assert ear.removed["leak"] == 1


@pytest.mark.parametrize(
    "leak",
    [
        '{"day": "Tuesday", "at": {}',
        '{"day": "Tue\\',
        '{"day',
        '[{ "day"',
        "{'",
        "<invoke",
        "<invoke name='bo",
        "<function_calls>\n<invoke name='x'>",
        "<thinking>He wants",
    ],
)
def test_a_leak_that_never_ends_is_dropped_to_the_end(leak: str) -> None:
    check(f"Sure. {leak}", "Sure. ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Use {", "Use "),
        ("Use [ {", "Use "),
        ("Use [1, 2] and {a: b}", "Use 1, 2 and a: b"),
        ("Use { " + "word " * 2000, "Use " + "word " * 2000),
        ("Use [" + " " * MAX_HELD + '{"a": 1} x', "Use x"),
        ('Use {"' + "a" * 65 + '": 1}', 'Use "' + "a" * 65 + '": 1'),
        ("<invoked> and <rethinking>", "and "),
        ("<thinking=x", "<thinking=x"),
    ],
)
def test_what_is_no_leak_loses_its_marks_only(text: str, said: str) -> None:
    check(text, said)


# ---------------------------------------------------------------------------- what was removed


def test_what_was_removed_is_counted_by_kind() -> None:
    ear = Ear()
    ear.feed('**Hi** 🎉🎉 https://x.example {"a": 1} ok')
    ear.close()
    assert ear.removed == {"markup": 2, "emoji": 1, "link": 1, "leak": 1}


# ---------------------------------------------------------------------------- any text in any pieces

NASTY = [
    *"*_`~#-+=|[](){}<>/!\"':,.\\\n\r\t \u200d\ufe0f\u20e3•–©😀🇩aWhtwé你ك1290\ud800",
    "  ", "Hello", " world", "http", "https://x", "www.a", "```", "~~~", "---", "1. ", "- ", "](", "<br>", "<b", "|--",
    "<invoke ", "</invoke>", "<", "thinking>", "</", "<!--", "-->", '{"a":', '[{"b":', '"}', 'x="y"', "_(", "). ",
]  # fmt: skip
nasty = st.lists(st.sampled_from(NASTY), max_size=24).map("".join) | st.text(max_size=30)


def cut(text: str, sizes: list[int]) -> list[str]:
    """Cut a text into pieces of these sizes, over and over."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(text[at : at + size])
        at += size
    return pieces


@given(nasty, st.lists(st.integers(1, 7), min_size=1, max_size=12), st.sampled_from(["", "Sure", "The 5 "]))
@example("http://</b>www.a", [1], "")
@example("|--•,a", [1], "")
@example("a_" + "_" * 9 + "b", [2], "")
@example("x" * 300 + "](" + "y" * 300, [7], "")
@example("<5x:thinking>no", [1], "")
@example("*1 0123456789 0123456789 0123456789 a*", [1], "")
@example("*1 0123456789 0123456789 0123456*", [2], "")
@example("*" + "1" * 40 + " ", [3], "")
def test_what_is_said_depends_on_the_text_alone(text: str, sizes: list[int], said_before: str) -> None:
    whole, ear = Ear(said=said_before), Ear(said=said_before)
    said = whole.feed(text) + whole.close()
    pieces = ""
    for piece in cut(text, sizes):
        pieces += ear.feed(piece)
        assert ear.held <= MAX_HELD
        assert ear.feed("") == ""
    assert pieces + ear.close() == said
    assert ear.removed == whole.removed
    assert ear.held == 0


@given(nasty)
def test_nothing_for_the_eye_is_left(text: str) -> None:
    said = heard(text)
    assert "  " not in said
    assert "\n" not in said and "\r" not in said and "\t" not in said
    assert not re.search("[`{}\\[\\]|•\ufe0f\u20e3\U0001f000-\U0001faff]", said)
    assert "**" not in said
    if not re.search(r"\s,", text):
        assert " ," not in said


@given(st.lists(st.sampled_from(["Sure", " yes", ".", "\n", "- ", "**", " 🎉", ", no"]), max_size=12).map("".join))
def test_no_word_is_lost_to_marks(text: str) -> None:
    assert re.findall("[a-zA-Z]+", heard(text)) == re.findall("[a-zA-Z]+", text.replace("*", "").replace("🎉", " "))


def cost_s(text: str, size: int) -> float:
    """CPU time an ear takes for a text that comes in pieces of this size."""
    pieces = cut(text, [size])
    begun = time.process_time()
    heard(*pieces)
    return time.process_time() - begun


@pytest.mark.parametrize(
    "unit",
    [
        "*",
        "*1",
        "*1 ",
        "[",
        "{",
        "<",
        "#",
        "1",
        "\n",
        "_",
        "`",
        "~",
        "|",
        "!",
        "h",
        "\r",
        "-",
        "😀",
        " ",
        "](",
        "<a b=c ",
        '{"',
        "</",
    ],
)
def test_time_grows_with_the_text_and_no_faster(unit: str) -> None:
    # Four times the text takes four times the time; were the tail scanned again and again it would be sixteen.
    text = unit * (100_000 // len(unit))
    assert cost_s(text, len(text)) < 8 * cost_s(text[:25_000], 25_000) + 0.1
    short, long = text[:5_000], text[:20_000]
    assert cost_s(long, 1) < 8 * cost_s(short, 1) + 0.1

"""Speech begins with a sentence, goes word by word, and loses what was not spoken when it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retell_ws.testing.acceptance import Exchange
from retell_ws.testing.mouth import Mouth


def _exchange(*pieces: str, complete: bool = False) -> Exchange:
    return Exchange(1, 0.0, pieces=list(pieces), completed_at=1.0 if complete else None)


def _words(mouth: Mouth) -> list[str]:
    words = []
    while (word := mouth.take()) is not None:
        words.append(word)
    return words


def test_nothing_is_spoken_before_the_first_sentence() -> None:
    exchange, mouth = _exchange("Well, let me "), Mouth()
    mouth.say(exchange)
    assert mouth.take() is None and not mouth.is_speaking
    exchange.pieces.append("see. And ")
    assert _words(mouth) == ["Well, ", "let ", "me ", "see. ", "And "]
    assert mouth.is_speaking


def test_the_last_word_waits_until_it_is_certain() -> None:
    exchange, mouth = _exchange("Yes. Tues"), Mouth()
    mouth.say(exchange)
    assert _words(mouth) == ["Yes. "]
    exchange.pieces.append("day")
    exchange.completed_at = 2.0
    assert _words(mouth) == ["Tuesday"]
    assert mouth.is_done and not mouth.is_speaking


def test_a_completed_answer_without_a_full_stop_is_spoken() -> None:
    mouth = Mouth()
    mouth.say(_exchange("Ten", complete=True))
    assert _words(mouth) == ["Ten"]


def test_a_silent_answer_is_done_at_once() -> None:
    mouth = Mouth()
    assert not mouth.is_done
    mouth.say(_exchange("", complete=True))
    assert mouth.is_done and mouth.take() is None


def test_cutting_drops_what_was_not_spoken() -> None:
    mouth = Mouth()
    mouth.say(_exchange("Bye now. ", complete=True))
    assert mouth.take() == "Bye "
    mouth.cut()
    assert mouth.take() is None and not mouth.is_done and mouth.take_all() == ""


@given(st.lists(st.text(alphabet="ab .\n", max_size=6)), st.booleans())
def test_words_add_up_to_the_text(pieces: list[str], at_once: bool) -> None:
    mouth = Mouth()
    mouth.say(_exchange(*pieces, complete=True))
    spoken = mouth.take_all() if at_once else "".join(_words(mouth))
    assert spoken == "".join(pieces)
    assert mouth.is_done

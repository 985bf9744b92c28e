"""Voices by id and by name, and what is said when there is none like that."""

from __future__ import annotations

import pytest

from retell_ws.errors import UsageError
from retell_ws.registration.voices import examples, voice_id_of
from retell_ws.testing.fake_retell_agents import VOICES


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("retell-Cimo", "retell-Cimo"),
        ("RETELL-cimo", "retell-Cimo"),
        ("cimo", "retell-Cimo"),
        ("Alloy", "openai-Alloy"),
    ],
)
def test_a_voice_is_found(wanted: str, found: str) -> None:
    assert voice_id_of(wanted, VOICES) == found


def test_an_id_goes_before_a_name() -> None:
    voices = [{"voice_id": "a", "voice_name": "b"}, {"voice_id": "b", "voice_name": "c"}]
    assert voice_id_of("b", voices) == "b"


def test_a_name_of_several_is_refused_with_all_of_them() -> None:
    with pytest.raises(UsageError, match="11labs-Anna, cartesia-Anna: say which"):
        voice_id_of("anna", VOICES)


def test_one_that_is_not_there_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match="no voice 'retell-Cima'; the closest are retell-Cimo"):
        voice_id_of("retell-Cima", VOICES)
    with pytest.raises(UsageError, match="no voice 'zzzzzzz'; some are retell-Cimo"):
        voice_id_of("zzzzzzz", VOICES)


def test_voices_that_need_no_llm_are_no_examples() -> None:
    assert "xai-Ara" not in examples(VOICES[-2:]) and "openai-Alloy" in examples(VOICES[-2:])

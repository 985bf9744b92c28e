"""What can be a key."""

from __future__ import annotations

import pytest

from retell_ws.api_key import is_key


@pytest.mark.parametrize("text", ["key_0123456789abcdef", "sk-ant-api03-Ab_c-9", "a.b+c/d="])
def test_a_key_is_one_word_of_plain_characters(text: str) -> None:
    assert is_key(text)


@pytest.mark.parametrize("text", ["key_1 ", "key 1", "key_1\n", "key\t1", "kéy_1", "“key_1”", "key_1\x7f"])
def test_what_was_copied_along_with_it_is_noticed(text: str) -> None:
    assert not is_key(text)

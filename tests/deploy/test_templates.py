from __future__ import annotations

import pytest

from retell_ws.deploy.templates import fill, read


def test_a_name_is_replaced_and_what_replaces_it_is_no_template() -> None:
    assert fill("a @x@ @y@@x@\n", {"x": "@y@", "y": "1"}, {}) == "a @y@ 1@y@\n"


def test_a_block_is_there_with_its_part_alone() -> None:
    text = "0\n  @if a\n1\n@unless b\n2\n@end\n@end\n@unless a\n3\n@if b\n4\n@end\n@end\n5\n"
    assert fill(text, {}, {"a": True, "b": True}) == "0\n1\n5\n"
    assert fill(text, {}, {"a": True, "b": False}) == "0\n1\n2\n5\n"
    assert fill(text, {}, {"a": False, "b": True}) == "0\n3\n4\n5\n"
    assert fill(text, {}, {"a": False, "b": False}) == "0\n3\n5\n"


def test_a_name_or_a_part_that_nobody_gave_is_no_silent_gap() -> None:
    with pytest.raises(KeyError):
        fill("@x@", {}, {})
    with pytest.raises(KeyError):
        fill("@if x\n@end\n", {}, {})


def test_a_line_that_only_begins_like_a_block_is_a_line() -> None:
    assert fill("@if\n@if a b\n@other x\n", {}, {}) == "@if\n@if a b\n@other x\n"


def test_templates_are_read_from_the_package() -> None:
    assert read("nginx.conf").startswith("# nginx")

"""What fuzz targets are fed with: right inputs that somebody has had their hands on. And how many of them."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import settings
from hypothesis import strategies as st

__all__ = ["FUZZ", "cut", "mutated", "mutated_text", "pieces"]

FUZZ = settings(max_examples=2 * settings().max_examples)
"""Of each target: about a second of them. `HYPOTHESIS_PROFILE=thorough` tries thousands, `long` a million, both anew
each time; a failure that they find becomes an `@example`, or a test beside the module."""

ODD = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"-1", b"1e400", b"NaN", b"0x1"),
    *(b"9" * 400, b"-9223372036854775809", b"1.7976931348623157e309", b'"' * 3, b"''", b"[" * 2000, b'{"a":' * 2000),
    *(b"\\ud83d", b"\\udc00", b"\\u0000", b"\\\\ud83d", b"\\ud83d\\ude00", b"\\uD83D\\u0041", b"\\", b"\\u", b"\\ud8"),
    *(b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbf", b"\x00", b"\x1b[31m", b"\xe2\x80\xa8"),
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"data:", b"event:", b"id:", b": ", b"=", b"#", b"'''", b"[[rule]]", b"\t"),
)
"""What readers trip over: ends of things, numbers that do not fit, halves of pairs, bytes that are no text."""


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Take a right input, and put, drop, double, swap or splice pieces of it a few times."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        put = draw(st.sampled_from(ODD) | st.binary(max_size=4))
        match draw(st.sampled_from(("put", "replace", "drop", "double", "end", "splice"))):
            case "put":
                data = data[:start] + put + data[start:]
            case "replace":
                data = data[:start] + put + data[end:]
            case "drop":
                data = data[:start] + data[end:]
            case "double":
                data = data[:end] + data[start:]
            case "end":
                data = data[:start]
            case _:
                other = draw(st.sampled_from(seeds))
                data = data[:start] + other[draw(st.integers(0, len(other))) :]
    return data


def mutated_text(seeds: Sequence[str]) -> st.SearchStrategy[str]:
    """Do the same to texts."""
    return mutated([seed.encode() for seed in seeds]).map(lambda data: data.decode("utf-8", "replace"))


def pieces() -> st.SearchStrategy[list[int]]:
    """Say where a stream is cut: the lengths of its pieces, again and again until it is over."""
    return st.lists(st.integers(1, 40), min_size=1, max_size=12)


def cut(data: bytes, lengths: Sequence[int]) -> list[bytes]:
    """Cut it there."""
    found: list[bytes] = []
    while data:
        length = lengths[len(found) % len(lengths)]
        found.append(data[:length])
        data = data[length:]
    return found

"""Entries of every kind, made from the types of their fields: any for Hypothesis, and filled ones to be kept."""

from __future__ import annotations

from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from retell_ws.entries import KINDS, Entry, UnknownFact

__all__ = ["any_entry", "choices", "filled", "json_values"]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=4)

_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(max_size=20),
    NoneType: st.none(),
    Any: json_values,
}

_FILLED: dict[Any, Any] = {
    bool: True,
    int: 7,
    float: 1.25,
    str: "word",
    Any: {"nested": [1, 0.5, "text", True, None]},
}


def _parts(kind: Any) -> tuple[str, tuple[Any, ...]]:
    """Tell what a type is made of: `one` of several values, one `of` several types, a `list`, an `object`."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one", inner
    if origin is tuple:
        return "list", inner[:1]
    if origin is dict:
        return "object", inner
    if inner:
        return "of", inner
    return ("struct", (kind,)) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ("plain", (kind,))


def _any(kind: Any) -> st.SearchStrategy[Any]:
    match _parts(kind):
        case "one", values:
            return st.sampled_from(values)
        case "of", kinds:
            return st.one_of([_any(one) for one in kinds])
        case "list", (one,):
            return st.lists(_any(one), max_size=3).map(tuple)
        case "object", _:
            return _objects
        case "struct", (struct,):
            return st.builds(struct, **{name: _any(hint) for name, hint in get_type_hints(struct).items()})
        case _, (plain,):
            return _PLAIN[plain]
    raise AssertionError(f"no values of {kind}")


def any_entry(kind: str) -> st.SearchStrategy[Entry]:
    """Make entries with any fact of a kind; of a kind nobody knows when there is none of the name."""
    made = KINDS.get(kind)
    unknown = _objects.map(lambda fields: UnknownFact(kind, {**fields, "fact": kind}))
    return st.builds(
        Entry,
        id=st.text(max_size=20),
        call_id=st.text(max_size=20),
        epoch=st.integers(0, 2**53),
        seq=st.integers(0, 2**53),
        at=st.floats(0, 4e9),
        server=st.text(max_size=10),
        fact=unknown if made is None else _any(made),
    )


def choices(kind: type[msgspec.Struct]) -> int:
    """Count the entries it takes to show every value that a field of this kind may have by name."""
    return max((len(inner) for what, inner in map(_parts, get_type_hints(kind).values()) if what == "one"), default=1)


def _example(kind: Any, number: int) -> Any:
    match _parts(kind):
        case "one", values:
            return values[number % len(values)]
        case "of", kinds:
            return _example(next(one for one in kinds if one is not NoneType), number)
        case "list", (one,):
            return (_example(one, number),)
        case "object", (_, value):
            return {"field": _example(value, number)}
        case "struct", (struct,):
            return struct(**{name: _example(hint, number) for name, hint in get_type_hints(struct).items()})
        case _, (plain,):
            return _FILLED[plain]
    raise AssertionError(f"no example of {kind}")


def filled(kind: type[msgspec.Struct], number: int = 0) -> Entry:
    """Make an entry of a fact of which every field says something other than its default."""
    return Entry(
        id=f"{kind.__struct_config__.tag}-{number}",
        call_id="call_1",
        epoch=1_790_000_000_000_000,
        seq=number + 1,
        at=1_790_000_000.25,
        server="server-1",
        fact=_example(kind, number),
    )

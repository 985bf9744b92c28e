"""What a release wrote is read by this version: fields and kinds may come, and none may go or change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from retell_ws import entries
from retell_ws.entries import KINDS, Entry, UnknownFact, decode, encode
from retell_ws.errors import WireError

from .records.write import FOLDER, lines

FILES = sorted(FOLDER.glob("*.jsonl"))

RECORDS = [
    pytest.param(line, id=f"{path.stem}-{msgspec.json.decode(line)['id']}")
    for path in FILES
    for line in path.read_bytes().splitlines()
]


def missing(old: Any, new: Any, where: str = "") -> list[str]:
    """List what stands in an old record and not, or otherwise, in a new one."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [fault for name, value in old.items() for fault in missing(value, new.get(name, ...), f"{where}.{name}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [fault for one, other in zip(old, new, strict=True) for fault in missing(one, other, f"{where}[]")]
    return [] if type(old) is type(new) and old == new else [where]


def read_anew(line: bytes) -> tuple[Entry, list[str]]:
    entry = decode(line)
    return entry, missing(msgspec.json.decode(line), msgspec.json.decode(encode(entry)))


@pytest.mark.parametrize("line", RECORDS)
def test_a_record_is_read_whole(line: bytes) -> None:
    entry, lost = read_anew(line)
    assert not isinstance(entry.fact, UnknownFact), "a kind has gone"
    assert not lost, "fields have gone, or changed"


def test_there_is_a_record_of_every_kind() -> None:
    assert FOLDER / "v1.jsonl" in FILES
    told = {msgspec.json.decode(line)["fact"]["fact"] for path in FILES for line in path.read_bytes().splitlines()}
    assert told == set(KINDS), "a new kind: python -m tests.records.write NAME.jsonl adds it"


def test_a_record_says_something_of_every_field() -> None:
    for line in lines():
        fact = msgspec.json.decode(line)["fact"]
        assert set(fact) == {"fact", *KINDS[fact["fact"]].__struct_fields__}


# ---------------------------------------------------------------------------- that they would tell


LINE = next(line for line in Path(FOLDER / "v1.jsonl").read_bytes().splitlines() if b'"fact":"tool_finished"' in line)


def as_it_would_be(monkeypatch: pytest.MonkeyPatch, *fields: Any) -> None:
    """Let the tools' fact have other fields."""
    other = msgspec.defstruct("ToolFinished", fields, tag_field="fact", tag="tool_finished")
    monkeypatch.setattr(entries, "_fact", msgspec.json.Decoder(other))


def test_a_field_more_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_would_be(monkeypatch, ("tool", str), ("outcome", str), ("duration_s", float), ("mood", str, "good"))
    assert read_anew(LINE)[1] == []


def test_a_field_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    as_it_would_be(monkeypatch, ("tool", str), ("outcome", str))
    assert read_anew(LINE)[1] == [".fact.duration_s"]


@pytest.mark.parametrize(
    "fields",
    [
        (("tool", str), ("outcome", str), ("duration_s", str)),
        (("tool", str), ("outcome", bool), ("duration_s", float)),
        (("tool", str), ("outcome", str), ("duration_s", float), ("mood", str)),
    ],
)
def test_a_field_of_another_type_is_noticed(monkeypatch: pytest.MonkeyPatch, fields: Any) -> None:
    as_it_would_be(monkeypatch, *fields)
    with pytest.raises(WireError):
        read_anew(LINE)


def test_a_number_that_is_read_as_another_is_noticed() -> None:
    assert missing({"a": [{"b": 1}]}, {"a": [{"b": 1.0}]}) == [".a[].b"]
    assert missing({"a": [1, 2]}, {"a": [1]}) == [".a"]
    assert missing({"a": 1}, {}) == [".a"]
    assert missing({"a": None}, {"a": None, "b": 1}) == []

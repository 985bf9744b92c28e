"""The AsyncAPI document: whole, valid, and true of the entries that are really written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retell_ws.__main__ import main
from retell_ws.entries import KINDS, Entry, encode
from retell_ws.schema import document

from .made_entries import any_entry, filled

SPECS = Path("node_modules/@asyncapi/specs/schemas/3.0.0.json")


@cache
def made() -> dict[str, Any]:
    return document("retell_ws.", "1.2.3")


@cache
def validator(pointer: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator({**made(), "$ref": f"#/{pointer}"})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(reference := value.get("$ref"), str):
            yield reference
        for inner in value.values():
            yield from references(inner)
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def found(reference: str) -> Any:
    place: Any = made()
    for name in reference.removeprefix("#/").split("/"):
        place = place[name]
    return place


# ---------------------------------------------------------------------------- whole


def test_the_document_says_what_it_is() -> None:
    assert made()["asyncapi"] == "3.0.0"
    assert made()["info"]["version"] == "1.2.3"
    assert set(made()) == {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    assert {channel["address"] for channel in made()["channels"].values()} == {
        "retell_ws.facts",
        "retell_ws.transcripts",
        "retell_ws.dead",
    }
    assert document("x-", "1")["channels"]["facts"]["address"] == "x-facts"


def test_whatever_is_referred_to_is_there() -> None:
    all_of_them = set(references(made()))
    assert len(all_of_them) > 2 * len(KINDS)
    for reference in all_of_them:
        assert found(reference)


def test_every_kind_has_a_message_on_one_topic() -> None:
    channels = made()["channels"]
    assert list(channels["transcripts"]["messages"]) == ["call_transcript"]
    assert list(channels["dead"]["messages"]) == ["dead"]
    assert set(channels["facts"]["messages"]) | {"call_transcript"} == set(KINDS)
    assert "call_transcript" not in channels["facts"]["messages"]
    assert set(made()["components"]["messages"]) == {*KINDS, "dead"}


def test_everything_is_described() -> None:
    schemas = made()["components"]["schemas"]
    for name, schema in schemas.items():
        assert schema["description"], name
        assert "Attributes:" not in schema["description"], name
    structs: list[type[msgspec.Struct]] = [Entry, *KINDS.values()]
    for kind in structs:
        documented = (kind.__doc__ or "").partition("Attributes:")[2]
        for field, schema in schemas[kind.__name__]["properties"].items():
            assert ("description" in schema) == (f" {field}: " in documented), (kind, field)
    for message in made()["components"]["messages"].values():
        assert message["description"]


def test_each_schema_is_one() -> None:
    for schema in made()["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)
        assert not {"prefixItems", "$defs"} & set(json.dumps(schema).split('"'))
    for message in made()["components"]["messages"].values():
        jsonschema.Draft7Validator.check_schema(message["payload"])


def test_asyncapis_own_schema_holds() -> None:
    if not SPECS.exists():
        pytest.skip("AsyncAPI's own schema is not here: npm install --no-save @asyncapi/specs")
    specification = json.loads(SPECS.read_text("utf-8"))
    jsonschema.Draft7Validator(specification).validate(made())
    assert not jsonschema.Draft7Validator(specification).is_valid({**made(), "operations": {"x": {}}})


# ---------------------------------------------------------------------------- true


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_entries_are_as_their_schema_says(kind: str, data: st.DataObject) -> None:
    entry = json.loads(encode(data.draw(any_entry(kind))))
    validator(f"components/messages/{kind}/payload").validate(entry)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_entry_of_a_kind_is_told_apart(kind: str) -> None:
    entry = json.loads(encode(filled(KINDS[kind])))
    payload = validator(f"components/messages/{kind}/payload")
    payload.validate(entry)
    payload.validate({**entry, "later": 1, "fact": {**entry["fact"], "later": 1}})
    other = "call_moved" if kind != "call_moved" else "detached"
    assert not payload.is_valid({**entry, "fact": {"fact": other}})
    for name in entry:
        assert not payload.is_valid({**entry, name: None})
        if name != "v":
            assert not payload.is_valid({field: value for field, value in entry.items() if field != name})
    for field in msgspec.structs.fields(KINDS[kind]):
        assert not payload.is_valid({**entry, "fact": {**entry["fact"], field.name: {"an": "object"}}}) or (
            kind == "webhook_received" and field.name == "call"
        )
        lacking = {name: value for name, value in entry["fact"].items() if name != field.name}
        assert payload.is_valid({**entry, "fact": lacking}) != field.required


def test_headers_are_those_of_cloud_events() -> None:
    headers = {
        "ce_specversion": "1.0",
        "ce_id": "call_1:5:3",
        "ce_source": "/retell_ws",
        "ce_type": "retell_ws.turn_started.v1",
        "ce_subject": "call_1",
        "ce_time": "2026-11-28T17:30:10.000000Z",
        "content-type": "application/json",
    }
    validator("components/schemas/Headers").validate(headers)
    for name in headers:
        assert not validator("components/schemas/Headers").is_valid({**headers, name: 5})
    assert not validator("components/schemas/Headers").is_valid({**headers, "ce_type": "turn_started"})
    validator("components/schemas/DeadHeaders").validate({"dead_why": "x", "dead_by": "archive", "dead_bytes": "1"})


# ---------------------------------------------------------------------------- the command


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["facts", *arguments])
    return int(left.value.code or 0)


def test_the_command_writes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run() == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["components"] == made()["components"]
    assert printed["channels"] == made()["channels"]
    assert run("--out", str(tmp_path / "facts.json"), "--prefix", "x.") == 0
    assert json.loads((tmp_path / "facts.json").read_text())["channels"]["dead"]["address"] == "x.dead"
    monkeypatch.setenv("RETELL_WS_KAFKA_PREFIX", "y.")
    assert run() == 0
    assert json.loads(capsys.readouterr().out)["channels"]["facts"]["address"] == "y.facts"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--out", str(tmp_path / "none" / "facts.json")) == 2
    assert capsys.readouterr().err.startswith("retell_ws: cannot write ")

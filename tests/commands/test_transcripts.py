"""`retell_ws transcripts`: what was said, found, shown, written out and forgotten; one line for what is not there."""

from __future__ import annotations

import csv
import io
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from retell_ws.__main__ import main
from retell_ws.consumers.parts import place
from retell_ws.consumers.shelf import Shelf
from retell_ws.consumers.transcripts import row_of
from retell_ws.entries import Entry
from retell_ws.speech_facts import WebhookReceived

from ..consumers.s3_server import Bucket
from ..consumers.s3_server import bucket as bucket
from ..consumers.s3_server import s3_endpoint as s3_endpoint
from ..consumers.talks import call_id, retell, socket

HOUR_S = 3600.0


def keep(where: str, *entries: Entry) -> None:
    with Shelf(place(where)) as shelf:
        shelf.put([found for entry in entries if (found := row_of(entry))])


def calls() -> list[Entry]:
    now = time.time()
    return [
        socket(1, now - 50 * HOUR_S, words="[red]A TABLE[/] for"),
        socket(2, now - 2 * HOUR_S, words="ein Tisch für Ömer,"),
        retell(2, now - 2 * HOUR_S, words="Tschüss"),
        socket(3, now - HOUR_S, words="my table"),
    ]


@pytest.fixture(params=["folder", "s3"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    found: Bucket | None = request.getfixturevalue("bucket") if request.param == "s3" else None
    made = str(tmp_path / "the archive's") if found is None else found.where
    keep(made, *calls())
    return made


def ended(*arguments: object) -> object:
    with pytest.raises(SystemExit) as caught:
        main(["transcripts", *map(str, arguments)])
    return caught.value.code


def given(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert ended(*arguments) == 0
    return capsys.readouterr().out


def listed(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    found = orjson.loads(given(capsys, "list", "--json", *arguments))
    return [one["call_id"] for one in found]


def test_calls_are_listed_the_latest_first(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--archive", where) == [call_id(3), call_id(2), call_id(1)]
    lines = given(capsys, "list", "--archive", where).splitlines()
    assert lines[0].split()[:3] == ["ended", "(UTC)", "call"]
    assert call_id(3) in lines[1] and "my table 3" in lines[1] and "1:00" in lines[1]
    assert "[red]A TABLE[/] for 1" in lines[3]


def test_calls_are_found_by_time_and_by_words(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(capsys, "--archive", where, "--since", "1d") == [call_id(3), call_id(2)]
    assert listed(capsys, "--archive", where, "--since", "90m") == [call_id(3)]
    assert listed(capsys, "--archive", where, "--search", "table") == [call_id(3), call_id(1)]
    assert listed(capsys, "--archive", where, "--search", "3 TABLE clinic") == [call_id(3)]
    assert listed(capsys, "--archive", where, "--search", "TSCHÜSS") == [call_id(2)]
    assert listed(capsys, "--archive", where, "--search", "%") == []


def test_as_many_are_listed_as_wanted(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("list", "--archive", where, "--limit", 2) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3 and err == "1 more: --limit 0 shows all\n"
    assert len(listed(capsys, "--archive", where, "--limit", 0)) == 3


def test_no_call_like_that_is_no_failure(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("list", "--archive", where, "--search", "nobody") == 0
    assert capsys.readouterr() == ("", "no call like that\n")


def test_a_call_is_shown_as_a_talk_and_as_json(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = given(capsys, "show", call_id(1), "--archive", where).splitlines()
    assert lines[0].startswith(f"{call_id(1)} ended 20") and lines[0].rstrip().endswith("as the socket told it last")
    assert [line.split() for line in lines[1:]] == [
        ["0:00", "agent", "Harbor", "Clinic."],
        ["user", "[red]A", "TABLE[/]", "for", "1"],
    ]
    found: dict[str, Any] = orjson.loads(given(capsys, "show", call_id(2), "--archive", where, "--json"))
    assert found["lines"][2] == {"role": "agent", "text": "Tschüss 2", "name": "", "start_s": None, "end_s": None}
    assert (found["source"], found["turns"], found["duration_s"]) == ("retell", 3, 60.0)


@pytest.mark.parametrize("command", ["show", "forget"])
def test_a_call_that_is_not_there_is_said(where: str, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert ended(command, "call_9", "--archive", where) == 1
    assert "there is no call 'call_9' in the archive" in capsys.readouterr().err


def test_a_call_is_forgotten(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("forget", call_id(2), "--archive", where) == 0
    keep(where, *calls())
    assert listed(capsys, "--archive", where) == [call_id(3), call_id(1)]
    assert ended("show", call_id(2), "--archive", where) == 1
    assert ended("forget", call_id(2), "--archive", where) == 0


@pytest.mark.parametrize("command", [("list",), ("show", "x"), ("export", "--out", "x.csv"), ("forget", "x")])
def test_where_no_archive_is_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert ended(*command, "--data", tmp_path / "nothing") == 1
    assert f"there is no archive in {tmp_path / 'nothing'}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_empty_bucket_is_no_archive(bucket: Bucket, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("list", "--archive", bucket.where) == 1
    assert "there is no archive in s3://" in capsys.readouterr().err


def test_a_store_that_does_not_answer_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"ACCESS_KEY_ID": "canary", "SECRET_ACCESS_KEY": "canary", "ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")
    assert ended("list", "--archive", "s3://nobody/s") == 1
    err = capsys.readouterr().err
    assert err.startswith("retell_ws: cannot use s3://nobody/s: GenericError: ") and "AWS_ACCESS_KEY_ID" in err
    assert len(err.splitlines()) == 1 and "canary" not in err


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "txt"])
def test_calls_are_written_out(where: str, tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"it's.{kind}"
    assert ended("export", "--archive", where, "--since", "1d", "--out", out) == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [out.name]
    match kind:
        case "jsonl":
            found = [orjson.loads(line) for line in out.read_bytes().splitlines()]
            assert [one["call_id"] for one in found] == [call_id(2), call_id(3)]
            assert found[1]["lines"][1]["text"] == "my table 3"
        case "txt":
            text = out.read_text()
            assert text.index("agent: Tschüss 2") < text.index("user: my table 3")
            assert text.count("call_") == 2
        case _:
            with closing(duckdb.connect()) as db:
                rows = db.execute(f"SELECT call_id, lines::VARCHAR, turns FROM read_{kind}(?)", [str(out)]).fetchall()
            assert [(one, turns) for one, _, turns in rows] == [(call_id(2), 3), (call_id(3), 3)]
            assert "my table 3" in rows[1][1]


def test_how_calls_are_written_may_be_said(where: str, tmp_path: Path) -> None:
    out = tmp_path / "calls"
    assert ended("export", "--archive", where, "--out", out, "--format", "txt") == 0
    assert out.read_text().startswith(call_id(1))


@pytest.mark.parametrize(("name", "why"), [("calls.doc", "tells no format"), ("no/where.csv", "cannot write")])
def test_a_file_that_cannot_be_written_is_said(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, why: str
) -> None:
    assert ended("export", "--archive", where, "--out", tmp_path / name) == 2
    assert why in capsys.readouterr().err


def test_a_time_that_is_none_is_said(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("list", "--archive", where, "--since", "yesterday") == 2
    assert "--since 'yesterday' is no time" in capsys.readouterr().err


def test_what_was_said_does_nothing_to_a_terminal_or_a_spreadsheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202eback"
    hostile: list[dict[str, Any]] = [
        {"role": "=cmd|' /C calc'!A0", "content": words},
        {"role": "user", "content": words},
    ]
    call = {"transcript_object": hostile, "agent_id": '=HYPERLINK("http://x")', "from_number": "@SUM(1)"}
    at = time.time()
    fact = WebhookReceived("call_ended", call)
    keep(str(tmp_path), Entry(id="w", call_id="call_x", epoch=0, seq=0, at=at, server="s", fact=fact))
    out = tmp_path / "out.txt"
    for arguments in (["list"], ["show", "call_x"], ["export", "--out", str(out)]):
        told = given(capsys, *arguments, "--archive", str(tmp_path))
        assert all(character.isprintable() or character == "\n" for character in told)
    assert all(character.isprintable() or character == "\n" for character in out.read_text())
    given(capsys, "export", "--out", str(tmp_path / "out.csv"), "--archive", str(tmp_path))
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text(), newline=""))
    assert row["agent_id"] == '\'=HYPERLINK("http://x")' and row["from_number"] == "'@SUM(1)"
    assert row["text"].startswith("'=cmd|") and row["call_id"] == "call_x" and row["ended_at"].startswith("20")


def test_no_fewer_than_none_can_be_listed(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("list", "--archive", where, "--limit", -3) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

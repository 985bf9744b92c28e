"""The topics, the headers and the dead letters: what goes where, and under which names."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retell_ws.buses.cloud_events import headers_of
from retell_ws.buses.dead_letters import MAX_BYTES, letter_of
from retell_ws.buses.topics import differences, topics_of
from retell_ws.entries import KINDS
from retell_ws.settings import load


def test_transcripts_are_compacted_and_all_else_is_deleted_in_time() -> None:
    settings = load({"kafka_prefix": "p.", "kafka_days": 3, "kafka_partitions": 7, "kafka_replicas": 2}, environment={})
    topics = topics_of(settings)
    assert [topic.name for topic in topics.all()] == ["p.facts", "p.transcripts", "p.dead"]
    assert {(topic.partitions, topic.replicas) for topic in topics.all()} == {(7, 2)}
    assert [topic.config["cleanup.policy"] for topic in topics.all()] == ["delete", "compact,delete", "delete"]
    assert [int(topic.config["retention.ms"]) // 86_400_000 for topic in topics.all()] == [3, 3, 30]
    assert {kind: topics.of(kind) for kind in KINDS} == {
        kind: "p.transcripts" if kind == "call_transcript" else "p.facts" for kind in KINDS
    }


@pytest.mark.parametrize(("replicas", "least"), [(0, None), (1, None), (2, None), (3, "2"), (5, "2")])
def test_of_three_copies_two_must_be_written(replicas: int, least: str | None) -> None:
    topics = topics_of(load({"kafka_replicas": replicas}, environment={}))
    assert {topic.config.get("min.insync.replicas") for topic in topics.all()} == {least}


def test_what_differs_is_told_and_what_is_unknown_is_not() -> None:
    topic = topics_of(load({}, environment={})).transcripts
    as_wanted = dict(topic.config)
    assert differences(topic, 12, as_wanted) == []
    assert differences(topic, 12, {}) == []
    assert differences(topic, 12, {**as_wanted, "cleanup.policy": "delete,compact"}) == []
    assert differences(topic, 1, {"cleanup.policy": "compact"}) == [
        "1 partition and not 12",
        "cleanup.policy=compact and not compact,delete",
    ]


@given(st.floats(min_value=0, max_value=4_000_000_000))
def test_the_time_of_a_cloud_event_is_that_of_the_fact(at: float) -> None:
    headers = dict(headers_of("i", "call_ended", "c", at))
    told = headers["ce_time"]
    assert isinstance(told, bytes) and told.endswith(b"Z")
    assert abs(datetime.datetime.fromisoformat(told.decode()).timestamp() - at) < 1e-5
    assert headers["ce_type"] == b"retell_ws.call_ended.v1"


def test_a_dead_letter_is_what_came_with_the_reason() -> None:
    value, headers = letter_of(b"{}", headers_of("i", "call_ended", "c", 0.0), why="no room", by="archive")
    found = dict(headers)
    assert value == b"{}"
    assert (found["dead_why"], found["dead_by"], found["dead_bytes"]) == (b"no room", b"archive", b"2")
    assert found["content-type"] == b"application/json"


def test_what_is_too_long_for_a_dead_letter_is_cut_and_marked() -> None:
    headers_before = headers_of("i", "call_ended", "c", 0.0)
    value, headers = letter_of(b"x" * (MAX_BYTES + 1), headers_before, why="w" * 1000, by="bus")
    assert value == b"x" * MAX_BYTES
    assert [pair for pair in headers if pair[0] == "content-type"] == [("content-type", b"application/octet-stream")]
    assert dict(headers)["dead_bytes"] == str(MAX_BYTES + 1).encode()
    assert len(dict(headers)["dead_why"] or b"") == 500
    assert ("content-type", b"application/json") in headers_before

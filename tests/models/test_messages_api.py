"""The Messages API's bodies as they are written, and what its refusals mean."""

from __future__ import annotations

import msgspec
import pytest

from retell_ws.errors import ModelError, ModelRateLimited, ModelRejected, ModelUnavailable
from retell_ws.models.messages_api import body_of, error_kind, refusal
from retell_ws.request import Message, ModelRequest, ToolResult, ToolUse, Words
from retell_ws.tool import ToolSpec

PLAIN = ModelRequest(system="You are Ana.", messages=(Message("user", "Hello"),), max_tokens=200)

TOOL = ToolSpec("book", "Book an appointment.", msgspec.Raw(b'{"type":"object", "properties":{}}'))


def written(request: ModelRequest) -> bytes:
    return msgspec.json.encode(body_of(request, "m"))


def test_a_request_without_tools_is_written_without_a_word_of_them() -> None:
    expected = (
        b'{"model":"m","max_tokens":200,"stream":true,"thinking":{"type":"disabled"},'
        b'"cache_control":{"type":"ephemeral"},"system":[{"type":"text","text":"You are Ana.",'
        b'"cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"Hello"}],'
        b'"diagnostics":{"previous_message_id":null}}'
    )
    assert written(PLAIN) == expected
    assert written(msgspec.structs.replace(PLAIN, tool_choice="none")) == expected


def test_tools_are_written_as_they_are_before_all_that_changes_and_a_choice_only_when_it_is_none() -> None:
    told = b'"tools":[{"name":"book","description":"Book an appointment.","input_schema":%b}],"system":' % bytes(
        TOOL.input_schema
    )
    auto = written(msgspec.structs.replace(PLAIN, tools=(TOOL,)))
    none = written(msgspec.structs.replace(PLAIN, tools=(TOOL,), tool_choice="none"))
    assert told in auto and b"tool_choice" not in auto
    assert none == auto.replace(b'"messages":', b'"tool_choice":{"type":"none"},"messages":')


def test_calls_and_results_are_written_as_the_api_s_blocks() -> None:
    messages = (
        Message("assistant", (Words("Let me see."), ToolUse("t1", "book", msgspec.Raw(b'{"day": "Monday"}')))),
        Message("user", (ToolResult("t1", "Taken.", is_error=True), ToolResult("t2", ""), Words("Hello?"))),
    )
    assert msgspec.json.encode(body_of(msgspec.structs.replace(PLAIN, messages=messages), "m").messages) == (
        b'[{"role":"assistant","content":[{"type":"text","text":"Let me see."},'
        b'{"type":"tool_use","id":"t1","name":"book","input":{"day": "Monday"}}]},'
        b'{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"Taken.","is_error":true},'
        b'{"type":"tool_result","tool_use_id":"t2","content":""},{"type":"text","text":"Hello?"}]}]'
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (301, ModelRejected),
        (400, ModelRejected),
        (401, ModelRejected),
        (403, ModelRejected),
        (404, ModelRejected),
        (408, ModelUnavailable),
        (409, ModelUnavailable),
        (413, ModelRejected),
        (429, ModelRateLimited),
        (500, ModelUnavailable),
        (503, ModelUnavailable),
        (529, ModelUnavailable),
    ],
)
def test_a_status_says_whose_fault_it_is(status: int, error: type[ModelError]) -> None:
    assert type(refusal(status, {}, None)) is error


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [("2", 2.0), (" 0.5 ", 0.5), ("", None), ("-1", None), ("1e9", None), ("Fri, 31 Dec 2027 23:59:59 GMT", None)],
)
def test_retry_after_is_read_as_seconds_or_not_at_all(sent: str, seconds: float | None) -> None:
    assert refusal(429, {"retry-after": sent}, None).retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"type":"error","error":{"type":"not_found_error","message":"model: x"}}', "not_found_error"),
        (b'{"error":{"type":""}}', None),
        (b'{"error":null}', None),
        (b'{"error":"broken"}', None),
        (b"<html>Bad gateway</html>", None),
        (b"\xff", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_kind_of_a_refusal_is_read_where_there_is_one(body: bytes, kind: str | None) -> None:
    assert error_kind(body) == kind

"""What the Messages API's refusals mean."""

from __future__ import annotations

import pytest

from retell_ws.errors import ModelError, ModelRateLimited, ModelRejected, ModelUnavailable
from retell_ws.models.messages_api import error_kind, refusal


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

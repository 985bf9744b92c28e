"""Webhooks over a real socket: whose are taken, what is kept of them, and that nobody is told of their words."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from time import time
from typing import Any

import aiohttp
import pytest
from retell.lib.webhook_auth import symmetric

from retell_ws import inbox
from retell_ws.agent import Agent
from retell_ws.blueprints import running, webhook_keys
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.speech_facts import WebhookReceived
from retell_ws.testing.retell import FakeRetell
from retell_ws.webhooks import CHATS, EVENTS, HEADER, MAX_BODY, signature

from .http_client import connected, http, status
from .puppet import GREETING, Puppet
from .taken import Taken, telling
from .waiting import until

pytestmark = pytest.mark.usefixtures("clean_loop")

KEY = "key_0123456789abcdef"
OLD_KEY = "key_fedcba9876543210"

SAID = "My card is 4111 1111 1111 1111"


def body_of(event: str = "call_ended", call_id: str = "call_1", **call: Any) -> bytes:
    return json.dumps({"event": event, "call": {"call_id": call_id, "transcript": SAID, **call}}).encode()


def signed(body: bytes, key: str = KEY, *, ago_s: float = 0) -> str:
    return signature(body, key.encode(), round((time() - ago_s) * 1000))


class Inboxed:
    """A server that takes webhooks, and what it kept of them."""

    def __init__(self, server: Server, taken: Taken) -> None:
        self.server = server
        self.taken = taken

    async def post(self, body: bytes, header: str | None = None, **headers: str) -> tuple[int, str]:
        """Send one; signed by `KEY` now unless a header says otherwise."""
        headers |= {HEADER: signed(body) if header is None else header}
        url = f"{self.server.http_address}/webhook"
        async with aiohttp.ClientSession() as session, session.post(url, data=BytesIO(body), headers=headers) as answer:
            return answer.status, await answer.text()

    async def counted(self) -> dict[tuple[str, str], float]:
        text = await http(self.server.http_address, "/metrics")
        found = {}
        for line in text.splitlines():
            if line.startswith("retell_ws_webhooks_total{"):
                labels, _, value = line.partition("{")[2].rpartition("} ")
                _, event, _, outcome, _ = labels.split('"')
                found[event, outcome] = float(value)
        return found


@asynccontextmanager
async def inboxed(*keys: str, keeps: bool = True) -> AsyncIterator[Inboxed]:
    taken = Taken()
    valid = [key.encode() for key in keys or (KEY,)]
    async with telling(facts=taken if keeps else None, webhook_keys=valid, http_port=0) as (server, _):
        yield Inboxed(server, taken)


# ---------------------------------------------------------------------------- whose


@pytest.mark.parametrize("event", sorted(set(EVENTS) - set(CHATS)))
async def test_each_event_of_a_call_is_kept(event: str) -> None:
    async with inboxed() as here:
        before = time()
        assert await here.post(body_of(event)) == (204, "")
        (entry,) = here.taken.kept.values()
        assert (entry.call_id, entry.epoch, entry.seq, entry.kind) == ("call_1", 0, 0, "webhook_received")
        assert before <= entry.at <= time() and entry.server
        assert entry.fact == WebhookReceived(event, {"call_id": "call_1", "transcript": SAID})
        assert await here.counted() == {(event, "kept"): 1}


@pytest.mark.parametrize("event", CHATS)
async def test_chats_are_acknowledged_and_counted(event: str) -> None:
    async with inboxed() as here:
        assert await here.post(json.dumps({"event": event, "chat": {}}).encode()) == (204, "")
        assert not here.taken.kept
        assert await here.counted() == {(event, "ignored"): 1}


async def test_events_of_later_versions_are_kept_and_counted_together() -> None:
    async with inboxed() as here:
        for number in range(30):
            assert (await here.post(body_of(f"call_later_{number}")))[0] == 204
        assert len(here.taken.kept) == 30
        assert await here.counted() == {("other", "kept"): 30}


async def test_what_retells_own_library_signs_is_taken() -> None:
    async with inboxed() as here:
        body = '{"event":"call_ended","call":{"call_id":"call_1","note":"café"}}'
        assert (await here.post(body.encode(), symmetric["sign"](body, KEY)))[0] == 204


async def test_the_old_key_is_good_while_it_is_changed() -> None:
    async with inboxed(KEY, OLD_KEY) as here:
        for key, code in ((KEY, 204), (OLD_KEY, 204), (KEY[:-1], 401)):
            assert (await here.post(body_of(), signed(body_of(), key)))[0] == code


async def test_what_is_not_signed_for_us_is_refused_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    body = body_of()
    altered = body.replace(b"call_1", b"call_2")
    compact = json.dumps(json.loads(body), separators=(",", ":")).encode()
    good = signed(body)
    async with inboxed() as here:
        for sent, header in (
            (altered, good),
            (compact, good),
            (body + b" ", good),
            (b"", good),
            (body, ""),
            (body, "v=1,d=2"),
            (body, good[:-1]),
            (body, signed(body, OLD_KEY)),
            (body, signed(body, ago_s=301)),
            (body, signed(body, ago_s=-302)),
        ):
            assert await here.post(sent, header) == (401, "unauthorized\n")
        assert not here.taken.kept
        assert await here.counted() == {("unread", "unsigned"): 10}
        for ago_s in (298, -298):
            assert (await here.post(body, signed(body, ago_s=ago_s)))[0] == 204
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            await here.post(altered, good)
        assert not caplog.records, "after ten of them nobody reads on"
    assert "4111" not in caplog.text


async def test_without_a_signature_the_body_is_not_waited_for() -> None:
    async with inboxed() as here:
        told = await http(here.server.http_address, "/webhook", "Content-Length: 1000", method="POST")
        assert status(told) == 401
        assert await here.counted() == {("unread", "unsigned"): 1}


async def test_without_a_key_none_is_taken() -> None:
    taken = Taken()
    async with telling(facts=taken, http_port=0) as (server, _):
        here = Inboxed(server, taken)
        assert await here.post(body_of()) == (503, "webhooks cannot be verified: set RETELL_API_KEY\n")
        assert await here.post(body_of(), signature(body_of(), b"", round(time() * 1000))) == (
            503,
            "webhooks cannot be verified: set RETELL_API_KEY\n",
        )
        assert not taken.kept and not server.verifies_webhooks
        assert await here.counted() == {("unread", "no_key"): 2}


async def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert webhook_keys({}) == webhook_keys({"RETELL_API_KEY": " ", "RETELL_WEBHOOK_KEY": ""}) == ()
    assert webhook_keys({"RETELL_API_KEY": "one\n"}) == (b"one",)
    assert webhook_keys({"RETELL_API_KEY": "one", "RETELL_WEBHOOK_KEY": "two"}) == (b"one", b"two")
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    settings = Settings(port=0, http_port=0)
    async with running(Agent("You are Ana.", greeting=GREETING), settings, model=Puppet()) as server:
        assert server.verifies_webhooks
        assert (await Inboxed(server, Taken()).post(body_of()))[0] == 204


async def test_only_post() -> None:
    async with inboxed() as here:
        for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
            told = await http(here.server.http_address, "/webhook", method=method)
            assert status(told) == 405 and "Allow: POST" in told
        assert status(await http(here.server.http_address, "/webhook/x", method="POST")) == 404


# ---------------------------------------------------------------------------- once


async def test_a_replay_and_a_retry_are_acknowledged_and_have_no_second_effect() -> None:
    async with inboxed() as here:
        body = body_of()
        header = signed(body, ago_s=10)
        for again in (header, header, signed(body), signed(body, ago_s=100)):
            assert (await here.post(body, again))[0] == 204
        later = body_of(duration_ms=5)
        assert (await here.post(later))[0] == 204
        assert list(here.taken.kept) == ["webhook:call_ended:call_1"]


async def test_what_cannot_be_kept_is_to_be_sent_again() -> None:
    async with inboxed() as here:
        here.taken.may_keep = False
        assert await here.post(body_of()) == (503, "it cannot be kept now\n")
        here.taken.may_keep = True
        assert (await here.post(body_of()))[0] == 204
        assert len(here.taken.kept) == 1
        assert await here.counted() == {("call_ended", "failed"): 1, ("call_ended", "kept"): 1}


async def test_without_a_bus_they_are_verified_and_counted() -> None:
    async with inboxed(keeps=False) as here:
        assert (await here.post(body_of()))[0] == 204
        assert (await here.post(body_of(), signed(body_of(), OLD_KEY)))[0] == 401
        assert await here.counted() == {("call_ended", "counted"): 1, ("unread", "unsigned"): 1}


async def test_what_is_signed_and_tells_nothing_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with inboxed() as here:
        for body in (
            b"",
            b"4111",
            b'{"event":"call_ended","4111":1}',
            b'{"event":"call_ended","call":{"call_id":"4111 "}}',
        ):
            code, why = await here.post(body)
            assert code == 400 and why.count("\n") == 1 and "4111" not in why
        assert await here.counted() == {("unread", "unreadable"): 4}
    assert "4111" not in caplog.text


# ---------------------------------------------------------------------------- how much


def long_body(size: int) -> bytes:
    words = [{"word": "hello", "start": 1.25, "end": 1.5}] * 20
    item = {"role": "user", "content": "My number is 4111", "words": words}
    return body_of(transcript_object=[item] * (size // len(json.dumps(item))))


async def test_a_body_of_ten_megabytes_is_taken() -> None:
    body = long_body(10_500_000)
    assert 10_000_000 < len(body) < MAX_BODY
    async with inboxed() as here, FakeRetell(here.server.url) as retell:
        await retell.greeting()
        posted = asyncio.create_task(here.post(body))
        waits = [await retell.ping() for _ in range(20)]
        assert (await posted)[0] == 204
        assert max(waits) < 1
        (entry,) = here.taken.kept.values()
        assert isinstance(entry.fact, WebhookReceived)
        assert all(set(item) == {"role", "content"} for item in entry.fact.call["transcript_object"])


async def test_one_that_is_too_long_is_refused() -> None:
    async with inboxed() as here:
        body = bytes(MAX_BODY + 1)
        recent = signed(b"")
        told = await http(
            here.server.http_address, "/webhook", f"{HEADER}: {recent}", f"Content-Length: {len(body)}", method="POST"
        )
        assert status(told) == 413
        packed = gzip.compress(body)
        assert (await here.post(packed, recent, **{"Content-Encoding": "gzip"}))[0] in (400, 413)
        assert not here.taken.kept
        assert ("unread", "too_large") in await here.counted()


async def test_one_of_unknown_length_is_read_as_far_as_it_may_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_BODY", 1000)

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for begin in range(0, len(body), 100):
            yield body[begin : begin + 100]

    async with inboxed() as here, aiohttp.ClientSession() as session:
        for size, code in ((700, 204), (1000, 413)):
            body = body_of(note="x" * size)
            sent = session.post(
                f"{here.server.http_address}/webhook", data=pieces(body), headers={HEADER: signed(body)}
            )
            async with sent as answer:
                assert answer.status == code
        assert await here.counted() == {("unread", "too_large"): 1, ("call_ended", "kept"): 1}


async def test_when_no_thread_is_free_it_is_to_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "LARGE", 1)
    async with inboxed() as here:
        assert (await here.post(body_of()))[0] == 204
        monkeypatch.setattr(inbox, "THREAD_S", 0)
        assert await here.post(body_of()) == (503, "too much at once\n")
        assert await here.counted() == {("unread", "busy"): 1, ("call_ended", "kept"): 1}


async def sending(here: Inboxed, length: int = 100) -> asyncio.StreamWriter:
    """Begin a webhook, and do not go on."""
    _, writer = await connected(here.server.http_address)
    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\n{HEADER}: {signed(b'')}\r\nContent-Length: {length}\r\n\r\n"
    writer.write(head.encode() + b"{")
    return writer


async def test_a_slow_body_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "BODY_S", 0.05)
    async with inboxed() as here:
        reader, writer = await connected(here.server.http_address)
        head = f"POST /webhook HTTP/1.1\r\nHost: x\r\n{HEADER}: {signed(b'')}\r\nContent-Length: 100\r\n\r\n"
        writer.write(head.encode() + b"{")
        answer = (await asyncio.wait_for(reader.read(), 5)).decode()
        assert status(answer) == 408 and answer.endswith("the body is late\n")
        writer.close()
        assert await here.counted() == {("unread", "late"): 1}


async def test_one_that_breaks_off_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with inboxed() as here:
        writer = await sending(here)
        await writer.drain()
        writer.close()
        counted: dict[tuple[str, str], float] = {}
        async with asyncio.timeout(5):
            while not counted:
                counted = await here.counted()
        assert counted == {("unread", "broken"): 1}
        assert (await here.post(body_of()))[0] == 204
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


async def test_only_so_many_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "AT_ONCE", 2)
    async with inboxed() as here:
        writers = [await sending(here) for _ in range(2)]
        codes: list[int] = []
        async with asyncio.timeout(5):
            while not codes or codes[-1] != 503:
                codes.append((await here.post(body_of()))[0])
        for writer in writers:
            writer.close()
        async with asyncio.timeout(5):
            while (await here.post(body_of()))[0] != 204:
                pass
        assert (await here.counted())["unread", "busy"] >= 1


async def test_only_so_many_bytes_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_HELD", 1000)
    async with inboxed() as here:
        assert await here.post(body_of(note="x" * 1000)) == (503, "too much at once\n")
        assert (await here.post(body_of()))[0] == 204
        assert await here.counted() == {("unread", "busy"): 1, ("call_ended", "kept"): 1}


async def test_nothing_of_a_body_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with inboxed() as here:
        await here.post(body_of(from_number="+14155550123"))
        await here.post(body_of()[:-1])
        await here.post(body_of(), "no")
        here.taken.may_keep = False
        await here.post(body_of(event="call_analyzed"))
        await until(lambda: len(caplog.records) >= 3)
    for secret in ("4111", "4155550123", KEY):
        assert secret not in caplog.text
        assert not any(secret in str(vars(record)) for record in caplog.records)

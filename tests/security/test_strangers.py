"""Whoever does not know the secret: every way to ask for a call is the same to them, and the calls of others go on."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

import pytest

from retell_ws import route, webhooks
from retell_ws.testing.retell import FakeRetell
from tests.http_client import TOKEN, ask, connected, http, status
from tests.puppet import GREETING, serving

pytestmark = pytest.mark.usefixtures("clean_loop")

SECRET, OLD = "0123456789abcdef-now", "0123456789abcdef-old"

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


async def raw(address: str, path: bytes) -> bytes:
    """Ask to dial a path, byte for byte; give the answer without its date: nothing for what is no request."""
    reader, writer = await connected(address)
    writer.write(UPGRADE % path)
    try:
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            body = b"" if head.startswith(b"HTTP/1.1 101") else await reader.read()
    except asyncio.IncompleteReadError as exc:
        return exc.partial
    finally:
        writer.close()
    return b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Date:")) + body


@pytest.mark.parametrize(
    "given",
    [
        "",
        "/",
        "wrong",
        OLD,
        SECRET.swapcase(),
        SECRET[:-1],
        f"{SECRET}x",
        f"{SECRET}/",
        f"/{SECRET}",
        f"{SECRET}//",
        f"./{SECRET}",
        f"x/../{SECRET}",
        f"{SECRET};x",
        f"{SECRET}%00",
        f"{SECRET}%2F",
        "".join(f"%{ord(char):02x}" for char in SECRET),
        SECRET.replace("0", "%30"),
        "x" * 128,
        "x" * 4096,
        "%C3%A9" * 40,
        "+".join(SECRET),
    ],
)
async def test_every_wrong_secret_gets_the_bytes_of_a_path_there_is_not(given: str) -> None:
    async with serving(path_secret=SECRET) as (server, _):
        unknown = await raw(server.address, b"/nothing-here")
        assert unknown.startswith(b"HTTP/1.1 404 ")
        assert await raw(server.address, f"/llm-websocket/{given}/call_1".encode()) == unknown


@pytest.mark.parametrize(
    "spoilt",
    [b"\xc3\xa9", b"\xff", b" ", b"\t", b"\x00", b"\\", b"%", b"%zz", b"#", b"?", b"x" * 10_000],
)
async def test_what_a_request_has_wrong_tells_nothing_of_the_secret_before_it(spoilt: bytes) -> None:
    async with serving(path_secret=SECRET) as (server, _):
        right = await raw(server.address, b"/llm-websocket/%b/call_1/%b/x" % (SECRET.encode(), spoilt))
        wrong = await raw(server.address, b"/llm-websocket/%b/call_1/%b/x" % (OLD.encode(), spoilt))
        assert right == wrong
        assert not right.startswith(b"HTTP/1.1 101")


async def test_the_secret_is_in_no_answer() -> None:
    async with serving(path_secret=SECRET) as (server, _):
        for path in (f"/llm-websocket/{SECRET}/bad id", f"/llm-websocket/{SECRET}", f"/{SECRET}"):
            assert SECRET.encode() not in await raw(server.address, path.encode())
        plain = await http(server.address, f"/llm-websocket/{SECRET}/call_1")
        assert status(plain) == 426 and SECRET not in plain


async def test_a_stranger_at_the_id_of_a_live_call_changes_nothing() -> None:
    async with serving(path_secret=SECRET) as (server, puppet), FakeRetell(server.url, call_id="call_1") as retell:
        assert await retell.greeting() == GREETING
        for given in ("wrong/", "", f"{OLD}/"):
            assert b" 404 " in await raw(server.address, f"/llm-websocket/{given}call_1".encode())
        asked = await retell.request("still there?")
        stream = await puppet.asked(1)
        stream.say("Yes.")
        stream.end()
        assert (await retell.answer(asked)).text == "Yes."
        assert puppet.facts.seen["detached"] == 0


class Compared:
    """Stands before `hmac.compare_digest`, and counts what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pairs: list[tuple[object, object]] = []
        self._really: Callable[..., bool] = hmac.compare_digest
        monkeypatch.setattr(hmac, "compare_digest", self)

    def __call__(self, one: bytes, other: bytes) -> bool:
        self.pairs.append((one, other))
        return self._really(one, other)


@pytest.mark.parametrize("given", [SECRET, OLD, "wrong"])
def test_a_path_is_compared_with_each_secret_in_constant_time(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    compared = Compared(monkeypatch)
    found = route.call_id_of(f"/llm-websocket/{given}/call_1", (SECRET.encode(), OLD.encode()))
    assert found == (None if given == "wrong" else "call_1")
    assert compared.pairs == [(given.encode(), SECRET.encode()), (given.encode(), OLD.encode())]


@pytest.mark.parametrize("given", [TOKEN, "wrong"])
async def test_the_admin_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    async with serving(http_port=0, admin_token=TOKEN) as (server, _):
        compared = Compared(monkeypatch)
        assert (await ask(server, "GET", "/calls", token=given)).status == (200 if given == TOKEN else 401)
        assert compared.pairs == [(given.encode(), TOKEN.encode())]


@pytest.mark.parametrize("signed", [b"one", b"two", b"neither"])
def test_a_signature_is_compared_with_each_key_in_constant_time(monkeypatch: pytest.MonkeyPatch, signed: bytes) -> None:
    header = webhooks.signature(b"{}", signed, 1000)
    compared = Compared(monkeypatch)
    assert webhooks.verified(b"{}", header, (b"one", b"two"), 1000) == (signed != b"neither")
    assert len(compared.pairs) == 2


PRIVATE = ["/metrics", "/calls", "/calls/call_1", "/calls/call_1/end", "/drain", "/webhook", "/console", "/console/"]


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_on_the_second_port_is_not_on_that_of_the_calls(path: str, method: str) -> None:
    async with serving(http_port=0, admin_token=TOKEN) as (server, _):
        answer = await http(server.address, path, f"Authorization: Bearer {TOKEN}", method=method)
        assert status(answer) == (404 if method == "GET" else 405)
        assert answer.endswith(("not found\n", "only GET\n"))

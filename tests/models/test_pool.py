"""ConnectionPool and its connections, against hosts of every temper."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohappyeyeballs import AddrInfoType

from retell_ws.errors import ModelBroken, ModelUnavailable, SettingsError
from retell_ws.models import http1
from retell_ws.models.http1 import HIGH_WATER_BYTES
from retell_ws.models.pool import ConnectionPool

from .hosts import Peer, host

pytestmark = pytest.mark.usefixtures("clean_loop")

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nrequest-id: req_7\r\n\r\n"


@asynccontextmanager
async def pool_to(url: str, **options: Any) -> AsyncIterator[ConnectionPool]:
    pool = ConnectionPool(url, headers={"accept": "x"}, **options)
    try:
        yield pool
    finally:
        await pool.aclose()
        assert pool.statistics().open == 0


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until its callbacks have made `condition` true."""
    async with asyncio.timeout(5):
        while True:
            if condition():
                return
            await asyncio.sleep(0)


async def until_open(pool: ConnectionPool, count: int) -> None:
    await until(lambda: pool.statistics().open == count)


async def body_of(pool: ConnectionPool, request: bytes = b"{}") -> bytes:
    return await (await pool.post(request)).read_all(limit_bytes=1 << 30)


async def echo(peer: Peer) -> None:
    """Answer every request with the connection's number and the request."""
    while request := await peer.request():
        peer.answer(b"%d " % peer.number + request)


async def test_the_request_holds_target_host_headers_and_body() -> None:
    async with host(echo) as url, pool_to(url) as pool:
        head, _, body = (await body_of(pool, b'{"a":1}')).partition(b"\r\n\r\n")
    authority = url.split("/")[2].encode()
    assert head.split(b"\r\n") == [
        b"1 POST /v1/messages HTTP/1.1", b"host: " + authority, b"accept: x", b"content-length: 7"
    ]  # fmt: skip
    assert body == b'{"a":1}'


async def test_a_connection_serves_again_after_a_whole_answer() -> None:
    async with host(echo) as url, pool_to(url) as pool:
        for _ in range(3):
            assert (await body_of(pool)).startswith(b"1 ")
        assert (pool.statistics().opened, pool.statistics().reused, pool.statistics().idle) == (1, 2, 1)


async def test_the_connection_used_last_is_taken_first() -> None:
    async with host(echo) as url, pool_to(url) as pool:
        await pool.warm(3)
        assert pool.statistics().idle == 3
        first = await body_of(pool)
        assert [await body_of(pool) for _ in range(3)] == [first] * 3


async def test_warming_opens_no_more_than_asked() -> None:
    async with host(echo) as url, pool_to(url) as pool:
        await pool.warm()
        await pool.warm()
        assert (pool.statistics().opened, pool.statistics().idle) == (1, 1)
        await body_of(pool)
        assert pool.statistics().reused == 1


async def test_an_idle_connection_that_turns_out_dead_costs_one_retry() -> None:
    async def dies_at_the_second_request(peer: Peer) -> None:
        assert await peer.request()
        peer.answer(b"%d" % peer.number)
        if peer.number == 1:
            assert await peer.request()

    async with host(dies_at_the_second_request) as url, pool_to(url) as pool:
        assert await body_of(pool) == b"1"
        assert await body_of(pool) == b"2"
        assert (pool.statistics().opened, pool.statistics().retried) == (2, 1)


async def test_a_farewell_to_an_idle_connection_is_not_taken_for_the_answer() -> None:
    async def times_out_at_the_second_request(peer: Peer) -> None:
        assert await peer.request()
        peer.answer(b"%d" % peer.number)
        if peer.number == 1:
            assert await peer.request()
            peer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with host(times_out_at_the_second_request) as url, pool_to(url) as pool:
        assert await body_of(pool) == b"1"
        assert await body_of(pool) == b"2"
        assert pool.statistics().retried == 1


async def test_when_one_address_of_the_host_fails_the_next_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(peer: Peer) -> None:
        assert await peer.request()
        peer.answer(b"here")

    async with host(answers) as url, pool_to(url) as pool:
        (here,) = await pool._addresses()

        async def addresses() -> list[AddrInfoType]:
            return [(*here[:4], ("127.0.0.2", here[4][1])), here]  # nobody listens at the first

        monkeypatch.setattr(pool, "_addresses", addresses)
        assert await body_of(pool) == b"here"


async def test_a_new_connection_that_dies_is_not_retried() -> None:
    async def dies(peer: Peer) -> None:
        await peer.request()

    async with host(dies) as url, pool_to(url) as pool:
        with pytest.raises(ModelUnavailable, match="lost"):
            await pool.post(b"{}")
        assert (pool.statistics().opened, pool.statistics().retried) == (1, 0)


async def test_an_answer_that_began_is_not_asked_for_again() -> None:
    async def dies_in_the_head(peer: Peer) -> None:
        await peer.request()
        peer.answer(b"whole")
        await peer.request()
        peer.write(b"HTTP/1.1 200")

    async with host(dies_in_the_head) as url, pool_to(url) as pool:
        await body_of(pool)
        with pytest.raises(ModelUnavailable, match="lost"):
            await pool.post(b"{}")
        assert (pool.statistics().opened, pool.statistics().retried) == (1, 0)


async def test_a_connection_closed_while_idle_is_forgotten() -> None:
    async def closes(peer: Peer) -> None:
        await peer.request()
        peer.answer(b"bye")

    async with host(closes) as url, pool_to(url) as pool:
        await body_of(pool)
        await until_open(pool, 0)
        assert pool.statistics().idle == 0


async def test_a_connection_that_talks_while_idle_is_dropped() -> None:
    asked = asyncio.Event()

    async def chatters(peer: Peer) -> None:
        await peer.request()
        peer.answer(b"answer")
        await asked.wait()
        peer.write(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
        await peer.gone()

    async with host(chatters) as url, pool_to(url) as pool:
        await body_of(pool)
        asked.set()
        await until_open(pool, 0)


async def test_bytes_beyond_the_answer_cost_the_connection() -> None:
    async def overshoots(peer: Peer) -> None:
        await peer.request()
        peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nanswer")
        peer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc")
        await peer.gone()

    async with host(overshoots) as url, pool_to(url) as pool:
        assert await body_of(pool) == b"answer"
        await until_open(pool, 0)


async def test_a_host_that_wants_to_close_is_let_go() -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        peer.answer(b"answer", head="connection: close\r\n")
        await peer.gone()

    async with host(once) as url, pool_to(url) as pool:
        assert await body_of(pool) == b"answer"
        await until_open(pool, 0)


async def test_an_idle_connection_grows_too_old() -> None:
    async with host(echo) as url, pool_to(url, keepalive_s=0) as pool:
        assert (await body_of(pool)).startswith(b"1 ")
        assert (await body_of(pool)).startswith(b"2 ")


async def test_closing_a_response_half_read_is_seen_by_the_host_at_once() -> None:
    gone = asyncio.Event()

    async def streams(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD + b"2\r\nhi\r\n")
        await peer.gone()
        gone.set()

    async with host(streams) as url, pool_to(url) as pool:
        response = await pool.post(b"{}")
        assert (response.status, response.headers["request-id"]) == (200, "req_7")
        assert await response.read() == b"hi"
        response.close()  # no await between this and the host's notice
        async with asyncio.timeout(1):
            await gone.wait()
        await until_open(pool, 0)
        with pytest.raises(ModelBroken):
            await response.read()


async def test_cancelling_a_request_closes_its_connection() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def says_nothing(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        gone.set()

    async with host(says_nothing) as url, pool_to(url) as pool:
        task = asyncio.create_task(pool.post(b"{}"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1):
            await gone.wait()


async def test_finishing_spares_the_connection_when_the_end_follows() -> None:
    read = asyncio.Event()

    async def ends_later(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD + b"2\r\nhi\r\n")
        await read.wait()
        peer.write(b"3\r\nend\r\n0\r\n\r\n")
        assert await peer.request()
        peer.answer(b"again")
        await peer.gone()

    async with host(ends_later) as url, pool_to(url) as pool:
        response = await pool.post(b"{}")
        await response.read()
        response.finish()
        read.set()
        await until(lambda: pool.statistics().idle == 1)
        assert await body_of(pool) == b"again"
        assert pool.statistics().opened == 1


async def test_finishing_an_answer_that_does_not_end_costs_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "FINISH_S", 0.05)

    async def never_ends(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD + b"2\r\nhi\r\n")
        await peer.gone()

    async with host(never_ends) as url, pool_to(url) as pool:
        response = await pool.post(b"{}")
        response.finish()
        assert pool.statistics().open == 1
        await until_open(pool, 0)


@pytest.mark.parametrize(
    ("said", "failure"),
    [(b"", ModelUnavailable), (b"HTTP/1.1 200 OK\r\n", ModelUnavailable), (STREAM_HEAD + b"2\r\nhi\r\n", ModelBroken)],
)
async def test_silence_ends_the_answer(said: bytes, failure: type[Exception]) -> None:
    async def falls_silent(peer: Peer) -> None:
        await peer.request()
        peer.write(said)
        await peer.gone()

    async with host(falls_silent) as url, pool_to(url, read_timeout_s=0.1) as pool:
        with pytest.raises(failure, match=r"silent for 0\.1 s"):
            await body_of(pool)
        await until_open(pool, 0)


async def test_a_slow_answer_is_not_a_silent_one() -> None:
    async def drips(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD)
        for _ in range(6):
            await asyncio.sleep(0.1)
            peer.write(b"1\r\n.\r\n")
        peer.write(b"0\r\n\r\n")
        await peer.gone()

    async with host(drips) as url, pool_to(url, read_timeout_s=0.4) as pool:
        assert await body_of(pool) == b"......"


async def test_a_slow_reader_stops_the_host_and_loses_nothing() -> None:
    piece, count = b"x" * 65536, 512
    written = asyncio.Event()

    async def floods(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD)
        for _ in range(count):
            peer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await peer.writer.drain()
        written.set()
        peer.write(b"0\r\n\r\n")
        await peer.gone()

    # The silence of a host we do not read is ours: it must not count.
    async with host(floods) as url, pool_to(url, read_timeout_s=0.1) as pool:
        response = await pool.post(b"{}")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await written.wait()
        total = longest = 0
        while data := await response.read():
            total, longest = total + len(data), max(longest, len(data))
        assert total == len(piece) * count
        assert longest <= 2 * HIGH_WATER_BYTES


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x-filler: y\r\n" * 20_000,
    ],
)
async def test_what_is_no_answer_makes_the_model_unavailable(said: bytes) -> None:
    async def talks_nonsense(peer: Peer) -> None:
        await peer.request()
        peer.write(said)
        await peer.gone()

    async with host(talks_nonsense) as url, pool_to(url, read_timeout_s=2) as pool:
        with pytest.raises(ModelUnavailable):
            await pool.post(b"{}")
        await until_open(pool, 0)


async def test_a_broken_chunk_breaks_the_answer_after_what_came_before_it() -> None:
    async def breaks(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD + b"2\r\nhi\r\nzz\r\n")
        await peer.gone()

    async with host(breaks) as url, pool_to(url) as pool:
        response = await pool.post(b"{}")
        assert await response.read() == b"hi"
        with pytest.raises(ModelBroken):
            await response.read()


async def test_interim_responses_are_passed_over() -> None:
    async def hints(peer: Peer) -> None:
        await peer.request()
        peer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n")
        peer.answer(b"answer")
        await peer.gone()

    async with host(hints) as url, pool_to(url) as pool:
        response = await pool.post(b"{}")
        assert response.status == 200
        assert "link" not in response.headers
        assert await response.read_all(limit_bytes=100) == b"answer"
        assert pool.statistics().idle == 1


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async def old(peer: Peer) -> None:
        await peer.request()
        peer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")

    async with host(old) as url, pool_to(url) as pool:
        assert await body_of(pool) == b"all of it"


async def test_no_more_is_read_of_a_body_than_allowed() -> None:
    async with host(echo) as url, pool_to(url) as pool:
        response = await pool.post(b"x" * 5000)
        assert len(await response.read_all(limit_bytes=10)) == 10


async def test_a_refused_connection_makes_the_model_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with pool_to(f"http://127.0.0.1:{port}/") as pool:
        with pytest.raises(ModelUnavailable, match="no connection to 127"):
            await pool.post(b"{}")
        with pytest.raises(ModelUnavailable):
            await pool.warm()


async def test_a_handshake_that_does_not_come_is_given_up() -> None:
    async def stays_mute(peer: Peer) -> None:
        await peer.gone()

    async with host(stays_mute) as url, pool_to(url.replace("http:", "https:"), connect_timeout_s=0.1) as pool:
        with pytest.raises(ModelUnavailable, match="no connection"):
            await pool.post(b"{}")


async def test_more_connections_than_allowed_are_not_opened() -> None:
    async def says_nothing(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD)
        await peer.gone()

    async with host(says_nothing) as url, pool_to(url, max_connections=2) as pool:
        await pool.post(b"{}")
        await pool.post(b"{}")
        with pytest.raises(ModelUnavailable, match="in use"):
            await pool.post(b"{}")


async def test_closing_the_pool_breaks_what_is_open_and_refuses_what_comes() -> None:
    async def streams(peer: Peer) -> None:
        await peer.request()
        peer.write(STREAM_HEAD)
        await peer.gone()

    async with host(streams) as url, pool_to(url) as pool:
        response = await pool.post(b"{}")
        reading = asyncio.create_task(response.read())
        await asyncio.sleep(0)
        await pool.aclose()
        with pytest.raises(ModelBroken, match="closed"):
            await reading
        with pytest.raises(ModelUnavailable, match="closed"):
            await pool.post(b"{}")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: no certificate to serve with")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_tls_is_spoken_to_a_host_that_is_trusted(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with host(echo, ssl=context) as url, pool_to(url, ssl_context=trusting) as pool:
        assert (await body_of(pool)).startswith(b"1 ")
        assert (await body_of(pool)).startswith(b"1 ")


async def test_a_host_that_is_not_trusted_makes_the_model_unavailable(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with host(echo, ssl=context) as url, pool_to(url) as pool:
        with pytest.raises(ModelUnavailable, match="no connection"):
            await pool.post(b"{}")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host",
        "ftp://host",
        "http://",
        "http://h:port",
        "http://h/?q",
        "http://h/a b",
        "https://me:pw@host",
        "http://h\u00e9/",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ConnectionPool(url, headers={})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "sec\nret", "secr\u00e9t", " secret", "secret\r"])
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(value: str) -> None:
    with pytest.raises(SettingsError, match="'authorization'") as caught:
        ConnectionPool("http://h", headers={"authorization": value})
    assert not value.strip() or value.strip() not in str(caught.value)


async def test_each_of_many_healthy_addresses_has_time_for_its_handshake(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))

    async def far_away(peer: Peer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(near.rsplit(":")[2].split("/")[0]))

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                await asyncio.sleep(0.06)  # the distance
                target.write(data)
            target.close()

        await asyncio.gather(carry(peer.reader, writer), carry(reader, peer.writer))

    async with host(echo, ssl=context) as near, host(far_away) as far:
        async with pool_to(far.replace("http:", "https:"), ssl_context=trusting, connect_timeout_s=2) as pool:
            pool._addresses = _twelve(await pool._addresses())  # type: ignore[method-assign]
            assert (await body_of(pool)).startswith(b"1 POST")


def _twelve(found: list[AddrInfoType]) -> Callable[[], Coroutine[Any, Any, list[AddrInfoType]]]:
    async def addresses() -> list[AddrInfoType]:
        return found * 12

    return addresses

"""The gateway: a proxy with TLS before real servers, that lets sockets and webhooks through and nothing else."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession, TCPConnector, web
from retell.lib.webhook_auth import symmetric

from retell_ws.__main__ import main
from retell_ws.agent import Agent
from retell_ws.blueprints import running
from retell_ws.deploy.proxies import Certificate, Proxy, configuration
from retell_ws.errors import UsageError
from retell_ws.models.scripted import ScriptedModel
from retell_ws.route import PREFIX
from retell_ws.server import Server
from retell_ws.settings import Settings
from retell_ws.stores.memory import MemoryCallStore
from retell_ws.testing.dial import DialPolicy
from retell_ws.testing.retell import FakeRetell
from tests.certificates import certificate, trusting
from tests.deploy.proxies import commands, listening, written
from tests.machine import free_port
from tests.waiting import until

PROXIES: tuple[Proxy, ...] = get_args(Proxy)
SECRET = "secret-of-the-path-0123"
TOKEN = "0123456789abcdef-admin"
ONCE = DialPolicy(attempts=1)
AGAIN = DialPolicy(pause_s=1.0)
MIB = 1024 * 1024

INSIDE = (
    *("/metrics", "/calls", "/calls/call_1", "/calls/call_1/view", "/drain", "/readyz", "/servers", "/directory"),
    *("/console", "/console/", "/console/index.html", "/console/try", "/console/socket/try_12345678"),
    *("/webhook/", "/webhook/x", "/WEBHOOK"),
)
"""What the second port has, or may have, beside the webhook."""

DEVIOUS = (
    "/webhook/../metrics",
    "/webhook/..%2fmetrics",
    "/webhook%2f..%2fmetrics",
    "/llm-websocket/../metrics",
    "/llm-websocket/../console",
    "/webhook/../console",
    "/webhook/..%2fservers",
    "/%63onsole",
    "//console",
    "/llm-websocket/..%2fmetrics",
    "//metrics",
    "/./metrics",
    "/%6detrics",
    "/metrics?/webhook",
    "/metrics#/webhook",
    "/metrics;/webhook",
    "/metrics/..%2fwebhook",
    "http://localhost/metrics",
)
"""Ways to write a path that a proxy and a server may read differently."""

KEY = "key_0123456789abcdef"
SIGNATURE = "v=1790000000000,d=0123"


class SecondPort:
    """What stands in for a second port: it takes webhooks, and notes all that comes through.

    Attributes:
        seen: Method and path of each request, without those of health checks.
        bodies: Of the webhooks.
        status: With which it answers webhooks.
        address: `HOST:PORT`.
    """

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.bodies: list[bytes] = []
        self.status = 204
        self.address = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=32 * MIB)
        app.router.add_route("*", "/{any:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = f"127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        if request.path == "/livez":
            return web.Response(text="ok\n")
        self.seen.append(f"{request.method} {request.raw_path}")
        if request.raw_path.partition("?")[0] != "/webhook":
            return web.Response(text="this is for nobody outside")
        body = await request.read()
        if request.headers.get("X-Retell-Signature") != SIGNATURE:
            return web.Response(status=401)
        self.bodies.append(body)
        return web.Response(status=self.status)


class Gateway:
    """A proxy with TLS before two servers and their second ports.

    Attributes:
        port: Where it listens.
        chain: The certificate to trust.
        servers: The servers.
        seconds: What stands in for their second ports.
        log: What the proxy wrote; there when it has ended.
    """

    def __init__(self, port: int, chain: Path, servers: list[Server], seconds: list[SecondPort]) -> None:
        self.port = port
        self.chain = chain
        self.servers = servers
        self.seconds = seconds
        self.log = ""

    async def post(
        self, body: bytes, *, path: str = "/webhook", chunked: bool = False, signature: str = SIGNATURE
    ) -> int:
        """Send a webhook, and give the status."""
        connector = TCPConnector(ssl=trusting(self.chain))
        data = _pieces(body) if chunked else io.BytesIO(body)
        async with (
            ClientSession(connector=connector) as session,
            session.post(
                f"https://localhost:{self.port}{path}", data=data, headers={"X-Retell-Signature": signature}
            ) as response,
        ):
            await response.read()
            return response.status

    async def raw(self, method: str, path: str) -> tuple[int, str]:
        """Send a request by hand, its path as it stands, and give status and body."""
        reader, writer = await asyncio.open_connection("localhost", self.port, ssl=trusting(self.chain))
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        try:
            async with asyncio.timeout(10):
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        return int(head.split(b" ", 2)[1]), body.decode()


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 64 * 1024):
        yield body[start : start + 64 * 1024]


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    agent = Agent("You are Ana.", greeting="Hi.")
    made = Settings(port=0, http_port=0, path_secret=SECRET, admin_token=TOKEN)
    store = MemoryCallStore(asyncio.get_running_loop().time, is_shared=True)
    async with running(agent, made, model=ScriptedModel(ttft_ms=1, spacing_ms=1), store=store) as ready:
        yield ready


def place(url: str | None) -> str:
    return urlsplit(url or "").netloc


@asynccontextmanager
async def gateway(proxy: Proxy, directory: Path, *, real: bool = False, doubles: int = 2) -> AsyncIterator[Gateway]:
    """Run two servers and a gateway before them.

    Args:
        proxy: Which one.
        directory: Of its files.
        real: Webhooks go to the servers' own second ports; otherwise to what stands in for them.
        doubles: How many of these there are.
    """
    commands(proxy, directory)  # skips where there is none
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(server()) for _ in range(2)]
        seconds = [SecondPort() for _ in range(doubles)]
        for second in seconds:
            await second.start()
            stack.push_async_callback(second.stop)
        chain, both = await asyncio.to_thread(certificate, directory)
        port = free_port()
        text = configuration(
            proxy,
            [place(each.address) for each in servers],
            http=[place(each.http_address) for each in servers] if real else [each.address for each in seconds],
            tls=Certificate.named(str(both)),
            listen=f"127.0.0.1:{port}",
        )
        file = directory / "proxy.conf"
        file.write_text(text.replace("/var/log/nginx/", f"{directory}/"))
        made = Gateway(port, chain, servers, seconds)
        try:
            async with listening(proxy, file, port):
                yield made
        finally:
            made.log = await asyncio.to_thread(written, directory)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have every client of this process trust the test's certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_call_over_tls_is_answered_and_nobody_logs_its_path(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        url = f"wss://localhost:{made.port}{PREFIX}/{SECRET}"
        async with FakeRetell(url, dial_policy=ONCE, redial_policy=ONCE, details={"metadata": {}}) as retell:
            assert await retell.greeting() == "Hi."
            assert (await retell.ask("Are you open on Monday?")).text
        assert await made.post(b"{}") == 204
    for secret in (SECRET, retell.call_id, SIGNATURE):
        assert made.log and secret not in made.log


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_call_moves_through_the_gateway_to_the_other_server(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        url = f"wss://localhost:{made.port}{PREFIX}/{SECRET}"
        opened: list[object] = []  # a server has the redial before the caller knows that it was taken
        async with FakeRetell(
            url, dial_policy=ONCE, redial_policy=AGAIN, details={"metadata": {}}, on_open=opened.append
        ) as retell:
            assert await retell.greeting() == "Hi."
            (had,) = (each for each in made.servers if each.live())
            had.move_calls()
            (other,) = (each for each in made.servers if each is not had)
            await until(lambda: other.live() == 1 and len(opened) == 2)
            assert (await retell.ask("Are you open on Monday?")).text


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_webhook_arrives_byte_for_byte(proxy: Proxy, tmp_path: Path) -> None:
    body = '{"event":"call_ended","call":{"call_id":"call_1","note":"café"}}'.encode()
    large = b'{"event":"call_analyzed","x":"' + b"y" * (10 * MIB) + b'"}'
    async with gateway(proxy, tmp_path, doubles=1) as made:
        assert await made.post(body) == 204
        assert await made.post(body, path="/webhook?tenant=1") == 204
        assert await made.post(body, chunked=True) == 204
        assert await made.post(large) == 204
        assert made.seconds[0].bodies == [body, body, body, large]


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_server_s_own_second_port_takes_what_retell_has_signed(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    body = '{"event":"call_ended","call":{"call_id":"call_1","note":"café"}}'
    signature = symmetric["sign"](body, KEY)
    async with gateway(proxy, tmp_path, real=True) as made:
        assert await made.post(body.encode(), signature=signature) == 204
        assert await made.post(body.replace("call_1", "call_2").encode(), signature=signature) == 401
        assert await made.post(body.encode(), path="/webhook?tenant=1", signature=signature) == 204


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_body_of_more_than_16_mib_is_refused(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        reader, writer = await asyncio.open_connection("localhost", made.port, ssl=trusting(made.chain))
        writer.write(
            f"POST /webhook HTTP/1.1\r\nHost: localhost\r\nX-Retell-Signature: {SIGNATURE}\r\n"
            f"Content-Length: {16 * MIB + 1}\r\n\r\n".encode()
        )
        if proxy == "caddy":  # it counts what comes
            writer.write(b"x" * (16 * MIB + 1))
        try:
            async with asyncio.timeout(20):
                answer = await reader.readline()
        finally:
            writer.transport.abort()
        assert b" 413 " in answer or (proxy == "caddy" and b" 502 " in answer), answer
        assert not any(each.bodies for each in made.seconds)


@pytest.mark.parametrize("proxy", PROXIES)
async def test_a_webhook_goes_to_another_server_when_one_is_gone(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path, doubles=3) as made:
        await made.seconds[0].stop()
        for number in range(6):  # before the proxy has looked, and after
            status = await made.post(b"%d" % number)
            if proxy == "caddy" and status == 502:  # older ones cannot send a body twice; Retell does
                status = await made.post(b"%d" % number)
            assert status == 204
        taken = sorted(body for each in made.seconds[1:] for body in each.bodies)
        assert taken == [b"%d" % number for number in range(6)]
        assert all(each.bodies for each in made.seconds[1:]), "those that are there share them"


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
async def test_a_webhook_that_one_server_cannot_keep_is_kept_by_another(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        made.seconds[0].status = 503
        for _ in range(4):
            assert await made.post(b"{}") == 204
        assert len(made.seconds[1].bodies) == 4


@pytest.mark.parametrize("proxy", PROXIES)
async def test_what_all_servers_refuse_is_refused(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        for status in (401, 503):
            for second in made.seconds:
                second.status = status
            assert await made.post(b"{}") in ((401,) if status == 401 else (502, 503)), "Retell sends it again"


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("real", [True, False], ids=["the-servers-own", "a-double"])
async def test_nothing_else_of_the_second_port_can_be_reached(
    proxy: Proxy, real: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETELL_API_KEY", KEY)
    async with gateway(proxy, tmp_path, real=real) as made:
        for path in (*INSIDE, *DEVIOUS):
            for method in ("GET", "POST", "DELETE"):
                status, body = await made.raw(method, path)
                # Some read a path differently than it is written: then it may be a webhook, whose signature is missing.
                assert status in (400, 401, 404, 405), f"{method} {path}: {status}"
                assert "retell_ws_" not in body and "this is for nobody outside" not in body
        for method in ("GET", "PUT", "DELETE", "OPTIONS"):
            status, _ = await made.raw(method, "/webhook")
            assert status in (404, 405)
        assert not any(each.is_draining for each in made.servers)
        assert {seen for each in made.seconds for seen in each.seen} <= {"POST /webhook"}


@pytest.mark.parametrize("proxy", PROXIES)
async def test_the_gateway_says_that_it_lives_and_speaks_no_newer_http(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        assert await made.raw("GET", "/livez") == (200, "ok" if proxy == "caddy" else "ok\n")
        context = trusting(made.chain, offers=("h2", "http/1.1"))
        _, writer = await asyncio.open_connection("localhost", made.port, ssl=context)
        spoken: ssl.SSLObject = writer.get_extra_info("ssl_object")
        assert spoken.selected_alpn_protocol() in ("http/1.1", None)
        writer.close()
        await writer.wait_closed()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
@pytest.mark.parametrize("proxy", PROXIES)
async def test_an_old_tls_is_refused(proxy: Proxy, tmp_path: Path) -> None:
    async with gateway(proxy, tmp_path) as made:
        context = trusting(made.chain)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("localhost", made.port, ssl=context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await asyncio.open_connection("localhost", made.port, ssl=context)
        writer.close()
        await writer.wait_closed()


# ---------------------------------------------------------------------------- what is written


@pytest.mark.parametrize("proxy", PROXIES)
async def test_the_command_writes_what_the_proxy_accepts(proxy: Proxy, tmp_path: Path) -> None:
    certificate(tmp_path)
    file = tmp_path / "proxy.conf"
    given = ["--server", "127.0.0.1:8080", "--http", "127.0.0.1:8081", "--http", "[::1]:8081", "--out", str(file)]
    with pytest.raises(SystemExit) as caught:
        main(["proxy", proxy, *given, "--tls", f"{tmp_path}/both.pem"])
    assert caught.value.code == 0
    file.write_text(file.read_text().replace("/var/log/nginx/", f"{tmp_path}/"))
    assert ":443" in file.read_text() or "listen 443 ssl" in file.read_text()
    check, _ = commands(proxy, file)
    process = await asyncio.create_subprocess_exec(
        *check, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert b"[WARNING]" not in told and b"[warn]" not in told


async def test_caddy_gets_the_certificate_of_a_domain_by_itself(tmp_path: Path) -> None:
    text = configuration("caddy", ["a:1"], http=["a:2"], domain="voice.example.com")
    assert "https://voice.example.com:443 {" in text and "tls " not in text
    file = tmp_path / "Caddyfile"
    file.write_text(text)
    check, _ = commands("caddy", file)
    process = await asyncio.create_subprocess_exec(
        *check, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()


Writing = Callable[[], str]


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("has_webhook", [True, False])
@pytest.mark.parametrize("has_tls", [True, False])
def test_each_part_is_there_or_not_there(proxy: Proxy, has_webhook: bool, has_tls: bool) -> None:
    tls = Certificate("/c.pem", "/c.pem") if has_tls else None
    text = configuration(proxy, ["a:1", "b:1"], http=["a:2", "b:2"] if has_webhook else [], tls=tls)
    assert ("/webhook" in text and "a:2" in text and "b:2" in text) is has_webhook
    assert ("/llm-websocket" in text) is has_webhook
    assert (" /c.pem" in text) is has_tls
    assert "@if" not in text and "@end" not in text and "@unless" not in text and "\n\n\n" not in text
    port = "443" if has_tls else "8080"
    assert f":{port}" in text or f"listen {port}" in text


def test_a_key_of_its_own_is_named_where_the_proxy_can_have_one() -> None:
    apart = Certificate.named("/certs/full.pem,/certs/key.pem")
    assert "ssl_certificate_key /certs/key.pem;" in configuration("nginx", ["a:1"], tls=apart)
    assert "tls /certs/full.pem /certs/key.pem {" in configuration("caddy", ["a:1"], tls=apart)
    with pytest.raises(UsageError, match="both in one file"):
        configuration("haproxy", ["a:1"], tls=apart)
    beside = Certificate.named("/certs/full.pem,/certs/full.pem.key")
    assert "crt /certs/full.pem " in configuration("haproxy", ["a:1"], tls=beside)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda: configuration("nginx", ["a:1"], http=["a"]), "--http: 'a' is not HOST:PORT"),
        (lambda: configuration("nginx", ["a:1"], http=[":2"]), "--http: ':2' is not HOST:PORT"),
        (lambda: configuration("nginx", ["a:1"], http=["a:2", "a:2"]), "--http: one is named twice"),
        (lambda: configuration("nginx", ["a:1", "b:1"], http=["b:1"]), "--http: b:1 is the port of calls"),
        (lambda: configuration("nginx", ["a:1"], domain="x.example"), "only Caddy"),
        (lambda: configuration("caddy", ["a:1"], domain="x"), "no name of a host"),
        (lambda: configuration("caddy", ["a:1"], domain="x.example {"), "no name of a host"),
        (lambda: configuration("caddy", ["a:1"], domain="x.example", tls=Certificate("/a", "/a")), "either"),
        (lambda: str(Certificate.named("cert.pem")), "begins with /"),
        (lambda: str(Certificate.named("/cert.pem;")), "no path"),
        (lambda: str(Certificate.named("/cert.pem,key.pem")), "'key.pem' is no path"),
        (lambda: str(Certificate.named("/a\nb")), "no path"),
    ],
)
def test_only_what_a_configuration_may_hold_gets_in(write: Writing, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        write()
    assert words in str(caught.value)


def test_a_file_named_from_here_is_named_in_full(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["proxy", "nginx", "--server", "a:1", "--tls", "cert.pem,key.pem"])
    written = capsys.readouterr().out
    assert f"ssl_certificate {Path.cwd()}/cert.pem;" in written
    assert f"ssl_certificate_key {Path.cwd()}/key.pem;" in written

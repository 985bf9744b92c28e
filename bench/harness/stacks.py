"""The servers that are measured, one row each. It starts none of them."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import psutil  # type: ignore[import-untyped]

from bench.harness.machine import Cores
from bench.harness.processes import NotReady, Running, pinned_to, started
from bench.harness.redis_server import redis_command

__all__ = ["COLOURS", "STACKS", "Stack", "chosen", "fake_model", "serving"]


class Stack(msgspec.Struct, frozen=True):
    """One server to measure.

    Attributes:
        name: As `--stacks` takes it and results keep it.
        label: As charts and tables say it.
        argv: From the fake model's URL to the interpreter's arguments.
        keeps: It keeps its calls in Redis, whose URL it is given.
    """

    name: str
    label: str
    argv: Callable[[str], list[str]]
    keeps: bool = False


def _ours(model: str, *flags: str) -> Callable[[str], list[str]]:
    return lambda url: [
        *("-m", "retell_ws", "serve", "bench/harness/receptionist.py", "--port", "0"),
        *("--model", model, "--model-url", url, "--max-calls", "5000", "--drain-s", "0"),
        *("--log-level", "error", *flags),
    ]


# Not ahead of Retell, as in `single`: what is compared is where the calls are kept.
SHARED = ("--blueprint", "distributed", "--no-speculate", "--drain-delay-s", "0")


def _demo(*flags: str) -> Callable[[str], list[str]]:
    return lambda url: ["-m", "bench.peers.demo_shaped", "--base-url", url, *flags]


STACKS = {
    stack.name: stack
    for stack in (
        Stack("ours", "retell_ws", _ours("anthropic")),
        Stack("ours-sdk", "retell_ws, SDK client", _ours("anthropic-sdk")),
        Stack(
            "websockets-sdk",
            "websockets + SDK, tuned",
            lambda url: ["-m", "bench.peers.websockets_sdk", "--base-url", url],
        ),
        Stack("demo", "demo shape at its best", _demo("--best")),
        Stack("demo-plain", "demo shape, defaults", _demo()),
        Stack("demo-per-call", "demo shape, client per call", _demo("--client-per-call")),
        Stack("shared", "retell_ws, calls in Redis", _ours("anthropic", *SHARED), keeps=True),
        Stack("workers", "2 workers, calls in Redis", _ours("anthropic", *SHARED, "--workers", "2"), keeps=True),
    )
}
"""Every stack by name, ours first."""

COLOURS = dict(
    zip(
        STACKS,
        ("#0b6e4f", "#58b09c", "#d08c2f", "#b3423a", "#7d6b91", "#8a8a8a", "#4a6fa5", "#7aa0c4"),
        strict=True,
    )
)


def chosen(names: str) -> list[Stack]:
    """Read a comma-separated list of names.

    Raises:
        SystemExit: One is unknown.
    """
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in STACKS]
    if unknown:
        raise SystemExit(f"unknown stack {', '.join(unknown)}; there are {', '.join(STACKS)}")
    return [STACKS[name] for name in wanted]


@contextmanager
def fake_model(
    cores: Cores, *, ttft_ms: int, deltas: int, spacing_ms: int, remembering: bool = False
) -> Iterator[Running]:
    """Run FakeAnthropic on the load core; its first delta carries its own receive and write times.

    Args:
        cores: Where.
        ttft_ms: Milliseconds from a request to the first delta.
        deltas: Pieces of an answer.
        spacing_ms: Milliseconds between two.
        remembering: Keep the body of every logged request.
    """
    module = "bench.harness.remembering_model" if remembering else "retell_ws.testing.fake_anthropic"
    argv = [
        *("-m", module, "--port", "0", "--stamp"),
        *("--ttft-ms", str(ttft_ms), "--deltas", str(deltas), "--spacing-ms", str(spacing_ms)),
    ]
    with started(argv, core=cores.load) as model:
        yield model


@contextmanager
def serving(stack: Stack, cores: Cores, model_url: str) -> Iterator[Running]:
    """Run a server on the server core, in front of the fake model; its Redis, if it has one, beside it."""
    # A key of no account: the fake model asks for one and takes any.
    env = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": ""}
    with ExitStack() as running:
        argv = stack.argv(model_url)
        beside: dict[str, int] = {}
        if stack.keeps:
            store = running.enter_context(_redis(cores))
            argv += ["--redis-url", store.ready["url"]]
            beside["store"] = store.pid
        server = running.enter_context(started(argv, core=cores.server, env=env))
        children = _children(server.pid, are_some="--kafka-bootstrap" in argv)
        server.beside = {**beside, **{f"worker {number}": child for number, child in enumerate(children)}}
        yield server


def _children(pid: int, *, are_some: bool) -> list[int]:
    """Find the processes that a server has started: its workers, or what hands its facts on to Kafka."""
    deadline = time.monotonic() + 10
    while True:
        children = [int(child.pid) for child in psutil.Process(pid).children()]
        if children or not are_some:
            return children
        if time.monotonic() > deadline:
            raise NotReady("nothing hands the facts on to Kafka")
        time.sleep(0.02)


@contextmanager
def _redis(cores: Cores) -> Iterator[Running]:
    """Run a Redis that keeps nothing, on a socket of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        with pinned_to(cores.server):
            process = subprocess.Popen(
                redis_command("--port", "0", "--unixsocket", path, "--dir", folder),
                stdout=subprocess.DEVNULL,
            )
        try:
            _until_it_answers(path)
            yield Running(process.pid, {"url": f"unix://{path}"}, 0.0)
        finally:
            process.terminate()
            process.wait()


def _until_it_answers(path: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(path)
                there.sendall(b"PING\r\n")
                if there.recv(16) == b"+PONG\r\n":
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise NotReady("Redis does not come up")
        time.sleep(0.02)

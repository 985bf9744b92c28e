"""The servers that are measured, one row each. It starts none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from bench.harness.machine import Cores
from bench.harness.processes import Running, started

__all__ = ["COLOURS", "STACKS", "Stack", "chosen", "fake_model", "serving"]


class Stack(msgspec.Struct, frozen=True):
    """One server to measure.

    Attributes:
        name: As `--stacks` takes it and results keep it.
        label: As charts and tables say it.
        argv: From the fake model's URL to the interpreter's arguments.
    """

    name: str
    label: str
    argv: Callable[[str], list[str]]


def _ours(model: str) -> Callable[[str], list[str]]:
    return lambda url: [
        *("-m", "retell_ws", "serve", "bench/harness/receptionist.py", "--port", "0"),
        *("--model", model, "--model-url", url, "--max-calls", "5000", "--drain-s", "0"),
        *("--log-level", "error"),
    ]


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
    )
}
"""Every stack by name, ours first."""

COLOURS = dict(zip(STACKS, ("#0b6e4f", "#58b09c", "#d08c2f", "#b3423a", "#7d6b91", "#8a8a8a"), strict=True))


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
    """Run a server on the server core, in front of the fake model."""
    # A key of no account: the fake model asks for one and takes any.
    env = {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": ""}
    with started(stack.argv(model_url), core=cores.server, env=env) as server:
        yield server

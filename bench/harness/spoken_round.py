"""One round of spoken calls against one configuration: fresh server, fresh fake model, the turns. It keeps no state."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from bench.harness.levers import Configuration, serving
from bench.harness.machine import Cores
from bench.harness.phrases import ANSWERS
from bench.harness.plans import Spoken, SpokenResult, SpokenTurn
from bench.harness.processes import Running, started
from bench.harness.rounds import carry_out
from bench.harness.sentences import costs, silences, times
from retell_ws.testing.fake_anthropic_process import FakeAnthropic
from retell_ws.testing.first_tokens import FirstTokens

__all__ = ["LONGEST_SILENCE_MS", "SPACING_MS", "spoken_round"]

SPACING_MS = 12.0
LONGEST_SILENCE_MS = 1500.0


def spoken_round(
    configuration: Configuration,
    number: int,
    *,
    calls: int,
    conversations: int,
    spread_s: float,
    tokens: FirstTokens,
    turns: int = 100,
    hurry: float = 1.0,
    outage_after_s: float = 0.0,
    outage_s: float = 0.0,
    cores: Cores,
    progress: Callable[[float], None],
) -> tuple[dict[str, Any], list[SpokenTurn]]:
    """Measure a configuration once.

    The seed of the first tokens is that of the conversations, too.

    Returns:
        Figures by name, and the turns they are of.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        _model(tokens, cores) as model,
        serving(configuration, cores, model.ready["url"], Path(folder)) as server,
    ):
        plan = Spoken(
            url=server.ready["ws"],
            model_url=model.ready["url"],
            pids={"server": server.pid, "model": model.pid},
            calls=calls,
            conversations=conversations,
            spread_s=spread_s,
            seed=tokens.seed,
            turns=turns,
            hurry=hurry,
            outage_after_s=outage_after_s,
            outage_s=outage_s,
        )
        result = carry_out(plan, SpokenResult, cores=cores, progress=progress)
    named = {"configuration": configuration.name, "round": number, "calls": calls}
    return {**named, **_figures(result)}, result.turns


@contextmanager
def _model(tokens: FirstTokens, cores: Cores) -> Iterator[Running]:
    argv = ["-m", "retell_ws.testing.fake_anthropic", "--port", "0", "--spacing-ms", str(SPACING_MS)]
    with started([*argv, "--first-tokens", msgspec.json.encode(tokens).decode()], core=cores.load) as model:
        asyncio.run(FakeAnthropic(model.ready["url"]).control(texts=ANSWERS))
        yield model


def _figures(result: SpokenResult) -> dict[str, float]:
    cost, turns = result.cost, max(1, len(result.turns))
    return {
        **times(result.turns),
        **costs(result.model, turns),
        **(silences(result.turns, LONGEST_SILENCE_MS) if any(turn.outage for turn in result.turns) else {}),
        "lost": result.lost,
        "asked": result.asked,
        "updates": result.updates,
        "cpu_percent": cost.percent("server"),
        "cpu_per_turn_ms": cost.cpu_ns["server"] / 1e6 / turns,
        "load_cpu_percent": cost.percent("load"),
        "model_cpu_percent": cost.percent("model"),
        "wall_s": result.wall_s,
        "foreign_percent": cost.foreign_percent,
        "stolen_percent": cost.stolen_percent,
    }

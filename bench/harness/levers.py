"""What makes a first sentence quicker, each lever alone, all, and none: the flags of `serve`. It starts nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from bench.harness import stacks
from bench.harness.machine import Cores
from bench.harness.phrases import COMMON
from bench.harness.processes import Running
from bench.harness.stacks import Stack

__all__ = ["ALL", "COLOURS", "CONFIGURATIONS", "OFF", "Configuration", "chosen", "serving"]

FALLBACK: Final = "claude-sonnet-5-5"
NEVER_MS: Final = "600000"


class Configuration(msgspec.Struct, frozen=True):
    """One way to run the server.

    Attributes:
        name: As `--configurations` takes it and results keep it.
        label: As charts and tables say it.
        levers: Which are on.
    """

    name: str
    label: str
    levers: frozenset[str]

    def flags(self, answers_file: Path) -> list[str]:
        """Write the flags of `serve`.

        Args:
            answers_file: The callers' words that are answered in advance, one a line.
        """
        on = self.levers
        flags = [
            "--speculate" if "speculation" in on else "--no-speculate",
            "--hedge" if "race" in on else "--no-hedge",
            *("--fallback-model", FALLBACK if "race" in on else ""),
            "--warm-cache" if "warm" in on else "--no-warm-cache",
            "--answer-cache" if "answers" in on else "--no-answer-cache",
            *(() if "holding" in on else ("--holding-ms", NEVER_MS)),
        ]
        if "answers" in on:
            flags += ["--answers-file", str(answers_file)]
        return flags


LEVERS: Final = ("speculation", "race", "warm", "answers", "holding")
OFF, ALL = "off", "all"

CONFIGURATIONS: Final = {
    configuration.name: configuration
    for configuration in (
        Configuration(OFF, "everything off", frozenset()),
        Configuration("speculation", "speculation alone", frozenset({"speculation"})),
        Configuration("race", "race alone", frozenset({"race"})),
        Configuration("warm", "warm prompt cache alone", frozenset({"warm"})),
        Configuration("answers", "answer cache alone", frozenset({"answers"})),
        Configuration("holding", "holding phrases alone", frozenset({"holding"})),
        Configuration(ALL, "all on", frozenset(LEVERS)),
    )
}
"""Every configuration by name."""

COLOURS: Final = dict(
    zip(CONFIGURATIONS, ("#8a8a8a", "#2f6fb0", "#d08c2f", "#7d6b91", "#b3423a", "#58a4b0", "#0b6e4f"), strict=True)
)


def chosen(names: str) -> list[Configuration]:
    """Read a comma-separated list of names.

    Raises:
        SystemExit: One is unknown.
    """
    wanted = [name.strip() for name in names.split(",")]
    unknown = [name for name in wanted if name not in CONFIGURATIONS]
    if unknown:
        raise SystemExit(f"unknown configuration {', '.join(unknown)}; there are {', '.join(CONFIGURATIONS)}")
    return [CONFIGURATIONS[name] for name in wanted]


@contextmanager
def serving(configuration: Configuration, cores: Cores, model_url: str, folder: Path) -> Iterator[Running]:
    """Run the server on its core, in front of the fake model.

    Args:
        configuration: How.
        cores: Where.
        model_url: The fake model's.
        folder: Where the file of common openings may stand.
    """
    answers_file = folder / "common_openings.txt"
    answers_file.write_text("\n".join(COMMON) + "\n", "utf-8")

    def argv(url: str) -> list[str]:
        return [
            *("-m", "retell_ws", "serve", "bench/harness/spoken_agent.py", "--port", "0"),
            *("--model", "anthropic", "--model-url", url, "--max-calls", "5000", "--drain-s", "0"),
            *("--log-level", "error", *configuration.flags(answers_file)),
        ]

    with stacks.serving(Stack(configuration.name, configuration.label, argv), cores, model_url) as server:
        yield server

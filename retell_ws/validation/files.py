"""The files that settings name, and what traces ask of the environment: as a server and its consumers take them.

Spare servers are given none of it, so that they ring nobody up and are in nobody's figures.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from ..answer_file import AnswerFile
from ..answers import unfit
from ..blueprints import read_answers
from ..errors import SettingsError
from ..escalating import read_rules
from ..extras import needing
from ..plural import many
from ..rules import secrets_of
from ..run import reachable
from .book import Book, Entry
from .setup import Setup

__all__ = ["check"]

LIMIT_S: Final = 10.0


async def check(setup: Setup, book: Book) -> None:
    """Take in what the settings name, as far as anybody would."""
    settings = setup.settings
    if settings.rules and settings.data_folder():
        async with book.line("rules", limit_s=LIMIT_S, advice="mend that: who follows them does not start") as line:
            await asyncio.to_thread(_rules, line, setup)
    if settings.answers_file and settings.answer_cache:
        async with book.line("answers file", limit_s=LIMIT_S, advice="see --answers-file") as line:
            await asyncio.to_thread(_answers, line, setup)
    if settings.traces:
        async with book.line(
            "traces", limit_s=LIMIT_S, advice="see the OTEL_* variables, or leave out --traces"
        ) as line:
            await asyncio.to_thread(_traces, line, setup)


def _rules(line: Entry, setup: Setup) -> None:
    """Read the rules.

    Raises:
        SettingsError: The server does not start with them, or the consumer that follows them.
    """
    settings, path = setup.settings, Path(setup.settings.rules)
    rules = read_rules(path)
    seen = f"{many(len(rules), 'rule')} in {path}: {', '.join(rule.name for rule in rules)}"
    if settings.starts_consumers():
        reachable(settings)
        secrets_of(rules, setup.environment, str(path))
        line.passes(seen)
        return
    try:
        secrets_of(rules, setup.environment, str(path))
    except SettingsError as exc:
        line.warns(str(exc), "set it where `retell_ws consume escalation` runs, which follows them")
    else:
        line.passes(seen)


def _answers(line: Entry, setup: Setup) -> None:
    """Read what the cache is filled with ahead.

    Raises:
        UsageError: The server does not start with it.
    """
    path = Path(setup.settings.answers_file)
    if why := unfit(setup.agent):
        line.fails(f"no answer of this agent's can be kept: {why}", "leave out --answers-file, or change the agent")
        return
    found = read_answers(path)
    if isinstance(found, AnswerFile):
        line.passes(f"{many(len(found.answers), 'answer')} in {path}")
    else:
        line.passes(f"{many(len(found), 'opening')} in {path}, which are asked ahead")


def _traces(line: Entry, setup: Setup) -> None:
    """Make what sends them, and send none.

    Raises:
        SettingsError: The package is missing, or the environment wants what cannot be had.
    """
    with needing("otel", "sending traces"):
        from ..otlp import Otlp

    Otlp(setup.run, setup.environment).end()
    line.skips("the OTEL_* variables are good; the collector is sent nothing, so it could not be checked")

"""`retell_ws calls`: the latest calls as Retell has them: how they ended, and whose their milliseconds were."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..registration.recent import Row, filters
from ..report.since import moment
from ..report.words import NONE, milliseconds
from .plain import one_line
from .rest import console_of, rest_of, settings_of, telling

__all__ = ["calls"]

MOST = 10_000

WIDE = 130
"""Columns of a terminal that has room for a call in one line."""


@telling
def calls(
    *,
    limit: Annotated[int, Parameter(validator=Number(gte=1, lte=MOST))] = 20,
    since: str | None = None,
    agent_id: str | None = None,
    failed: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    retell_url: str | None = None,
    config: Path | None = None,
) -> int:
    """List the latest calls of Retell's, with why they ended and where their time went.

    Under the table stands what to look at, for each way to end that is a fault. What was said is not shown. The key of
    the API comes from RETELL_API_KEY alone.

    Args:
        limit: How many at most.
        since: Only those that began since then: 30m, 12h, 1d, 2w, 2026-11-20 or 2026-11-20T08:00.
        agent_id: Only those of this agent of Retell's.
        failed: Only those that ended in error.
        json: Print one JSON list.
        retell_url: Base URL of Retell's REST API, or of a fake.
        config: A TOML file of settings.

    Returns:
        0, or 1 when Retell did not answer.
    """
    settings = settings_of(retell_url, config)
    since_ms = None if since is None else 1000 * moment(since, time.time())
    wanted = filters(since_ms=since_ms, agent_id=agent_id, failed=failed)

    async def asked() -> list[Row]:
        from ..registration.listing import listed

        async with rest_of(settings) as rest:
            return await listed(rest, wanted, limit)

    rows = asyncio.run(asked())
    if json:
        sys.stdout.write(orjson.dumps([_document(row) for row in rows], option=orjson.OPT_INDENT_2).decode() + "\n")
    elif not rows:
        console_of(stderr=True).print("no call like that")
    else:
        _show(rows, console_of())
    return 0


def _document(row: Row) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(row)
    split = made.pop("split")
    return made | {"latency_ms": split}


def _show(rows: list[Row], console: Console) -> None:
    # A call's id is there to be copied, so it is never cut, and takes a third of a usual terminal.
    is_wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("began (UTC)", "call", "length", "how it ended") if is_wide else ("call",):
        table.add_column(
            title, justify="right" if title == "length" else "left", no_wrap=title in ("began (UTC)", "call")
        )
    for title in ("e2e p50", "p95", "Retell", "network", "ours"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        cells = Text(_when(row.started_ms)), Text(one_line(row.call_id)), Text(_length(row.duration_ms)), _ended(row)
        table.add_row(*(cells if is_wide else [_stacked(*cells)]), *_figures(row))
    console.print(table)
    if any(row.split.has_network for row in rows):
        console.print(Text("≤: with the network, which Retell does not measure without keepalive.", style="dim"))
    counted = Counter((row.disconnection_reason, row.ended, row.check) for row in rows if row.check)
    for (reason, ended, check), count in counted.most_common():
        heading = Text(f"\n{one_line(reason or NONE)}", style="bold")
        console.print(heading.append(f"  {count} {'call' if count == 1 else 'calls'}", style="not bold dim"))
        console.print(Text(f"{ended[:1].upper()}{ended[1:]}. Look at {check}"))


def _stacked(when: Text, call_id: Text, length: Text, ended: Text) -> Text:
    """Put what stands left of the figures below each other, for a narrow terminal."""
    return Text("\n").join([call_id, Text(", ", style="dim").join([when, length]), ended])


def _ended(row: Row) -> Text:
    return Text(one_line(row.ended), style="bold red" if row.is_ours else "yellow" if row.status == "error" else "")


def _figures(row: Row) -> list[str]:
    split = row.split
    ours = milliseconds(split.ours)
    known = (split.e2e_p50, split.e2e_p95, split.retell, split.network)
    return [*map(milliseconds, known), f"≤ {ours}" if split.has_network else ours]


def _when(started_ms: float | None) -> str:
    if started_ms is None:
        return NONE
    try:
        return datetime.fromtimestamp(started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return NONE


def _length(duration_ms: float | None) -> str:
    if duration_ms is None:
        return NONE
    minutes, seconds = divmod(round(duration_ms / 1000), 60)
    return f"{minutes}:{seconds:02}"

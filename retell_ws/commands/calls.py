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
from .retells import console_of, rest_of, settings_of, telling

__all__ = ["calls"]

TITLES = ("began (UTC)", "call", "length", "how it ended", "e2e p50", "p95", "Retell", "network", "ours")

MOST = 10_000


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
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in TITLES:
        # A call's id is there to be copied, so it is never cut.
        width = max(len(row.call_id) for row in rows) if title == "call" else None
        words = title in ("began (UTC)", "call", "how it ended")
        table.add_column(title, justify="left" if words else "right", no_wrap=title != "how it ended", min_width=width)
    for row in rows:
        split = row.split
        ended = Text(row.ended, style="bold red" if row.is_ours else "yellow" if row.status == "error" else "")
        ours = milliseconds(split.ours)
        table.add_row(
            _when(row.started_ms),
            Text(row.call_id),
            _length(row.duration_ms),
            ended,
            *map(milliseconds, (split.e2e_p50, split.e2e_p95, split.retell, split.network)),
            Text(f"≤ {ours}" if split.has_network else ours),
        )
    console.print(table)
    if any(row.split.has_network for row in rows):
        console.print(Text("≤: with the network, which Retell does not measure without keepalive.", style="dim"))
    counted = Counter((row.disconnection_reason, row.ended, row.check) for row in rows if row.check)
    for (reason, ended_as, check), count in counted.most_common():
        console.print()
        console.print(
            Text(f"{reason}", style="bold").append(f" · {count} {'call' if count == 1 else 'calls'}", style="dim")
        )
        console.print(Text(f"{ended_as[:1].upper()}{ended_as[1:]}. {check}"))


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

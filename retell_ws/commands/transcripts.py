"""`retell_ws transcripts`: what was said in calls, out of the archive: nothing else is read, and it may be written to
meanwhile."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec

import orjson
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import SinkError, UsageError
from ..extras import needing
from ..report.since import moment
from ..settings import DATA
from ..settings import load as load_settings
from .plain import one_line

if TYPE_CHECKING:
    from ..consumers.shelf import Shelf
    from ..consumers.transcripts import Row

__all__ = ["export", "forget", "list_", "show"]

Format = Literal["jsonl", "csv", "parquet", "txt"]

P = ParamSpec("P")

MEMORY_MB = 1024
"""For calls that are read, and sorted, at once. What does not fit goes to the disk."""

WORDS = "the caller's first words"
WIDTH = 60
"""Characters of them."""

GRACE = "half a minute after its end (`grace_s`)"

COLUMNS = 160
"""Of a table that no terminal shows."""


class _Missing(Exception):
    """What was asked for is not there; its text says what."""


def _telling(command: Callable[P, None]) -> Callable[P, int]:
    """Make a command of what raises: 0, or 1 after a line on stderr."""

    @wraps(command)
    def told(*given: P.args, **named: P.kwargs) -> int:
        try:
            command(*given, **named)
        except (_Missing, SinkError) as exc:
            sys.stderr.write(f"retell_ws: {exc}\n")
            return 1
        return 0

    return told


@_telling
def list_(
    *,
    since: str | None = None,
    search: str = "",
    limit: Annotated[int, Parameter(validator=Number(gte=0))] = 100,
    json: Annotated[bool, Parameter(negative="")] = False,
    archive: str | None = None,
    data: str | None = None,
    config: Path | None = None,
) -> None:
    """List calls, the latest first.

    Args:
        since: Only those that ended since then: 30m, 12h, 1d, 2w, 2026-11-20 or 2026-11-20T08:00.
        search: Only those in which all these words were said, however they are written.
        limit: How many; 0: all.
        json: Print one JSON list, with everything but the talk.
        archive: Where transcripts are: a folder, or s3://BUCKET/PREFIX; as `serve` has it.
        data: The data folder, when they are there; as `serve` has it.
        config: A TOML file of settings.

    Returns:
        0, or 1 when there is no archive.
    """
    with (
        _reading(archive, data, config) as shelf,
        _table(shelf, since, search, columns=("call_id", "day", "ended_at")) as (db, count),
    ):
        rows = _latest(shelf, db, limit)
    if json:
        _print_json([{name: value for name, value in _fields(row).items() if name not in _TALK} for row in rows])
        return
    if not rows:
        Console(stderr=True).print("no call like that", highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for title in ("ended (UTC)", "call", "length", "lines", "from", "to", WORDS):
        # A call's id is there to be copied, so it is never cut.
        width = max(len(row.call_id) for row in rows) if title == "call" else None
        side: Literal["left", "right"] = "right" if title in ("length", "lines") else "left"
        table.add_column(title, justify=side, no_wrap=title != WORDS, min_width=width)
    for row in rows:
        words = next((line.text for line in row.lines if line.role == "user" and line.text.strip()), "")
        # Text, not markup: people said it.
        numbers = one_line(row.from_number), one_line(row.to_number)
        cells = _when(row), row.call_id, _clock(row.duration_s), str(len(row.lines)), *numbers
        table.add_row(*map(Text, cells), Text(shorten(one_line(words), WIDTH, placeholder=" …")))
    _console().print(table)
    if count > len(rows):
        Console(stderr=True).print(f"{count - len(rows)} more: --limit 0 shows all", highlight=False)


@_telling
def show(
    call_id: str,
    /,
    *,
    json: Annotated[bool, Parameter(negative="")] = False,
    archive: str | None = None,
    data: str | None = None,
    config: Path | None = None,
) -> None:
    """Show what was said in a call.

    Args:
        call_id: Retell's id of it.
        json: Print one JSON object.
        archive: Where transcripts are: a folder, or s3://BUCKET/PREFIX; as `serve` has it.
        data: The data folder, when they are there; as `serve` has it.
        config: A TOML file of settings.

    Returns:
        0, or 1 when there is no such call, or no archive.
    """
    with _reading(archive, data, config) as shelf:
        row = shelf.find(call_id)
    if row is None:
        raise _Missing(
            f"there is no call {call_id!r} in the archive; it comes when Retell can dial it no more, {GRACE}"
        )
    if json:
        _print_json(_fields(row))
        return
    console = _console()
    console.print(Text(row.call_id, style="bold"), Text(_about(row), style="dim"))
    talk = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    talk.add_column(justify="right", style="dim", no_wrap=True)
    talk.add_column(no_wrap=True)
    talk.add_column(overflow="fold")
    for line in row.lines:
        style = {"agent": "cyan", "user": "bold"}.get(line.role, "dim")
        when = "" if line.start_s is None else _clock(line.start_s)
        talk.add_row(when, Text(one_line(f"{line.role} {line.name}"), style=style), Text(one_line(line.text)))
    console.print(talk)


@_telling
def export(
    *,
    out: Path,
    since: str | None = None,
    search: str = "",
    format: Format | None = None,
    archive: str | None = None,
    data: str | None = None,
    config: Path | None = None,
) -> None:
    """Write calls to a file, the oldest first. Only its owner can read it.

    Args:
        out: The file. It is there when all of it is.
        since: Only those that ended since then: 30m, 12h, 1d, 2w, 2026-11-20 or 2026-11-20T08:00.
        search: Only those in which all these words were said, however they are written.
        format: How; by default as the file's name ends.
        archive: Where transcripts are: a folder, or s3://BUCKET/PREFIX; as `serve` has it.
        data: The data folder, when they are there; as `serve` has it.
        config: A TOML file of settings.

    Returns:
        0, or 1 when there is no archive.

    Raises:
        UsageError: The file cannot be written, or its name tells no format.
    """
    kind = format or out.suffix.removeprefix(".")
    if kind not in ("jsonl", "csv", "parquet", "txt"):
        raise UsageError(f"{out} tells no format: --format jsonl, csv, parquet or txt")
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    with _reading(archive, data, config) as shelf, _table(shelf, since, search) as (db, count):
        try:
            beside.touch(mode=0o600)
            _write(db, kind, beside)
            beside.chmod(0o600)
            os.replace(beside, out)
        except OSError as exc:
            raise UsageError(f"cannot write {out}: {exc.strerror}") from None
        finally:
            beside.unlink(missing_ok=True)
    Console(stderr=True).print(f"{count} {'call is' if count == 1 else 'calls are'} in {out}", highlight=False)


@_telling
def forget(call_id: str, /, *, archive: str | None = None, data: str | None = None, config: Path | None = None) -> None:
    """Delete a call from the archive for good: what is delivered of it later does not bring it back.

    What the bus still has of it goes when its own time is over (`kafka_days`); copies that you made are yours to
    delete. Figures hold no speech, and stay.

    Args:
        call_id: Retell's id of it.
        archive: Where transcripts are: a folder, or s3://BUCKET/PREFIX; as `serve` has it.
        data: The data folder, when they are there; as `serve` has it.
        config: A TOML file of settings.

    Returns:
        0, or 1 when there is no such call, or no archive.
    """
    with _reading(archive, data, config) as shelf:
        if not shelf.forget(call_id):
            raise _Missing(f"there is no call {call_id!r} in the archive")
    Console(stderr=True).print(f"{call_id} is forgotten", highlight=False, markup=False)


_TALK = ("lines", "text")


@contextmanager
def _reading(archive: str | None, data: str | None, config: Path | None) -> Iterator[Shelf]:
    """Open the archive, which must be there."""
    settings = load_settings({"archive": archive, "data": data}, config=config)
    where = settings.archive_place() or DATA
    with needing("analytics", "transcripts"):
        from ..consumers.parts import place, reaching
        from ..consumers.shelf import TABLE, Shelf
    none = _Missing(
        f"there is no archive in {where}: --data or --archive says where; `consume archive` begins it with the first "
        f"call that is over, {GRACE}"
    )
    if "://" not in where and not Path(where, TABLE.name).is_dir():
        raise none  # and nothing was made where there was nothing
    try:
        with reaching(f"cannot use {where}"), Shelf(place(where)) as shelf:
            if shelf.is_empty() and not shelf.forgotten():
                raise none
            yield shelf
    except OSError as exc:
        raise _Missing(f"cannot use {where}: {exc.strerror or type(exc).__name__}") from None


@contextmanager
def _table(shelf: Shelf, since: str | None, search: str, *, columns: Sequence[str] = ()) -> Iterator[tuple[Any, int]]:
    """Read calls into the table `found` of a database; gives it and their number."""
    from ..consumers.parts import connect, day_of
    from ..consumers.scratch import Scratch

    now = time.time()
    then = None if since is None else moment(since, now)
    which = ["contains(lower(text), lower(?))"] * len(words := search.split())
    with ExitStack() as stack:
        scratch = Scratch()
        stack.callback(scratch.cleanup)
        db = stack.enter_context(closing(connect(memory_mb=MEMORY_MB, scratch=scratch.name)))
        count = shelf.read(
            db,
            "found",
            # With the day before: a call that is being moved to its right day stands in both.
            since=None if then is None else day_of(then) - timedelta(1),
            columns=columns,
            where=" AND ".join([*which, "true" if then is None else "epoch(ended_at) >= ?"]),
            given=[*words, *(() if then is None else (then,))],
        )
        yield db, count


def _latest(shelf: Shelf, db: Any, limit: int) -> list[Row]:
    """Read all of the latest calls in the table `found`, which has hardly anything of any."""
    from ..consumers.shelf import rows_of

    latest = f"SELECT call_id, day FROM found ORDER BY ended_at DESC, call_id{f' LIMIT {limit}' if limit else ''}"
    chosen = db.execute(latest).fetchall()
    if not chosen:
        return []
    days = [day for _, day in chosen]
    shelf.read(
        db,
        "latest",
        since=min(days) - timedelta(1),
        until=max(days),
        where="call_id IN (SELECT unnest(?::VARCHAR[]))",
        given=[[call_id for call_id, _ in chosen]],
    )
    return list(rows_of(db, "latest", "ORDER BY ended_at DESC, call_id"))


def _write(db: Any, kind: str, file: Path) -> None:
    from ..consumers.shelf import TABLE, rows_of

    if kind in ("csv", "parquet"):
        columns = ", ".join(_cell(name, type_) if kind == "csv" else name for name, type_ in TABLE.columns.items())
        options = "FORMAT csv, HEADER" if kind == "csv" else "FORMAT parquet, COMPRESSION zstd"
        name = str(file).replace("'", "''")
        db.execute(f"COPY (SELECT {columns} FROM found ORDER BY ended_at, call_id) TO '{name}' ({options})")
        return
    with file.open("wb") as out:
        for row in rows_of(db, "found", "ORDER BY ended_at, call_id"):
            if kind == "jsonl":
                out.write(orjson.dumps(_fields(row)) + b"\n")
            else:
                text = "\n".join(map(one_line, row.text.split("\n")))
                out.write(f"{row.call_id}  {_about(row)}\n{text}\n\n".encode())


def _cell(name: str, type_: str) -> str:
    """Give the SQL of a cell of CSV. Whoever opens the file in a spreadsheet should not run what a caller has said."""
    if name == "lines":
        return "to_json(lines) AS lines"
    if type_ != "VARCHAR":
        return name
    return f"CASE WHEN regexp_matches({name}, '^[=+@\\t\\r-]') THEN chr(39) || {name} ELSE {name} END AS {name}"


def _fields(row: Row) -> dict[str, Any]:
    from ..consumers.shelf import as_json

    return as_json(row)


def _about(row: Row) -> str:
    parts: Sequence[str] = (
        f"ended {_when(row)} UTC",
        _clock(row.duration_s),
        " → ".join(one_line(number) for number in (row.from_number, row.to_number) if number),
        one_line(row.direction),
        "the agent left" if row.agent_left else "",
        "as Retell has it" if row.source == "retell" else "as the socket told it last",
    )
    return " · ".join(part for part in parts if part)


def _when(row: Row) -> str:
    return datetime.fromtimestamp(row.ended_at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"{minutes}:{rest:02}"


def _console() -> Console:
    console = Console()
    if not console.is_terminal:  # through a pipe Rich assumes 80 columns
        console.width = max(console.width, COLUMNS)
    return console


def _print_json(what: object) -> None:
    sys.stdout.write(orjson.dumps(what, option=orjson.OPT_INDENT_2).decode() + "\n")

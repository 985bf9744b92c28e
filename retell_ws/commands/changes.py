"""What `register` shows: changes before they are made, and what came of them. URLs are shortened already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..registration.plan import Change
from .plain import one_line

if TYPE_CHECKING:
    from ..registration.register import Outcome, Prepared

__all__ = ["conclude", "document", "show"]

FIELDS: Final = {
    "response_engine": "URL",
    "agent_name": "name",
    "voice_id": "voice",
    "reminder_trigger_ms": "reminder after",
    "webhook_url": "webhook",
}
"""Fields of the API in the words of the flags, where these are others."""


def show(prepared: Prepared, console: Console) -> None:
    """Tell what will be done: the fields before and after, and the steps."""
    state = "published" if prepared.is_published else "a draft"
    heading = Text(one_line(prepared.agent_id or "") or "a new agent", style="bold")
    if prepared.version is not None:
        heading.append(f"  version {prepared.version}, {state}", style="not bold dim")
    console.print(heading)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    for _ in range(3):
        table.add_column(overflow="fold")
    for change in prepared.plan.changes:
        # Text, not markup: names are people's.
        before = "" if change.before is None else _written(change, change.before)
        after = _written(change, change.after)
        if change.is_hidden():
            after += " (what is not shown of it differs)"
        table.add_row(
            f"  {_named(change)}", Text(before, style="red"), "→" if before else "", Text(after, style="green")
        )
    for binding in prepared.bindings:
        table.add_row(
            f"  {binding.number}", Text(one_line(binding.before), style="red"), "→", Text("this agent", style="green")
        )
    if table.row_count:
        console.print(table)
    if prepared.plan.steps:
        console.print(Text(f"Steps: {', '.join(_step(prepared, step) for step in prepared.plan.steps)}.", style="dim"))


def _step(prepared: Prepared, step: str) -> str:
    match step:
        case "create":
            return "create the agent"
        case "new version":
            return f"make a draft out of version {prepared.version}"
        case "update":
            return "change the draft"
    return "publish it"


def conclude(prepared: Prepared, outcome: Outcome | None, console: Console) -> None:
    """Tell what came of it; without an outcome nothing was done."""
    if prepared.is_nothing():
        console.print(Text("There is nothing to change.", style="green"))
    elif outcome is None:
        console.print("Nothing was changed: this was a dry run.")
        return
    else:
        console.print(
            Text("Done, and read back: ", style="green").append(
                f"agent {one_line(outcome.agent_id)}, version {outcome.version}, "
                f"{'published' if outcome.is_published else 'a draft'}.",
                style="",
            )
        )
    is_published = prepared.is_published if outcome is None else outcome.is_published
    if not is_published:
        console.print(
            "It is not published: phone numbers and calls that are bound to a published version still dial the URL of "
            "that one. --publish changes it.",
            style="yellow",
        )


def document(prepared: Prepared, outcome: Outcome | None) -> dict[str, Any]:
    """Make of both what `--json` prints."""
    return {
        "agent_id": prepared.agent_id if outcome is None else outcome.agent_id,
        "version": prepared.version if outcome is None else outcome.version,
        "published": prepared.is_published if outcome is None else outcome.is_published,
        "url": str(prepared.wish.address),
        "changed": outcome is not None,
        "changes": [
            {
                "field": change.field,
                "before": change.before,
                "after": change.after,
                "secret_differs": change.is_hidden(),
            }
            for change in prepared.plan.changes
        ],
        "numbers": [{"number": binding.number, "before": binding.before} for binding in prepared.bindings],
        "steps": list(prepared.plan.steps),
    }


def _named(change: Change) -> str:
    return FIELDS.get(change.field, change.field.replace("_", " "))


def _written(change: Change, value: Any) -> str:
    if change.field == "reminder_trigger_ms":
        return f"{value / 1000:g} s" if isinstance(value, (int, float)) else one_line(str(value))
    written = ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return one_line(written)

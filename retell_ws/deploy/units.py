"""What systemd is told of a move, in one line or a few, by those who run units instead of commands. No I/O."""

from __future__ import annotations

from typing import Final

from .files import Wanted

__all__ = ["going_on", "in_place"]

_USUAL: Final = "retell_ws-consume@analytics retell_ws-consume@archive"
_RULED: Final = "retell_ws-consume@escalation"
"""The one that needs rules."""


def in_place(wanted: Wanted, before: Wanted) -> list[str]:
    """Tell which units take the place of which.

    Args:
        wanted: The server that is to run.
        before: Those that are to run no more.
    """
    lines = [
        f"systemctl enable --now {wanted.units()[0]}; in place of each pkill, one after the other,",
        f"systemctl disable --now {' '.join(before.units())}",
    ]
    if before.kafka:
        lines.append(f"and {_no_consumers()}")
    return _in_brackets(lines)


def going_on(wanted: Wanted, before: Wanted, *, anew: bool) -> list[str]:
    """Tell what becomes of the units, in the order in which it is done; nothing when they stay as they are.

    Args:
        wanted: What is to run.
        before: What runs.
        anew: Servers that go on are started anew.
    """
    kept = [unit for unit in wanted.units() if unit in before.units()] if anew else []
    added = [unit for unit in wanted.units() if unit not in before.units()]
    gone = [unit for unit in before.units() if unit not in wanted.units()] if wanted.redis_url else []
    found = []
    if anew and (files := _new_files(wanted, before)):
        found.append(f"cp {' '.join(files)} /etc/systemd/system/ && systemctl daemon-reload")
    if wanted.kafka and not before.kafka:
        found.append(f"systemctl enable --now {_USUAL}, with rules {_RULED}")
    elif wanted.kafka and anew:
        found.append("systemctl restart 'retell_ws-consume@*'")
    if kept:
        found.append(f"systemctl restart {kept[0]}" + (", and so on, when it is ready" if len(kept) > 1 else ""))
    if added:
        found.append(f"systemctl enable --now {' '.join(added)}")
    if gone:
        found.append(f"when they are dialled no more, systemctl disable --now {' '.join(gone)}")
    if before.kafka and not wanted.kafka:
        found.append(f"a minute later {_no_consumers()}")
    return _in_brackets([*(f"{each};" for each in found[:-1]), *found[-1:]])


def _new_files(wanted: Wanted, before: Wanted) -> list[str]:
    """Name the files of units that are not as systemd has them."""
    names = []
    if wanted.unit() != before.unit():
        names.append("retell_ws.service" if wanted.blueprint == "single" else "retell_ws@.service")
    if wanted.kafka and (not before.kafka or wanted.command != before.command):
        names.append("retell_ws-consume@.service")
    return [f"{wanted.folder}/{name}" for name in names]


def _no_consumers() -> str:
    return f"systemctl disable --now {_USUAL} {_RULED}"


def _in_brackets(lines: list[str]) -> list[str]:
    if not lines:
        return []
    first, *others = lines
    *most, last = [f"(systemd: {first}", *others]
    return [*most, f"{last})"]

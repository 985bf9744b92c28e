"""What to type to move to a blueprint on one machine, so that no live call is lost. No I/O.

A call of `single` is in the memory of its server, and nowhere else. So it stays there: the new servers are started
beside the old one, the proxy asks the old one first, and SIGUSR2 has it take back its own calls and refuse new ones,
which go to the new servers. When it has none, and awaits no redial, it is stopped. Where calls are in Redis a server is
simply stopped, and started anew as what it is to be; its calls go to the others.
"""

from __future__ import annotations

from .files import Wanted
from .steps import (
    call_left,
    consumed,
    consuming,
    finding,
    pattern,
    proxied,
    proxying,
    ready,
    reloading,
    secrets,
    services_answer,
    stopping,
)
from .units import going_on, in_place

__all__ = ["steps", "takes_over", "without_old"]


def steps(wanted: Wanted, before: Wanted | None, *, joins: bool, anew: bool) -> tuple[str, ...]:
    """Give the steps; commands begin with `$ `.

    Args:
        wanted: What is to run.
        before: What runs; None: nothing that we know.
        joins: A server leaves, with calls in its memory.
        anew: Servers that go on have to be started anew.
    """
    if joins:
        found = _joining(wanted, before)
    elif before is None:
        found = _starting(wanted)
    elif takes_over(wanted, before):
        found = _alone(wanted, before)
    else:
        found = _going_on(wanted, before, anew=anew)
    return tuple(finding(found))


def takes_over(wanted: Wanted, before: Wanted | None) -> bool:
    """Tell whether one server, in whose memory calls are, takes the place of servers to which they cannot come."""
    return before is not None and wanted.blueprint == "single" != before.blueprint


def without_old(wanted: Wanted) -> str:
    """Take the server that has left out of the proxy's file."""
    return f"$ {wanted.command} blueprint apply {wanted.blueprint} --into {wanted.folder} --leaving none --yes"


def _starting(wanted: Wanted) -> list[str]:
    return [
        *secrets(wanted),
        *services_answer(wanted),
        "Start the servers, or their units as the file of the unit says:",
        *(f"$ {command} &" for command in wanted.serving()),
        *consuming(wanted, None),
        *proxying(wanted, is_there=False),
    ]


def _joining(wanted: Wanted, before: Wanted | None) -> list[str]:
    knows_old = before is not None and wanted.leaving in before.addresses()
    old = _of_old(before) if before is not None and knows_old else ""
    unit = before.units()[0] if before is not None and knows_old else "UNIT"
    usr2 = f"pkill -USR2 -f '{old}'" if old else "kill -USR2 OLD_SERVER"
    http = before.second_addresses()[0] if before is not None and knows_old else ""
    is_there = before is not None and before.proxy == wanted.proxy and before.listen == wanted.listen
    return [
        *secrets(wanted),
        *services_answer(wanted),
        "Start the new servers beside the old one, or their units as the files of the units say:",
        *(f"$ {command} &" for command in wanted.serving()),
        *consuming(wanted, before),
        "When all of them are ready,",
        *(ready(each) for each in wanted.addresses()),
        *proxied(wanted, before, is_there=is_there),
        f"Have the old server keep its calls and take no others (systemctl kill -s USR2 --kill-whom=main {unit}):",
        f"$ {usr2}",
        # A unit that is only stopped comes back with the machine, by settings in which its port is no more.
        f"When it has no call, and awaits no redial, stop it and wait for its end (systemctl disable --now {unit}):",
        *_ending(http, old),
        "Then take it out of the proxy:",
        without_old(wanted),
        *reloading(wanted),
    ]


def _ending(http: str, old: str) -> list[str]:
    """Tell how the old server ends."""
    if old:
        return [call_left(http), stopping(old)]
    return [
        "(OLD_SERVER is its process. It has none when its /metrics say retell_ws_live_calls 0; without a second port,",
        "when nobody was connected to its port for half a minute, its grace_s.)",
        "$ kill -TERM OLD_SERVER; while kill -0 OLD_SERVER 2>/dev/null; do sleep 0.2; done",
    ]


def _alone(wanted: Wanted, before: Wanted) -> list[str]:
    """Tell of one server in place of others."""
    lines = [
        *secrets(wanted),
        "Start the new server beside the old ones, or its unit:",
        *(f"$ {command} &" for command in wanted.serving()),
        "When it is ready,",
        *(ready(each) for each in wanted.addresses()),
        *proxied(wanted, before, is_there=before.proxy == wanted.proxy and before.listen == wanted.listen),
        "The old ones are dialled no more. Stop each one when it has no call:",
    ]
    for port, http in zip(before.ports(), before.second_addresses(), strict=True):
        lines += [call_left(http), stopping(pattern(before, f" --port {port} "))]
    return [*lines, *consumed(wanted, before), *in_place(wanted, before)]


def _going_on(wanted: Wanted, before: Wanted, *, anew: bool) -> list[str]:
    """Tell of servers that go on with another proxy, others beside them, or another blueprint."""
    there = before.serving()
    commands = zip(wanted.ports(), wanted.serving(), strict=True)
    # A command that is another one, on a port that is taken: as with another agent, or another folder for its facts.
    differs = any(command not in there and port in before.ports() for port, command in commands)
    units_anew = anew or (differs and wanted.unit() != before.unit())
    anew = anew or differs
    added = [command for command in wanted.serving() if command not in there] if not anew else []
    lines = ["Start what was not there:", *(f"$ {command} &" for command in added)] if added else []
    gone = [port for port in before.ports() if port not in wanted.ports()] if wanted.redis_url else []
    if gone:
        ends = [stopping(pattern(before, f" --port {port} ")) for port in gone]
        ends = ["Stop those that are dialled no more; what is left of their calls moves to the others:", *ends]
    else:
        ends = []
    return [
        *(secrets(wanted) if anew or added else []),
        *lines,
        *(_restarting(wanted, before) if anew else []),
        *(reloading(wanted) if before.proxy == wanted.proxy else proxied(wanted, before, is_there=False)),
        *ends,
        *going_on(wanted, before, anew=units_anew),
    ]


def _restarting(wanted: Wanted, before: Wanted) -> list[str]:
    if not wanted.redis_url:
        return [
            *services_answer(wanted),
            *consuming(wanted, before),
            "Start the server anew when it has no calls: they are in its memory.",
            *(f"$ {command} &" for command in wanted.serving()),
        ]
    lines = [
        *services_answer(wanted),
        *consuming(wanted, before),
        "Start the servers anew, one after the other: live calls have drain_s to end, then they move to the others.",
    ]
    for port, command in zip(wanted.ports(), wanted.serving(), strict=True):
        lines += [stopping(pattern(before, f" --port {port} ")), f"$ {command} &", ready(f"127.0.0.1:{port}")]
    return [*lines, *consumed(wanted, before)]


def _of_old(before: Wanted) -> str:
    """Give a pattern of the command line of the only server that was there."""
    return pattern(before, "$" if before.blueprint == "single" else f" --port {before.port} ")

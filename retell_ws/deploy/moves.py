"""What moving to a blueprint means, in words: for callers, what has to run, what to do next, how to go back. No I/O.

A call of `single` is in the memory of its server, and nowhere else. So it stays there: the new servers are started
beside the old one, the proxy asks the old one first, and SIGUSR2 has it take back its own calls and refuse new ones,
which go to the new servers. When it has none it is stopped. Where calls are in Redis a server is simply stopped, and
started anew as what it is to be; its calls go to the others.
"""

from __future__ import annotations

from collections.abc import Collection
from shlex import quote
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from .files import Wanted, file_of

__all__ = ["Section", "told"]


_ASK: Final = "curl -fsS --retry 30 --retry-all-errors --retry-delay 1"


class Section(NamedTuple):
    """A part of what is told.

    Attributes:
        title: What it is about.
        lines: Of text; those of a command begin with `$ `.
    """

    title: str
    lines: tuple[str, ...]


def told(wanted: Wanted, before: Wanted | None, *, changed: Collection[str]) -> list[Section]:
    """Tell what a set-up means.

    Args:
        wanted: The set-up.
        before: What was there; None when it is the first.
        changed: The files that were written.
    """
    moves = before is not None and before.blueprint != wanted.blueprint
    joins = bool(wanted.leaving) and (before is None or before.leaving != wanted.leaving)
    if joins:
        steps = _joining(wanted, before)
    elif before is None:
        steps = _starting(wanted)
    elif before.redis_url and not wanted.redis_url:
        steps = _alone(wanted, before)
    else:
        steps = _going_on(wanted, before, anew=moves or "retell_ws.toml" in changed)
    found = [
        Section("For callers", _callers(wanted, before, joins=joins)),
        Section("Has to run", _runs(wanted)),
        Section("Next, on one machine", tuple(steps)),
        Section("In containers", tuple(_containers(wanted, joins=joins))),
        Section("In Kubernetes", _kubernetes(wanted)),
        Section("To go back", _back(wanted, joins=joins, moves=moves)),
    ]
    return [section for section in found if section.lines]


def _callers(wanted: Wanted, before: Wanted | None, *, joins: bool) -> tuple[str, ...]:
    lines = {
        "single": "One server has the calls in its memory: when it dies, a call begins anew.",
        "distributed": "Calls are in Redis: when a server dies or is restarted, another one says the next word.",
        "events": "Everything that happens in a call is kept: figures, transcripts, escalations.",
    }[wanted.blueprint]
    found = [lines]
    if wanted.blueprint == "events":
        found.append(
            "Calls are in Redis: when a server dies or is restarted, another one says the next word."
            if wanted.redis_url
            else "Calls are in the memory of one server: when it dies, a call begins anew."
        )
    if before is not None and before.blueprint == "single" and wanted.blueprint != "single":
        found.append("The model is asked before Retell asks (--no-speculate: not), which costs some tokens.")
    if before is not None and before.redis_url and not wanted.redis_url:
        found.append("Live calls stay where they are; one whose line breaks meanwhile begins anew.")
    if joins:
        found.append("Live calls stay where they are, to their end; new ones go to the new servers.")
    return tuple(found)


def _runs(wanted: Wanted) -> tuple[str, ...]:
    plural = "server" if wanted.servers == 1 else "servers"
    found = [f"{wanted.servers} {plural} of retell_ws: {', '.join(wanted.addresses())}"]
    if wanted.proxy != "none":
        found.append(f"{wanted.proxy} before them, at {wanted.listen}: its address is what Retell gets")
    if wanted.redis_url:
        found.append(f"Redis 7 or Valkey: {wanted.redis_url}")
    if wanted.kafka:
        found.append(f"Kafka: {wanted.kafka}")
        found.append("the consumers analytics and archive; escalation where there are rules")
    elif wanted.blueprint == "events":
        found.append("no Kafka: the server starts the consumers itself, and its disk is where facts are")
    return tuple(found)


def _starting(wanted: Wanted) -> list[str]:
    return [
        *_secrets(wanted),
        *_redis(wanted),
        "Start the servers, or their units as the file of the unit says:",
        *(f"$ {command} &" for command in wanted.serving()),
        *_consuming(wanted),
        *_proxy(wanted, is_there=False),
    ]


def _joining(wanted: Wanted, before: Wanted | None) -> list[str]:
    knows_old = before is not None and wanted.leaving in before.addresses()
    old = _of_old(before) if before is not None and knows_old else ""
    usr2, term = (f"pkill -{name} -f '{old}'" if old else f"kill -{name} OLD_SERVER" for name in ("USR2", "TERM"))
    http = before.second_addresses()[0] if before is not None and knows_old else ""
    is_there = before is not None and before.proxy == wanted.proxy and before.listen == wanted.listen
    return [
        *_secrets(wanted),
        *_redis(wanted),
        "Start the new servers beside the old one, or their units:",
        *(f"$ {command} &" for command in wanted.serving()),
        *_consuming(wanted),
        "When all of them are ready,",
        *(f"$ {_ASK} http://{each}/readyz" for each in wanted.addresses()),
        *_proxy(wanted, is_there=is_there),
        "Have the old server keep its calls and take no others (systemctl kill -s USR2 --kill-whom=main UNIT):",
        f"$ {usr2}",
        "When its last call has ended, stop it:",
        f"$ {_left(http)}"
        if knows_old
        else "(its /metrics say retell_ws_calls 0; without a second port, no connection to its port is left)",
        f"$ {term}",
        "Then take it out of the proxy:",
        f"$ {wanted.command} blueprint apply {wanted.blueprint} --into {wanted.folder} --leaving none --yes",
        *_reload(wanted),
    ]


def _alone(wanted: Wanted, before: Wanted) -> list[str]:
    """Tell of one server in place of those that share their calls."""
    lines = [
        *_secrets(wanted),
        "Start the new server beside the old ones, or its unit:",
        *(f"$ {command} &" for command in wanted.serving()),
        "When it is ready,",
        *(f"$ {_ASK} http://{each}/readyz" for each in wanted.addresses()),
        *_proxy(wanted, is_there=before.proxy == wanted.proxy and before.listen == wanted.listen),
        "The old ones are dialled no more. Stop each one when its last call has ended:",
    ]
    for port, http in zip(before.ports(), before.second_addresses(), strict=True):
        lines += [f"$ {_left(http)}", f"$ pkill -TERM -f '{_pattern(before, f' --port {port} ')}'"]
    return lines


def _left(http: str) -> str:
    """Give a command that waits until the last call of a server has ended."""
    return f"until curl -fsS http://{http}/metrics | grep -q '^retell_ws_calls 0'; do sleep 2; done"


def _going_on(wanted: Wanted, before: Wanted, *, anew: bool) -> list[str]:
    """Tell of servers that go on with another proxy, others beside them, or another blueprint."""
    there = before.serving()
    added = [command for command in wanted.serving() if command not in there] if not anew else []
    lines = ["Start what was not there:", *(f"$ {command} &" for command in added)] if added else []
    return [
        *(_secrets(wanted) if anew or added else []),
        *lines,
        *(_restarting(wanted) if anew else []),
        *_reload(wanted),
    ]


def _restarting(wanted: Wanted) -> list[str]:
    if not wanted.redis_url:
        return [
            "Start the server anew when it has no calls: they are in its memory.",
            *(f"$ {command} &" for command in wanted.serving()),
        ]
    lines = [
        *_consuming(wanted),
        "Start the servers anew, one after the other: live calls have drain_s to end, then they move to the others.",
    ]
    for port, command in zip(wanted.ports(), wanted.serving(), strict=True):
        pattern = _pattern(wanted, f" --port {port} ")
        lines += [
            f"$ pkill -TERM -f '{pattern}'; while pgrep -f '{pattern}' >/dev/null; do sleep 0.2; done",
            f"$ {command} &",
            f"$ {_ASK} http://127.0.0.1:{port}/readyz",
        ]
    return [
        *lines,
        f"(systemd: systemctl restart {wanted.units()[0]}, and so on)",
    ]


def _secrets(wanted: Wanted) -> list[str]:
    return [
        f"Secrets stand in {wanted.folder}/retell_ws.env (chmod 600); retell_ws.env.example says which:",
        f"$ set -a; . {wanted.folder}/retell_ws.env; set +a",
    ]


def _redis(wanted: Wanted) -> list[str]:
    if not wanted.redis_url:
        return []
    parts = urlsplit(wanted.redis_url)
    where = f"-s {quote(parts.path)}" if parts.scheme == "unix" else f"-u {quote(wanted.redis_url)}"
    return ["Redis has to answer:", f"$ redis-cli {where} ping"]


def _consuming(wanted: Wanted) -> list[str]:
    if not wanted.kafka:
        return []
    kept = f"{wanted.folder}/retell_ws-data/kept"
    return [
        "Start the consumers:",
        f"$ {wanted.command} consume analytics archive --config {wanted.folder}/retell_ws.toml --data {kept} &",
    ]


def _proxy(wanted: Wanted, *, is_there: bool) -> list[str]:
    if is_there and (reload := _reload(wanted)):
        return ["Let the proxy read its file anew; live calls go on:", *reload[1:]]
    match wanted.proxy:
        case "haproxy":
            file = f"{wanted.folder}/{file_of('haproxy')}"
            start = f"haproxy -W -p {wanted.folder}/haproxy.pid -f {file} &"
        case "nginx":
            start = f"nginx -c {wanted.folder}/{file_of('nginx')}"
        case "caddy":
            start = f"caddy run --adapter caddyfile --config {wanted.folder}/{file_of('caddy')} &"
        case _:
            lines = ["Have your balancer ask /readyz of the servers each second, and Retell dial it."]
            if wanted.leaving:
                lines += [
                    f"It has to ask {wanted.leaving} first about every socket, and the others where that says 503."
                ]
            return lines
    return [f"Start the proxy, and let Retell dial it at {wanted.listen}:", f"$ {start}"]


def _reload(wanted: Wanted) -> list[str]:
    match wanted.proxy:
        case "haproxy":
            file = f"{wanted.folder}/{file_of('haproxy')}"
            do = f"haproxy -c -f {file} && kill -USR2 $(cat {wanted.folder}/haproxy.pid)"
        case "nginx":
            file = f"{wanted.folder}/{file_of('nginx')}"
            do = f"nginx -t -c {file} && nginx -c {file} -s reload"
        case _:
            return []
    return ["Let the proxy read its file anew:", f"$ {do}"]


def _of_old(before: Wanted) -> str:
    """Give a pattern of the command line of the only server that was there."""
    return _pattern(before, "$" if before.blueprint == "single" else f" --port {before.port} ")


def _pattern(wanted: Wanted, end: str) -> str:
    # In brackets, so that a shell that was given the command as an argument is not found itself.
    return f"[s]erve {wanted.agent} --config {wanted.folder}/retell_ws.toml".replace("+", "[+]") + end


def _containers(wanted: Wanted, *, joins: bool) -> list[str]:
    file = f"{wanted.folder}/compose.yaml"
    files = f"-f {file}" + (f" -f {wanted.folder}/compose.events.yaml" if wanted.blueprint == "events" else "")
    found = [f"$ docker compose {files} up --wait"]
    if joins:
        found += [
            "The proxy is made anew, so each line breaks once and goes on with the next word; the old server stays.",
            "$ docker kill -s USR2 retell_ws-server-1     # and docker stop -t 100, once it has no call",
        ]
    return found


def _kubernetes(wanted: Wanted) -> tuple[str, ...]:
    if wanted.blueprint == "single" or (wanted.blueprint == "events" and not wanted.kafka):
        return ()
    return (
        f"First the Secret, as {wanted.folder}/kubernetes/10-config.yaml says; then",
        f"$ kubectl apply -f {wanted.folder}/kubernetes",
    )


def _back(wanted: Wanted, *, joins: bool, moves: bool) -> tuple[str, ...]:
    if joins:
        return (
            "Until the old server is stopped, a second SIGUSR2 has it take calls again: all new ones go to it.",
            "The new servers then stop with SIGTERM, and their calls have drain_s to end.",
        )
    if wanted.blueprint == "events" and moves:
        return ("The same way, server by server; what was kept stays on the disk, and in Kafka.",)
    return ()

"""The commands of a move on one machine, in small groups, each with a line that says what it is for. No I/O."""

from __future__ import annotations

from typing import Final

from .files import Wanted, file_of

__all__ = [
    "call_left",
    "consumed",
    "consuming",
    "finding",
    "pattern",
    "proxied",
    "proxying",
    "ready",
    "reloading",
    "secrets",
    "services_answer",
    "stopping",
]

_NAMES: Final = "analytics archive"
"""The consumers that need nothing else."""


def finding(commands: list[str]) -> list[str]:
    """Have the shell find the proxy, if one of the commands is its: Debian has it where only root looks."""
    proxies = ("$ haproxy ", "$ nginx ")
    return ["$ PATH=$PATH:/usr/sbin", *commands] if any(each.startswith(proxies) for each in commands) else commands


def secrets(wanted: Wanted) -> list[str]:
    """Read the file of secrets, which is made when it is not there."""
    file = f"{wanted.folder}/retell_ws.env"
    return [
        f"Secrets stand in {file}, for your eyes only. Fill in what you use, then read it:",
        f"$ [ -e {file} ] || install -m 600 {file}.example {file}",
        f"$ set -a; . {file}; set +a",
    ]


def services_answer(wanted: Wanted) -> list[str]:
    """See that Redis and Kafka are there: by what servers are given, so no password stands in a command."""
    found = {"redis": wanted.redis_url, "kafka": wanted.kafka}
    topics = [topic for topic, where in found.items() if where]
    if not topics:
        return []
    names, have = " and ".join(topic.title() for topic in topics), "has" if len(topics) == 1 else "have"
    ask = f"{wanted.command} blueprint validate --only {' '.join(topics)} --config {wanted.folder}/retell_ws.toml"
    return [f"{names} {have} to answer, and to let us do what servers do:", f"$ {ask}"]


def consuming(wanted: Wanted, before: Wanted | None) -> list[str]:
    """Start the consumers, anew where some run; without Kafka the server does."""
    if not wanted.kafka:
        return []
    start = f"$ {wanted.command} consume {_NAMES} --config {wanted.folder}/retell_ws.toml &"
    if before is None or not before.kafka:
        return ["Start the consumers:", start]
    return [
        "Start the consumers anew, and escalation likewise where it runs:",
        stopping(_consumers(before, f"{_NAMES} ")),
        start,
    ]


def consumed(wanted: Wanted, before: Wanted) -> list[str]:
    """Stop the consumers, where there are to be none any more."""
    if wanted.kafka or not before.kafka:
        return []
    return [
        "Stop the consumers, a minute later: what they have not read by then waits in Kafka.",
        stopping(_consumers(before, "")),
    ]


def ready(address: str) -> str:
    """Wait until a server takes calls."""
    return f"$ curl -fsS --retry 30 --retry-all-errors --retry-delay 1 http://{address}/readyz"


def call_left(http: str) -> str:
    """Wait until a server has no call: a caller whose line broke is one, too, as long as a redial is awaited."""
    return f"$ until curl -fsS http://{http}/metrics | grep -q '^retell_ws_live_calls 0'; do sleep 2; done"


def stopping(found: str) -> str:
    """Stop the server that a pattern finds, and wait for its end: until then it may be dialled."""
    return f"$ pkill -TERM -f '{found}'; while pgrep -f '{found}' >/dev/null; do sleep 0.2; done"


def pattern(wanted: Wanted, end: str) -> str:
    """Give a pattern that finds one server by the end of its command line."""
    # In brackets, so that a shell that was given the command as an argument is not found itself.
    return f"[s]erve {wanted.agent} --config {wanted.folder}/retell_ws.toml".replace("+", "[+]") + end


def _consumers(wanted: Wanted, names: str) -> str:
    """Give a pattern that finds consumers; those that a server starts have no file of settings in their command."""
    return f"[c]onsume {names}.*--config " + f"{wanted.folder}/retell_ws.toml".replace("+", "[+]")


def proxying(wanted: Wanted, *, is_there: bool) -> list[str]:
    """Start the proxy, or tell the one that runs; somebody's own is described."""
    if is_there and (reload := reloading(wanted)):
        return reload
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


def proxied(wanted: Wanted, before: Wanted | None, *, is_there: bool) -> list[str]:
    """Start the proxy, or tell the one that runs; where it is of another kind, in the place of that one."""
    start = proxying(wanted, is_there=is_there)
    if before is None or before.proxy == wanted.proxy or not (stop := _giving_way(before)):
        return start
    if wanted.proxy != "none" and before.listen == wanted.listen:
        return ["Another proxy takes the place of the old one; for a moment nobody is let in.", *stop, *start]
    return [*start, "When nobody dials the old one any more,", *stop]


def _giving_way(before: Wanted) -> list[str]:
    """Stop the proxy that runs: no new calls, and those it has go on to their end."""
    drains = "Let the old proxy go; it ends when its calls have."
    match before.proxy:
        case "haproxy":
            return [drains, f"$ kill -USR1 $(cat {before.folder}/haproxy.pid)"]
        case "nginx":
            return [drains, f"$ nginx -c {before.folder}/{file_of('nginx')} -s quit"]
        case "caddy":
            file = f"{before.folder}/{file_of('caddy')}".replace("+", "[+]")
            stop = f"$ pkill -TERM -f '[c]addy run --adapter caddyfile --config {file}'"
            return ["Stop Caddy at a quiet hour: each line it has breaks once.", stop]
        case _:
            return []


def reloading(wanted: Wanted) -> list[str]:
    """Tell the proxy that runs; one that cannot be told is left alone."""
    match wanted.proxy:
        case "haproxy":
            file = f"{wanted.folder}/{file_of('haproxy')}"
            do = f"haproxy -c -f {file} && kill -USR2 $(cat {wanted.folder}/haproxy.pid)"
            normal = " It warns `Proxy ... stopped`: that is its old process."
        case "nginx":
            file = f"{wanted.folder}/{file_of('nginx')}"
            do, normal = f"nginx -t -c {file} && nginx -c {file} -s reload", ""
        case _:
            return []
    return [f"Let the proxy read its file anew; live calls go on.{normal}", f"$ {do}"]

"""What moving to a blueprint means, in words: for callers, what has to run, what to do next, how to go back. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from ..plural import many
from .cluster import back_in_cluster, in_cluster
from .files import Wanted
from .one_machine import steps, takes_over, without_old

__all__ = ["Section", "told"]

_METRICS: Final = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:8081/metrics').read().decode())"
"""What shows the metrics of a server in its container, which has no curl."""


class Section(NamedTuple):
    """A part of what is told.

    Attributes:
        title: What it is about.
        lines: Of text; those of a command begin with `$ `.
    """

    title: str
    lines: tuple[str, ...]


def told(
    wanted: Wanted,
    before: Wanted | None,
    *,
    changed: Collection[str],
    has_agent: bool = True,
    not_in_pods: Mapping[str, str] = {},
    earlier: Mapping[str, Wanted] = {},
) -> list[Section]:
    """Tell what a set-up means.

    Args:
        wanted: The set-up.
        before: What was there; None when it is the first.
        changed: The files that were written.
        has_agent: The agent's file is there.
        not_in_pods: Settings of the folder that pods are not given, with the reason.
        earlier: What was there the last time of each blueprint, the latest at the end.
    """
    moves = before is not None and before.blueprint != wanted.blueprint
    joins = bool(wanted.leaving) and (before is None or before.leaving != wanted.leaving)
    found = [
        Section("For callers", _callers(wanted, before, joins=joins)),
        Section("Has to run", _runs(wanted)),
        Section("First", () if has_agent else _agent(wanted)),
        Section("Next, on one machine", steps(wanted, before, joins=joins, anew=moves or "retell_ws.toml" in changed)),
        Section("Figures and transcripts", _kept(wanted, before)),
        Section("In containers", tuple(_containers(wanted, before, joins=joins))),
        Section("In Kubernetes", in_cluster(wanted, before, not_in_pods, earlier)),
        Section("To go back", _back(wanted, before, joins=joins)),
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
    if takes_over(wanted, before):
        found.append("Live calls stay where they are; one whose line breaks meanwhile begins anew.")
    if joins:
        found.append("Live calls stay where they are, to their end; new ones go to the new servers.")
    return tuple(found)


def _runs(wanted: Wanted) -> tuple[str, ...]:
    found = [f"{many(wanted.servers, 'server')} of retell_ws: {', '.join(wanted.addresses())}"]
    if wanted.proxy != "none":
        them = "it" if wanted.servers == 1 else "them"
        found.append(f"{wanted.proxy} before {them}, at {wanted.listen}: its address is what Retell gets")
    if wanted.redis_url:
        found.append(f"Redis 7 or Valkey: {wanted.redis_url}")
    if wanted.kafka:
        found.append(f"Kafka: {wanted.kafka}")
        found.append("the consumers analytics and archive; escalation where there are rules")
    elif wanted.blueprint == "events":
        found.append("no Kafka: the server starts the consumers itself, and its disk is where facts are")
    return tuple(found)


def _agent(wanted: Wanted) -> tuple[str, ...]:
    """Tell how there comes to be an agent."""
    folder, _, name = wanted.agent.rpartition("/")
    if name != "agent.py":  # the name that `new` gives
        return (f"{wanted.agent} is not there: put your agent there, or name another one with --agent.",)
    return (
        f"{wanted.agent} is not there: put your agent there, or have one written to edit:",
        f"$ {wanted.command} new {folder}",
    )


def _kept(wanted: Wanted, before: Wanted | None) -> tuple[str, ...]:
    """Tell how what the consumers keep is read."""
    if wanted.blueprint != "events":
        return ()
    config = f"--config {wanted.folder}/retell_ws.toml"
    found = [
        f"$ {wanted.command} report {config}",
        f"$ {wanted.command} transcripts list {config}",
        f"(Units keep them elsewhere: --data /var/lib/retell_ws/{'kept' if wanted.kafka else wanted.port}.)",
    ]
    was_ours = before is not None and before.blueprint == "events" and not before.has_own_data
    if before is not None and was_ours and (before.kept() != wanted.kept() or wanted.has_own_data):
        # Consumers have read `data` all along; that it was somebody's own was not always remembered.
        doubt = ", unless `data` was set before" if before.kafka and wanted.has_own_data else ""
        found.append(f"What was kept until now{doubt}: --data {before.kept()}")
    return tuple(found)


def _containers(wanted: Wanted, before: Wanted | None, *, joins: bool) -> list[str]:
    folder = wanted.folder
    is_events = wanted.blueprint == "events"
    files = f"-f {folder}/compose.yaml" + (f" -f {folder}/compose.events.yaml" if is_events else "")
    extras = "--build-arg EXTRAS=events " if is_events else ""
    up = f"$ docker compose --env-file {folder}/retell_ws.env {files} up --wait"
    found = [
        "Build the image, from the project's folder, where pyproject.toml is; start it with the same file of secrets:",
        f"$ docker build -t {wanted.image} {extras}-f {folder}/Dockerfile .",
    ]
    if wanted.blueprint != "single":
        brought = "Redis, Kafka and the consumers" if is_events else "Redis"
        found.append(f"They bring {brought} along, whatever runs on this machine:")
    if before is not None and takes_over(wanted, before):
        return [*found, *_only_container(before, up)]
    if before is not None and (before.servers > wanted.servers or before.blueprint == "events" != wanted.blueprint):
        return [*found, f"{up} --remove-orphans"]
    found.append(up)
    if joins:
        old = "retell_ws-server-1"
        found += [
            "The proxy is made anew, so each line breaks once and goes on with the next word; the old server stays:",
            f"$ docker kill -s USR2 {old}",
            "When it has no call, and awaits no redial of one, stop it, and take it out of the proxy:",
            f"$ until docker exec {old} python -c \"{_METRICS}\" | grep -q '^retell_ws_live_calls 0'; do sleep 2; done",
            f"$ docker stop -t {wanted.stop_s()} {old}",
            without_old(wanted),
            up,
        ]
    return found


def _only_container(before: Wanted, up: str) -> list[str]:
    """Tell of one server in place of others: the proxy is made anew, and no line outlasts that."""
    names = [f"retell_ws-server{n + 1}-1" for n in range(before.servers)]
    metrics = f'for name in {" ".join(names)}; do docker exec $name python -c "{_METRICS}"; done'
    return [
        "The proxy is made anew, and no call can move: start the server at a quiet hour, when the others have none:",
        f"$ while {metrics} | grep -q '^retell_ws_live_calls [1-9]'; do sleep 2; done",
        up,
        "The others are dialled no more. Stop them, and a minute later all that is of no use; the volumes stay:",
        f"$ docker stop -t {before.stop_s()} {' '.join(names)}",
        f"{up} --remove-orphans",
    ]


def _back(wanted: Wanted, before: Wanted | None, *, joins: bool) -> tuple[str, ...]:
    if joins:
        return (
            "Until the old server is stopped, a second SIGUSR2 has it take calls again: all new ones go to it.",
            "The new servers then stop with SIGTERM, and their calls have drain_s to end.",
        )
    if before is None or before.blueprint == wanted.blueprint:
        return ()
    found: tuple[str, ...] = ()
    if "events" in (wanted.blueprint, before.blueprint) and wanted.blueprint != "single":
        found = ("The same way, server by server; what was kept stays on the disk, and in Kafka.",)
    return (*found, *back_in_cluster(wanted, before))

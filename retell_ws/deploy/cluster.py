"""What to type to run a set-up in Kubernetes, and to move to it there so that no call is lost. No I/O.

`kubectl apply` takes nothing away. Servers of `distributed` are a Deployment, those of `events` a StatefulSet, and both
have the same labels: after it both have calls, from the same Services, and share them in Redis. So the new ones come
first, as many as the old ones are; these are deleted when the new ones are ready. A pod that is deleted leaves the
Services and keeps its calls for drain_s, for which terminationGracePeriodSeconds has room; what is left of them then
moves. Consumers go last: until the last server has ended, there are facts for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .files import Wanted
from .pods import is_this_machine, reached

__all__ = ["back_in_cluster", "in_cluster"]

_CONSUMERS: Final = ("retell-ws-analytics", "retell-ws-archive")
"""Those that the manifests of a folder have; escalation is somebody's own."""


def in_cluster(
    wanted: Wanted, before: Wanted | None, left_out: Mapping[str, str], earlier: Mapping[str, Wanted] = {}
) -> tuple[str, ...]:
    """Tell how a set-up comes to run; nothing when it cannot.

    Args:
        wanted: The set-up.
        before: What was there; None when it is the first.
        left_out: Settings of the folder that pods are not given, with the reason.
        earlier: What was there the last time of each blueprint, the latest at the end.
    """
    if not wanted.has_manifests():
        return ()
    found = [f"{name} is not in the manifests: {why}." for name, why in left_out.items()]
    if (brokers := reached(wanted.kafka)) != wanted.kafka:
        found += [
            f"No pod reaches Kafka at {wanted.kafka}: the manifests say {brokers}. Have a Service of that name, whose",
            "brokers give pods an address they reach, or say --kafka HOST:PORT as pods and servers reach it.",
        ]
    if not wanted.redis_url or is_this_machine(wanted.redis_url):
        where = f", not {wanted.redis_url}" if wanted.redis_url else ""
        found.append(f"RETELL_WS_REDIS_URL of the Secret is where pods reach Redis{where}.")
    found += [
        f"First the Secret, as {wanted.folder}/kubernetes/10-config.yaml says; then",
        f"$ kubectl apply -f {wanted.folder}/kubernetes",
    ]
    # What cannot run there has taken nothing away there: what ran before it still does.
    there = [one for one in (*earlier.values(), before) if one is not None and one.has_manifests()]
    if there and _moves(wanted, there[-1]):
        found += _old_ones(wanted, there[-1])
    return tuple(found)


def back_in_cluster(wanted: Wanted, before: Wanted) -> tuple[str, ...]:
    """Tell how the set-up that was there comes back in Kubernetes; nothing when it was not, or is the same.

    Args:
        wanted: The set-up.
        before: What was there.
    """
    if not _moves(wanted, before):
        return ()
    kafka = f" --kafka {before.kafka}" if before.kafka else ""
    return (
        "In Kubernetes the manifests of the old set-up are written anew; then what is told of them, also when the new",
        f"pods do not become ready: as long as the old {_servers(before)} is there, its pods have calls.",
        f"$ {wanted.command} blueprint apply {before.blueprint} --into {wanted.folder}{kafka}",
    )


def _moves(wanted: Wanted, before: Wanted) -> bool:
    """Tell whether other kinds of things are to run than those that run."""
    return wanted.has_manifests() and before.has_manifests() and wanted.blueprint != before.blueprint


def _servers(wanted: Wanted) -> str:
    return f"{'statefulset' if wanted.blueprint == 'events' else 'deployment'}/retell-ws-server"


def _old_ones(wanted: Wanted, before: Wanted) -> list[str]:
    """Tell what becomes of what runs, in the order in which it is done."""
    new, old = _servers(wanted), _servers(before)
    found = [
        "Where the old servers run there, they still do: have as many new ones, and wait until they are ready.",
        f"$ kubectl scale {new} --replicas=$(kubectl get {old} -o 'jsonpath={{.spec.replicas}}')",
        f"$ kubectl rollout status {new} --timeout=10m",
        "Then the old ones go. They get no new calls and keep theirs for drain_s; what is left moves to the new ones.",
        "It waits for their end:",
        f"$ kubectl delete {old} --cascade=foreground",
    ]
    if before.kafka:
        scaled = " ".join(f"scaledobject.keda.sh/{name}" for name in _CONSUMERS)
        consumers = " ".join(f"deployment/{name}" for name in _CONSUMERS)
        found += [
            "A minute later the consumers, and escalation likewise where it runs: what they have not read by then",
            "waits in Kafka.",
            f"$ kubectl delete {scaled}",
            f"$ kubectl delete {consumers} networkpolicy/retell-ws-consumer",
            "The volumes stay. journal-retell-ws-server-0 and so on may have facts that Kafka has not: `events` hands",
            "them on when it is back. retell-ws-data has figures and transcripts.",
        ]
    return found

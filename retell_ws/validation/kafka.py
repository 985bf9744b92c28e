"""Kafka: whether its brokers are there, and whether our topics are, or can be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..buses.topics import SAFE_REPLICAS
from ..consume import consumers_of
from ..loopback import is_loopback
from ..plural import many
from ..settings import Settings
from .book import Book, Entry
from .setup import Setup

if TYPE_CHECKING:
    from ..buses.kafka_probe import KafkaProbe, TopicState

__all__ = ["check", "counted", "probe_of"]

LIMIT_S: Final = 20.0

ENOUGH: Final = f"{SAFE_REPLICAS} brokers and --kafka-replicas {SAFE_REPLICAS}"

LET: Final = "let our user: "

REACH: Final = "see --kafka-bootstrap, the brokers' advertised.listeners, and with TLS or passwords --kafka-config"


def probe_of(settings: Settings) -> KafkaProbe:
    """Make what asks the brokers.

    Raises:
        SettingsError: The package is missing, or a setting of the client's is wrong.
    """
    from ..buses.kafka_probe import KafkaProbe

    return KafkaProbe(settings)


async def check(setup: Setup, book: Book) -> None:
    """Look Kafka over."""
    settings = setup.settings
    if not settings.kafka_bootstrap:
        said = "facts are read from the journal on this disk" if settings.data_folder() else "no facts are kept"
        book.skips("brokers", said, "facts for other machines: --blueprint events --kafka-bootstrap HOST:PORT")
        return
    brokers: list[str] = []
    async with book.line("brokers", limit_s=LIMIT_S, advice=REACH) as line:
        probe = await asyncio.to_thread(probe_of, settings)
        brokers = await asyncio.to_thread(probe.brokers)
        counted(line, brokers, await asyncio.to_thread(probe.release))
    if not brokers:
        return
    async with book.line("topics", limit_s=LIMIT_S, advice=REACH) as line:
        _topics(line, await asyncio.to_thread(probe.topics), len(brokers))
    async with book.line("groups", limit_s=LIMIT_S, advice=REACH) as line:
        names = consumers_of(settings)
        groups = ", ".join(settings.kafka_prefix + name for name in names)
        _groups(line, await asyncio.to_thread(probe.refused_groups, names), groups)


def counted(line: Entry, hosts: Sequence[str], release: str = "") -> None:
    """Say whether there are brokers enough: those of this machine alone are for trying out, and one will do.

    Args:
        line: Takes it down.
        hosts: Of each broker, as it gives itself out.
        release: Of Kafka, that they are at least; empty: not known.
    """
    answer = f"{many(len(hosts), 'broker answers', 'brokers answer')} ({_which(release)})"
    if len(hosts) >= SAFE_REPLICAS:
        line.passes(answer)
    elif all(map(is_loopback, hosts)):
        line.passes(f"{answer}, on this machine alone: enough to try it out; facts that must outlive one want {ENOUGH}")
    else:
        line.warns(
            f"{answer}: a lost one may take facts along",
            f"{ENOUGH} where facts must outlive one; until then they are safe in the journal alone",
        )


def _which(release: str) -> str:
    if not release:
        return "of an unknown version, which brokers tell no client"
    return f"Kafka {release} or newer by the requests they take: brokers tell no client more"


def _topics(line: Entry, states: list[TopicState], brokers: int) -> None:
    refused = [state for state in states if state.refused]
    differing = [f"{state.name} has {'; '.join(state.differs)}" for state in states if state.differs]
    thin = [state.name for state in states if state.is_there and state.replicas < min(SAFE_REPLICAS, brokers)]
    made = [state.name for state in states if not state.is_there]
    seen = ", ".join(
        f"{state.name} ({many(state.partitions, 'partition')}, {many(state.replicas, 'copy', 'copies')})"
        for state in states
        if state.is_there
    )
    if refused:
        line.fails(
            "; ".join(dict.fromkeys(state.refused for state in refused)),
            f"make them yourself, or {LET}CREATE of {', '.join(state.name for state in refused)}",
        )
    elif lacking := _lacking(states):
        line.fails(f"our user may not do all that servers and consumers do: {lacking} is missing", LET + lacking)
    elif differing:
        line.warns("; ".join(differing), "kafka-configs or kafka-topics --alter; servers leave topics as they are")
    elif thin:
        line.warns(f"fewer copies than brokers: {', '.join(thin)}", "reassign their partitions to three brokers")
    else:
        line.passes("; ".join(filter(None, (seen, f"can be made: {', '.join(made)}" if made else ""))))


def _lacking(states: list[TopicState]) -> str:
    """Name the rights that are missing in topics that are there, those of the same kind together."""
    kinds: dict[str, list[str]] = {}
    for state in states:
        if state.may_not:
            kinds.setdefault(" and ".join(state.may_not), []).append(state.name)
    return "; ".join(f"{kind} of {', '.join(names)}" for kind, names in kinds.items())


def _groups(line: Entry, refused: list[str] | None, wanted: str) -> None:
    if refused is None:
        line.skips(f"the brokers do not say whether our user may read in the groups {wanted}")
    elif refused:
        line.fails("our user may not read as consumers do", f"{LET}READ of the groups {', '.join(refused)}")
    else:
        line.passes(f"our user may read in {wanted}")

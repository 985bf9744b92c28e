"""Asks a Kafka what our user may do with topics and groups. Brokers tell whoever may DESCRIBE them.

Everything here waits for brokers: not on the loop.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from .librdkafka import AdminClient, KafkaError, KafkaException, TopicCollection

__all__ = ["Rights", "of_groups", "of_topics"]

AGAIN_S: Final = 0.25
"""Seconds until they are asked anew about a group that nobody looks after yet, as on brokers that have just started."""

PASSING: Final = frozenset(
    {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
)

DENIED: Final = frozenset({KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED})

Rights = Mapping[str, frozenset[str]]
"""By the name of a topic or group: what may be done there, in Kafka's words, as `READ`. Unknown ones are left out."""


def of_topics(admin: AdminClient, names: Sequence[str], *, limit_s: float) -> Rights:
    """Ask about topics.

    Args:
        admin: Whoever asks.
        names: Of topics that are there.
        limit_s: Seconds an answer may take.
    """
    if not names:
        return {}
    topics = TopicCollection(list(names))
    asked = admin.describe_topics(topics, include_authorized_operations=True, request_timeout=limit_s)
    found = {name: _told(future, limit_s)[0] for name, future in asked.items()}
    return {name: rights for name, rights in found.items() if rights is not None}


def of_groups(admin: AdminClient, names: Sequence[str], *, limit_s: float) -> Rights:
    """Ask about groups of consumers, which need not be there yet.

    Args:
        admin: Whoever asks.
        names: Their names.
        limit_s: Seconds all answers may take.
    """
    found: dict[str, frozenset[str]] = {}
    wanted, until = list(names), time.monotonic() + limit_s
    while wanted and time.monotonic() < until:
        asked = admin.describe_consumer_groups(wanted, include_authorized_operations=True, request_timeout=limit_s)
        wanted = []
        for name, future in asked.items():
            rights, passes = _told(future, limit_s)
            if rights is not None:
                found[name] = rights
            elif passes:
                wanted.append(name)
        if wanted:
            time.sleep(AGAIN_S)
    return found


def _told(future: Future[Any], limit_s: float) -> tuple[frozenset[str] | None, bool]:
    """Give what may be done, None when that is not told; and whether it may be told in a moment."""
    try:
        operations = future.result(limit_s).authorized_operations
    except KafkaException as exc:
        code = exc.args[0].code()
        return (frozenset() if code in DENIED else None), code in PASSING
    except TimeoutError:
        return None, False
    return (None if operations is None else frozenset(operation.name for operation in operations)), False

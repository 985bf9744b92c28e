"""What has to happen so that an agent of Retell's is as it is wanted: the agent now and a wish in, changes out. No I/O.

A version of an agent is a draft until it is published, and stays as it is from then on (protocol §6.2). So the latest
version, when it is published, needs a new draft first. Numbers that are bound to a published version dial the old URL
until the draft is published, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ..errors import UsageError
from .addresses import Address, shortened

__all__ = ["WEBHOOK_EVENTS", "Agent", "Change", "Plan", "Step", "Wish", "body", "changes", "plan"]

Agent: TypeAlias = Mapping[str, Any]
"""An agent as Retell's API gives it."""

Step: TypeAlias = Literal["create", "new version", "update", "publish"]

WEBHOOK_EVENTS: Final = (
    "call_started",
    "call_ended",
    "call_analyzed",
    "transcript_updated",
    "transfer_started",
    "transfer_bridged",
    "transfer_cancelled",
    "transfer_ended",
)

DEFAULTS: Final[Mapping[str, Any]] = {
    "language": "en-US",
    "responsiveness": 1,
    "interruption_sensitivity": 1,
    "reminder_trigger_ms": 10_000,
    "webhook_events": ["call_started", "call_ended", "call_analyzed"],
}
"""What holds where an agent does not say, by Retell's documentation."""


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent is wanted. None, and what is empty, leaves it as it is.

    Attributes:
        address: What Retell dials.
        voice_id: By Retell's id.
        language: One or more of Retell's codes.
        reminder_s: Silence of the caller after which Retell asks for a reminder.
        webhook: Where its webhooks go.
        webhook_events: Which of them; some of `WEBHOOK_EVENTS`.
    """

    address: Address
    name: str | None = None
    voice_id: str | None = None
    language: tuple[str, ...] = ()
    responsiveness: float | None = None
    interruption_sensitivity: float | None = None
    reminder_s: float | None = None
    webhook: Address | None = None
    webhook_events: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True):
    """One field that is not as it is wanted. URLs are shortened.

    Attributes:
        field: In the API's words.
        before: What it is; None when it is not said, or there is no agent yet.
        after: What it shall be.
    """

    field: str
    before: Any
    after: Any

    def is_hidden(self) -> bool:
        """Tell whether the difference is in what is not shown: the secret of a URL."""
        return bool(self.before == self.after)


class Plan(msgspec.Struct, frozen=True):
    """What has to happen.

    Attributes:
        changes: All that is not as it is wanted.
        steps: What is asked of the API, in this order; nothing when all is well.
    """

    changes: tuple[Change, ...]
    steps: tuple[Step, ...]


def plan(agent: Agent | None, wish: Wish, *, publish: bool) -> Plan:
    """Compare an agent with a wish.

    Args:
        agent: Its latest version; None when it has to be made.
        wish: How it is wanted.
        publish: Let the version be published as well.

    Raises:
        UsageError: The agent is of another kind, and cannot become one of ours.
    """
    if agent is None:
        return Plan(changes(None, wish), ("create", "publish") if publish else ("create",))
    kind = _engine(agent).get("type")
    if kind != "custom-llm":
        raise UsageError(
            f"agent {agent.get('agent_id')} is of the kind {kind}, and Retell does not change kinds: "
            "name one of the kind custom-llm, or --create one"
        )
    found = changes(agent, wish)
    is_published = agent.get("is_published") is True
    steps: list[Step] = []
    if found and is_published:
        steps.append("new version")
    if found:
        steps.append("update")
    if publish and (found or not is_published):
        steps.append("publish")
    return Plan(found, tuple(steps))


def changes(agent: Agent | None, wish: Wish) -> tuple[Change, ...]:
    """Give the fields in which an agent is not as it is wanted; all that are wanted when there is none."""
    return tuple(
        Change(name, None if agent is None else _shown(name, agent.get(name)), _shown(name, wanted))
        for name, wanted in _fields(wish).items()
        if agent is None or not _is_same(name, agent.get(name), wanted)
    )


def body(wish: Wish, found: Sequence[Change]) -> dict[str, Any]:
    """Write what the API is sent to make these changes. It holds the URL, secret and all."""
    fields = _fields(wish)
    return {change.field: fields[change.field] for change in found}


def _fields(wish: Wish) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "response_engine": {"type": "custom-llm", "llm_websocket_url": wish.address.url},
        "agent_name": wish.name,
        "voice_id": wish.voice_id,
        "language": wish.language[0] if len(wish.language) == 1 else list(wish.language) or None,
        "responsiveness": wish.responsiveness,
        "interruption_sensitivity": wish.interruption_sensitivity,
        "reminder_trigger_ms": None if wish.reminder_s is None else round(wish.reminder_s * 1000),
        "webhook_url": None if wish.webhook is None else wish.webhook.url,
        "webhook_events": list(wish.webhook_events) or None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _engine(agent: Agent) -> Mapping[str, Any]:
    engine = agent.get("response_engine")
    return engine if isinstance(engine, Mapping) else {}


def _is_same(name: str, now: Any, wanted: Any) -> bool:
    if now is None:
        now = DEFAULTS.get(name)
    match name:
        case "response_engine":
            # Retell takes a slash at the end away itself before it appends the call's id.
            url = now.get("llm_websocket_url") if isinstance(now, Mapping) else None
            return isinstance(url, str) and url.rstrip("/") == str(wanted["llm_websocket_url"])
        case "webhook_events" | "language":
            return _several(now) == _several(wanted)
    return bool(now == wanted)


def _several(value: Any) -> set[str]:
    return {value} if isinstance(value, str) else set(map(str, value or ()))


def _shown(name: str, value: Any) -> Any:
    match name, value:
        case "response_engine", {"llm_websocket_url": str(url)}:
            return shortened(url)
        case "response_engine", _:
            return None
        case "webhook_url", str():
            return shortened(value)
    return value

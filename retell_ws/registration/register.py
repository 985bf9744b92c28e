"""Brings an agent of Retell's to what is wanted: looks, tells what it will do, does it, and looks again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..errors import RetellApiError, UsageError
from .api import NotThere, RetellRest
from .numbers import Binding, binding_of, inbound
from .plan import Plan, Wish, body, changes, plan
from .voices import examples, voice_id_of

__all__ = ["Outcome", "Prepared", "apply", "prepare"]


class Prepared(msgspec.Struct, frozen=True):
    """What was found, and what will be done.

    Attributes:
        agent_id: None when the agent has to be made.
        version: The latest.
        is_published: Whether that is.
        wish: With the voice by its id.
        plan: What will be done with the agent.
        bindings: Numbers that will be bound to it.
    """

    agent_id: str | None
    version: int | None
    is_published: bool
    wish: Wish
    plan: Plan
    bindings: tuple[Binding, ...]

    def is_nothing(self) -> bool:
        """Tell whether all is as it is wanted."""
        return not self.plan.steps and not self.bindings


class Outcome(msgspec.Struct, frozen=True):
    """How the agent is now, as it was read back.

    Attributes:
        version: The one that is as it was wanted.
        is_published: Numbers that want a published version get this one.
    """

    agent_id: str
    version: int
    is_published: bool


async def prepare(
    rest: RetellRest,
    wish: Wish,
    *,
    agent_id: str | None,
    create: bool,
    publish: bool = False,
    numbers: Sequence[str] = (),
) -> Prepared:
    """Look at what is there, and plan. Nothing is changed.

    Args:
        rest: Retell's API.
        wish: How the agent is wanted; its voice by id or name.
        agent_id: Which one; None with `create`.
        create: Make one, unless there is one of the wish's name and of the kind custom-llm.
        publish: Publish the version as well.
        numbers: Phone numbers that it shall answer.

    Raises:
        UsageError: It cannot be done like that.
        RetellApiError: Retell's API did not do as it should.
    """
    agent: dict[str, Any] | None = None
    if agent_id is not None:
        agent = await rest.agent(agent_id)
    elif create:
        agent = await _named(rest, wish.name or "")
    wish = await _with_voice(rest, wish, agent)
    made = plan(agent, wish, publish=publish)
    found_id = None if agent is None else str(agent["agent_id"])
    bindings = [binding_of(number, await rest.number(number), found_id) for number in numbers]
    return Prepared(
        found_id,
        None if agent is None else _version(agent),
        agent is not None and agent.get("is_published") is True,
        wish,
        made,
        tuple(binding for binding in bindings if binding is not None),
    )


async def apply(rest: RetellRest, prepared: Prepared) -> Outcome:
    """Do what was planned, and read back what came of it.

    Raises:
        RetellApiError: Retell's API refused, or the agent is not as it was wanted. Another run goes on from there.
    """
    steps, fields = prepared.plan.steps, body(prepared.wish, prepared.plan.changes)
    if prepared.agent_id is None or prepared.version is None:
        made = await rest.create(fields)
        agent_id, version = str(made.get("agent_id")), _version(made)
    else:
        agent_id, version = prepared.agent_id, prepared.version
    if "new version" in steps:
        version = _version(await rest.new_version(agent_id, version))
    if "update" in steps:
        await rest.update(agent_id, version, fields)
    if "publish" in steps:
        await rest.publish(agent_id, version)
    outcome = await _read_back(rest, prepared, agent_id, version)
    for binding in prepared.bindings:
        await rest.bind(binding.number, inbound(agent_id, publish=outcome.is_published))
        if binding_of(binding.number, await rest.number(binding.number), agent_id) is not None:
            raise RetellApiError(f"Retell has not bound {binding.number} to agent {agent_id}")
    return outcome


async def _read_back(rest: RetellRest, prepared: Prepared, agent_id: str, version: int) -> Outcome:
    agent = await rest.agent(agent_id, version=version)
    if left := changes(agent, prepared.wish):
        raise RetellApiError(
            f"agent {agent_id} is not as it was set: Retell has not taken over {', '.join(one.field for one in left)}"
        )
    is_published = agent.get("is_published") is True
    if "publish" in prepared.plan.steps and not is_published:
        raise RetellApiError(f"version {version} of agent {agent_id} is not published, though Retell was told to")
    return Outcome(agent_id, version, is_published)


async def _named(rest: RetellRest, name: str) -> dict[str, Any] | None:
    """Find the agent that an earlier run made."""
    found = []
    for agent_id in await rest.agents_named(name):
        try:
            agent = await rest.agent(agent_id)
        except NotThere:  # somebody deletes it just now
            continue
        engine = agent.get("response_engine")
        if isinstance(engine, dict) and engine.get("type") == "custom-llm":
            found.append(agent)
    if len(found) > 1:
        ids = ", ".join(str(agent["agent_id"]) for agent in found)
        raise UsageError(f"there are {len(found)} agents named {name!r}: say which with --agent-id: {ids}")
    return found[0] if found else None


async def _with_voice(rest: RetellRest, wish: Wish, agent: dict[str, Any] | None) -> Wish:
    if wish.voice_id is None:
        if agent is None:
            raise UsageError(f"a new agent needs a --voice; some are {examples(await rest.voices())}")
        return wish
    if agent is not None and agent.get("voice_id") == wish.voice_id:
        return wish
    return msgspec.structs.replace(wish, voice_id=voice_id_of(wish.voice_id, await rest.voices()))


def _version(agent: dict[str, Any]) -> int:
    version = agent.get("version")
    if type(version) is not int:
        raise RetellApiError("Retell's API gave an agent without a version")
    return version

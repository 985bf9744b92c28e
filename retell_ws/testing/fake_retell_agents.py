"""The agents, voices and numbers of the fake REST API: drafts, versions, what it refuses. No I/O (protocol §6.2).

A version is a draft until it is published and stays as it is from then on. Where the documentation does not say what
the API answers, this refuses, so that nobody comes to rely on more.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

__all__ = ["AGENT_FIELDS", "VOICES", "FakeAgents", "Refused"]

AGENT_FIELDS: Final = frozenset(
    """
    agent_name allow_dtmf_interruption allow_user_dtmf ambient_sound ambient_sound_volume backchannel_frequency
    backchannel_words begin_message_delay_ms boosted_keywords call_screening_option contact_memory_config
    custom_stt_config data_storage_retention_days data_storage_setting denoising_enhancement_level denoising_mode
    enable_backchannel enable_dnc_detection enable_dynamic_responsiveness enable_dynamic_voice_speed
    enable_expressive_mode end_call_after_silence_ms expressive_emotion_tags expressive_mode_prompt fallback_voice_ids
    guardrail_config handbook_config interruption_sensitivity is_transfer_agent ivr_option language max_call_duration_ms
    opt_in_signed_url pii_config post_call_analysis_data post_call_analysis_model post_session_tools pre_session_tools
    pronunciation_dictionary reminder_max_count reminder_trigger_ms response_engine responsiveness ring_duration_ms
    signed_url_expiration_ms stt_mode timezone user_dtmf_options version_description version_title vocab_specialization
    voice_id voice_model voice_speed voice_temperature voicemail_option volume webhook_events webhook_timeout_ms
    webhook_url
    """.split()
)
"""What create and update take."""

EVENTS: Final = frozenset(
    "call_started call_ended call_analyzed transcript_updated transfer_started transfer_bridged transfer_cancelled "
    "transfer_ended".split()
)

VOICES: Final = tuple(
    {"voice_id": voice_id, "voice_name": name, "provider": provider, "gender": gender, "accent": accent}
    for voice_id, name, provider, gender, accent in (
        ("retell-Cimo", "Cimo", "platform", "female", "American"),
        ("retell-Marissa", "Marissa", "platform", "female", "American"),
        ("11labs-Adrian", "Adrian", "elevenlabs", "male", "American"),
        ("11labs-Anna", "Anna", "elevenlabs", "female", "American"),
        ("cartesia-Anna", "Anna", "cartesia", "female", "British"),
        ("openai-Alloy", "Alloy", "openai", "female", "American"),
        ("xai-Ara", "Ara", "xai", "female", "American"),
    )
)

SHARES: Final = ("responsiveness", "interruption_sensitivity")


class Refused(Exception):
    """A request the API does not do.

    Attributes:
        status: Of HTTP.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class FakeAgents:
    """The agents of one account.

    Attributes:
        agents: Versions by the agent's id, the oldest first.
        numbers: Phone numbers of the account.
        ignored: Fields that updates take and forget, as a fault.
    """

    def __init__(self) -> None:
        self.agents: dict[str, list[dict[str, Any]]] = {}
        self.numbers: dict[str, dict[str, Any]] = {}
        self.ignored: set[str] = set()

    def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make an agent, in a first draft."""
        for name in ("response_engine", "voice_id"):
            if name not in fields:
                raise Refused(400, f"{name} is required")
        _validate(fields)
        agent_id = f"agent_{len(self.agents) + 1:028x}"
        made = {"agent_id": agent_id, "version": 0, "is_published": False, "channel": "voice"}
        self.agents[agent_id] = [made]
        return self._change(made, fields)

    def get(self, agent_id: str, version: str | None = None) -> dict[str, Any]:
        """Give a version, by default the latest."""
        versions = self.agents.get(agent_id)
        if not versions:
            raise Refused(404, f"Agent {agent_id} not found")
        if version in (None, "latest"):
            return versions[-1]
        for one in versions:
            if str(one["version"]) == version:
                return one
        raise Refused(404, f"Version {version} of agent {agent_id} not found")

    def update(self, agent_id: str, version: str | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change a draft, by default the latest version."""
        found = self.get(agent_id, version)
        if found["is_published"]:
            raise Refused(400, f"Version {found['version']} is published and cannot be changed")
        _validate(fields)
        return self._change(found, fields)

    def new_version(self, agent_id: str, base_version: Any) -> dict[str, Any]:
        """Make a draft out of a version."""
        base = self.get(agent_id, str(base_version))
        number = self.agents[agent_id][-1]["version"] + 1
        made = deepcopy(base) | {"version": number, "base_version": base["version"], "is_published": False}
        self.agents[agent_id].append(made)
        return made

    def publish(self, agent_id: str, version: Any) -> None:
        """Publish a draft in place."""
        found = self.get(agent_id, str(version))
        if found["is_published"]:
            raise Refused(400, f"Version {version} is already published")
        found["is_published"] = True

    def publish_latest(self, agent_id: str) -> None:
        """Publish as an earlier API did: the latest version, with a new draft out of it."""
        latest = self.get(agent_id)
        self.publish(agent_id, latest["version"])
        self.new_version(agent_id, latest["version"])

    def listed(self, query: str) -> list[dict[str, Any]]:
        """Give the latest version of the agents whose name or id holds some text."""
        latest = [versions[-1] for versions in self.agents.values()]
        return [
            {name: agent.get(name) for name in ("agent_id", "agent_name", "channel")}
            | {"is_suspended": False, "tags": {}, "user_modified_timestamp": agent["last_modification_timestamp"]}
            for agent in latest
            if query.casefold() in f"{agent.get('agent_name')}".casefold() or query in agent["agent_id"]
        ]

    def number(self, number: str) -> dict[str, Any]:
        """Give a phone number."""
        if number not in self.numbers:
            raise Refused(404, f"Phone number {number} not found")
        return self.numbers[number]

    def bind(self, number: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Let agents answer a phone number."""
        found = self.number(number)
        if unknown := set(fields) - {"inbound_agents", "outbound_agents", "nickname"}:
            raise Refused(400, f"unknown fields: {', '.join(sorted(unknown))}")
        agents = fields.get("inbound_agents") or []
        if agents and abs(sum(agent.get("weight", 0) for agent in agents) - 1) > 1e-6:
            raise Refused(422, "weights must add up to 1")
        for agent in agents:
            version = agent.get("agent_version")
            self.get(agent["agent_id"], str(version) if type(version) is int else None)
        return self._change(found, fields)

    def _change(self, found: dict[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
        found |= {name: deepcopy(value) for name, value in fields.items() if name not in self.ignored}
        found["last_modification_timestamp"] = found.get("last_modification_timestamp", 1_790_000_000_000) + 1
        return found


def _validate(fields: Mapping[str, Any]) -> None:
    if unknown := set(fields) - AGENT_FIELDS:
        raise Refused(400, f"unknown fields: {', '.join(sorted(unknown))}")
    for name in SHARES:
        value = fields.get(name, 1)
        if type(value) not in (int, float) or not 0 <= value <= 1:
            raise Refused(422, f"{name} must be from 0 to 1")
    if fields.get("voice_id", VOICES[0]["voice_id"]) not in {voice["voice_id"] for voice in VOICES}:
        raise Refused(422, f"voice {fields['voice_id']!r} not found")
    if unknown := set(fields.get("webhook_events") or ()) - EVENTS:
        raise Refused(422, f"unknown events: {', '.join(sorted(unknown))}")
    engine = fields.get("response_engine")
    if engine is not None:
        _validate_engine(engine)


def _validate_engine(engine: Any) -> None:
    kind = engine.get("type") if isinstance(engine, dict) else None
    if kind == "custom-llm":
        url = engine.get("llm_websocket_url")
        if set(engine) != {"type", "llm_websocket_url"} or not isinstance(url, str):
            raise Refused(422, "a custom-llm has a llm_websocket_url, and nothing more")
        if not url.startswith(("wss://", "ws://", "https://", "http://")):
            raise Refused(422, f"llm_websocket_url {url} is not a valid URL")
    elif kind not in ("retell-llm", "conversation-flow"):
        raise Refused(422, "response_engine has no known type")

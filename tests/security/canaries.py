"""Words that stand for speech and secrets, each in one place only, so that a leak says where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["AGENT", "NUMBERS", "RULES", "SECRETS", "SPEECH", "found"]

SPEECH: dict[str, str] = {
    "prompt": "Kestrelpromptword",
    "greeting": "Kestrelgreetingword",
    "caller": "Kestrelcallerword",
    "interruption": "Kestrelbargeinword",
    "agent": "Kestrelagentword",
    "argument": "Kestrelargumentword",
    "result": "Kestrelresultword",
    "raised": "kestrel.raised@canary.example",
    "refusal": "Kestrelrefusalword",
    "name": "Kestrelcallernameword",
    "variable": "Kestrelvariableword",
    "metadata": "Kestrelmetadataword",
    "header": "Kestrelsipheaderword",
    "rubbish": "Kestrelrubbishword",
    "control": "Kestrelcontrolword",
    "escalation": "Kestrelescalationword",
    "webhook": "Kestrelwebhookword",
    "forged": "Kestrelforgedword",
    "analysis": "Kestrelanalysisword",
    "from_number": "5035550142",
    "to_number": "9715550187",
    "said_number": "5415550163",
    "digits": "493817026",
    "mail": "kestrel.caller@canary.example",
}
"""What is said, typed or told, by whom."""

SECRETS: dict[str, str] = {
    "path_secret": "kestrel-path-secret-0001",
    "old_path_secret": "kestrel-path-secret-0002",
    "wrong_path_secret": "kestrel-path-wrong-0003",
    "admin_token": "kestrel-admin-token-0004",
    "wrong_admin_token": "kestrel-admin-wrong-0005",
    "anthropic_key": "sk-ant-kestrel-0006",
    "retell_key": "key_kestrel0007",
    "second_retell_key": "key_kestrel0008",
    "redis_password": "kestrel-redis-0009",
    "webhook_secret": "kestrel-hook-0010",
}
"""Keys, tokens and passwords; and wrong ones, which may be right elsewhere."""

NUMBERS = ("from_number", "to_number", "said_number", "digits", "mail")
"""Of `SPEECH`: what is masked wherever facts are kept."""

AGENT = f'''
from retell_ws import Agent, Call, ToolError

agent = Agent(
    "You are Ana. {SPEECH["prompt"]}",
    greeting="Hello. {SPEECH["greeting"]}",
    transfers={{"billing": "+14155550100"}},
    end_call=True,
    keypad=True,
    call_data=["name", "from_number"],
)


@agent.tool(side_effect=False)
async def look_up(call: Call, name: str) -> str:
    """Look somebody up."""
    if name == "broken":
        raise RuntimeError("no such person: {SPEECH["raised"]}")
    if name == "refused":
        raise ToolError("{SPEECH["refusal"]}")
    return "{SPEECH["result"]}"


@agent.on_start
async def begun(call: Call) -> None:
    raise RuntimeError("{SPEECH["raised"]}")
'''
"""An agent that has its own words everywhere, and fails now and then."""

RULES = f"""
[[rule]]
name = "a word"
when = {{ phrases = ["{SPEECH["caller"]}"] }}
then = [
    {{ action = "say", say = "{SPEECH["escalation"]}" }},
    {{ action = "webhook", url = "http://127.0.0.1:9/", include_words = true }},
]
"""
"""Escalation that speaks, and tells a receiver that is not there."""


def found(where: str, texts: Iterable[str | bytes], canaries: Mapping[str, str]) -> list[str]:
    """Look for canaries, in any case and as JSON may write them; give what was found, and where."""
    text = b"\n".join(one.encode() if isinstance(one, str) else one for one in texts).lower()
    return [f"{name} in {where}" for name, word in canaries.items() if word.lower().encode() in text]

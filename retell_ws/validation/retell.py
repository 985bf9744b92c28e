"""The agent at Retell: whether Retell dials this server, and tells it afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final
from urllib.parse import urlsplit

from ..blueprints import RETELL_KEY
from ..loopback import is_loopback
from ..registration.addresses import shortened
from ..registration.api import NotReached
from ..route import PREFIX
from .book import Book, Unchecked
from .line import Outcome
from .registration import Registered, registered
from .settled import Told, host_of, open_to_all
from .setup import Setup

__all__ = ["check", "compared"]

LIMIT_S: Final = 25.0

REGISTER: Final = "retell_ws register --url wss://your-host/llm-websocket, or Retell's dashboard"


async def check(setup: Setup, book: Book) -> None:
    """Look the agent up at Retell."""
    names = [setup.agent_id] if setup.agent_id else sorted(setup.settings.retell_agents())
    if not setup.environment.get(RETELL_KEY) or not names:
        lacking = [] if setup.environment.get(RETELL_KEY) else [f"{RETELL_KEY} in the environment"]
        lacking += [] if names else ["--agent-id agent_…, as `register` prints it"]
        book.skips("registered", "Retell is not asked", f"it takes {' and '.join(lacking)}")
        return
    for name in names:
        found: Registered | None = None
        async with book.line(f"{name} registered", limit_s=LIMIT_S, advice=REGISTER) as line:
            found = await _asked(setup, name)
            line.passes(f"a {found.kind or 'nameless'} agent, version {found.version}")
        for told in _compared(setup, found) if found else ():
            book.put(*told)


async def _asked(setup: Setup, agent_id: str) -> Registered:
    try:
        return await registered(setup.environment[RETELL_KEY], setup.settings.retell_url, agent_id)
    except NotReached as exc:  # the network is no property of the set-up
        raise Unchecked(str(exc), f"let this machine reach {setup.settings.retell_url}") from None


def _compared(setup: Setup, found: Registered) -> list[Told]:
    settings = setup.settings
    return compared(found, setup.url, settings.path_secrets(), verifies=settings.verify_calls)


def compared(found: Registered, url: str, secrets: Sequence[bytes], *, verifies: bool = False) -> list[Told]:
    """Hold what Retell has against what it should have.

    Args:
        found: What it has.
        url: Where the server is, when that is known.
        secrets: Of its path. They are compared, and not told.
        verifies: Retell is asked about calls.
    """
    return [_dials(found, url, secrets, verifies=verifies), _tells(found), _published(found)]


def _dials(found: Registered, url: str, secrets: Sequence[bytes], *, verifies: bool) -> Told:
    name, parts = "Retell dials us", urlsplit(found.url)
    host = host_of(parts)
    outcome: Outcome = "fail"
    if found.kind != "custom-llm":
        return Told(name, outcome, f"it is a {found.kind or 'nameless'} agent, which has a model of Retell's", REGISTER)
    path = parts.path.rstrip("/")
    place, _, last = path.rpartition("/") if secrets else (path, "", "")
    if secrets and not any(compare_digest(last.encode(), secret) for secret in secrets):
        return Told(name, outcome, f"the URL at {host} does not end in the path secret", REGISTER)
    if not place.endswith(PREFIX):
        return Told(name, outcome, f"the URL at {host} has another path than {PREFIX}", REGISTER)
    if url and _place(url) != _place(found.url):
        return Told(name, outcome, f"it dials {host}, and not {host_of(urlsplit(url))}", REGISTER)
    if not secrets and not is_loopback(parts.hostname or ""):
        return open_to_all(name, host, verifies=verifies)
    if parts.scheme not in ("wss", "https"):
        return Told(name, "warn", f"{host} without TLS: whoever reads along has the calls", "say wss:// there")
    return Told(name, "pass", f"at {host}, with TLS{' and the path secret' if secrets else ''}")


def _tells(found: Registered) -> Told:
    name, parts = "Retell tells us", urlsplit(found.webhook_url)
    if not found.webhook_url:
        return Told(name, "warn", "the agent has no webhook: only the account's own, if it has one", REGISTER)
    if parts.path.rstrip("/").rpartition("/")[2] != "webhook":
        return Told(
            name, "warn", f"webhooks go to {shortened(found.webhook_url)}, which is no /webhook of ours", REGISTER
        )
    return Told(name, "pass", f"webhooks go to {shortened(found.webhook_url)}")


def _published(found: Registered) -> Told:
    if found.is_published:
        return Told("published", "pass", f"version {found.version}")
    return Told(
        "published",
        "warn",
        f"version {found.version} is a draft: calls are answered by the version that was published before",
        "publish it: retell_ws register --publish, or Retell's dashboard",
    )


def _place(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    secure = parts.scheme in ("wss", "https")
    return parts.hostname or "", parts.port or (443 if secure else 80), parts.path.rstrip("/")

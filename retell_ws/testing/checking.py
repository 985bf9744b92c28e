"""What a conformance check is: a coroutine with a name, the section it proves, and how it fails. It runs none."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias
from urllib.parse import urlsplit, urlunsplit

from .dial import DialPolicy
from .retell import FakeRetell

__all__ = ["Check", "Failed", "Outcome", "Patience", "Server", "Severity", "Skipped", "check", "expect"]


class Failed(Exception):
    """The server does not conform; the text is what was seen."""


class Skipped(Exception):
    """The check cannot be made on this server; the text is why."""


class Severity(StrEnum):
    """What a failure means for a call."""

    MUST = "must"
    """A caller would notice: a mute agent, a lost call, doubled words."""
    SHOULD = "should"
    """Advice: slower, less safe or less informed than it could be. Failing it is a warning."""


class Outcome(StrEnum):
    """How one check ended."""

    PASSED = "pass"
    WARNED = "warn"
    FAILED = "fail"
    SKIPPED = "skip"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the checks wait, in seconds.

    Attributes:
        accept_s: For the upgrade (§10: accept within a second).
        begin_s: For the complete begin message (§10: within one to two seconds; the margin is for the network).
        answer_s: For an answer's first frame, and then for its completion (§4.3.7: ten seconds is the outer limit).
        pong_s: For the echo of a ping while the server is busy. Retell gives up at 5 (§1.5).
        settle_s: Silence after which nothing more is expected.
        away_s: How long the line stays down before a late redial.
        calls: Calls at once in the crowd.
    """

    accept_s: float = 1.0
    begin_s: float = 3.0
    answer_s: float = 10.0
    pong_s: float = 0.5
    settle_s: float = 0.4
    away_s: float = 1.0
    calls: int = 50


@dataclass(frozen=True, slots=True)
class Server:
    """The server under test, as a check sees it.

    Attributes:
        url: The configured URL, without a call id.
        patience: How long to wait for it.
        lacks: What a check has found it cannot do, and how that showed; the others need not ask for it again.
    """

    url: str
    patience: Patience = field(default_factory=Patience)
    lacks: dict[str, str] = field(default_factory=dict)

    def call(self, *, url: str | None = None, **more: Any) -> FakeRetell:
        """Make a call of its own: one dial, no pings but the check's own, no redials, no reminders.

        Args:
            url: Another URL than the server's own.
            more: Further arguments of `FakeRetell`; `details=None` never sends `call_details`.
        """
        more.setdefault("details", {"call_type": "web_call", "agent_id": "agent_conformance"})
        return FakeRetell(
            url or self.url,
            dial_policy=DialPolicy(attempts=1, timeout_s=7.0),
            ping_s=None,
            redials=False,
            reminder_max_count=0,
            **more,
        )

    def with_path(self, path: str) -> str:
        """Give the server's URL another path, its query kept."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


Body: TypeAlias = Callable[[Server], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One named check.

    Attributes:
        name: Its name, the function's with dashes.
        topic: The module it stands in.
        section: The section of the protocol it proves.
        meaning: One sentence: what holds when it passes.
        severity: Whether a failure fails the suite.
        alone: It loads the server, or measures it, and runs with nothing beside it.
        body: Returns what was seen; raises `Failed` or `Skipped`.
    """

    name: str
    topic: str
    section: str
    meaning: str
    severity: Severity
    alone: bool
    body: Body


def check(section: str, *, severity: Severity = Severity.MUST, alone: bool = False) -> Callable[[Body], Check]:
    """Make a check of a coroutine; its docstring's first line is the meaning."""

    def make(body: Body) -> Check:
        name, module = body.__name__, body.__module__
        meaning = (body.__doc__ or "").strip().splitlines()[0]
        return Check(re.sub("_+", "-", name), module.rpartition(".")[2], section, meaning, severity, alone, body)

    return make


def expect(holds: object, seen: str) -> None:
    """Fail the check with what was seen, unless it holds."""
    if not holds:
        raise Failed(seen)

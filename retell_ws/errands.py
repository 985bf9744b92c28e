"""What is to be done because a rule was met: one errand for each of its actions. No I/O.

An errand is told apart by its id, which call, rule and action make: whoever gets a webhook twice knows it by that.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from hashlib import blake2b, sha256
from typing import Any, Final, Literal, TypeAlias

import msgspec

from .entries import Entry
from .errors import WireError
from .facts import Escalated
from .rules import Action, Webhook
from .watch import Counts, Escalation

__all__ = [
    "GIVE_UP_S",
    "Errand",
    "Told",
    "Verdict",
    "body_of",
    "decode",
    "encode",
    "errands_of",
    "judged",
    "pause_s",
    "retry_after_s",
    "signature",
    "told",
]

GIVE_UP_S: Final = 3600.0
"""Seconds for which a webhook is tried."""

FIRST_PAUSE_S: Final = 1.0
"""Seconds before the second try, at most; twice as many each time."""

LONGEST_PAUSE_S: Final = 300.0

MAX_WORDS: Final = 2000
"""Characters of the caller's words that are sent."""


class Errand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing to be done.

    Attributes:
        id: No other errand has it.
        call_id: The call.
        rule: The name of the rule that was met.
        action: What.
        at: When the fact happened that met the rule, in seconds since 1970.
        made: When that was noticed, in seconds since 1970.
        why: Each condition of the rule, and how far it was met.
        words: What the caller said, masked, for a webhook that wants it.
        tries: How often a webhook was tried.
    """

    id: str
    call_id: str
    rule: str
    action: Action
    at: float
    made: float
    why: Counts = {}
    words: str = ""
    tries: int = 0


_decoder: Final = msgspec.json.Decoder(Errand)
_encoder: Final = msgspec.json.Encoder()


def encode(errand: Errand) -> bytes:
    """Write an errand down."""
    return _encoder.encode(errand)


def decode(data: bytes) -> Errand:
    """Read an errand.

    Raises:
        WireError: It is none. The text quotes nothing of it.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise WireError("no errand of ours") from None


def errands_of(escalation: Escalation, made: float) -> Sequence[Errand]:
    """Give what a rule that was met wants done, in its order.

    Args:
        escalation: It.
        made: The time, in seconds since 1970.
    """
    return [
        Errand(
            id=_id(escalation.call_id, escalation.rule.name, number),
            call_id=escalation.call_id,
            rule=escalation.rule.name,
            action=action,
            at=escalation.at,
            made=made,
            why=escalation.why,
            words=escalation.words[:MAX_WORDS] if isinstance(action, Webhook) and action.include_words else "",
        )
        for number, action in enumerate(escalation.rule.then)
    ]


def _id(call_id: str, rule: str, number: int) -> str:
    text = f"{call_id}\0{rule}\0{number}"
    return f"esc_{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


Told: TypeAlias = Literal["done", "refused", "failed"]


def told(errand: Errand, outcome: Told, now: float, server: str) -> Entry:
    """Make the entry that tells what came of an errand.

    Args:
        errand: It.
        outcome: What.
        now: The time, in seconds since 1970.
        server: Who tells.
    """
    action: Any = errand.action.__struct_config__.tag
    fact = Escalated(errand.rule, action, outcome, max(0.0, now - errand.at))
    # Of no server's hold of the call, so it has no place among their facts.
    return Entry(id=errand.id, call_id=errand.call_id, epoch=0, seq=0, at=now, server=server, fact=fact)


# ---------------------------------------------------------------------------- webhooks


def body_of(errand: Errand) -> bytes:
    """Write what a webhook tells: the same bytes however often it is sent."""
    told = {"id": errand.id, "rule": errand.rule, "call_id": errand.call_id, "at": errand.at, "why": errand.why}
    if isinstance(errand.action, Webhook) and errand.action.include_words:
        told["words"] = errand.words
    return _encoder.encode(told)


def signature(body: bytes, secret: bytes, now_ms: int) -> str:
    """Sign a body as Retell signs its webhooks (protocol §5.4).

    Args:
        body: As it is sent.
        secret: Known to the receiver.
        now_ms: Milliseconds since 1970.
    """
    return f"v={now_ms},d={hmac.new(secret, body + str(now_ms).encode(), sha256).hexdigest()}"


Verdict: TypeAlias = Literal["done", "refused", "again"]


def judged(status: int) -> Verdict:
    """Judge a receiver's answer by its HTTP status: `again` where another try may find it in a better mood."""
    if 200 <= status < 300:
        return "done"
    return "again" if status >= 500 or status in (408, 425, 429) else "refused"


def retry_after_s(header: str | None, now: float) -> float | None:
    """Read a `Retry-After`: seconds, or a date.

    Args:
        header: Its value.
        now: The time, in seconds since 1970.

    Returns:
        Seconds to wait; None when it says nothing that could be understood.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)


def pause_s(errand: Errand, asked_s: float | None, chance: float, now: float) -> float | None:
    """Give how long to wait after a try that failed.

    Args:
        errand: It, with this try counted.
        asked_s: For how long the receiver wants to be left alone, when it said so.
        chance: Between 0 and 1, so that not all come back in the same moment.
        now: The time, in seconds since 1970.

    Returns:
        Seconds; None when the next try would come too late.
    """
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(errand.tries - 1, 20))
    wait_s = max(longest * (0.5 + chance / 2), asked_s or 0.0)
    return None if now + wait_s > errand.made + GIVE_UP_S else wait_s

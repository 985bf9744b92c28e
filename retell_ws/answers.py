"""May this question be answered from the cache, and under which key? Pure.

Two callers with the same words may need different answers, so nothing is looked up by words alone. The theory:

* **The key holds everything that determines the answer**: the agent (its scope), the model, the instructions, the
  limit, and every message from the beginning of the call. What B hears from the cache was the answer to a request that
  differs from B's own in the spelling of the caller's words at most, and so it can hold nothing of A's that B has not
  said themselves.
* **A request that holds anything of the call but the talk is never kept**: tools, call data, instructions by stage,
  hooks that change requests, greetings made for the caller, keys, text messages, notes.
* **What the caller says is refused, never redacted**, when it looks like a detail of theirs: digits, an address, a long
  story. No list of marks knows a name; the first rule is what protects those.
* **A value says what it is**, and is held against the request again when it is read.

The caller's words are folded as `transcript.normalised` does, because recognition moves case and punctuation about.
The agent's are not: Retell gives our own text back, so folding would win nothing, and "No. Pets are fine." is another
thing than "No pets are fine.". Only their spacing is, which Retell may change.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from .agent import Agent
from .cache import Cache
from .ear import Ear
from .prompt import PLAIN, Context
from .request import ModelRequest
from .transcript import AGENT, Question, Utterance, normalised

__all__ = [
    "Answer",
    "MAX_ANSWER",
    "VERSION",
    "fits",
    "granted",
    "key_of",
    "opening",
    "problem",
    "refusal",
    "scope_of",
    "unfit",
    "unspeakable",
]

VERSION: Final = 1
"""Of the key and the value; answers of another one are not read."""

USER: Final = "user"

MAX_ANSWER: Final = 4000
"""Characters of an answer that is kept: minutes of speech."""

SKEW_S: Final = 60.0
"""Seconds by which the clock of another server, which wrote a value, may be ahead."""

_ADDRESS = re.compile(r"@|\bat\b.+\bdot\b", re.IGNORECASE | re.DOTALL)
"""An e-mail address, written or spoken."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is kept, with what it is the answer to.

    Attributes:
        version: `VERSION` of who wrote it.
        key: Under which it was put.
        scope: The agent's.
        model: That was asked.
        created_at: When, in seconds since the epoch.
        text: As the model gave it; each call makes it fit for the voice anew.
        answered_by: The model that answered, in the provider's words.
    """

    version: int
    key: str
    scope: str
    model: str
    created_at: float
    text: str
    answered_by: str = ""


# ---------------------------------------------------------------------------- may it be kept


def unfit(agent: Agent) -> str:
    """Say why no answer of an agent can ever be kept; empty when some can."""
    if agent.cache is None:
        return "it does not allow it; say Agent(..., cache=True)"
    if not isinstance(agent.instructions, str):
        return "its instructions are a function of the call"
    if not isinstance(agent.greeting, str):
        return "its greeting is a function of the call"
    if agent.call_data:
        return "its model is shown data of the call (call_data)"
    if "before_model" in agent.hooks:
        return "a before_model function changes its requests"
    if any(tool.when is None for tool in agent.tools.values()):
        return "it has tools; transfers and end_call are tools, too"
    return ""


def refusal(cache: Cache, question: Question, context: Context = PLAIN) -> str:
    """Say why the answer to a question may not be kept; empty when it may."""
    transcript = question.transcript
    if len(transcript) > 2 * cache.utterances + 1:  # first: it is what all later questions of a call end with
        return "the call has gone on"
    if question.kind != "response":
        return "it is no question of the caller's"
    if context.tools or context.exchanges:
        return "tools come in"
    if context.instructions or context.data or context.summary is not None or context.interrupted is not None:
        return "the call itself comes in"
    said = [utterance for utterance in transcript if utterance.role != AGENT]
    if len(said) > cache.utterances:
        return "the call has gone on"
    if not transcript or transcript[-1].role == AGENT:
        return "the caller has asked nothing"
    for utterance in said:
        if why := _private(utterance, cache):
            return why
    return ""


def _private(utterance: Utterance, cache: Cache) -> str:
    words = utterance.content or ""
    if utterance.role != USER:
        return "something came beside the talk"
    if not normalised(words):
        return "nothing was said"
    if len(words) > cache.characters:
        return "a long story was told"
    if any(map(str.isdigit, words)):
        return "digits were said"
    return "an address was said" if _ADDRESS.search(words) else ""


def granted(scope: str, cache: Cache | None, question: Question, context: Context = PLAIN) -> str:
    """Give what `ModelRequest.cache_scope` is for a question: the agent's scope, or nothing."""
    return scope if scope and cache is not None and not refusal(cache, question, context) else ""


def fits(request: ModelRequest) -> bool:
    """Tell whether a request is one whose answer may be kept. Whoever set its scope may have been mistaken."""
    return bool(
        request.cache_scope and not request.tools and all(isinstance(part.content, str) for part in request.messages)
    )


# ---------------------------------------------------------------------------- under which key


def scope_of(agent: Agent, model: str) -> str:
    """Fingerprint what determines an agent's answers; empty when none of them can be kept.

    Its fixed lines are left out: they are said without the model, and by each call anew.

    Args:
        agent: The agent.
        model: The model asked where it names none.
    """
    if unfit(agent) or agent.cache is None:
        return ""
    fields = (
        *(str(VERSION), agent.cache.tenant, agent.model or model, str(agent.max_tokens)),
        *(str(agent.instructions), str(agent.greeting)),
    )
    return hashlib.sha256(_canonical(fields)).hexdigest()


def key_of(secret: bytes, request: ModelRequest, model: str) -> str:
    """Make the key of a request that `fits`.

    Args:
        secret: Keeps whoever reads a store from guessing what was said by trying.
        request: What is asked.
        model: Who is asked.
    """
    fields = [str(VERSION), request.cache_scope, model, request.system, str(request.max_tokens)]
    for message in request.messages:
        text = message.text
        fields += (message.role, _folded(text) if message.role == "user" else " ".join(text.split()))
    return hmac.digest(secret, _canonical(fields), "sha256").hex()


def _folded(text: str) -> str:
    # Words of ours that stand for the caller's turn ("(The call begins.)") are in brackets, which folding takes off.
    return text if text.startswith("(") else normalised(text)


def _canonical(fields: Iterable[str]) -> bytes:
    """Join fields so that no two lists of them give the same bytes: each has its length before it."""
    parts: list[bytes] = []
    for field in fields:
        data = field.encode("utf-8", "surrogatepass")
        parts += (len(data).to_bytes(8, "big"), data)
    return b"".join(parts)


# ---------------------------------------------------------------------------- what was kept


def problem(answer: Answer, *, key: str, scope: str, model: str, now: float) -> str:
    """Say why a value that was found cannot be the answer, whoever put it there; empty when it can.

    Its age is no problem: whoever keeps it forgets it, and `Cache.ttl_s` is asked beside this.
    """
    if answer.version != VERSION:
        return "version"
    if answer.scope != scope:
        return "scope"
    if answer.model != model:
        return "model"
    if not hmac.compare_digest(answer.key, key):
        return "key"
    if answer.created_at > now + SKEW_S:
        return "created_at"
    return "" if answer.text.strip() and len(answer.text) <= MAX_ANSWER else "text"


def unspeakable(text: str) -> str:
    """Say why a text cannot be an answer to keep; empty when it can.

    What the voice would be spared (`ear.py`) is judged here as well: kept, an answer that leaves nothing to say would
    be an apology to everybody for as long as it is kept.
    """
    ear = Ear("")
    heard = ear.feed(text) + ear.close()
    if "leak" in ear.removed:
        return "it holds a tool call"
    if not heard.strip():
        return "it is empty"
    return "it is too long" if len(text) > MAX_ANSWER else ""


def opening(agent: Agent, heard: Sequence[str]) -> Question:
    """Ask as a call does that begins like this.

    Args:
        agent: Who greets.
        heard: What the caller said, what the agent answered, and so on; the caller speaks last.
    """
    greeting = (Utterance(AGENT, str(agent.greeting)),) if agent.greeting else ()
    talk = (Utterance(AGENT if number % 2 else USER, words) for number, words in enumerate(heard))
    return Question("response", (*greeting, *talk))

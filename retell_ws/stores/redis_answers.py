"""Answers kept in Redis, for all servers: what one of them has asked the model, or was given ahead, the others have.

A caller listens while an answer is looked up, so a Redis that does not tell within 50 ms has none, and one that is gone
or slow is not asked for a while. It is asked for no more bytes than an answer can have, and what it tells is trusted
with nothing: whatever is no answer under its own key is taken away.

A user of an ACL needs `+getrange +set +get +del`, in a cluster `+cluster|slots +asking`, and `~<prefix>*`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from ..answers import MAX_ANSWER, VERSION, Answer
from ..breaker import Breaker
from .redis_nodes import Nodes, word_of
from .redis_pipe import Gone

__all__ = ["RedisAnswerStore"]

logger = logging.getLogger(__name__)

LIMIT_S: Final = 0.05
"""Seconds a caller may lose for an answer that is not there."""

SECRET_S: Final = 1.0
"""Seconds a start waits for the secret."""

SECRET_BYTES: Final = 32

MAX_BYTES: Final = 6 * MAX_ANSWER + 4096
"""Bytes of a value: each character of the text may need six in JSON; and the other fields."""

_decode = msgspec.json.Decoder(Answer).decode


class RedisAnswerStore:
    """Implements `ports.AnswerStore`. Use it as an async context; entering never fails for want of a Redis.

    Args:
        url: As of `RedisCallStore`.
        prefix: What every key begins with.

    Raises:
        ValueError: It is no such URL.
    """

    def __init__(self, url: str, *, prefix: str = "retell_ws:") -> None:
        self._nodes = Nodes(url, what="answers")
        self._prefix = prefix
        self._breaker = Breaker()
        self._is_shared = True
        self._missed = 0

    def __repr__(self) -> str:
        return f"RedisAnswerStore(prefix={self._prefix!r})"  # not the URL: it may hold a password

    async def __aenter__(self) -> Self:
        await self._nodes.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._nodes.aclose()

    @property
    def missed(self) -> int:
        """How many answers other servers do not have; see `ports.AnswerStore.missed`."""
        return self._missed

    async def get(self, key: str) -> Answer | None:
        """Look an answer up; see `ports.AnswerStore.get`."""
        where = self._key(key)
        reply = await self._ask(where, ("GETRANGE", where, 0, MAX_BYTES))
        if reply == b"" or isinstance(reply, Gone):
            return None
        found = _judged(reply, key)
        if isinstance(found, str):
            logger.warning("answers: a value in Redis is taken away: %s", found)
            await self._ask(where, ("DEL", where))
            return None
        return found

    async def put(self, key: str, answer: Answer, *, ttl_s: float) -> None:
        """Keep an answer; see `ports.AnswerStore.put`."""
        try:
            value = msgspec.json.encode(answer)
        except UnicodeEncodeError:  # half of a surrogate pair
            return
        if len(value) <= MAX_BYTES:
            where = self._key(key)
            reply = await self._ask(where, ("SET", where, value, "PX", max(1, int(ttl_s * 1000))))
            self._missed += reply != b"OK" or not self._is_shared

    async def secret(self) -> bytes:
        """Give the secret of the keys, the same for all servers; without a Redis one of this server's own."""
        where = self._key("secret")
        slot, own = Nodes.slot_of(where), secrets.token_bytes(SECRET_BYTES)
        await self._nodes.ask(slot, ("SET", where, own, "NX"), SECRET_S)
        reply = await self._nodes.ask(slot, ("GET", where), SECRET_S)
        if isinstance(reply, bytes) and len(reply) == SECRET_BYTES:
            return reply
        self._is_shared = False
        logger.warning("answers: the shared secret cannot be had: this server shares its answers with no other one")
        return own

    def _key(self, key: str) -> bytes:
        return f"{self._prefix}answer:{key}".encode("utf-8", "surrogatepass")

    async def _ask(self, where: bytes, command: tuple[Any, ...]) -> Any:
        now = asyncio.get_running_loop().time
        asked_at = now()
        if not self._breaker.lets_through(asked_at):
            return Gone("not asked")
        slot = Nodes.slot_of(where)
        pipe = self._nodes.pipe(slot)
        reply = await self._nodes.ask(slot, command, LIMIT_S)
        if pipe is not None and word_of(reply):
            self._nodes.wrong(pipe, reply)  # it may be a replica by now, which would refuse each answer from here on
        if isinstance(reply, Gone):
            self._breaker.failed(now(), asked_at=asked_at)
        else:
            self._breaker.succeeded(now(), asked_at=asked_at)
        return reply


def _judged(reply: Any, key: str) -> Answer | str | None:
    """Give the answer in a reply; why it must be another's work; or None for one that is nobody's fault."""
    if not isinstance(reply, bytes):
        return "it is of another type" if word_of(reply) == "WRONGTYPE" else None
    if len(reply) > MAX_BYTES:
        return "it is too long"
    try:
        answer = _decode(reply)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "it is no answer"
    if answer.version != VERSION:
        return None  # of a server that is older, or newer, and wants it still
    return answer if answer.key == key else "it is another key's"

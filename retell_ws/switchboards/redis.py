"""Servers ask each other through Redis: each is subscribed to a channel of its own, and the others publish there. One
more is everybody's: a roll call goes there, and the answers to the channel of whoever has called.

Published messages are kept by nobody: one that nobody hears is lost, which is what a command for a live call should be.
Plain PUBLISH reaches all nodes of a cluster, so any node will do for either side. Whoever can write to Redis can
command: it must be private.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from time import monotonic
from typing import Any, Final

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from ..control import Reply
from ..errors import WireError
from ..letters import Letter, Present, Request, RollCall, Show, Shown, Told, decode, encode
from ..ports import Missed, Sights
from ..views import CallView, ServerView
from .roll import MAX_PRESENT, Roll

__all__ = ["RedisSwitchboard"]

logger = logging.getLogger(__name__)

FIRST_S: Final = 0.5
"""Seconds the start waits for the subscription."""

LOOK_S: Final = 5.0
"""Seconds of silence after which we ask whether the connection still is one, and as many to wait for the echo. And
between two looks at whether it still leads to the master."""

AGAIN_S: Final = 0.5
"""Seconds until a task that has not ended is told to once more."""

PAUSES_S: Final = (0.1, 0.3, 1.0, 2.0)
"""Seconds before the next try to subscribe; the last of them goes on."""

DEAF_S: Final = 0.1
"""Seconds in which a reply may still come though Redis says that nobody has heard: a proxy may count otherwise."""

SENDERS: Final = 10
"""Messages sent at once: no more than there are connections, for which nobody waits long."""

MAX_ASKED: Final = 200
"""Requests of ours that wait for a reply."""

MAX_REPLIES: Final = 200
"""Replies of ours that wait to be sent; whoever waits for one beyond is not told."""

EVERYBODY: Final = "@all"
"""In place of a server's name in the channel of roll calls; no server can have it."""

FAULTS: Final = (RedisError, OSError)


class RedisSwitchboard:
    """Implements `ports.Switchboard`.

    Args:
        client: Of our own: one of its connections is the subscription's. Closed by whoever made it.
        name: The server's: of A-Za-z0-9_.:- and unique for ever.
        prefix: What every channel begins with.
    """

    def __init__(self, client: Redis, *, name: str, prefix: str) -> None:
        self._client = client
        self._name = name
        self._prefix = prefix
        self._up = asyncio.Event()
        self._counts_all = False  # what PUBLISH returns is about all subscribers, not those of one node
        self._waiting: dict[tuple[type[Letter], str, str], asyncio.Future[Any]] = {}
        self._rolls: dict[str, Roll] = {}
        self._replies: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Semaphore(SENDERS)
        self._counted = {"asked": 0.0, "answered": 0.0, "ignored": 0.0}

    @property
    def name(self) -> str:
        """See `ports.Switchboard.name`."""
        return self._name

    @property
    def is_up(self) -> bool:
        """See `ports.Switchboard.is_up`."""
        return self._up.is_set()

    def figures(self) -> Mapping[str, float]:
        """Count; see `ports.Switchboard.figures`."""
        return {**self._counted, "degraded": float(not self.is_up)}

    # ------------------------------------------------------------------------ what others ask

    def listening(
        self, answer: Callable[[Request], Reply], sights: Sights | None = None
    ) -> AbstractAsyncContextManager[object]:
        """Take requests; see `ports.Switchboard.listening`."""
        return self._listening(answer, sights)

    @asynccontextmanager
    async def _listening(self, answer: Callable[[Request], Reply], sights: Sights | None) -> AsyncIterator[None]:
        listener = asyncio.create_task(self._listen(answer, sights))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_S):
                    await self._up.wait()
            yield
        finally:
            left = {listener, *self._replies}
            while left:  # the client may lose a cancel
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=AGAIN_S)

    async def _listen(self, answer: Callable[[Request], Reply], sights: Sights | None) -> None:
        names = (self._name,) if sights is None else (EVERYBODY, self._name)
        tries, is_known = 0, False  # the outage is in the log
        while True:
            try:
                async with self._client.pubsub() as pubsub:
                    await pubsub.subscribe(*map(self._channel, names))
                    self._counts_all = False
                    async for letter in self._letters(pubsub, await self._place()):
                        if letter is None:
                            tries, is_known = 0, self._rose(is_known)
                        else:
                            self._take(letter, answer, sights)
            except Exception as exc:  # whatever it is, it must not be for ever
                if not is_known:
                    is_known = True
                    logger.warning(
                        "Redis cannot be listened to (%s): calls of other servers cannot be moved from here, nor those "
                        "of this one from elsewhere",
                        type(exc).__name__,
                    )
            finally:
                self._up.clear()
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)] * random.uniform(0.5, 1))
            tries += 1

    def _rose(self, was_known: bool) -> bool:
        if was_known:
            logger.info("Redis is listened to again")
        self._up.set()
        return False

    async def _letters(self, pubsub: PubSub, place: str | None) -> AsyncIterator[Letter | None]:
        """Give what comes, and None when the subscription stands."""
        is_asked, looked_at = False, monotonic()
        while True:
            if monotonic() - looked_at >= LOOK_S:  # also where it is never silent
                looked_at = monotonic()
                await self._place(place)
            message: dict[str, Any] | None = await pubsub.get_message(timeout=LOOK_S)
            if message is None:
                if is_asked:
                    raise ConnectionError("no echo")
                await pubsub.ping()
                # And the one we publish by: a network may have forgotten it, and a command would be the first to know.
                await self._client.ping()
                is_asked = True
                continue
            is_asked = False
            if message["type"] == "subscribe":
                yield None
            elif message["type"] == "message":
                try:
                    yield decode(message["data"])
                except WireError:
                    self._counted["ignored"] += 1

    async def _place(self, known: str | None = None) -> str | None:
        """See which Redis we publish to: a failover may leave us connected to what was the master.

        Args:
            known: The one it was when we subscribed; None when nobody knows.

        Returns:
            It; None when nobody knows, or when any will do.

        Raises:
            ConnectionError: It is another one, or a replica: what is said there and here is not heard by all.
        """
        try:
            info = await self._client.info("server", "replication")
        except RedisError:  # an ACL may forbid it
            return None
        # A node of a cluster knows only who has heard on its own connections, and tells all others.
        self._counts_all = info.get("redis_mode", info.get("server_mode")) != "cluster"
        if not self._counts_all:
            return None
        place = str(info.get("run_id"))
        if info.get("role") == "slave" or known not in (None, place):
            await self._client.connection_pool.disconnect(inuse_connections=False)  # they may lead there, too
            raise ConnectionError("no longer the master")
        return place

    def _take(self, letter: Letter, answer: Callable[[Request], Reply], sights: Sights | None) -> None:
        match letter:
            case Told():
                self._came(letter, letter.reply)
            case Shown():
                self._came(letter, letter.view)
            case Present(view=present):
                roll = None if letter.sender == self._name else self._rolls.get(letter.id)
                # Who tells of another one would be shown in its place, or as the one beside it.
                if roll is None or present.name != letter.sender or not roll.hear(letter.sender, present):
                    self._counted["ignored"] += 1
            case RollCall() if letter.sender == self._name:
                pass
            case _ if len(self._replies) >= MAX_REPLIES:
                self._counted["ignored"] += 1  # before it is done: nobody would be told
            case Request():
                self._counted["answered"] += 1
                self._start(self._reply(letter.sender, Told(letter.id, self._name, answer(letter))))
            case _:  # Show, RollCall
                self._start(self._show(letter, sights))

    def _came(self, letter: Told | Shown, what: Reply | CallView | None) -> None:
        waiting = self._waiting.get((type(letter), letter.id, letter.sender))
        if waiting is None or waiting.done():
            self._counted["ignored"] += 1  # too late, or nobody's
        else:
            waiting.set_result(what)

    def _start(self, replying: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(replying)
        self._replies.add(task)
        task.add_done_callback(self._replies.discard)

    async def _reply(self, server: str, letter: Letter) -> None:
        async with self._sending:
            await self._publish(server, letter)  # or not, and they say that they were not told

    async def _show(self, asked: Show | RollCall, sights: Sights | None) -> None:
        answer: Letter
        try:
            if isinstance(asked, Show):
                answer = Shown(asked.id, self._name, None if sights is None else await sights.call(asked.call_id))
            elif sights is not None:
                answer = Present(asked.id, self._name, sights.server())
            else:
                return  # as if it had not been heard
        except Exception:  # a bug of ours costs one look
            logger.exception("a look failed")
        else:
            await self._reply(asked.sender, answer)

    # ------------------------------------------------------------------------ what we ask

    async def ask(self, server: str, request: Request, limit_s: float) -> Reply | Missed:
        """Have another server do something; see `ports.Switchboard.ask`."""
        told: Reply | Missed = await self._asked(server, request, Told, limit_s)
        return told

    async def show(self, server: str, call_id: str, limit_s: float) -> CallView | Missed | None:
        """Have another server show a call; see `ports.Switchboard.show`."""
        letter = Show(_new_id(), self._name, call_id)
        view: CallView | Missed | None = await self._asked(server, letter, Shown, limit_s)
        return view

    async def _asked(self, server: str, letter: Request | Show, reply: type[Told | Shown], limit_s: float) -> Any:
        if not self.is_up or len(self._waiting) >= MAX_ASKED:
            return "down"
        self._counted["asked"] += isinstance(letter, Request)
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[reply, letter.id, server] = waiting
        is_sent = False
        try:
            async with asyncio.timeout(limit_s):
                async with self._sending:
                    is_sent = True
                    heard_by = await self._publish(server, letter)
                if heard_by == 0 and self._counts_all:
                    await asyncio.wait((waiting,), timeout=DEAF_S)
                    return waiting.result() if waiting.done() else "gone"
                return await waiting
        except TimeoutError:
            return "silent" if is_sent else "down"
        finally:
            del self._waiting[reply, letter.id, server]

    async def roll_call(self, limit_s: float) -> tuple[Sequence[ServerView], bool]:
        """Ask all others how they are doing; see `ports.Switchboard.roll_call`."""
        if not self.is_up or len(self._rolls) >= MAX_ASKED:
            return (), False
        letter = RollCall(_new_id(), self._name)
        roll = self._rolls[letter.id] = Roll()
        is_sent = False
        try:
            async with asyncio.timeout(limit_s):
                async with self._sending:
                    heard_by = await self._publish(EVERYBODY, letter)
                is_sent = heard_by is not None
                expected = heard_by - 1 if heard_by and self._counts_all else MAX_PRESENT  # we hear it as well
                roll.expect(expected)
                await roll.complete.wait()
        except TimeoutError:
            is_whole = is_sent and not self._counts_all  # nobody knows how many there are
        else:
            is_whole = expected <= MAX_PRESENT
        finally:
            del self._rolls[letter.id]
        return list(roll.present.values()), is_whole

    async def _publish(self, server: str, letter: Letter) -> int | None:
        """Give how many have heard it; None when nobody knows, not even whether it was published."""
        try:
            return int(await self._client.publish(self._channel(server), encode(letter)))
        except FAULTS:
            return None

    def _channel(self, server: str) -> str:
        return f"{self._prefix}server:{server}"


def _new_id() -> str:
    return secrets.token_hex(12)

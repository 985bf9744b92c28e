"""Gets a command to the call it is for, whichever server has it, and gets it done at most once.

A call with a socket here is moved here, without asking anybody: the last one to take a call has its socket. Otherwise
the store knows who has it, and that server is asked. A call that moves has no socket for a second or so, until Retell
has redialled; so a server that says "not here", or is gone, is no answer yet, and the owner is looked up again.

A server that was asked and gave no reply may have done it, or may still. So it is not asked again; a server that took
the call from it is. Should it have done it just before, it is done twice: nobody can tell, and a caller who is told
twice is better off than one who is told nothing. What is delivered twice, on the other hand, is done once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from .control import Command, Look, NotHere, Outcome, Refused, Reply, Seen
from .letters import Request
from .ports import CallStore, Missed, Switchboard

__all__ = ["UNKNOWN", "Reach", "cannot_tell"]

logger = logging.getLogger(__name__)

PAUSES_S: Final = (0.2, 0.5, 1.0)
"""Seconds between two tries. A takeover takes a second or so: Retell notices, redials, and the new server attaches."""

TOTAL_S: Final = 3.0
"""Seconds for all of them."""

REPLY_S: Final = 1.0
"""Seconds the other server may take."""

REMEMBERED: Final = 1000
"""Requests of others whose outcome is kept, for when they come twice."""

Here = Callable[[str, Command], Reply]

UNKNOWN: Final = Refused("unknown", "no server has this call: it is over, or its id is wrong")
AWAY: Final = Refused("moved", "nothing was done: the call has no connection to Retell at the moment, try again")
GONE: Final = Refused(
    "moved", "nothing was done: the server that had the call is gone, and none has taken it yet, try again"
)
SILENT: Final = Refused("unanswered", "the server that has the call gave no reply: nobody knows whether it was done")
DOWN: Final = Refused("unreachable", "nothing was done: the call is not here, and the other servers cannot be reached")


class Reach:
    """The commands that come to one server.

    Args:
        here: Does it to a call of this server's; says `NotHere` when it has none, or none with a socket.
        store: Knows which server has a call.
        switchboard: Speaks to the other servers; None when there are none.
    """

    def __init__(self, here: Here, store: CallStore, switchboard: Switchboard | None) -> None:
        self._here = here
        self._store = store
        self._switchboard = switchboard
        self._done: OrderedDict[str, Reply] = OrderedDict()

    def answer(self, request: Request) -> Reply:
        """Do what another server asks for; a request that comes twice gets the first reply again."""
        if (known := self._done.get(request.id)) is not None:
            return known
        try:
            reply = self._here(request.call_id, request.command)
        except Exception:  # a bug of ours, which must not cost the listener
            logger.exception("a command failed", extra={"call_id": request.call_id})
            reply = SILENT
        if not isinstance(reply, NotHere):  # otherwise nothing was done, and it may come again when the call is here
            self._done[request.id] = reply
            if len(self._done) > REMEMBERED:
                self._done.popitem(last=False)
        return reply

    async def do(self, call_id: str, command: Command) -> Outcome:
        """Do this to a call, wherever it is."""
        switchboard = self._switchboard
        if switchboard is None:
            here = self._here(call_id, command)
            return UNKNOWN if isinstance(here, NotHere) else here
        request = Request(secrets.token_hex(12), switchboard.name, call_id, command)
        silent: set[str] = set()  # they may have done it
        refused = UNKNOWN
        try:
            async with asyncio.timeout(TOTAL_S):
                for pause_s in (*PAUSES_S, None):
                    reply = await self._try(request, switchboard, silent)
                    match reply:
                        case NotHere():
                            if (seen := _seen(reply, command)) is not None:
                                return seen
                            refused = UNKNOWN if reply.away is None else AWAY
                        case "gone":
                            refused = GONE
                        case "silent":
                            refused = SILENT
                        case "down":
                            refused = DOWN
                            break
                        case Refused(kind="unknown"):
                            break
                        case _:
                            return reply
                    if pause_s is not None:
                        await asyncio.sleep(pause_s)
        except TimeoutError:
            pass
        return SILENT if silent else refused

    async def _try(self, request: Request, switchboard: Switchboard, silent: set[str]) -> Reply | Missed:
        reply = self._here(request.call_id, request.command)
        if not isinstance(reply, NotHere):
            return reply
        owner = await self._store.owner(request.call_id)
        if owner == switchboard.name or (owner is None and reply.away is not None):
            return reply
        if owner is None:
            return "down" if cannot_tell(self._store, switchboard) else UNKNOWN
        if owner in silent:
            return "silent"
        silent.add(owner)  # from here on, whatever stops us
        told = await switchboard.ask(owner, request, REPLY_S)
        if told != "silent":
            silent.discard(owner)
        return told


def cannot_tell(store: CallStore, switchboard: Switchboard) -> bool:
    """Tell whether a store that names no owner of a call may only not have been asked: it says None then, too."""
    return not switchboard.is_up or store.figures().get("degraded", 0.0) > 0


def _seen(reply: NotHere, command: Command) -> Seen | None:
    return Seen(reply.away) if isinstance(command, Look) and reply.away is not None else None

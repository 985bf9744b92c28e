"""What the console sees of calls and servers, wherever they are; and what it lets other servers see of this one.

A look changes nothing. So it is tried once, and not, as a command is (`reach.py`), until somebody has taken the call:
whoever looks on will look again in a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

import msgspec

from ..control import Refused
from ..masked_facts import careful
from ..masking import Mask
from ..ports import CallStore, Switchboard
from ..reach import UNKNOWN, cannot_tell
from ..views import CallView, Glimpse, ServerView
from .lens import Lens

__all__ = ["Fleet", "Sight", "Watched"]

logger = logging.getLogger(__name__)

ROLL_S: Final = 0.3
"""Seconds in which the other servers answer."""

MASK_S: Final = 1.0
"""Seconds that reading and masking one call may take: usual is a thousandth."""

REPLY_S: Final = 1.5
"""Seconds another server may take to show a call."""

MAX_MASKING: Final = 4
"""Threads that read and mask at once. An agent's mask may hang, and the others' threads are the agent's tools'."""

MOVED: Final = Refused("moved", "the call is between two servers, or its server cannot show it: try again")
SILENT: Final = Refused("unanswered", "the server that has the call did not show it in time")
DOWN: Final = Refused("unreachable", "the call is not here, and the other servers cannot be reached")


class Watched(Protocol):
    """A call that may be looked at."""

    @property
    def is_attached(self) -> bool:
        """A socket is there."""
        ...

    @property
    def is_live(self) -> bool:
        """Somebody is on the line, or about to be again."""
        ...

    def glimpse(self) -> Glimpse:
        """Give what there is to see."""
        ...


class Fleet(msgspec.Struct, frozen=True):
    """How the servers are doing.

    Attributes:
        complete: All of them could be asked.
        servers: This one first, and the others by their names.
    """

    complete: bool
    servers: tuple[ServerView, ...]


class Sight:
    """Looks for one server. Implements `ports.Sights`.

    Args:
        name: The server's.
        server: Tells how it is doing.
        find: Gives a call of this server's; None when it is not here.
        mask: The agent's.
        store: Knows which server has a call.
        switchboard: Speaks to the other servers; None when there are none.
    """

    def __init__(
        self,
        name: str,
        *,
        server: Callable[[], ServerView],
        find: Callable[[str], Watched | None],
        mask: Mask,
        store: CallStore,
        switchboard: Switchboard | None,
    ) -> None:
        self._name = name
        self._server = server
        self._find = find
        self._mask = careful(mask, self._mask_failed)
        self._store = store
        self._switchboard = switchboard
        self._lenses: WeakKeyDictionary[Watched, Lens] = WeakKeyDictionary()
        self._masking = 0
        self._complained = False

    # ------------------------------------------------------------------------ what others see

    def server(self) -> ServerView:
        """See `ports.Sights.server`."""
        return self._server()

    async def call(self, call_id: str) -> CallView | None:
        """See `ports.Sights.call`."""
        watched = self._live(call_id)
        return None if watched is None else await self._shown(watched)

    # ------------------------------------------------------------------------ what is looked at from here

    async def fleet(self) -> Fleet:
        """Ask all servers how they are doing."""
        if self._switchboard is None:
            return Fleet(True, (self.server(),))
        others, is_complete = await self._switchboard.roll_call(ROLL_S)
        return Fleet(is_complete, (self.server(), *sorted(others, key=lambda other: other.name)))

    async def view(self, call_id: str) -> CallView | Refused:
        """Look at a call, wherever it is."""
        watched = self._live(call_id)
        if watched is None or not watched.is_attached:
            found = await self._elsewhere(call_id)
            # A call that has lost its socket here is shown as it was, unless another server has taken it.
            if watched is None or isinstance(found, CallView):
                return found
        return await self._shown(watched) or SILENT

    async def _elsewhere(self, call_id: str) -> CallView | Refused:
        switchboard = self._switchboard
        if switchboard is None:
            return UNKNOWN
        owner = await self._store.owner(call_id)
        if owner is None:
            return DOWN if cannot_tell(self._store, switchboard) else UNKNOWN
        if owner == switchboard.name:
            return UNKNOWN
        match await switchboard.show(owner, call_id, REPLY_S):
            case CallView() as view:
                return view
            case "down":
                return DOWN
            case "silent":
                return SILENT
            case _:  # it is gone, or says that it has the call no more
                return MOVED

    def _live(self, call_id: str) -> Watched | None:
        watched = self._find(call_id)
        return watched if watched is not None and watched.is_live else None

    async def _shown(self, watched: Watched) -> CallView | None:
        """Read and mask in a thread: the mask may be the agent's own, and slow."""
        if self._masking >= MAX_MASKING:
            return None
        lens = self._lenses.get(watched)
        if lens is None:
            lens = self._lenses[watched] = Lens(self._name, self._mask)
        reading = asyncio.get_running_loop().run_in_executor(None, lens.show, watched.glimpse())
        self._masking += 1
        reading.add_done_callback(self._masked)
        try:
            async with asyncio.timeout(MASK_S):
                return await asyncio.shield(reading)  # a thread cannot be cancelled: it counts until it has ended
        except TimeoutError:
            return None

    def _masked(self, reading: asyncio.Future[CallView]) -> None:
        self._masking -= 1

    def _mask_failed(self, exc: Exception) -> None:
        if not self._complained:
            self._complained = True
            logger.error("the agent's mask fails: texts are left out of the console (%s)", type(exc).__name__)

"""The sockets a call has had, and which of them gave a sign of life. Pure.

Retell drops a socket and dials anew as it likes (protocol §1.7), and what was written to one that died may have arrived
or not. A message on it proves that it was alive, because `config` asks for some at once.
"""

from __future__ import annotations

from .memo import CallMemo

__all__ = ["Sockets"]


class Sockets:
    """The sockets of one call, numbered over all of its processes.

    Attributes:
        newest: The number of the newest one; 0 before the first.
        heard_on: The number of the newest one that brought a message.
        greeted_on: The number of the newest one that words of the greeting were written to.
    """

    __slots__ = ("_was_asked", "greeted_on", "heard_on", "newest")

    def __init__(self) -> None:
        self.newest = 0
        self.heard_on = 0
        self.greeted_on = 0
        self._was_asked = False

    def recall(self, memo: CallMemo, *, talked: bool) -> bool:
        """Go on counting where another process stopped.

        Args:
            memo: Where the call stood.
            talked: Words of the talk that follows the greeting were written.

        Returns:
            Whether nobody can know that the greeting was heard.
        """
        self.newest, self.greeted_on = memo.sockets, memo.greeted_on
        # What was written to a socket that never brought a message was heard by nobody, or the process died before it
        # read the first one. Of words in the middle of the talk it is assumed that they were heard.
        doubtful = memo.heard_on < memo.greeted_on and not talked
        self.heard_on = memo.heard_on if doubtful else memo.sockets
        return doubtful

    def attached(self) -> bool:
        """Count one more; tells whether the one before never gave a sign of life."""
        unheard = self.heard_on < self.newest
        self.newest += 1
        self._was_asked = False
        return unheard

    def asked(self) -> bool:
        """A request came; tells whether it is the first after a redial, where ids may start anew (§9.4)."""
        first, self._was_asked = not self._was_asked, True
        return first and self.newest > 1

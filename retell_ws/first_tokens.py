"""How long a model takes to its first content, and after how long a second request is worth its price. Pure.

Content is text or a tool call: a provider's pings and the head of its answer go on happily while nothing is generated.

**Honest samples.** A request that was given up before it answered (it lost a race, or the caller spoke again) would
have taken longer than it was waited for. Left out, the window would hold the quick answers alone and the deadline would
creep down with every race; taken for its time, it would do nearly the same. So it counts as "at least so long", and the
percentile is read off the product-limit estimate (Kaplan and Meier, 1958), which is made for that: such a sample
lowers no percentile below it and thins out those above. A request that failed says nothing of how long an answer takes
and is no sample.
"""

from __future__ import annotations

from collections import deque
from typing import Final

__all__ = ["FirstTokens"]

WINDOW: Final = 200
"""Latest samples that count: some minutes of a busy server, and the 95th percentile still rests on ten of them."""

ENOUGH: Final = 20
"""Samples below which a 95th percentile is not known, and the default stands for it."""

EVERY: Final = 10
"""The percentile is worked out after so many samples: sorting at each one would cost more than it tells."""

DEFAULT_S: Final = 0.9
"""Between the usual time of a quick model (0.45 to 0.64 s) and its 95th percentile (1.6 s)."""

SHORTEST_S: Final = 0.4
"""An earlier second request would race answers that are about to come."""

LONGEST_S: Final = 1.2
"""After it the caller has waited too long for the percentile to matter."""

PATIENCE: Final = 0.05
"""The part of requests that are slower than the deadline."""

_EPSILON: Final = 1e-9


class FirstTokens:
    """The recent times to the first content of one model.

    Args:
        default_s: The deadline before there are enough samples, in seconds.
        shortest_s: The earliest deadline, in seconds.
        longest_s: The latest one, in seconds.

    Attributes:
        deadline_s: After how many seconds without content a second request is worth it.
    """

    __slots__ = ("_fresh", "_longest_s", "_samples", "_shortest_s", "deadline_s")

    def __init__(
        self, *, default_s: float = DEFAULT_S, shortest_s: float = SHORTEST_S, longest_s: float = LONGEST_S
    ) -> None:
        self.deadline_s = default_s
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._samples: deque[tuple[float, bool]] = deque(maxlen=WINDOW)  # and whether it took longer than that
        self._fresh = 0

    def took(self, seconds: float) -> None:
        """Note that the first content came after so long."""
        self._add((seconds, False))

    def took_longer_than(self, seconds: float) -> None:
        """Note that a request without content was given up after so long."""
        self._add((seconds, True))

    def __len__(self) -> int:
        """Count the samples in the window."""
        return len(self._samples)

    def _add(self, sample: tuple[float, bool]) -> None:
        self._samples.append(sample)
        self._fresh += 1
        if self._fresh >= EVERY and len(self._samples) >= ENOUGH:
            self._fresh = 0
            self.deadline_s = min(max(self._percentile(), self._shortest_s), self._longest_s)

    def _percentile(self) -> float:
        """Give the time within which all but `PATIENCE` of the requests answer; without end when it is not known."""
        slower = 1.0  # the part of requests that take longer than the samples looked at so far
        waiting = len(self._samples)
        for seconds, longer in sorted(self._samples):
            if not longer:
                slower *= 1 - 1 / waiting
                if slower <= PATIENCE + _EPSILON:
                    return seconds
            waiting -= 1
        return float("inf")

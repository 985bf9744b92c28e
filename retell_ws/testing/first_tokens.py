"""When a model speaks its first token, drawn from a heavy-tailed distribution: a body, a slow mode, and hangs. Pure.

Percentiles say what is known of a real model, so they are what is given here, and they are those of the whole mixture:
the log-normal body is solved for. A draw hangs on nothing but the seed and the key it is drawn for, so that two servers
that ask in another order get the same times for the same words.
"""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b
from statistics import NormalDist
from typing import Final

import msgspec

__all__ = ["FirstTokens", "body_of", "chance"]

_NORMAL: Final = NormalDist()


def chance(seed: int, *key: bytes) -> float:
    """Draw a number above 0 and below 1, the same one for the same seed and key."""
    digest = blake2b(b"\0".join(key), digest_size=8, key=str(seed).encode()).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2.0**64


class FirstTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The distribution of the time to the first token, in seconds.

    Attributes:
        p50_s: Median of all requests, hangs counted as endless.
        p95_s: 95th percentile of all requests.
        slow: Share of the slow mode, whose times are spread evenly from `slow_from_s` to `slow_to_s`.
        hangs: Share of requests that never get a token.
        seed: Of the draws.
    """

    p50_s: float = 0.45
    p95_s: float = 1.6
    slow: float = 0.03
    slow_from_s: float = 1.5
    slow_to_s: float = 6.0
    hangs: float = 0.005
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what no body can make true."""
        if not (0 < self.p50_s < self.p95_s and 0 < self.slow_from_s < self.slow_to_s):
            raise ValueError("times must be positive and rise")
        if self.slow < 0 or self.hangs < 0 or self.slow + self.hangs >= 1:
            raise ValueError("shares must leave something for the body")
        try:
            body_of(self)
        except ValueError:
            raise ValueError("no body gives these percentiles beside so large a slow mode and so many hangs") from None

    def within(self, time_s: float) -> float:
        """Tell the share of requests that have their first token by then."""
        mu, sigma = body_of(self)
        body = 1 - self.slow - self.hangs
        return body * _NORMAL.cdf((math.log(time_s) - mu) / sigma) + self.slow * _slow_within(self, time_s)

    def draw(self, *key: bytes) -> float | None:
        """Draw the time of one request.

        Args:
            key: What the request is known by.

        Returns:
            Seconds, or None for one that hangs.
        """
        which = chance(self.seed, b"which", *key)
        if which < self.hangs:
            return None
        where = chance(self.seed, b"where", *key)
        if which < self.hangs + self.slow:
            return self.slow_from_s + where * (self.slow_to_s - self.slow_from_s)
        mu, sigma = body_of(self)
        return math.exp(mu + sigma * _NORMAL.inv_cdf(where))


@lru_cache(maxsize=64)
def body_of(tokens: FirstTokens) -> tuple[float, float]:
    """Solve for mu and sigma of the body, in closed form.

    At a percentile the mixture is known, and so is the slow mode's part of it; what is left is the body's, so both
    percentiles stand at known places of the normal distribution, and a line goes through two points.
    """
    body = 1 - tokens.slow - tokens.hangs
    low, high = (
        _NORMAL.inv_cdf((share - tokens.slow * _slow_within(tokens, at_s)) / body)
        for share, at_s in ((0.5, tokens.p50_s), (0.95, tokens.p95_s))
    )
    sigma = math.log(tokens.p95_s / tokens.p50_s) / (high - low)
    if sigma <= 0:
        raise ValueError("the percentiles stand the wrong way round")
    return math.log(tokens.p50_s) - low * sigma, sigma


def _slow_within(tokens: FirstTokens, time_s: float) -> float:
    share = (time_s - tokens.slow_from_s) / (tokens.slow_to_s - tokens.slow_from_s)
    return min(1.0, max(0.0, share))

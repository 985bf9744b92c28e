"""Which call a path dials: `/llm-websocket/{secret?}/{call_id}`. Pure; knows nothing of calls at hand."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final

__all__ = ["PREFIX", "call_id_of"]

PREFIX: Final = "/llm-websocket"

_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""Opaque by the protocol (§1.2); the bound keeps it harmless in keys, paths and logs."""


def call_id_of(path: str, secrets: Sequence[bytes]) -> str | None:
    """Read a request's path.

    Args:
        path: As the client sent it, with its query, which is ignored.
        secrets: Those valid now. With none, no secret is expected. All of them are compared, each in constant
            time, so that the time of an answer tells nothing of them.

    Returns:
        The call id; None for every path that is not ours, whatever is wrong with it.
    """
    path = path.partition("?")[0]
    if not path.startswith(f"{PREFIX}/"):
        return None
    given, slash, call_id = path[len(PREFIX) + 1 :].rpartition("/")
    if secrets:
        offered = given.encode("utf-8", "surrogateescape")
        allowed = False
        for secret in secrets:
            allowed |= hmac.compare_digest(offered, secret)
        if not allowed:
            return None
    elif slash:
        return None
    return call_id if _CALL_ID.fullmatch(call_id) else None

"""The call as an agent's own functions see it. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .wire import CallInfo

__all__ = ["Call"]


class Call:
    """The call, as an agent's own functions see it.

    Attributes:
        id: Retell's call id.
        details: What Retell told about the call; None until `call_details` arrived (protocol §2.2).
    """

    __slots__ = ("details", "id")

    def __init__(self, call_id: str, details: CallInfo | None = None) -> None:
        self.id = call_id
        self.details = details

    @property
    def from_number(self) -> str | None:
        """The caller's number in E.164; None on web calls and before the details arrived."""
        return None if self.details is None else self.details.from_number

    @property
    def to_number(self) -> str | None:
        """The number called, likewise."""
        return None if self.details is None else self.details.to_number

    @property
    def variables(self) -> Mapping[str, Any]:
        """The call's dynamic variables; empty when none were set."""
        return {} if self.details is None else self.details.retell_llm_dynamic_variables or {}

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata the call was created with; empty when none was set."""
        return {} if self.details is None else self.details.metadata or {}

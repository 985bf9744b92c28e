"""A tool as the model is told of it. No I/O."""

from __future__ import annotations

import msgspec

__all__ = ["ToolSpec"]


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it.

    Attributes:
        name: 1 to 64 of A-Za-z0-9_-.
        description: What it does and when to use it: all the model knows about it.
        input_schema: JSON Schema of its arguments, an object's; the same bytes in every request.
    """

    name: str
    description: str
    input_schema: msgspec.Raw

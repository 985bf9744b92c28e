"""The conformance checks, one module a topic, in the order of the report."""

from __future__ import annotations

from ..checking import Check
from . import actions, closing, keepalive, keypad, many, opening, payloads, redial, spoken_into, tools, turns

__all__ = ["ALL"]

ALL: tuple[Check, ...] = tuple(
    value
    for module in (opening, keepalive, turns, tools, actions, spoken_into, keypad, payloads, redial, closing, many)
    for value in vars(module).values()
    if isinstance(value, Check)
)
"""Every check; the order in a module is the order of the report."""

"""The tools every agent can be given: hanging up and handing on. They are ordinary tools, declared as a user's are.

Their message is the model's own words, and goes to the voice as the rest of them does.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .directory import Directory
from .ear import Ear
from .errors import CallError, ToolError
from .handle import Call
from .tool import Tool, declare

__all__ = ["end_call", "transfer_call"]


def end_call(link: str) -> Tool:
    """Make the tool with which the model hangs up; `link` is what is said for the address of a page."""

    def end_call(call: Call, message: str = "") -> str:
        """Hang up. Use it when the caller has said goodbye, or wants nothing more.

        Args:
            message: A short goodbye. Give it here instead of saying it before; empty when you have just said one.
        """
        try:
            call.end(_heard(message, link))
        except CallError as exc:
            raise ToolError(str(exc)) from None  # it did nothing else
        return "The call ends once this was said."

    return msgspec.structs.replace(declare(end_call), is_once=False, needs_verification=False)


def transfer_call(directory: Directory, link: str) -> Tool:
    """Make the tool with which the model hands the caller on, to the labels of `directory` and nowhere else.

    Args:
        directory: Where to.
        link: What is said for the address of a page.
    """

    def transfer_call(call: Call, to: str, message: str = "") -> str:
        try:
            call.transfer(to, _heard(message, link))
        except CallError as exc:
            raise ToolError(str(exc)) from None  # it did nothing else
        return "The transfer begins once this was said."

    labels = tuple(directory.targets)
    about = "; ".join(
        f"{label}: {target.description}" for label, target in directory.targets.items() if target.description
    )
    transfer_call.__annotations__["to"] = Literal[labels]
    transfer_call.__doc__ = f"""Hand the caller on to a person, and leave the call.

    Args:
        to: Whom to.{f" {about}." if about else ""}
        message: One short sentence. Give it here instead of saying it before; empty when you have just said it.
    """
    return msgspec.structs.replace(declare(transfer_call), is_once=False)


def _heard(message: str, link: str) -> str:
    """Make the model's words fit for the voice; when nothing is left of them, none were given."""
    ear = Ear(link)
    return (ear.feed(message) + ear.close()).strip()

"""Where an agent may transfer a caller to: its author's list, never a number the model made up. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from .errors import AgentError, TargetError

__all__ = ["Directory", "Transfer"]

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_WRITTEN = re.compile(r"[\s().\-/]")


class Transfer(msgspec.Struct, frozen=True):
    """One target.

    Attributes:
        number: In E.164; spaces and dashes may stand in it.
        description: When to use it: the model reads it.
        message: Said before the transfer; keep it short (protocol §3.3).
        show_caller: The target sees the caller's number instead of ours.
    """

    number: str
    description: str = ""
    message: str = ""
    show_caller: bool = False


class Directory:
    """The targets of one agent.

    Args:
        targets: By label, as the model and the agent's functions name them.
        prefixes: Beginnings of further numbers that may be dialled though they are not listed.

    Raises:
        AgentError: A number is none, or a label is empty.
    """

    def __init__(self, targets: Mapping[str, str | Transfer], prefixes: Iterable[str] = ()) -> None:
        self.targets: dict[str, Transfer] = {}
        for label, target in targets.items():
            if not label.strip():
                raise AgentError("transfers: a target needs a label")
            target = Transfer(target) if isinstance(target, str) else target
            number = _number(target.number)
            if number is None:
                raise AgentError(f"transfers: {target.number!r} ({label}) is no number like +14155550100")
            self.targets[label] = msgspec.structs.replace(target, number=number)
        self._prefixes = tuple(_WRITTEN.sub("", prefix) for prefix in prefixes)
        for prefix in self._prefixes:
            if not re.fullmatch(r"\+[1-9][0-9]{0,14}", prefix):
                raise AgentError(f"transfer_prefixes: {prefix!r} is no beginning of a number, like +1415")

    def find(self, to: str, *, unlisted: bool = False) -> Transfer:
        """Look a target up.

        Args:
            to: A label, or a number.
            unlisted: Take any number: the caller of this vouches for it.

        Raises:
            TargetError: There is no such target, and its number may not be dialled.
        """
        folded = to.strip().casefold()
        for label, target in self.targets.items():
            if label.casefold() == folded:
                return target
        number = _number(to)
        if number is not None:
            for target in self.targets.values():
                if target.number == number:
                    return target
            if unlisted or any(number.startswith(prefix) for prefix in self._prefixes):
                return Transfer(number)
        known = f"choose one of: {', '.join(self.targets)}" if self.targets else "there is nobody to transfer to"
        raise TargetError(f"{to[:40]!r} is not in the directory and is not dialled; {known}")


def _number(text: str) -> str | None:
    number = _WRITTEN.sub("", text)
    return number if _E164.fullmatch(number) else None

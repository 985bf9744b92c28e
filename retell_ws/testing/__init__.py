"""What to import in tests of an agent or of a server: `calling` and `Use`, FakeRetell, the conformance suite,
a proxy that breaks connections.

The names are loaded when they are used, so that one does not bring in what the others need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .acceptance import Acceptance as Acceptance
    from .acceptance import Action as Action
    from .caller import Caller as Caller
    from .caller import Calling as Calling
    from .caller import calling as calling
    from .conformance import run as run
    from .dial import DialError as DialError
    from .dial import DialPolicy as DialPolicy
    from .fake_anthropic import FakeAnthropicProcess as FakeAnthropicProcess
    from .fake_retell_api import FakeRetellApi as FakeRetellApi
    from .frames import Finding as Finding
    from .report import Answer as Answer
    from .report import CallReport as CallReport
    from .retell import CallEnded as CallEnded
    from .retell import FakeRetell as FakeRetell
    from .retell import Superseded as Superseded
    from .script import Script as Script
    from .script import Use as Use
    from .toxics import Bandwidth as Bandwidth
    from .toxics import BlackHole as BlackHole
    from .toxics import Latency as Latency
    from .toxics import LimitData as LimitData
    from .toxics import Reset as Reset
    from .toxics import Slicer as Slicer
    from .toxics import SlowClose as SlowClose
    from .toxics import ToxicProxy as ToxicProxy

_HOMES = {
    "Acceptance": "acceptance",
    "Action": "acceptance",
    "Answer": "report",
    "Bandwidth": "toxics",
    "BlackHole": "toxics",
    "CallEnded": "retell",
    "CallReport": "report",
    "Caller": "caller",
    "Calling": "caller",
    "DialError": "dial",
    "DialPolicy": "dial",
    "FakeAnthropicProcess": "fake_anthropic",
    "FakeRetell": "retell",
    "FakeRetellApi": "fake_retell_api",
    "Finding": "frames",
    "Latency": "toxics",
    "LimitData": "toxics",
    "Reset": "toxics",
    "Script": "script",
    "Slicer": "toxics",
    "SlowClose": "toxics",
    "Superseded": "retell",
    "ToxicProxy": "toxics",
    "Use": "script",
    "calling": "caller",
    "run": "conformance",
}

__all__ = [
    "Acceptance",
    "Action",
    "Answer",
    "Bandwidth",
    "BlackHole",
    "CallEnded",
    "CallReport",
    "Caller",
    "Calling",
    "DialError",
    "DialPolicy",
    "FakeAnthropicProcess",
    "FakeRetell",
    "FakeRetellApi",
    "Finding",
    "Latency",
    "LimitData",
    "Reset",
    "Script",
    "Slicer",
    "SlowClose",
    "Superseded",
    "ToxicProxy",
    "Use",
    "calling",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

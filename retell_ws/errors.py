"""Every exception of the package. Whose fault it is stands in the type.

    RetellWsError
    ├── UsageError            the operator's: a setting, an agent file, a port; the command line exits 2
    │   ├── SettingsError
    │   ├── AgentError
    │   └── AddressInUseError  nobody's for long: another process listens there; the command line exits 1
    ├── WireError             Retell's (or whoever dialled us): bytes that are no message
    ├── ToolError             a tool's: why it did not do what it was asked; the model is told the text
    │   └── CallError         the call's: it cannot do what a function of the agent's asked of it
    │       └── TargetError   there is no such target for a transfer
    ├── JournalError          the disk's: it is full, or somebody keeps the journal; another try may work
    ├── BusError              the bus's: it refuses us for good, and waiting mends nothing
    ├── SinkError             where consumers write: not at the moment; waiting may mend it
    ├── RetellApiError        Retell's REST API: it refused, did not answer, or did something else than it was asked
    └── ModelError            the model's side
        ├── ModelUnavailable  nothing came: no connection, 5xx, 529; another try may work
        ├── ModelRateLimited  429; another try may work after `retry_after_s`
        ├── ModelRejected     400, 401, 403, 404, 413: the same request will fail again
        └── ModelBroken       the stream began and did not end: reset, cut, stall, an `error` event

Anything else that leaves a public function is a bug.
"""

from __future__ import annotations

__all__ = [
    "AddressInUseError",
    "AgentError",
    "BusError",
    "CallError",
    "JournalError",
    "ModelBroken",
    "ModelError",
    "ModelRateLimited",
    "ModelRejected",
    "ModelUnavailable",
    "RetellApiError",
    "RetellWsError",
    "SettingsError",
    "SinkError",
    "TargetError",
    "ToolError",
    "UsageError",
    "WireError",
]


class RetellWsError(Exception):
    """The root of the tree above."""


class UsageError(RetellWsError):
    """What the operator asked for cannot be done; the text says what to change."""

    exit_status = 2


class SettingsError(UsageError):
    """A setting is unknown, of the wrong type or out of range."""


class AgentError(UsageError):
    """The agent's file cannot be loaded or holds no agent."""


class AddressInUseError(UsageError):
    """Another process listens on the address. It may leave, so whoever keeps us running may start us anew."""

    exit_status = 1


class WireError(RetellWsError):
    """Bytes that are no message of the protocol. The text never quotes them: they may be speech."""


class ToolError(RetellWsError):
    """A tool did nothing, and knows why. Raise it in a tool; the model is told the text and can tell the caller.

    Anything else that a tool raises leaves open whether something was done, and the model is told just that.
    """


class CallError(ToolError):
    """The call cannot do what was asked of it: the agent is leaving, there is no such target, it is over.

    A tool that lets it through may have done something before it, so unlike its own `ToolError` it does not say that
    nothing was done.
    """


class TargetError(CallError):
    """The directory has no such target, and its number may not be dialled."""


class JournalError(RetellWsError):
    """The journal of facts could not be read or written now. The text holds no fact."""


class BusError(RetellWsError):
    """The bus refuses what is asked of it, and will go on doing so: a right is missing, or a topic. The text says what
    to change, and holds no secret."""


class SinkError(RetellWsError):
    """What a consumer writes to cannot be written at the moment. The text says what, and holds no speech."""


class RetellApiError(RetellWsError):
    """Retell's REST API did not do what it was asked. The text says what, in one line, and holds no secret."""


class ModelError(RetellWsError):
    """The model did not answer as it should.

    Args:
        message: What happened, for our log. It never holds a prompt, an answer or a key.
        status: HTTP status of the answer, when there was one.
        kind: The API's own word for the error (`overloaded_error`), when there was one.
        request_id: The API's `request-id`, when there was one.
        retry_after_s: Seconds after which the API invites another try, when it said so.
    """

    retriable = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        kind: str | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class ModelUnavailable(ModelError):
    """No answer began: the connection failed, or the status was 5xx or 529."""

    retriable = True


class ModelRateLimited(ModelError):
    """Status 429."""

    retriable = True


class ModelRejected(ModelError):
    """The request itself was refused; sending it again would be refused again."""


class ModelBroken(ModelError):
    """The answer began and did not come to its end."""

    retriable = True

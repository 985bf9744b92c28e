"""When a call is escalated, and what is done then: the rules somebody writes into a TOML file. No I/O.

    [[rule]]
    name = "asks for a human"
    when = { phrases = ["speak to a human", "real person", "manager"] }
    ignore = ["don't want a manager"]
    then = [{ action = "transfer", to = "the nurse", say = "I will connect you now." }]

All conditions of a `when` must hold, at whatever moments of the call they came to; one condition of an `unless` is
enough to hold the rule back. `examples/rules.toml` shows them all. Whatever nobody could have meant is refused when
the file is read: a rule that never fires would be noticed by nobody.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from .control import MAX_TEXT
from .control import End as EndCommand
from .control import Order as Command
from .control import Say as SayCommand
from .control import Transfer as TransferCommand
from .errors import SettingsError
from .loopback import is_loopback
from .transcript import normalised

__all__ = [
    "Action",
    "Conditions",
    "End",
    "Order",
    "Rule",
    "Say",
    "Transfer",
    "Webhook",
    "command_of",
    "plain",
    "read",
    "secrets_of",
]

MAX_RULES: Final = 100

SECRET_ENV: Final = "RETELL_WS_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable
"""The variable that holds a webhook's secret, where the rule names no other one."""

Words: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]
Phrases: TypeAlias = Annotated[tuple[Words, ...], Meta(min_length=1, max_length=200)]
Times: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]


class Conditions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must have happened in a call. None: it does not matter.

    Attributes:
        phrases: The caller has said one of these.
        times: In so many utterances, at least. The same words asked again are one.
        tools_failed: Tools that failed, were late, or whose outcome nobody knows.
        reminders: Times the agent had to check in with a silent caller.
        over_budget: Turns whose first sentence came after the budget, or never.
        in_a_row: Those turns followed each other.
        turns_failed: Turns that ended in an apology.
        interruptions: Times the caller spoke into an answer.
        duration_s: Seconds since the call began. Looked at whenever something happens in the call.
    """

    phrases: Phrases | None = None
    times: Times = 1
    tools_failed: Times | None = None
    reminders: Times | None = None
    over_budget: Times | None = None
    in_a_row: bool = False
    turns_failed: Times | None = None
    interruptions: Times | None = None
    duration_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None

    def names(self) -> tuple[str, ...]:
        """Give the names of the conditions that matter."""
        return tuple(
            name
            for name in self.__struct_fields__
            if name not in ("times", "in_a_row") and getattr(self, name) is not None
        )


class _Action(msgspec.Struct, frozen=True, tag_field="action", forbid_unknown_fields=True):
    pass


class Transfer(_Action, frozen=True, tag="transfer"):
    """Hand the caller on.

    Attributes:
        to: A label of the agent's directory, or a number in it.
        say: What is said before; without it the target's own message.
    """

    to: Annotated[str, Meta(min_length=1, max_length=100)]
    say: Annotated[str, Meta(max_length=MAX_TEXT)] = ""


class Say(_Action, frozen=True, tag="say"):
    """Say this in the call."""

    say: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


class End(_Action, frozen=True, tag="end"):
    """Hang up, once this was said; without it the agent's own goodbye."""

    say: Annotated[str, Meta(max_length=MAX_TEXT)] = ""


class Webhook(_Action, frozen=True, tag="webhook"):
    """Tell somebody by HTTP.

    Attributes:
        url: Whom.
        secret_env: The variable of the environment with the secret of the signature.
        include_words: Send what the caller has just said, masked.
        insecure: `http://` is good enough.
    """

    url: Annotated[str, Meta(max_length=2000)]
    secret_env: Annotated[str, Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,127}\Z")] = SECRET_ENV
    include_words: bool = False
    insecure: bool = False


Order: TypeAlias = Transfer | Say | End
"""An action within the call."""

Action: TypeAlias = Order | Webhook


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. It fires once in a call.

    Attributes:
        name: No other rule of the file has it. Keep it when you change the rule: it is how a call knows that the rule
            has fired.
        when: All of this must hold.
        then: What is done. The actions within the call are done one after the other.
        unless: One of this is enough to do nothing.
        ignore: Phrases that make a phrase of `when` count for nothing when they are in the same utterance.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    when: Conditions
    then: Annotated[tuple[Action, ...], Meta(min_length=1, max_length=10)]
    unless: Conditions | None = None
    ignore: Phrases | None = None


def read(text: str, path: str) -> tuple[Rule, ...]:
    """Read a file of rules.

    Args:
        text: The file, in TOML.
        path: Its name, for the errors.

    Raises:
        SettingsError: It is no TOML, or a rule cannot be meant. The text says which rule, and which key of it.
    """
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise SettingsError(f"{path} is no TOML: {exc}") from None
    except RecursionError:
        raise SettingsError(f"{path} is no TOML: it is nested too deep") from None
    if unknown := found.keys() - {"rule"}:
        raise SettingsError(f"{path}: `{min(unknown)}` is unknown; a rule begins with [[rule]]")
    tables = found.get("rule")
    if not isinstance(tables, list) or not tables:
        raise SettingsError(f"{path} holds no rule: each begins with [[rule]]")
    if len(tables) > MAX_RULES:
        raise SettingsError(f"{path} holds {len(tables)} rules; {MAX_RULES} are allowed")
    rules: dict[str, Rule] = {}
    for number, table in enumerate(tables, 1):
        rule = _rule(table, number, path)
        if rule.name in rules:
            raise SettingsError(f"{path}: there are two rules named {rule.name!r}")
        rules[rule.name] = rule
    return tuple(rules.values())


def _rule(table: Any, number: int, path: str) -> Rule:
    name = table.get("name") if isinstance(table, dict) else None
    where = f"{path}: rule {name!r}" if isinstance(name, str) and name else f"{path}: rule {number}"
    try:
        rule = msgspec.convert(table, Rule)
    except msgspec.ValidationError as exc:
        reason, _, place = str(exc).partition(" - at `$")
        key = place.strip("`.")
        raise SettingsError(f"{where}: {key + ': ' if key else ''}{reason[0].lower()}{reason[1:]}") from None
    if why := _senseless(rule):
        raise SettingsError(f"{where}: {why}")
    return rule


def _senseless(rule: Rule) -> str:
    """Say what of a rule cannot be meant, though each part of it is well formed; empty when nothing is."""
    if not rule.name.strip():
        return "name: it is blank"
    for key, conditions in (("when", rule.when), ("unless", rule.unless)):
        if conditions is None:
            continue
        if not conditions.names():
            return f"{key}: there is no condition in it"
        if conditions.times != 1 and conditions.phrases is None:
            return f"{key}.times: it counts phrases, and there are none"
        if conditions.in_a_row and conditions.over_budget is None:
            return f"{key}.in_a_row: it is about over_budget, which is not there"
        if (blank := _blank(conditions.phrases)) is not None:
            return f"{key}.phrases: there is no word in {blank!r}"
    if rule.ignore is not None and rule.when.phrases is None:
        return "ignore: there are no phrases in `when`"
    if (blank := _blank(rule.ignore)) is not None:
        return f"ignore: there is no word in {blank!r}"
    for number, action in enumerate(rule.then):
        if isinstance(action, Webhook):
            if why := _unfit(action):
                return f"then[{number}].url: {why}"
        elif isinstance(action, Transfer) and not action.to.strip():
            return f"then[{number}].to: it is blank"
        elif isinstance(action, Say) and not action.say.strip():
            return f"then[{number}].say: it is blank"
    return ""


def _blank(phrases: tuple[str, ...] | None) -> str | None:
    return next((phrase for phrase in phrases or () if not plain(phrase)), None)


def _unfit(webhook: Webhook) -> str:
    try:
        parts = urlsplit(webhook.url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("https", "http") or not host:
        return "it should begin with https:// and name a host"
    if parts.username is not None or parts.password is not None:
        return "a password has no place in this file"
    if not webhook.url.isascii() or not webhook.url.isprintable() or " " in webhook.url:
        return "there is a space or a special character in it"
    if parts.scheme == "http" and not webhook.insecure and not is_loopback(host):
        return "it should begin with https://, or say `insecure = true`"
    return ""


def plain(text: str) -> str:
    """Fold a text for comparing: case, spaces, marks, and the two ways to write an apostrophe."""
    return normalised(text.replace("’", "'"))


def command_of(order: Order) -> Command:
    """Give the command that does it."""
    match order:
        case Transfer():
            return TransferCommand(order.to, order.say)
        case Say():
            return SayCommand(order.say)
        case _:  # End
            return EndCommand(order.say)


def secrets_of(rules: tuple[Rule, ...], environment: Mapping[str, str], path: str) -> dict[str, bytes]:
    """Look up the secrets of the webhooks, by the names of their variables.

    Raises:
        SettingsError: One is not set.
    """
    found = {}
    for rule in rules:
        for number, action in enumerate(rule.then):
            if isinstance(action, Webhook):
                secret = environment.get(action.secret_env, "")
                if not secret:
                    raise SettingsError(
                        f"{path}: rule {rule.name!r}: then[{number}].secret_env: the webhook is signed with the secret "
                        f"in {action.secret_env}, which is not set"
                    )
                found[action.secret_env] = secret.encode("utf-8", "surrogateescape")
    return found

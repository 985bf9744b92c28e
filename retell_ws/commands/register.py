"""`retell_ws register`: let an agent of Retell's be answered by this server. It says what will change, and asks."""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import orjson
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console

from ..errors import RetellApiError, UsageError
from ..registration.addresses import Address, socket_address, warning_of, webhook_address
from ..registration.numbers import checked
from ..registration.plan import WEBHOOK_EVENTS, Wish
from .changes import conclude, document, show
from .rest import console_of, rest_of, settings_of, telling

if TYPE_CHECKING:
    from ..registration.api import RetellRest
    from ..registration.register import Outcome, Prepared

__all__ = ["register"]

NAME: Final = "retell_ws"
"""Of the agent `--create` makes, where `--name` says nothing."""

Share = Annotated[float | None, Parameter(validator=Number(gte=0, lte=1))]
Several = Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative="", show_default=False)]
On = Annotated[bool, Parameter(negative="", show_default=False)]


@telling
def register(
    *,
    url: str,
    agent_id: str | None = None,
    create: On = False,
    name: str | None = None,
    voice: str | None = None,
    language: Several = (),
    responsiveness: Share = None,
    interruption_sensitivity: Share = None,
    reminder_s: Annotated[float | None, Parameter(validator=Number(gt=0))] = None,
    webhook: str | None = None,
    webhook_events: Several = (),
    number: Several = (),
    publish: On = False,
    check: On = False,
    dry_run: On = False,
    yes: On = False,
    json: On = False,
    retell_url: str | None = None,
    config: Path | None = None,
) -> int:
    """Let an agent of Retell's be answered by this server: create it, or change it.

    It tells what will change, asks, does it and reads it back. Said again, it finds nothing to change. What is not
    named stays as it is. The key of the API comes from RETELL_API_KEY alone.

    Args:
        url: What Retell shall dial, without a call id: wss://your-host/llm-websocket. The secret of the setting
            `path_secret` is put behind it, so that it need not stand here.
        agent_id: The agent to change.
        create: Make an agent of the kind custom-llm, unless there is one of that name.
        name: The agent's name. Default with --create: retell_ws.
        voice: Retell's id of the voice, or its name.
        language: One or more of Retell's codes: en-US, de-DE, multi.
        responsiveness: How fast the agent answers, 0 to 1.
        interruption_sensitivity: How easily the agent is interrupted, 0 to 1.
        reminder_s: Seconds of the caller's silence after which Retell asks for a reminder.
        webhook: Where Retell's webhooks go: https://your-host/webhook.
        webhook_events: Which of them.
        number: Phone numbers of the account that the agent shall answer, and no other one: +14155550123.
        publish: Publish the version, so that numbers bound to a published one get it.
        check: Dial the URL once, as Retell does, before anything is changed, or with --dry-run. The server has a call
            without a word by it, also where it keeps facts.
        dry_run: Only tell what would change.
        yes: Do not ask.
        json: Print one JSON document.
        retell_url: Base URL of Retell's REST API, or of a fake.
        config: A TOML file of settings.

    Returns:
        0, also when there was nothing to change; 1 when Retell refused, or has not taken over what it was told, or the
        answer was no.
    """
    if (agent_id is None) == (not create):
        raise UsageError("which agent? Either --agent-id ID, or --create --voice VOICE")
    if unknown := [event for event in webhook_events if event not in WEBHOOK_EVENTS]:
        raise UsageError(f"--webhook-events {unknown[0]!r} is none of {', '.join(WEBHOOK_EVENTS)}")
    settings = settings_of(retell_url, config)
    address = socket_address(url, [secret.decode() for secret in settings.path_secrets()])
    wish = Wish(
        address=address,
        name=name if name is not None or not create else NAME,
        voice_id=voice,
        language=language,
        responsiveness=responsiveness,
        interruption_sensitivity=interruption_sensitivity,
        reminder_s=reminder_s,
        webhook=None if webhook is None else webhook_address(webhook),
        webhook_events=webhook_events,
    )
    numbers = [checked(one) for one in number]
    hidden = [*address.secrets(), *(wish.webhook.secrets() if wish.webhook else ())]

    console = console_of(stderr=json)
    if warning := warning_of(address):
        sys.stderr.write(f"retell_ws: {warning}\n")

    async def looked(rest: RetellRest) -> Prepared:
        from ..registration.register import prepare

        return await prepare(rest, wish, agent_id=agent_id, create=create, publish=publish, numbers=numbers)

    async def prepared() -> Prepared:
        async with rest_of(settings, hidden) as rest:
            if check:
                await _dial(address)
                console.print(f"{address} answers as Retell will dial it.", markup=False, highlight=False)
            return await looked(rest)

    async def applied(plan: Prepared) -> Outcome:
        from ..registration.register import apply

        async with rest_of(settings, hidden) as rest:
            if not yes and await looked(rest) != plan:
                raise RetellApiError("somebody changed it meanwhile, so nothing was done: say it again, and look")
            return await apply(rest, plan)

    # A person may think between the two for as long as they like.
    found = asyncio.run(prepared())
    if not json or not (yes or dry_run or found.is_nothing()):
        show(found, console)
    outcome = None
    if not dry_run and not found.is_nothing():
        if not yes and not _agreed(console):
            console.print("Nothing was changed.")
            return 1
        outcome = asyncio.run(applied(found))
    if json:
        sys.stdout.write(orjson.dumps(document(found, outcome), option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        conclude(found, outcome, console)
    return 0


async def _dial(address: Address) -> None:
    """Open the socket once, as Retell would, and hang up."""
    from ..testing.dial import DialError, DialPolicy, call_url, dial

    try:
        socket = await dial(call_url(address.url, f"call_{secrets.token_hex(14)[:27]}"), policy=DialPolicy(attempts=1))
    except (DialError, UsageError) as exc:
        why = str(exc) if isinstance(exc, DialError) else "this cannot be dialled"
        raise UsageError(f"{address}: {why}; nothing was changed") from None
    await socket.close()


def _agreed(console: Console) -> bool:
    """Let a person say yes; nobody is asked through a pipe."""
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to say yes: --yes does it, --dry-run only tells")
    try:
        return console.input("Go on? [y/N] ", markup=False).strip().lower() in ("y", "yes")
    except EOFError:
        return False

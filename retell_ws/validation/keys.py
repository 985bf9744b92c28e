"""The keys: whether they are there, and whether who gave them takes them. None is ever shown."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from ..api_key import is_key
from ..blueprints import KEY, RETELL_KEY, WEBHOOK_KEY, build_model
from ..errors import ModelError, ModelRejected
from ..extras import is_installed
from ..ports import End
from ..prompt import build
from ..race import RacingModel
from ..registration.api import KeyRefused, NotReached, RetellRest
from ..transcript import Question
from .book import Book, Entry, Unchecked
from .settled import is_for_retell
from .setup import Setup

__all__ = ["check"]

LIMIT_S: Final = 15.0

RETELL_S: Final = 25.0
"""For Retell's API, whose client tries several times."""

SLOW_S: Final = 3.0
"""Seconds for one token, beyond which callers would wait as well."""


async def check(setup: Setup, book: Book) -> None:
    """Ask the model for one token, and Retell for an agent with each of its keys."""
    async with book.line(KEY, limit_s=LIMIT_S, advice="see that the key and --model-url are right") as line:
        await _model(setup, line)
    await _retell(setup, book)


async def _model(setup: Setup, line: Entry) -> None:
    settings = setup.settings
    model = build_model(settings, setup.environment)
    try:
        if model.name == "scripted":
            why = "--model scripted" if settings.model == "scripted" else f"no {KEY}: the scripted model answers"
            line.skips(f"could not be checked: {why}", f"export {KEY}=…, for answers by a real model")
            return
        asked = model.model if isinstance(model, RacingModel) else model  # the first one alone is on trial
        request = msgspec.structs.replace(build(setup.agent, Question("response", ())), max_tokens=1)
        began = asyncio.get_running_loop().time()
        given = [delta async for delta in asked.stream(request)]
        took_s = asyncio.get_running_loop().time() - began
        seen = f"{settings.model_url} took it and gave a token after {1000 * took_s:.0f} ms"
        if all(isinstance(delta, End) for delta in given):
            line.warns(
                f"{settings.model_url} took it and gave no token",
                "if --model-url is a gateway, see its log",
            )
        elif took_s > SLOW_S:
            line.warns(seen, "callers would wait as long: see the network between, or another --model-name")
        else:
            line.passes(seen)
    except ModelRejected as exc:
        name = setup.agent.model or settings.model_name
        match exc.status:
            case 401 | 403:
                line.fails(
                    f"{settings.model_url} refuses the key ({exc.status})", f"put a key of that account into {KEY}"
                )
            case 404:
                line.fails(f"{settings.model_url} does not know the model {name!r} (404)", "say another --model-name")
            case _:
                line.fails(f"{settings.model_url} refuses a first request ({exc.status})", "see the agent's settings")
    except ModelError as exc:
        line.fails(
            f"{settings.model_url} does not answer: {type(exc).__name__}", "see --model-url, the network, the proxy"
        )
    finally:
        await model.aclose()


async def _retell(setup: Setup, book: Book) -> None:
    settings = setup.settings
    given = {name: key for name in (RETELL_KEY, WEBHOOK_KEY) if (key := setup.environment.get(name, ""))}
    for name, key in given.items():
        async with book.line(name, limit_s=RETELL_S, advice="see --retell-url") as line:
            await _ask(line, name, key, settings.retell_url)
    missing, export = f"no {RETELL_KEY}", f"export {RETELL_KEY}=…"
    if settings.verify_calls and RETELL_KEY not in given:
        book.put("Retell's keys", "fail", f"--verify-calls needs {RETELL_KEY}: the server does not start", export)
    elif not given and settings.blueprint == "events" and is_for_retell(settings, setup.url):
        book.put("Retell's keys", "warn", f"{missing}: Retell's webhooks are refused", export)
    elif not given:
        book.skips("Retell's keys", missing, f"{export} for webhooks, --verify-calls and `register`")


async def _ask(line: Entry, name: str, key: str, url: str) -> None:
    """Let Retell say whether it takes a key; the one that signs webhooks is a key of the same API."""
    if not is_key(key):
        line.fails("there is a space, a line end or a special character in it", f"export {name} anew")
        return
    if not is_installed("retell"):
        raise Unchecked("Retell's client is not installed", "pip install 'retell-ws[retell]'")
    try:
        async with RetellRest(key, url) as api:
            await api.look()
    except KeyRefused:
        line.fails(f"{url} refuses it", f"make a key in Retell's dashboard, and put it into {name}")
    except NotReached as exc:  # the network is no property of the set-up
        raise Unchecked(str(exc), f"let this machine reach {url}, or see --retell-url") from None
    else:
        line.passes(f"{url} takes it")

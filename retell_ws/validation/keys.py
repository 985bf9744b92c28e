"""The keys: whether they are there, and whether who gave them takes them. None is ever shown."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from ..api_key import is_key
from ..blueprints import KEY, RETELL_KEY, WEBHOOK_KEY, build_model
from ..errors import ModelError, ModelRejected
from ..ports import End
from ..prompt import build
from ..race import RacingModel
from ..transcript import Question
from .book import Book, Entry
from .settled import is_for_retell
from .setup import Setup

__all__ = ["check"]

LIMIT_S: Final = 15.0

SLOW_S: Final = 3.0
"""Seconds for one token, beyond which callers would wait as well."""


async def check(setup: Setup, book: Book) -> None:
    """Ask the model for one token, and look at the other keys."""
    async with book.line(KEY, limit_s=LIMIT_S, advice="see that the key and --model-url are right") as line:
        await _model(setup, line)
    _retell(setup, book)


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


def _retell(setup: Setup, book: Book) -> None:
    settings, found = setup.settings, []
    for name in (RETELL_KEY, WEBHOOK_KEY):
        key = setup.environment.get(name, "")
        if key and not is_key(key):
            book.put(name, "fail", "there is a space, a line end or a special character in it", f"export {name} anew")
        elif key:
            found.append(name)
    if found:
        book.put("Retell's keys", "pass", f"there: {', '.join(found)}")
    elif settings.verify_calls:
        book.put(
            "Retell's keys",
            "fail",
            f"--verify-calls needs {RETELL_KEY}: the server does not start",
            f"export {RETELL_KEY}=…",
        )
    elif settings.blueprint == "events" and is_for_retell(settings, setup.url):
        book.put("Retell's keys", "warn", f"no {RETELL_KEY}: Retell's webhooks are refused", f"export {RETELL_KEY}=…")
    else:
        book.skips(
            "Retell's keys", f"no {RETELL_KEY}", f"export {RETELL_KEY}=… for webhooks, --verify-calls and `register`"
        )

"""Run one server as a process: ready line, signals, exit status."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import secrets
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from msgspec.structs import replace

from .agent import Agent
from .blueprints import KEY, RETELL_KEY, build_model, running
from .consuming import Consuming
from .errors import ModelError, ModelRejected, SettingsError, UsageError
from .log import configure
from .loopback import is_loopback
from .orders import Orders
from .plural import many
from .ports import Model
from .prompt import build
from .race import RacingModel
from .server import Server
from .settings import Settings, load
from .transcript import Question
from .worker import Worker
from .workers import say_ready, supervise

__all__ = ["checking", "reachable", "run"]

logger = logging.getLogger(__name__)

CHECK_S = 3.0
"""Seconds the model has to accept or refuse our key at the start."""

VERDICT_S = 0.25
"""Seconds the start waits for that. A refusal comes in less; a first token does not, and Retell may be redialling."""


FILES = 65_536
"""Files that may be open: a call has a socket and a connection to the model, and the usual limit is 1024."""

THREADS = 64
"""Plain functions of the agent's that run at once; the loop's own pool has six threads on a small machine."""

LEAVE_S = 2.0
"""Seconds for what still runs when all calls are gone. A loop's own end waits for each task and thread without a limit,
and a function of the agent's may swallow its cancel or hang in a thread."""


def run(agent: Agent, flags: Mapping[str, Any], *, config: Path | None = None) -> int:
    """Answer Retell until SIGTERM or SIGINT; a second signal ends at once. SIGUSR2 moves the calls to other servers.

    With `workers` the calls are answered by processes that are started as this one was (`workers.py`).

    Args:
        agent: Who answers.
        flags: Settings given on the command line or in code.
        config: A TOML file of settings.

    Returns:
        0 after a stop; after one line on stderr 2 when the settings cannot be met, 1 when a port is taken or workers
        die again and again.
    """
    worker = Worker.taken()
    try:
        settings = load(flags, config=config)
        if worker is not None:
            settings = worker.settings(settings)
            configure(settings.log_level, mark=str(worker.post.index), form=settings.log_format)
        else:
            configure(settings.log_level, form=settings.log_format)
            if settings.workers > 1:
                return supervise(settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(agent, settings, worker))
            last_resort = threading.Timer(LEAVE_S, _leave)
            last_resort.daemon = True
            last_resort.start()
        last_resort.cancel()
    except UsageError as exc:
        if worker is not None:
            worker.refuse(str(exc))
        else:
            sys.stderr.write(f"retell_ws: {exc}\n")
        return exc.exit_status
    return 0


async def _serve(agent: Agent, settings: Settings, worker: Worker | None) -> None:
    _open_more_files()
    this = asyncio.current_task()
    if this is None:
        raise AssertionError("a coroutine runs in a task")
    orders = Orders(this, worker)
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="agent"))
    model = build_model(settings)
    settings = reachable(settings)
    try:
        async with (
            Consuming() as consumers,  # to the very end: the last facts are there when the server has ended
            running(agent, settings, model=model, hands_on=False) as server,
            checking(model, agent, settings),
        ):
            _spare_the_collector()
            orders.follow(server)
            if worker is None or worker.post.index == 0:
                _warn(settings, model, server)
                consumers.start(_reached(settings, server))
            ready = {
                "ready": True,
                "ws": server.address,
                **({} if server.http_address is None else {"http": server.http_address}),
                "blueprint": settings.blueprint,
                "model": model.name,
                **({"facts": "kafka" if settings.kafka_bootstrap else "journal"} if settings.data_folder() else {}),
            }
            if worker is not None:
                worker.ready(ready)
            else:
                say_ready(ready)
            await orders.stop.wait()
            if live := server.live():
                have = many(live, "call has", "calls have")
                logger.info("draining: %s up to %g s; a second signal ends at once", have, settings.drain_s)
            await server.drain()
    except asyncio.CancelledError:
        if not orders.stop.is_set():
            raise
        logger.warning("stopped at once")


def reachable(settings: Settings) -> Settings:
    """Let the consumers that are started beside the server reach its calls, when rules say so and there is no Redis.

    Raises:
        SettingsError: There is no port for it, or something is wrong with the rules.
    """
    if not settings.rules or not settings.starts_consumers():
        return settings
    from .escalating import read_rules

    read_rules(Path(settings.rules))  # what is wrong with them should be said now, and not when a call needs them
    if settings.is_shared():
        return settings
    if settings.http_port is None:
        raise SettingsError("escalation reaches calls over the second port, or by Redis: --http-port 8081")
    return replace(settings, admin_token=settings.admin_token or secrets.token_urlsafe(24))


def _reached(settings: Settings, server: Server) -> Settings:
    return replace(settings, control_url=server.http_address or settings.control_url)


def _warn(settings: Settings, model: Model, server: Server) -> None:
    if not settings.model and model.name == "scripted":
        logger.warning("no %s: the scripted model answers; it knows a few phrases and costs nothing", KEY)
    if not settings.path_secret and not is_loopback(settings.host):
        logger.warning("no --path-secret: whoever knows the address %s can speak to the agent", server.address)
    if settings.redis_url and settings.blueprint == "single":
        logger.warning("--redis-url is left out: `single` keeps its calls in memory; say --blueprint distributed")
    if settings.blueprint == "events" and not settings.redis_url:
        logger.warning("no --redis-url: calls are kept in memory, and are lost with this process")
    if settings.blueprint == "events" and not server.verifies_webhooks:
        logger.warning("no %s: Retell's webhooks are refused", RETELL_KEY)
    if settings.admin_token and settings.http_port is None:
        logger.warning("--admin-token is left out: there is no second port; say --http-port")


@asynccontextmanager
async def checking(model: Model, agent: Agent, settings: Settings) -> AsyncIterator[None]:
    """Ask the model beside the block, which begins after `VERDICT_S` at the latest.

    Raises:
        SettingsError: The model refuses us for good, before the block or while it runs.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            check = tasks.create_task(_check(model, agent, settings))
            await asyncio.wait((check,), timeout=VERDICT_S)
            yield
            check.cancel()
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _check(model: Model, agent: Agent, settings: Settings) -> None:
    """Ask the model for one token: a wrong key should stop the start, not the first caller.

    It also opens the first connection and fills the provider's prompt cache.
    """
    if model.name == "scripted":
        return
    if isinstance(model, RacingModel):
        model = model.model  # nobody waits: a second request or another model's answer would tell nothing of this one
    request = msgspec.structs.replace(build(agent, Question("response", ())), max_tokens=1)
    try:
        async with asyncio.timeout(CHECK_S):
            async for _ in model.stream(request):
                pass
    except ModelRejected as exc:
        if exc.status in (401, 403):
            raise SettingsError(f"the key in {KEY} is refused by {settings.model_url} ({exc.status})") from None
        if exc.status == 404:
            name = agent.model or settings.model_name
            raise SettingsError(f"{settings.model_url} does not know the model {name!r}") from None
        logger.warning("the model refuses a first request: %s", exc)
    except (ModelError, TimeoutError) as exc:
        logger.warning("the model does not answer yet: %s", str(exc) or f"nothing within {CHECK_S:g} s")


def _leave() -> None:
    logger.error("something of the agent's does not end: left behind")
    logging.shutdown()
    os._exit(0)


def _open_more_files() -> None:
    """Raise the limit as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # the system may have a lower one of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _spare_the_collector() -> None:
    """Keep what start-up made out of every later collection, and make the full ones rare.

    A full pass over the modules' objects stalls all calls at once: p99 136 ms without this, 6 ms with it, at 1000
    calls. A pass over 10,000 young objects takes less than 10 ms even when all of them are garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)

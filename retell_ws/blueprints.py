"""The composition root: from settings to a running server. The only module that names an adapter.

A vendor is imported in the branch that picks it, so that a server loads what it uses and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from pathlib import Path

from .agent import Agent
from .answer_file import AnswerFile, Opening, read
from .answers import unfit
from .api_key import is_key
from .budget import PRICES
from .errors import SettingsError
from .extras import needing, own_version
from .ports import AnswerStore, Bus, CallStore, Facts, Model, Switchboard, Traces, TurnModel
from .race import RacingModel
from .recall import RecallingModel
from .server import Server
from .settings import Settings
from .stores.answers import MemoryAnswerStore
from .stores.memory import MemoryCallStore
from .text_file import read_text
from .verification import Verify

__all__ = [
    "build_model",
    "handing_on",
    "keeping_answers",
    "keeping_calls",
    "read_answers",
    "recalling",
    "running",
    "speaking_redis",
    "switching",
    "webhook_keys",
]

logger = logging.getLogger(__name__)

KEY = "ANTHROPIC_API_KEY"
HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
"""What the official client adds to each request, unasked: another host, another key."""
RETELL_KEY = "RETELL_API_KEY"
WEBHOOK_KEY = "RETELL_WEBHOOK_KEY"
"""Where a second key may stand: only one of an account's has the webhook badge, and it may be changed."""


@asynccontextmanager
async def running(
    agent: Agent,
    settings: Settings,
    *,
    model: Model | None = None,
    store: CallStore | None = None,
    hands_on: bool = True,
) -> AsyncIterator[Server]:
    """Run a server.

    Args:
        agent: Who answers.
        settings: The settings.
        model: Used instead of the one the settings name; closed at the end all the same.
        store: Used instead of the one the settings name.
        hands_on: Facts are handed on to Kafka by this process, where the settings name one; `handing_on` does it in
            another one, and this one only writes them into the journal.

    Yields:
        The server, listening.

    Raises:
        UsageError: The settings cannot be met: a key is missing, the address is taken, a budget has no price.
    """
    _check_price(agent, settings)
    model = _for_turns(model or build_model(settings), settings)
    try:
        async with AsyncExitStack() as stack:
            if settings.answer_cache and agent.cache is not None:
                if why := unfit(agent):
                    logger.warning("nothing is answered from the cache, though the agent allows it: %s", why)
                else:
                    kept = await stack.enter_async_context(keeping_answers(settings))
                    model = recalling(agent, model, settings, kept)
            warming = await _warming(agent, model, settings)
            if store is None:
                store = await stack.enter_async_context(keeping_calls(settings))
            switchboard = await stack.enter_async_context(switching(settings, store.name))
            verify = await stack.enter_async_context(_verifying(settings))
            facts = await stack.enter_async_context(_outbox(agent, settings, hands_on=hands_on))
            traces = await stack.enter_async_context(_tracing(agent, model, settings, store.name or _own_name()))
            made = Server(
                agent,
                model,
                store,
                settings,
                verify=verify,
                switchboard=switchboard,
                facts=facts,
                traces=traces,
                webhook_keys=webhook_keys(),
                version=await asyncio.to_thread(own_version),
            )
            server = await stack.enter_async_context(made)
            await stack.enter_async_context(warming)
            yield server
    finally:
        await model.aclose()


def recalling(
    agent: Agent, model: Model, settings: Settings, kept: tuple[AnswerStore, bytes] | None = None
) -> RecallingModel:
    """Put the answer cache before a model, for an agent that allows it.

    Args:
        agent: Who answers.
        model: The model.
        settings: The settings.
        kept: What `keeping_answers` gives; by default answers go with this process.

    Raises:
        SettingsError: No answer of the agent's can be kept.
    """
    if agent.cache is None or unfit(agent):
        raise SettingsError(f"no answer of this agent's can be kept: {unfit(agent)}")
    store, secret = _answers_here() if kept is None else kept
    asked = _for_turns(model, settings)
    return RecallingModel(asked, store, secret=secret, ttl_s=agent.cache.ttl_s, model_name=settings.model_name)


def _answers_here() -> tuple[AnswerStore, bytes]:
    return MemoryAnswerStore(asyncio.get_running_loop().time), secrets.token_bytes(32)


@asynccontextmanager
async def keeping_answers(settings: Settings) -> AsyncIterator[tuple[AnswerStore, bytes]]:
    """Make where answers are kept.

    Yields:
        It, and the secret of its keys.

    Raises:
        SettingsError: The URL is none, or a package is missing.
    """
    if not settings.is_shared():
        yield _answers_here()
        return
    with speaking_redis():
        from .stores.redis_answers import RedisAnswerStore

        store = RedisAnswerStore(settings.redis_url, prefix=settings.redis_prefix)
    async with store:
        yield store, await store.secret()


@asynccontextmanager
async def keeping_calls(settings: Settings) -> AsyncIterator[CallStore]:
    """Make where calls are kept.

    Yields:
        It.

    Raises:
        SettingsError: The URL is none, or a package is missing.
    """
    if not settings.is_shared():
        yield MemoryCallStore(asyncio.get_running_loop().time)
        return
    name = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    with speaking_redis():
        from .stores.redis import RedisCallStore

        store = RedisCallStore(settings.redis_url, name=name, prefix=settings.redis_prefix)
    async with store:
        yield store


@contextmanager
def speaking_redis() -> Iterator[None]:
    """Tell an operator what is wrong with the way to Redis.

    Raises:
        SettingsError: The URL is none, or a package is missing.
    """
    try:
        with needing("redis", "keeping calls in Redis"):
            yield
    except ValueError as exc:
        raise SettingsError(f"--redis-url: {exc}") from None  # it quotes nothing of it


async def _warming(agent: Agent, model: Model, settings: Settings) -> AbstractAsyncContextManager[None]:
    """Make what fills the answer cache while the server runs.

    Raises:
        UsageError: There is no such file, it cannot be read, or it is of no use to this agent.
    """
    if not settings.answers_file:
        return nullcontext()
    if not settings.answer_cache:
        logger.warning("answers_file is left out: the answer cache is off")
        return nullcontext()
    if not isinstance(model, RecallingModel):
        raise SettingsError(f"answers_file: no answer of this agent's can be kept: {unfit(agent)}")
    from .warming import Warming

    found = await asyncio.to_thread(read_answers, Path(settings.answers_file))
    return Warming(model, agent, settings).going_on(found)


def read_answers(path: Path) -> tuple[Opening, ...] | AnswerFile:
    """Read a file of openings or of answers.

    Raises:
        UsageError: It cannot be read.
    """
    return read(read_text(path), str(path))


def _check_price(agent: Agent, settings: Settings) -> None:
    budget, model = agent.budget, agent.model or settings.model_name
    if budget is not None and budget.usd is not None and budget.prices is None and model not in PRICES:
        raise SettingsError(f"the agent's budget is in dollars, and there is no price for {model}: Budget(prices=...)")


@asynccontextmanager
async def _verifying(settings: Settings, environment: Mapping[str, str] = os.environ) -> AsyncIterator[Verify | None]:
    """Make what asks Retell's API about calls, when the settings want it.

    Raises:
        SettingsError: The key is missing.
    """
    if not settings.verify_calls:
        yield None
        return
    key = environment.get(RETELL_KEY, "")
    if not key:
        raise SettingsError(f"--verify-calls needs a key of Retell's API in {RETELL_KEY}")
    from .retell_api import RetellApi

    # In a thread: it reads the system's certificates.
    async with await asyncio.to_thread(RetellApi, key, settings.retell_url, agents=settings.retell_agents()) as api:
        yield api.ongoing_call


def webhook_keys(environment: Mapping[str, str] = os.environ) -> tuple[bytes, ...]:
    """Give the keys that may have signed Retell's webhooks; none means that none can be verified."""
    keys = (environment.get(name, "").strip().encode() for name in (RETELL_KEY, WEBHOOK_KEY))
    return tuple(key for key in keys if key)


@asynccontextmanager
async def switching(settings: Settings, name: str) -> AsyncIterator[Switchboard | None]:
    """Make what speaks to the other servers, where there are some.

    Args:
        settings: The settings.
        name: This server's, as its store tells it to others.

    Yields:
        It, not listening yet; None when there are none.

    Raises:
        SettingsError: The URL of Redis is none.
    """
    if not settings.is_shared():
        yield None
        return
    from .stores.redis_client import client_of
    from .switchboards.redis import RedisSwitchboard

    try:
        client = client_of(settings.redis_url)
    except ValueError:  # the library's words may quote the password
        raise SettingsError("redis_url is no URL of a Redis: redis://host:6379, rediss://…, unix://…") from None
    async with client:
        yield RedisSwitchboard(client, name=name, prefix=settings.redis_prefix)


@asynccontextmanager
async def handing_on(settings: Settings) -> AsyncIterator[None]:
    """Hand the journal that other processes write on to Kafka.

    Raises:
        UsageError: As `running`.
    """
    from .outbox import Outbox

    bus = await _bus(settings)
    async with Outbox(Path(settings.data_folder()), server=_own_name(), bus=bus):
        yield


async def _bus(settings: Settings) -> Bus | None:
    if not settings.kafka_bootstrap:
        return None
    from .buses.kafka import bus_of

    return await asyncio.to_thread(bus_of, settings)


def _own_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@asynccontextmanager
async def _outbox(agent: Agent, settings: Settings, *, hands_on: bool) -> AsyncIterator[Facts | None]:
    """Make what takes facts, when they are kept. It outlives the server, whose calls end with facts.

    Raises:
        UsageError: There can be no journal, the settings of Kafka cannot be met, or a package is missing.
    """
    if not (folder := settings.data_folder()):
        yield None
        return
    from .outbox import Outbox  # with it comes SQLite

    if settings.kafka_bootstrap and not hands_on:
        from .buses.kafka import producer_config

        await asyncio.to_thread(producer_config, settings)  # what is wrong with them should be said at the start
    async with Outbox(
        Path(folder),
        server=_own_name(),
        bus=await _bus(settings) if hands_on else None,
        is_relayed=bool(settings.kafka_bootstrap),
        mask=agent.mask,
        journal_bytes=settings.journal_mb * 1024 * 1024,
        sync=settings.journal_sync,
    ) as outbox:
        yield outbox


@asynccontextmanager
async def _tracing(agent: Agent, model: Model, settings: Settings, server: str) -> AsyncIterator[Traces | None]:
    """Make what sends spans, when they are wanted. It outlives the server, whose calls end with spans.

    Raises:
        SettingsError: A package is missing, or the environment wants what cannot be had.
    """
    if not settings.traces:
        yield None
        return
    from .models.target import Target
    from .traces import Tracer

    with needing("otel", "sending traces"):
        from .tracing import Tracing

    provider = model.name.partition("-")[0]
    asked, place = model.name, None
    if provider == "anthropic":
        target = Target.of(settings.model_url)
        asked, place = agent.model or settings.model_name, (target.host, target.port)
    async with Tracing(Tracer(asked, provider, place), server=server) as tracing:
        yield tracing


def build_model(settings: Settings, environment: Mapping[str, str] = os.environ) -> Model:
    """Make the model client that the settings name.

    Raises:
        SettingsError: The client needs a key that is not there, or that cannot be one.
    """
    name = settings.model or ("anthropic" if environment.get(KEY) else "scripted")
    if not settings.model and name == "scripted" and settings.model_url != Settings().model_url:
        raise SettingsError(
            f"--model-url needs a key in {KEY}; a fake takes any text. Without it --model scripted answers"
        )
    match name:
        case "scripted":
            from .models.scripted import ScriptedModel

            return ScriptedModel(ttft_ms=settings.scripted_ttft_ms, spacing_ms=settings.scripted_spacing_ms)
        case "anthropic":
            from .models.anthropic import AnthropicModel

            return _racing(
                AnthropicModel(
                    api_key=_key(name, environment),
                    base_url=settings.model_url,
                    model=settings.model_name,
                    connect_timeout_s=settings.model_connect_ms / 1000,
                ),
                settings,
            )
        case "anthropic-sdk":
            if environment.get(HEADERS):
                raise SettingsError(
                    f"unset {HEADERS}: its headers would go out with the key, and may stand in its place"
                )
            from .models.anthropic_sdk import AnthropicSdkModel

            return _racing(
                AnthropicSdkModel(
                    api_key=_key(name, environment),
                    base_url=settings.model_url,
                    model=settings.model_name,
                    connect_timeout_s=settings.model_connect_ms / 1000,
                ),
                settings,
            )
        case _:
            raise AssertionError(f"settings allow no model {name!r}")


def _racing(client: Model, settings: Settings) -> Model:
    return RacingModel(
        client, model_name=settings.model_name, fallback_model=settings.fallback_model, hedge=settings.hedge
    )


def _for_turns(model: Model, settings: Settings) -> TurnModel:
    """Have somebody tell of the requests that a client gets; one that is raced, or cached before that, has."""
    if isinstance(model, RacingModel | RecallingModel):
        return model
    return RacingModel(model, model_name=settings.model_name, hedge=False)


def _key(model: str, environment: Mapping[str, str]) -> str:
    key = environment.get(KEY, "")
    if not key:
        raise SettingsError(f"--model {model} needs a key in {KEY}; --model scripted needs none")
    if not is_key(key):
        raise SettingsError(f"{KEY} holds no key: there is a space, a line end or a special character in it")
    return key

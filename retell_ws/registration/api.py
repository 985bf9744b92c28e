"""Retell's REST API through Retell's own client, `retell-sdk`: the one module that imports it.

Its parameters and paths are the client's; answers are read as plain JSON, so that a word that is new in them breaks
nothing. The key goes to the URL that was given and nowhere else: neither an environment meant for other programs nor a
redirect leads it away.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import msgspec

from ..api_key import is_key
from ..errors import RetellApiError, SettingsError
from ..extras import needing
from ..loopback import is_loopback
from .addresses import scrubbed

if TYPE_CHECKING:
    import httpx

__all__ = ["KeyRefused", "NotReached", "NotThere", "RetellRest"]

ANSWER_S: Final = 15.0
"""Seconds for one answer."""

CONNECT_S: Final = 5.0

RETRIES: Final = 3
"""Of a request that failed for the moment: no connection, 408, 409, 429, 5xx. It waits as `retry-after` says."""

PAGE: Final = 100

MAX_PAGES: Final = 200
"""Of one list; more of them is an API that never ends."""


class NotThere(RetellApiError):
    """There is no such agent, call, number or path: 404."""


class NotReached(RetellApiError):
    """Nobody answers at the URL, or not in time."""


class KeyRefused(SettingsError):
    """The API does not know the key: 401; or does not let it look at anything: 403."""


class RetellRest:
    """A client of the API.

    Args:
        key: The API's key.
        base_url: Where the API is.
        secrets: What its words are cleared of, beside the key.

    Raises:
        SettingsError: The URL or the key cannot be used, or the package is missing.
    """

    def __init__(self, key: str, base_url: str, *, secrets: Sequence[str] = ()) -> None:
        if not key:
            raise SettingsError("RETELL_API_KEY is not set: make a key in Retell's dashboard, and put it there")
        if not is_key(key):
            raise SettingsError("RETELL_API_KEY holds no key: there is a space or a special character in it")
        parts = urlsplit(base_url)
        is_here = is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_here):
            raise SettingsError(f"the URL of Retell's API, {base_url!r}, should begin with https://")
        with needing("retell", "Retell's API"):
            import retell

        async def only_ours(request: httpx.Request) -> None:
            # RETELL_CUSTOM_HEADERS may hold any header, these two as well.
            request.headers["authorization"] = f"Bearer {key}"
            request.headers["host"] = request.url.netloc.decode()

        # At RETELL_LOG=debug it would write down what it sends, and with that the URL.
        logging.getLogger("retell").setLevel(logging.WARNING)
        self._errors = retell
        self._base_url = base_url
        self._secrets = (key, *secrets)
        timeout = retell.Timeout(ANSWER_S, connect=CONNECT_S)
        self._sdk = sdk = retell.AsyncRetell(
            api_key=key,
            base_url=base_url,
            timeout=timeout,
            max_retries=RETRIES,
            http_client=retell.DefaultAsyncHttpxClient(
                timeout=timeout,
                follow_redirects=False,
                trust_env=not is_here,  # a proxy of the environment is for the outside
                event_hooks={"request": [only_ours]},
            ),
        )
        self._agent, self._call = sdk.agent.with_raw_response, sdk.call.with_raw_response
        self._voice, self._number = sdk.voice.with_raw_response, sdk.phone_number.with_raw_response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._sdk.close()

    async def agent(self, agent_id: str, *, version: int | None = None) -> dict[str, Any]:
        """Get a version of an agent, by default the latest.

        Raises:
            NotThere: There is none.
            RetellApiError: The API did not answer as it should. This holds for all that follow as well.
            KeyRefused: It does not know the key. This, too.
        """
        with self._telling(f"agent {agent_id}"):
            if version is None:
                answer = await self._agent.retrieve(agent_id)
            else:
                answer = await self._agent.retrieve(agent_id, version=version)
            return _object(await answer.read())

    async def look(self) -> None:
        """Ask for the first agent, which any key of an account may."""
        with self._telling("the list of agents"):
            try:
                await (await self._agent.list(limit=1)).read()
            except self._errors.PermissionDeniedError:
                raise KeyRefused(f"{self._base_url} does not let the key in RETELL_API_KEY look at anything") from None

    async def agents_named(self, name: str) -> list[str]:
        """Give the ids of the voice agents with exactly this name."""
        found: list[str] = []
        more: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            with self._telling("the list of agents"):
                answer = await self._agent.list(limit=PAGE, filter_criteria={"query": name}, **more)
                items, key = _page(await answer.read())
            found += [
                item["agent_id"] for item in items if item.get("agent_name") == name and item.get("channel") == "voice"
            ]
            if not key or key == more.get("pagination_key"):
                break
            more = {"pagination_key": key}
        return found

    async def create(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Make an agent. It is asked once: an answer that was lost on its way would make two of them."""
        with self._telling("the new agent"):
            once = self._sdk.with_options(max_retries=0).agent.with_raw_response
            return _object(await (await once.create(**fields)).read())

    async def new_version(self, agent_id: str, base_version: int) -> dict[str, Any]:
        """Make a draft out of a version. It is asked once, too."""
        with self._telling(f"a new version of agent {agent_id}"):
            once = self._sdk.with_options(max_retries=0).agent.with_raw_response
            return _object(await (await once.create_version(agent_id, base_version=base_version)).read())

    async def update(self, agent_id: str, version: int, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Change a draft."""
        with self._telling(f"agent {agent_id}"):
            return _object(await (await self._agent.update(agent_id, version=version, **fields)).read())

    async def publish(self, agent_id: str, version: int) -> None:
        """Publish a draft; where the API does not know that path, by the older one, which takes the latest draft."""
        what = f"version {version} of agent {agent_id}"
        try:
            with self._telling(what):
                await self._agent.publish(agent_id, version=version)
        except NotThere:
            with self._telling(what):
                await self._sdk.post(f"/publish-agent/{agent_id}", cast_to=object)

    async def voices(self) -> list[dict[str, Any]]:
        """Give all voices of the account."""
        with self._telling("the list of voices"):
            return _objects(await (await self._voice.list()).read())

    async def number(self, number: str) -> dict[str, Any]:
        """Get a phone number."""
        with self._telling(f"number {number}"):
            return _object(await (await self._number.retrieve(number)).read())

    async def bind(self, number: str, agents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Let agents answer a phone number."""
        with self._telling(f"number {number}"):
            sent: Any = list(agents)
            return _object(await (await self._number.update(number, inbound_agents=sent)).read())

    async def calls(self, filters: Mapping[str, Any], limit: int) -> AsyncIterator[dict[str, Any]]:
        """Give calls, the latest first, without what was said in them.

        Args:
            filters: In the API's words (protocol §6.5).
            limit: How many at most.
        """
        more: dict[str, Any] = {}
        for _ in range(MAX_PAGES):
            with self._telling("the list of calls"):
                criteria: Any = dict(filters)
                answer = await self._call.list(
                    filter_criteria=criteria, limit=min(limit, PAGE), sort_order="descending", **more
                )
                items, key = _page(await answer.read())
            for item in items[:limit]:
                yield item
            limit -= len(items)
            if limit <= 0 or not key or key == more.get("pagination_key"):
                return
            more = {"pagination_key": key}

    async def latency(self, call_id: str) -> Any:
        """Give a call's figures. The API sends what was said along with them; none of it is read."""
        with self._telling(f"call {call_id}"):
            return _latency.decode(await (await self._call.retrieve(call_id)).read()).latency

    @contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        """Turn the client's errors into ours, which are one line each.

        Args:
            what: What was asked for, as the line begins.
        """
        sdk = self._errors
        try:
            yield
        except sdk.AuthenticationError:
            raise KeyRefused(f"{self._base_url} does not know the key in RETELL_API_KEY") from None
        except sdk.NotFoundError as exc:
            raise NotThere(f"{what}: there is none, says Retell's API: {self._said(exc)}") from None
        except sdk.RateLimitError:
            raise RetellApiError(f"{what}: Retell's API has too many requests of this key; try again later") from None
        except sdk.APITimeoutError:
            raise NotReached(f"{what}: {self._base_url} did not answer within {ANSWER_S:g} s") from None
        except sdk.APIConnectionError:
            raise NotReached(f"{what}: {self._base_url} cannot be reached") from None
        except sdk.APIStatusError as exc:
            raise RetellApiError(f"{what}: Retell's API answered {exc.status_code}: {self._said(exc)}") from None
        except (sdk.APIError, msgspec.MsgspecError, UnicodeError, RecursionError):
            raise RetellApiError(f"{what}: what {self._base_url} answered cannot be read") from None

    def _said(self, exc: Any) -> str:
        body = exc.body
        message = body.get("message") if isinstance(body, Mapping) else body
        return scrubbed(message if isinstance(message, str) else "it does not say why", self._secrets)


class _Latency(msgspec.Struct):
    latency: Any = None


_latency = msgspec.json.Decoder(_Latency)
_any_object = msgspec.json.Decoder(dict[str, Any])
_any_objects = msgspec.json.Decoder(list[dict[str, Any]])


def _object(data: bytes) -> dict[str, Any]:
    return _any_object.decode(data)


def _objects(data: bytes) -> list[dict[str, Any]]:
    return _any_objects.decode(data)


class _Page(msgspec.Struct):
    items: list[dict[str, Any]]
    has_more: bool = False
    pagination_key: str | None = None


_any_page = msgspec.json.Decoder(_Page)


def _page(data: bytes) -> tuple[list[dict[str, Any]], str]:
    """Read one page of a list, and the key of the next one; empty when there is none."""
    page = _any_page.decode(data)
    return page.items, (page.pagination_key or "") if page.has_more else ""

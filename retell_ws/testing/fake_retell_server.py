"""The fake REST API's server: the paths, and what every request goes through: the key, the faults, the log."""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

import msgspec
from aiohttp import web

from .fake_retell_agents import VOICES, FakeAgents, Refused
from .fake_retell_calls import SAID, page, selected

__all__ = ["FakeRetellApi", "Fault", "Request"]

MAX_REQUESTS: Final = 10_000
PAGE: Final = 50

BODY: Final = web.RequestKey("body", dict[str, Any])


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What some requests get instead of an answer.

    Attributes:
        status: Of HTTP.
        times: How many of them.
        path: What their path begins with.
        message: What the answer says.
        retry_after: That header, in seconds.
    """

    status: int
    times: int = 1
    path: str = "/"
    message: str = "played"
    retry_after: float | None = None


class Request(msgspec.Struct, frozen=True):
    """A request that came."""

    method: str
    path: str
    body: Any


class FakeRetellApi:
    """Serves the API while its block runs.

        async with FakeRetellApi() as api:
            ...  # RETELL_API_KEY=any, --retell-url api.url

    Args:
        host: Where to listen.
        port: On which port; 0 picks a free one.
        key: The only key that is accepted; empty: any.
        publishes_by_version: As the API does now. Without, it publishes as an earlier one did, by another path.

    Attributes:
        agents: The account's agents, voices and numbers.
        calls: Its calls, the latest first.
        without_latency: Ids of calls of which only get-call has figures.
        faults: What is played, the first one that fits.
        log: The requests that came.
        url: Where it is.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, key: str = "", publishes_by_version: bool = True
    ) -> None:
        self.agents = FakeAgents()
        self.calls: list[dict[str, Any]] = []
        self.without_latency: set[str] = set()
        self.faults: list[Fault] = []
        self.log: deque[Request] = deque(maxlen=MAX_REQUESTS)
        self.url = ""
        self._place = host, port
        self._key = key
        self._by_version = publishes_by_version
        app = web.Application(middlewares=[self._answer])
        app.add_routes(
            [
                web.post("/control", self._control),
                web.get("/log", self._tell),
                web.post("/create-agent", self._create),
                web.get("/get-agent/{id}", self._get),
                web.patch("/update-agent/{id}", self._update),
                web.post("/v2/list-agents", self._list_agents),
                web.post("/create-agent-version/{id}", self._new_version),
                web.post(
                    "/publish-agent-version/{id}" if publishes_by_version else "/publish-agent/{id}", self._publish
                ),
                web.get("/list-voices", self._list_voices),
                web.get("/get-phone-number/{number}", self._get_number),
                web.patch("/update-phone-number/{number}", self._bind),
                web.post("/v3/list-calls", self._list_calls),
                web.get("/v2/get-call/{id}", self._get_call),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        host, port = self._place
        try:
            await web.TCPSite(self._runner, host, port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def writes(self) -> list[Request]:
        """Give the requests that were to change something."""
        looks = ("/v2/list-agents", "/v3/list-calls")
        return [one for one in self.log if one.method != "GET" and one.path not in looks]

    # -- what is the same for every request

    @web.middleware
    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            if request.path not in ("/control", "/log"):
                await self._admit(request)
            return await handler(request)
        except Refused as exc:
            return _refusal(exc.status, str(exc))
        except web.HTTPException as exc:
            return _refusal(exc.status, exc.reason)
        except _Played as exc:
            headers = {} if exc.fault.retry_after is None else {"retry-after": f"{exc.fault.retry_after:g}"}
            return _refusal(exc.fault.status, exc.fault.message, headers)

    async def _admit(self, request: web.Request) -> None:
        data = await request.read()
        try:
            body = msgspec.json.decode(data) if data else None
        except msgspec.DecodeError:
            raise Refused(400, "the body is no JSON") from None
        request[BODY] = body if isinstance(body, dict) else {}
        self.log.append(Request(request.method, request.path, body))
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or (self._key and not hmac.compare_digest(given.encode(), self._key.encode())):
            raise Refused(401, "API key is missing or invalid.")
        for fault in self.faults:
            if fault.times > 0 and request.path.startswith(fault.path):
                fault.times -= 1
                raise _Played(fault)

    async def _control(self, request: web.Request) -> web.Response:
        try:
            self.faults.append(msgspec.json.decode(await request.read(), type=Fault))
        except msgspec.DecodeError as exc:
            raise Refused(400, str(exc)) from None
        return _json({})

    async def _tell(self, _: web.Request) -> web.Response:
        return _json(list(self.log))

    # -- the API

    async def _create(self, request: web.Request) -> web.Response:
        return _json(self.agents.create(_body(request)), 201)

    async def _get(self, request: web.Request) -> web.Response:
        return _json(self.agents.get(request.match_info["id"], request.query.get("version")))

    async def _update(self, request: web.Request) -> web.Response:
        return _json(self.agents.update(request.match_info["id"], request.query.get("version"), _body(request)))

    async def _list_agents(self, request: web.Request) -> web.Response:
        # Its paging stands in the query, unlike that of list-calls.
        criteria = _only(request, "filter_criteria").get("filter_criteria") or {}
        asked = _of(dict(request.query), "limit", "pagination_key", "sort_order")
        listed = self.agents.listed(_of(criteria, "query", "channel", "is_transfer_agent").get("query", ""))
        limit = asked.get("limit", str(PAGE))
        items, key = page(listed, "agent_id", int(limit) if limit.isdecimal() else limit, asked.get("pagination_key"))
        return _json({"items": items, "has_more": key is not None} | ({"pagination_key": key} if key else {}))

    async def _new_version(self, request: web.Request) -> web.Response:
        body = _only(request, "base_version")
        return _json(self.agents.new_version(request.match_info["id"], body.get("base_version")), 201)

    async def _publish(self, request: web.Request) -> web.Response:
        if self._by_version:
            body = _only(request, "version", "version_title", "version_description")
            self.agents.publish(request.match_info["id"], body.get("version"))
        else:
            self.agents.publish_latest(request.match_info["id"])
        return web.Response()

    async def _list_voices(self, _: web.Request) -> web.Response:
        return _json(VOICES)

    async def _get_number(self, request: web.Request) -> web.Response:
        return _json(self.agents.number(request.match_info["number"]))

    async def _bind(self, request: web.Request) -> web.Response:
        return _json(self.agents.bind(request.match_info["number"], _body(request)))

    async def _list_calls(self, request: web.Request) -> web.Response:
        body = _only(request, "limit", "pagination_key", "sort_order", "filter_criteria", "skip", "include_total")
        found = selected(self.calls, body.get("filter_criteria") or {})
        if body.get("sort_order") == "ascending":
            found.reverse()
        items, key = page(found, "call_id", body.get("limit", PAGE), body.get("pagination_key"))
        shown = [
            {
                name: value
                for name, value in call.items()
                if name not in SAID and (name != "latency" or call["call_id"] not in self.without_latency)
            }
            for call in items
        ]
        return _json({"items": shown, "has_more": key is not None} | ({"pagination_key": key} if key else {}))

    async def _get_call(self, request: web.Request) -> web.Response:
        for call in self.calls:
            if call["call_id"] == request.match_info["id"]:
                return _json(call)
        raise Refused(404, "Call not found")


class _Played(Exception):
    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def _json(what: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(what), status=status, content_type="application/json")


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = msgspec.json.encode({"status": "error", "message": message})
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")


def _body(request: web.Request) -> dict[str, Any]:
    return request[BODY]


def _only(request: web.Request, *names: str) -> dict[str, Any]:
    return _of(_body(request), *names)


def _of(given: dict[str, Any], *names: str) -> dict[str, Any]:
    if unknown := set(given) - set(names):
        raise Refused(400, f"unknown fields: {', '.join(sorted(unknown))}")
    return given

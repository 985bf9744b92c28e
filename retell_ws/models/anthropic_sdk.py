"""Claude through the official client, for what only it reaches: its gateways, its other platforms, its proxies.

It never uses the client's retries (they are dead air: 1.5 s after a 529), its event objects (80 % of the
cost of a delta) or HTTP/2 (a cancelled stream would go on). It also is the oracle: a test holds the
requests of `anthropic.py` against the ones sent here.

Importing this module imports the client, which takes a second and 60 MiB: do it at start or not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import anthropic
import httpx2
import msgspec
from anthropic.types import MessageParam, TextBlockParam, ToolParam, ToolResultBlockParam, ToolUseBlockParam

from ..errors import ModelBroken, ModelError, ModelUnavailable
from ..ports import Delta, End, Rest, no_rest
from ..request import Block, Message, ModelRequest, ToolResult, ToolUse, Words
from ..tool import ToolSpec
from .messages_api import DEFAULT_BASE_URL, DEFAULT_MODEL, Body, body_of, refusal, warm_up_of
from .pool import KEEPALIVE_S
from .prefixes import Prefix, Prefixes, prefix_of
from .sse import MessageStream
from .target import Target, header_fields

__all__ = ["AnthropicSdkModel"]

POOL_WAIT_S: Final = 0.5
"""Longest wait for a connection of the client's pool; it has no cap, so this never happens but by a fault in it."""

DRAIN_S: Final = 0.1
"""How long an answer whose `message_stop` was seen may take to its last chunk, to save its connection."""

log = logging.getLogger(__name__)

for _name in ("anthropic", "httpx2", "httpcore2"):
    # At DEBUG they write down whole requests, and `ANTHROPIC_LOG=debug` in the environment is enough for that.
    logging.getLogger(_name).setLevel(logging.WARNING)


class AnthropicSdkModel:
    """Implements `ports.Model`.

    Args:
        api_key: The API's key; it appears in no `repr`, log or error.
        base_url: Where the API, a gateway or a fake is, without `/v1/messages`.
        model: The model asked where a request names none.
        connect_timeout_s: Longest time to open a connection, in seconds.
        read_timeout_s: Longest silence on a connection, in seconds, pings counted as sound. The deadline on text is
            the turn's.

    Raises:
        SettingsError: The URL or the key cannot be used.
    """

    name = "anthropic-sdk"

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = DEFAULT_BASE_URL,
        model: str = DEFAULT_MODEL,
        connect_timeout_s: float = 1.0,
        read_timeout_s: float = 10.0,
    ) -> None:
        Target.of(base_url)
        header_fields({"authorization": f"Bearer {api_key}"})
        self._model = model
        self._base_url = base_url
        self._closed = False
        self._prefixes = Prefixes()
        # The client's own defaults keep a connection 5 s and 100 of them: a handshake on most turns.
        self._http = anthropic.DefaultAsyncHttpxClient(
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_S),
            timeout=httpx2.Timeout(read_timeout_s, connect=connect_timeout_s, pool=POOL_WAIT_S),
            follow_redirects=False,  # its default would carry the talk to wherever a host says
        )
        self._client = anthropic.AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=self._http.timeout,
            open_telemetry=False,  # spans cost up to 50 µs a request, and their content mode would hold speech
            http_client=self._http,
        )

    async def stream(self, request: ModelRequest, rest: Rest = no_rest) -> AsyncGenerator[Delta, None]:
        """Answer `request`; see `ports.Model.stream`.

        It never rests: the client gives out one chunk at a time and does not tell whether more of them have come. Nor
        does it tell when the request was written, so `End.connect_s` is unknown.
        """
        if self._closed:
            raise ModelUnavailable("the model's client is closed")
        self._prefixes.asked(prefix_of(request, self._model), asyncio.get_running_loop().time())
        body = body_of(request, self._model)
        answer: MessageStream | None = None
        try:
            # Leaving the block closes the answer, and with it the connection when there would have been more.
            async with self._client.messages.with_streaming_response.create(
                model=body.model,
                max_tokens=body.max_tokens,
                stream=True,
                thinking={"type": "disabled"},
                cache_control={"type": "ephemeral"},
                system=_system(body),
                messages=[_message(message) for message in body.messages],
                tools=_tools(body),
                tool_choice=anthropic.omit if body.tool_choice is msgspec.UNSET else {"type": "none"},
                diagnostics={"previous_message_id": request.previous_id or None},
            ) as response:
                answer = MessageStream(request_id=response.headers.get("request-id", ""))
                body_bytes = response.iter_bytes()
                async for data in body_bytes:
                    for delta in answer.feed(data):
                        if answer.ended and isinstance(delta, End):
                            await _drain(body_bytes)  # before the end is told: nobody need come back afterwards
                        yield delta
                    if answer.done:
                        break
                answer.close()
        except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError) as exc:
            raise _classified(exc, answer) from exc

    async def warm(self, request: ModelRequest | None = None) -> None:
        """Have a connection ready, and the prompt cache filled where that pays; see `ports.Model.warm`."""
        if request is not None:
            prefix = prefix_of(request, self._model)
            if self._prefixes.claim(request, prefix, asyncio.get_running_loop().time()):
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._fill_cache(request, prefix))
                    tasks.create_task(self._connect_ahead())
                return
        await self._connect_ahead()

    async def _connect_ahead(self) -> None:
        # The client can open a connection only by asking for something.
        try:
            await self._http.get(self._base_url, follow_redirects=False)
        except (httpx2.HTTPError, RuntimeError) as exc:
            log.debug("no connection opened ahead: %s", type(exc).__name__)

    async def _fill_cache(self, request: ModelRequest, prefix: Prefix) -> None:
        is_settled = False
        body = warm_up_of(body_of(request, self._model))
        try:
            if not self._closed:
                await self._client.messages.create(
                    model=body.model,
                    max_tokens=body.max_tokens,
                    thinking={"type": "disabled"},
                    system=_system(body),
                    messages=[_message(message) for message in body.messages],
                    tools=_tools(body),
                    tool_choice=anthropic.omit if body.tool_choice is msgspec.UNSET else {"type": "none"},
                )
                is_settled = True
        except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError) as exc:
            is_settled = isinstance(exc, anthropic.APIStatusError)  # whoever refused it would refuse the next one, too
            log.debug("the prompt cache was not filled: %s", _classified(exc, None))
        finally:
            if not is_settled:
                self._prefixes.release(prefix)

    async def aclose(self) -> None:
        """Close every connection; see `ports.Model.aclose`."""
        self._closed = True
        await self._client.close()


def _system(body: Body) -> list[TextBlockParam] | anthropic.Omit:
    if body.system is msgspec.UNSET:
        return anthropic.omit
    return [{"type": "text", "text": block.text, "cache_control": {"type": "ephemeral"}} for block in body.system]


def _tools(body: Body) -> list[ToolParam] | anthropic.Omit:
    return anthropic.omit if body.tools is msgspec.UNSET else [_tool(tool) for tool in body.tools]


def _message(message: Message) -> MessageParam:
    content = message.content if isinstance(message.content, str) else [_block(block) for block in message.content]
    if message.role == "user":
        return {"role": "user", "content": content}
    return {"role": "assistant", "content": content}


def _block(block: Block) -> TextBlockParam | ToolUseBlockParam | ToolResultBlockParam:
    match block:
        case Words(text=text):
            return {"type": "text", "text": text}
        case ToolUse(id=id_, name=name, input=input_):
            return {"type": "tool_use", "id": id_, "name": name, "input": _decoded(input_)}
        case ToolResult(tool_use_id=id_, content=content, is_error=True):
            return {"type": "tool_result", "tool_use_id": id_, "content": content, "is_error": True}
        case ToolResult(tool_use_id=id_, content=content):
            return {"type": "tool_result", "tool_use_id": id_, "content": content}


def _tool(tool: ToolSpec) -> ToolParam:
    return {"name": tool.name, "description": tool.description, "input_schema": _decoded(tool.input_schema)}


def _decoded(raw: msgspec.Raw) -> dict[str, object]:
    return msgspec.json.decode(raw, type=dict[str, object])


async def _drain(data: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in data:
                pass
    except (TimeoutError, httpx2.HTTPError, httpx2.StreamError) as exc:
        log.debug("a connection was not saved: %s", type(exc).__name__)


def _classified(exc: Exception, answer: MessageStream | None) -> ModelError:
    """Say whose fault a failure of the client is. Its text is left out where it may quote the request."""
    if isinstance(exc, anthropic.APIStatusError):
        return refusal(exc.status_code, exc.response.headers, exc.type)
    if answer is None:
        return ModelUnavailable(f"no answer from the model's API: {type(exc).__name__}")
    return ModelBroken(f"the connection to the model was lost: {type(exc).__name__}", request_id=answer.request_id)

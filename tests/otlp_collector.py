"""A collector of spans, as OTLP's other end: takes them over HTTP, and keeps them as they came."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Collector", "Told"]


class Told:
    """One span, as it came.

    Attributes:
        resource: What the sender says of itself.
        schema: Of which version its names are.
    """

    def __init__(self, span: Span, resource: dict[str, Any], schema: str) -> None:
        self.resource, self.schema = resource, schema
        self.name = span.name
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.start_ns, self.end_ns = span.start_time_unix_nano, span.end_time_unix_nano
        self.kind = Span.SpanKind.Name(span.kind)
        self.attributes = {each.key: _value(each.value) for each in span.attributes}
        self.events = {event.name: event.time_unix_nano for event in span.events}
        self.error = span.status.message

    def __repr__(self) -> str:
        return f"{self.name} {self.attributes}"


class Collector:
    """Listens while the block lasts.

    Attributes:
        bodies: All bytes it was sent.
        headers: Those of the latest request.
        spans: All spans it has taken.
        status: What it answers with; 200 takes spans.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.spans: list[Told] = []
        self.status = 200
        app = web.Application(client_max_size=1 << 26)
        app.add_routes([web.post("/v1/traces", self._take)])
        self._runner = web.AppRunner(app)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """What OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    def named(self, name: str) -> list[Told]:
        """Give the spans of a name."""
        return [span for span in self.spans if span.name == name]

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers = dict(request.headers)
        if self.status == 200:
            for each in ExportTraceServiceRequest.FromString(body).resource_spans:
                resource = {pair.key: _value(pair.value) for pair in each.resource.attributes}
                self.spans += [
                    Told(span, resource, scope.schema_url) for scope in each.scope_spans for span in scope.spans
                ]
        return web.Response(status=self.status)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)

"""OpenTelemetry's SDK, set up as the `OTEL_*` variables of the environment say: samples, batches and sends spans.

Its ways are those of spans that begin and end as the program runs. Ours are whole, and their ids are known before.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, set_span_in_context

from .errors import SettingsError
from .extras import own_version
from .spans import SCHEMA, Span

__all__ = ["Otlp"]

logger = logging.getLogger(__name__)

WAITING: Final = 2048
"""Spans that may wait to be sent, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise: the default of the SDK."""

MAX_REASON: Final = 300
"""Characters that are told of why nothing is sent."""

SECRETS: Final = re.compile(r"(?<=//)[^/@\s]+(?=@)|(?<=\?)[^\s)'\"]+")
"""What an address may hold before its host and after its path: some collectors want their key there."""

HEADER: Final = re.compile(r"[!#-'*+\-.0-9A-Z^-z|~]+[ \t]*=[ \t]*[ !#-+\--:<-\[\]-~]*")
"""A header as OTEL_EXPORTER_OTLP_HEADERS has it. What is none the SDK leaves out, and says it whole: it is a key."""

KINDS: Final = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER, "client": SpanKind.CLIENT}


class Otlp:
    """Sends spans. For one thread; `give_up` and the counts are for any.

    Args:
        server: This server's name.
        environment: Where the variables are looked up; the SDK itself looks into the process's own.

    Attributes:
        dropped: Spans given up for want of room.

    Raises:
        SettingsError: The variables want what cannot be had.
    """

    def __init__(self, server: str, environment: Mapping[str, str] = os.environ) -> None:
        _refuse_other_ways(environment)
        _refuse_broken_headers(environment)
        ours = {SERVICE_NAME: "retell_ws", SERVICE_VERSION: own_version(), SERVICE_INSTANCE_ID: server}
        resource = Resource.create({**ours, **OTELResourceDetector().detect().attributes})
        self._exporter = _Exporter(OTLPSpanExporter())
        self._ids = _Ids()
        try:
            self._provider = TracerProvider(resource=resource, id_generator=self._ids, shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
            self._room = int(environment.get("OTEL_BSP_MAX_QUEUE_SIZE") or WAITING)
        except ValueError as exc:
            raise SettingsError(f"traces: OTEL_*: {exc}") from None
        self._spans = self._provider.get_tracer("retell_ws", own_version(), SCHEMA)
        self._taken = self.dropped = 0

    @property
    def sent(self) -> int:
        """Spans that the collector has taken."""
        return self._exporter.sent

    @property
    def failed(self) -> int:
        """Spans that it has not."""
        return self._exporter.failed

    def take(self, span: Span) -> None:
        """Send a span when its trace is sampled. The decision is made as for a trace's first span, on every server."""
        sampled = self._provider.sampler.should_sample(Context(), span.trace, "call", SpanKind.SERVER)
        if sampled.decision is not Decision.RECORD_AND_SAMPLE:
            return
        # The SDK would drop the oldest one without a count.
        if self._taken - self.sent - self.failed >= self._room:
            self.dropped += 1
            return
        self._ids.trace, self._ids.span = span.trace, span.id
        context = Context()
        if span.parent is not None:
            parent = SpanContext(span.trace, span.parent, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
            context = set_span_in_context(NonRecordingSpan(parent), context)
        made = self._spans.start_span(
            span.name, context, KINDS[span.kind], attributes=span.attributes, start_time=span.start_ns
        )
        self._taken += made.is_recording()
        for event in span.events:
            made.add_event(event.name, timestamp=event.at_ns)
        if span.error:
            made.set_status(StatusCode.ERROR, span.error)
        made.end(span.end_ns)

    def end(self) -> None:
        """Send what waits, and let go of all of it. May take as long as the collector does."""
        self._provider.shutdown()

    def give_up(self) -> None:
        """Let `end` come to its end."""
        self._exporter.shutdown()


def _refuse_other_ways(environment: Mapping[str, str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (protocol := environment.get(name)) and protocol != "http/protobuf":
            raise SettingsError(f"traces go out by http/protobuf, and {name} is {protocol}")
    if (exporter := environment.get("OTEL_TRACES_EXPORTER")) and exporter != "otlp":
        raise SettingsError(f"traces go out by otlp, and OTEL_TRACES_EXPORTER is {exporter}: leave --traces out")


def _refuse_broken_headers(environment: Mapping[str, str]) -> None:
    for name in ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"):
        given = (each.strip() for each in environment.get(name, "").split(","))
        if any(each and not HEADER.fullmatch(each) for each in given):
            raise SettingsError(f"traces: {name} is no list of name=value with values that are URL-encoded")


class _Ids(IdGenerator):
    """Gives the next span the ids that it is to have."""

    trace = span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _Exporter(SpanExporter):
    """Counts what goes out, and says once that nothing does, and once that it does again."""

    def __init__(self, inner: OTLPSpanExporter) -> None:
        self._inner = inner
        self._heard = _Heard()
        self._is_away = self._is_shut = False
        self.sent = self.failed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._heard:
            try:
                result = self._inner.export(spans)
            except Exception as exc:  # the SDK would only log it, and these spans would take room for ever
                self._heard.text, result = type(exc).__name__, SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
            if self._is_away:
                logger.warning("spans are sent again")
        else:
            self.failed += len(spans)
            if not self._is_away:
                logger.warning(
                    "spans cannot be sent, and are given up: %s", SECRETS.sub("…", self._heard.text)[:MAX_REASON]
                )
        self._is_away = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        if not self._is_shut:  # the SDK does it once more after `give_up`
            self._is_shut = True
            self._inner.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


class _Heard(logging.Filter):
    """Keeps what the exporter says in this thread, for us to say: it would say it with every try."""

    def __init__(self) -> None:
        super().__init__()
        self._logger = logging.getLogger(OTLPSpanExporter.__module__)
        self._thread = 0
        self.text = ""

    def __enter__(self) -> Self:
        self.text, self._thread = "", threading.get_ident()
        self._logger.addFilter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        self.text = self.text or record.getMessage()  # the first is what went wrong; the others count the tries
        return False

"""Traces of requests, jobs and webhooks: one span for each, and one for every stage of a fusion.

Whether there are any, and where they go, the standard variables of OpenTelemetry say, see
`service.settings.wants_traces`. This module needs the extra `otel`; nothing loads it where nobody
asks for traces. A span of a stage is made from the record when its request has ended, so that a
stage is measured in one place and costs nothing while it runs.

Reference:
    https://www.w3.org/TR/trace-context/ and
    https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode

from expofuse.package_version import package_version
from service.logs import FLUSH_TIMEOUT_S
from service.request_record import RequestRecord, TraceHeaders

SCOPE = "expofuse"
"""What the spans say they come from, and the service's name where no variable gives one."""


def start_tracing() -> "Tracing":
    """Send traces to where the `OTEL_...` variables say, by OTLP over HTTP."""
    told = OTELResourceDetector().detect().attributes
    ours = {"service.name": SCOPE, "service.version": package_version()}
    provider = TracerProvider(resource=Resource.create({**ours, **told}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


class Tracing:
    """Makes spans.

    Args:
        provider: Takes them.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(SCOPE, package_version())

    def begin_request(
        self, method: str, path: str, headers: Mapping[str, str], record: RequestRecord
    ) -> Span:
        """Begin the span of a request, below that of its client where the headers name one.

        Args:
            method: Of the request.
            path: Of its route, not one that a client made up.
            headers: Of the request, names in small letters.
            record: Gets the headers of what is begun for this request.
        """
        span = self._tracer.start_span(
            f"{method} {path}",
            context=propagate.extract(headers, Context()),
            kind=SpanKind.SERVER,
            attributes={
                "http.request.method": method,
                "http.route": path,
                "url.path": path,
                "expofuse.request_id": record.request_id,
            },
            start_time=_to_epoch_ns(record.begin),
        )
        record.trace_headers = _write_headers(span)
        return span

    def end_request(self, span: Span, record: RequestRecord, *, status: int) -> None:
        """End it, with a span for each stage that this request went through itself.

        Args:
            span: From `begin_request`.
            record: Of the request.
            status: Of its answer; 0: there was none.
        """
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(StatusCode.ERROR, record.outcome)
        self._end_fusion(span, record)

    def note_job(
        self, record: RequestRecord, parent: TraceHeaders, *, begin: float, attempt: int
    ) -> None:
        """Make the span of a job that has come to its end, below that of the request it came with.

        Args:
            record: Of the job.
            parent: From `RequestRecord.trace_headers` of that request.
            begin: `time.monotonic()` when it was begun.
            attempt: Which one it was, from 1.
        """
        span = self._tracer.start_span(
            "job",
            context=propagate.extract(parent, Context()),
            attributes={"expofuse.request_id": record.request_id, "expofuse.attempt": attempt},
            start_time=_to_epoch_ns(begin),
        )
        self._end_fusion(span, record)

    @contextmanager
    def calling_webhook(
        self, parent: TraceHeaders, *, host: str, port: int, attempt: int
    ) -> Iterator[TraceHeaders]:
        """Make the span of one call of a webhook; an error that leaves the block is noted.

        Args:
            parent: From `RequestRecord.trace_headers` of the request that brought the job.
            host: Who is called.
            port: On which port.
            attempt: Which one it is, from 1.

        Yields:
            The headers by which the receiver goes on with the trace.
        """
        with self._tracer.start_as_current_span(
            "webhook",
            context=propagate.extract(parent, Context()),
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": "POST",
                "server.address": host,
                "server.port": port,
                "expofuse.attempt": attempt,
            },
        ) as span:
            yield _write_headers(span)

    def close(self) -> None:
        """Send what is left; wait for a receiver no longer than for the last lines of the log."""
        # A daemon: it ends with the process.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(FLUSH_TIMEOUT_S)

    def _end_fusion(self, span: Span, record: RequestRecord) -> None:
        span.set_attribute("expofuse.outcome", record.outcome)
        if record.weights is not None:
            span.set_attribute("expofuse.weights", record.weights)
            span.set_attribute("expofuse.megapixels", record.megapixels)
        if span.is_recording():
            self._add_stages(span, record)
        span.end()

    def _add_stages(self, span: Span, record: RequestRecord) -> None:
        inside = trace.set_span_in_context(span, Context())
        stages = record.stages
        for stage, begin in stages.begins.items():
            # One that shares a fusion has that one's stages, which may have begun before it came.
            if begin >= record.begin:
                one = self._tracer.start_span(stage, context=inside, start_time=_to_epoch_ns(begin))
                one.end(_to_epoch_ns(begin + stages.seconds[stage]))


def _write_headers(span: Span) -> dict[str, str]:
    """The headers that name a span; of the baggage that came with a request nothing goes on."""
    headers: dict[str, str] = {}
    propagate.inject(headers, trace.set_span_in_context(span, Context()))
    return headers


def _to_epoch_ns(at: float) -> int:
    """A moment of `time.monotonic()` in nanoseconds since 1970."""
    return time.time_ns() - round((time.monotonic() - at) * 1e9)

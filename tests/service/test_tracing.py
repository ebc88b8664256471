"""Traces cost nothing where nobody asks for them, and never keep the service from ending."""

import subprocess
import sys
import threading

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from service import server
from service.request_record import RequestRecord
from service.tracing import Tracing, start_tracing
from tests.paths import ROOT

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_what_serves_does_not_load_what_traces():
    code = (
        "import sys, service.server, service.http.app, service.jobs.jobs;"
        "assert not {'service.tracing', 'opentelemetry.sdk'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_nobody_asks_for_traces_unless_told_where_to_send_them(monkeypatch):
    for name in ("OTEL_TRACES_EXPORTER", ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert server._start_tracing() is None
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    tracing = server._start_tracing()
    assert isinstance(tracing, Tracing)
    tracing.close()


def test_traces_that_are_asked_for_without_their_extra_are_a_warning(monkeypatch, caplog):
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "service.tracing", None)
    assert server._start_tracing() is None
    assert "extra 'otel'" in caplog.text


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "expofuse"),
        ({"OTEL_SERVICE_NAME": "studio"}, "studio"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=studio,zone=a"}, "studio"),
    ],
)
def test_the_variables_name_the_service(monkeypatch, variables, name):
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    tracing = start_tracing()
    attributes = tracing._provider.resource.attributes
    assert attributes["service.name"] == name
    assert attributes["service.version"]
    assert attributes.get("zone") == ("a" if "zone=a" in str(variables) else None)
    tracing.close()


class Stuck(SpanExporter):
    """A receiver that does not answer before it is let."""

    def __init__(self):
        self.may_end = threading.Event()
        self.has_begun = threading.Event()

    def export(self, spans):
        self.has_begun.set()
        self.may_end.wait()
        return SpanExportResult.SUCCESS


def test_the_end_does_not_wait_for_a_receiver_that_does_not_answer():
    exporter = Stuck()
    provider = TracerProvider(shutdown_on_exit=False)
    processor = BatchSpanProcessor(exporter)
    provider.add_span_processor(processor)
    tracing = Tracing(provider)
    record = RequestRecord("id", 5)
    span = tracing.begin_request("POST", "/fuse", {}, record)
    tracing.end_request(span, record, status=0)  # Its client left.
    tracing.close()
    assert exporter.has_begun.wait(60)
    assert not exporter.may_end.is_set()
    exporter.may_end.set()
    provider.shutdown()

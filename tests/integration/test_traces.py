"""A real service sends its spans by OTLP over HTTP to a receiver of ours."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.conftest import make_client, server_settings, wait_for
from tests.server import running_server

pytestmark = pytest.mark.e2e

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def collecting() -> Iterator[tuple[int, list[tuple[str, ExportTraceServiceRequest]]]]:
    """A receiver of OTLP on loopback: its port, and each path and message that came."""
    taken: list[tuple[str, ExportTraceServiceRequest]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as receiver:
        thread = threading.Thread(target=receiver.serve_forever, daemon=True)
        thread.start()
        try:
            yield receiver.server_port, taken
        finally:
            receiver.shutdown()
            thread.join()


def test_the_spans_of_a_fusion_reach_a_collector_also_those_of_the_last_request(
    weights, under, over, reference, tmp_path
):
    with collecting() as (port, taken):
        settings = server_settings(weights) | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",  # Nothing is sent before the end.
            "no_proxy": "127.0.0.1",
        }
        with (
            running_server(settings, log_path=tmp_path / "log") as server,
            make_client(server) as client,
        ):
            answer = client.post(
                "/fuse",
                files={"under": under, "over": over},
                headers={"traceparent": f"00-{TRACE_ID}-{PARENT_ID}-01"},
            )
            assert (answer.status_code, answer.content) == (200, reference)
        wait_for(lambda: taken)
    ((path, message),) = taken
    assert path == "/v1/traces"
    (resource,) = message.resource_spans
    told = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert told["service.name"] == "expofuse"
    assert told["deployment.environment.name"] == "test"
    spans = {span.name: span for scope in resource.scope_spans for span in scope.spans}
    assert set(spans) == {"POST /fuse", "receive", "decode", "align", "queue", "fuse", "encode"}
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE_ID}
    assert spans["POST /fuse"].parent_span_id.hex() == PARENT_ID

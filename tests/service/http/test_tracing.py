"""Spans of real fusions, taken by OpenTelemetry's exporter in memory."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from typing import get_args

import httpx
import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from service.http.app import create_app
from service.jobs.jobs import Jobs
from service.lifecycle import Service
from service.request_record import Stage
from service.settings import CodecSettings, JobSettings, Settings
from service.tracing import Tracing
from tests import images
from tests.service.backends import RAISE, backend_command, copying
from tests.webhooks import SECRET, receiving

pytestmark = pytest.mark.asyncio(loop_scope="module")

STAGES = set(get_args(Stage))
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"
TIMEOUT_S = 300.0


@asynccontextmanager
async def serving(folder, provider, receiver):
    settings = Settings(
        codec=CodecSettings(processes=2),
        jobs=JobSettings(webhook_hosts=f"http://127.0.0.1:{receiver.port}", webhook_secret=SECRET),
        log_level="error",
    )
    tracing = None if provider is None else Tracing(provider)
    service = Service(settings, backend_command(copying), tracing=tracing)
    jobs = Jobs(folder, service)
    await service.start()
    await jobs.start()
    transport = httpx.ASGITransport(create_app(service, jobs))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            yield client
    finally:
        await jobs.stop()
        await service.stop()


@pytest.fixture(scope="module")
def exporter():
    return InMemorySpanExporter()


@pytest.fixture(scope="module")
def receiver():
    with receiving() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(exporter, receiver, tmp_path_factory):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    async with serving(tmp_path_factory.mktemp("state"), provider, receiver) as one:
        yield one


@pytest.fixture(autouse=True)
def spans(exporter):
    """The spans that have ended since the test began, by their names."""
    exporter.clear()
    return lambda: {span.name: span for span in exporter.get_finished_spans()}


def files_of(deed=0):
    under = images.scene(gain=0.3)
    under[0, 0, 0] = deed
    return {"under": images.encoded(pixels=under), "over": images.encoded(pixels=images.scene())}


async def until(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def fuse(client, query="", deed=0, **headers):
    return await client.post(f"/fuse{query}", files=files_of(deed), headers=headers)


def hex_of(number, digits):
    return f"{number:0{digits}x}"


async def test_a_request_goes_on_with_the_trace_of_its_client_a_span_for_each_stage(client, spans):
    begin_ns = time.time_ns()
    answer = await fuse(client, traceparent=TRACEPARENT, baggage="secret=1")
    assert answer.status_code == 200
    found = spans()
    request = found.pop("POST /fuse")
    assert hex_of(request.context.trace_id, 32) == TRACE_ID
    assert hex_of(request.parent.span_id, 16) == PARENT_ID
    assert request.kind is SpanKind.SERVER
    own = f"00-{TRACE_ID}-{hex_of(request.context.span_id, 16)}-01"
    assert answer.headers["traceresponse"] == own
    assert request.attributes["expofuse.outcome"] == "fused"
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["expofuse.request_id"] == answer.headers["x-request-id"]
    assert request.attributes["expofuse.weights"] == answer.headers["x-expofuse-weights"]
    assert set(found) == STAGES
    order = [found[stage] for stage in get_args(Stage)]
    for stage in order:
        assert stage.parent.span_id == request.context.span_id
        assert begin_ns <= request.start_time <= stage.start_time <= stage.end_time
        assert stage.end_time <= request.end_time <= time.time_ns()
    assert [one.start_time for one in order] == sorted(one.start_time for one in order)
    told = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    for name, span in found.items():
        assert (span.end_time - span.start_time) / 1e6 == pytest.approx(float(told[name]), abs=0.06)


async def test_a_request_without_a_trace_begins_one_that_its_log_line_names(client, spans, caplog):
    with caplog.at_level(logging.INFO):
        answer = await fuse(client)
    (line,) = [record for record in caplog.records if record.message == "request"]
    assert line.traceparent == answer.headers["traceresponse"]
    assert answer.headers["traceresponse"].split("-")[1] != TRACE_ID
    assert spans()["POST /fuse"].parent is None


@pytest.mark.parametrize("header", ["", "00-zz-1-01", "x" * 5000])
async def test_a_trace_that_is_none_is_no_reason_to_refuse(client, spans, header):
    assert (await fuse(client, traceparent=header)).status_code == 200
    assert spans()["POST /fuse"].parent is None


async def test_what_failed_is_an_error_and_what_was_refused_is_not(client, spans):
    assert (await fuse(client, deed=RAISE)).status_code == 500
    failed = spans()["POST /fuse"]
    assert (failed.status.status_code, failed.status.description) == (
        StatusCode.ERROR,
        "inference-failed",
    )
    assert {"receive", "decode", "align"} <= set(spans())
    assert "encode" not in spans()
    assert (await fuse(client, "?format=none")).status_code == 422
    refused = spans()["POST /fuse"]
    assert refused.status.status_code is StatusCode.UNSET
    assert refused.attributes["expofuse.outcome"] == "bad-option"


async def test_who_only_looks_makes_no_spans(client, spans):
    for path in ("/healthz", "/metrics", "/limits", "/nothing"):
        assert "traceresponse" not in (await client.get(path)).headers
    assert spans() == {}


async def test_a_job_and_its_webhook_go_on_with_the_trace_of_the_request(client, spans, receiver):
    answer = await client.post(
        "/jobs",
        params={"webhook": receiver.url},
        files=files_of(),
        headers={"traceparent": TRACEPARENT},
    )
    assert answer.status_code == 202
    await until(lambda: "webhook" in spans())
    found = spans()
    request, job, webhook = (found[name] for name in ("POST /jobs", "job", "webhook"))
    assert request.attributes["expofuse.outcome"] == "accepted"
    for one in (job, webhook):
        assert hex_of(one.context.trace_id, 32) == TRACE_ID
        assert one.parent.span_id == request.context.span_id
    assert job.attributes["expofuse.outcome"] == "fused"
    assert job.attributes["expofuse.attempt"] == 1
    assert found["fuse"].parent.span_id == job.context.span_id
    headers, _ = receiver.calls[-1]
    assert headers["traceparent"] == f"00-{TRACE_ID}-{hex_of(webhook.context.span_id, 16)}-01"
    assert "baggage" not in headers
    assert not [value for value in webhook.attributes.values() if "hook?" in str(value)]
    secret = answer.json()["id"]
    assert not [span for span in found.values() if secret in str(dict(span.attributes))]


async def test_a_webhook_that_is_not_taken_is_an_error(client, spans, receiver):
    receiver.answers = [410]
    await client.post("/jobs", params={"webhook": receiver.url}, files=files_of())
    await until(lambda: "webhook" in spans())
    assert spans()["webhook"].status.status_code is StatusCode.ERROR


async def test_the_same_form_with_the_same_key_is_one_job_in_whatever_trace(client):
    ids = set()
    for number in (1, 2):
        headers = {
            "idempotency-key": "once",
            "traceparent": f"00-{TRACE_ID}-{number:016x}-01",
        }
        answer = await client.post("/jobs", files=files_of(), headers=headers)
        ids.add(answer.json()["id"])
    assert len(ids) == 1


async def test_what_is_not_sampled_is_passed_on_and_makes_no_spans(receiver, tmp_path):
    taken = InMemorySpanExporter()
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(taken))
    async with serving(tmp_path, provider, receiver) as client:
        answer = await fuse(client, traceparent=TRACEPARENT)
        assert answer.headers["traceresponse"].endswith("-00")
    assert taken.get_finished_spans() == ()


async def test_without_tracing_a_trace_is_nobody_s_affair(receiver, tmp_path):
    async with serving(tmp_path, None, receiver) as client:
        assert "traceresponse" not in (await fuse(client, traceparent=TRACEPARENT)).headers
        calls = len(receiver.calls)
        await client.post(
            "/jobs",
            params={"webhook": receiver.url},
            files=files_of(),
            headers={"traceparent": TRACEPARENT},
        )
        await until(lambda: len(receiver.calls) > calls)
        assert "traceparent" not in receiver.calls[-1][0]

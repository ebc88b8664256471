"""Answers every route; `_fuse_exposures` is the one straight path of every `POST /fuse`."""

import asyncio
import time

from fastapi import APIRouter, Request
from starlette.responses import Response

from expofuse.files.headers import ImageFormat, ImageHeader, check_size, sniff
from expofuse.package_version import package_version
from model.exposure import MIN_SIDE_PX, AlignmentReport
from service.admission import PIXELS_PER_MEGAPIXEL, Allowance, count_megapixels
from service.codec.messages import DecodedImage, PairAlignment
from service.device.messages import FuseJob
from service.errors import DeadlineError, WorkerStoppedError
from service.http.disconnect import cancel_when_client_leaves
from service.http.options import (
    FILE_FIELDS,
    MEDIA_TYPES,
    choose_encoding,
    choose_weights,
    parse_options,
)
from service.http.pictures import PictureResponse
from service.http.schemas import (
    FUSE_OPENAPI,
    Health,
    Limits,
    Readiness,
    Version,
    Weights,
    WeightsVersion,
    describe_loaded,
    describe_weights,
)
from service.http.uploads import MAX_OPTION_BYTES, Form, receive_form
from service.lifecycle import Service
from service.metrics import METRICS_MEDIA_TYPE
from service.problems import FUSED_OUTCOME, PROBLEM_RESPONSES
from service.processes.job_blocks import JobBlocks
from service.processes.shared_memory import SampleType, SharedDescriptor
from service.request_record import RequestRecord
from service.served_weights import ServedWeights


def create_router(service: Service) -> APIRouter:
    """All routes of the service.

    Args:
        service: Its parts, started or about to be.
    """
    router = APIRouter()

    @router.post(
        "/fuse",
        summary="Fuse an under- and an over-exposed image",
        response_class=Response,
        responses=PROBLEM_RESPONSES
        | {200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}}},
        openapi_extra=FUSE_OPENAPI,
    )
    async def fuse(request: Request) -> Response:
        record = RequestRecord.of(request.scope)
        deadline_s = service.limits.deadline_s
        try:
            async with asyncio.timeout(record.begin + deadline_s - time.monotonic()):
                return await _fuse_exposures(request, record, service)
        except TimeoutError as cause:
            raise DeadlineError(f"expected an answer within {deadline_s:g} s, got none") from cause

    @router.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Health:
        return Health()

    @router.get("/readyz", summary="Whether requests should come here")
    async def readyz() -> Readiness:
        status = service.status
        if not status.is_ready:
            raise WorkerStoppedError(status.reason)
        return Readiness()

    @router.get("/version", summary="Versions of the service and of its weights")
    async def version() -> Version:
        info = service.info
        default = info.weights[0]
        return Version(
            service=package_version(),
            weights=WeightsVersion(name=default.name, version=default.version),
            weights_loaded=describe_loaded(info.weights),
            device=info.device,
            precision=default.precision,
        )

    @router.get("/weights", summary="Weights versions that a request may ask for")
    async def weights() -> Weights:
        return describe_weights(service.info.weights)

    @router.get("/limits", summary="Every bound of the service")
    async def limits() -> Limits:
        return Limits(
            **service.limits.model_dump(),
            min_side_px=MIN_SIDE_PX,
            max_option_bytes=MAX_OPTION_BYTES,
            max_running_jobs=service.settings.worker.max_running,
            codec_timeout_s=service.settings.codec.timeout_s,
            codec_memory_bytes=service.settings.codec.memory_bytes,
        )

    if service.settings.metrics_port is None:

        @router.get("/metrics", summary="Metrics for Prometheus", response_class=Response)
        async def metrics() -> Response:
            return Response(service.metrics.exposition(), media_type=METRICS_MEDIA_TYPE)

    return router


async def _fuse_exposures(request: Request, record: RequestRecord, service: Service) -> Response:
    """Receive, admit, decode, align, queue and fuse, encode, respond; any step may refuse or fail.

    Everything that the headers and options alone can refuse is refused before admission.
    """
    stages = record.stages
    with service.admission.hold_upload() as upload:
        with stages.measure("receive"):
            service.admission.check_open()
            form = await receive_form(request, upload, max_bytes=service.limits.max_body_bytes)
            options = parse_options(request.query_params, form.options)
            weights = choose_weights(options, service.info.weights)
            record.weights = weights.label
            headers = _judge_headers(form, service)
            accept = request.headers.get("accept")
            encoding = choose_encoding(options, accept, headers[0])
        megapixels = count_megapixels(*headers)
        record.megapixels = megapixels
        with service.admission.admit(megapixels), JobBlocks() as blocks:
            service.metrics.pair_megapixels.observe(headers[0].pixels / PIXELS_PER_MEGAPIXEL)
            async with cancel_when_client_leaves(request.receive):
                with stages.measure("decode"):
                    under, over = await _decode_pair(form, headers, blocks, service)
                    form.files.clear()
                    upload.release()
                with stages.measure("align"):
                    alignment = await service.codec.align(
                        under.pixels,
                        over.pixels,
                        mode=options.align,
                        reference=weights.reference,
                    )
                output = await blocks.create(under.pixels.shape, under.pixels.dtype)
                job = _make_job(under, over, alignment, output, weights)
                times = await service.device.fuse(job)
                stages.record("queue", times.queue_s)
                stages.record("fuse", times.fuse_s)
                darker = over if alignment.is_swapped else under
                with stages.measure("encode"):
                    picture = await service.codec.encode(
                        output,
                        options=encoding,
                        metadata=darker.metadata,
                    )
            # Before the job's budgets are given back, so that no byte is uncounted for a moment.
            allowance = service.admission.hold_response(len(picture))
    return _respond(picture, allowance, encoding.format, weights, alignment, record, service)


def _judge_headers(form: Form, service: Service) -> tuple[ImageHeader, ImageHeader]:
    under, over = sniff(form.files["under"]), sniff(form.files["over"])
    for header in (under, over):
        check_size(header, service.pixel_limits)
    return under, over


async def _decode_pair(
    form: Form, headers: tuple[ImageHeader, ImageHeader], blocks: JobBlocks, service: Service
) -> tuple[DecodedImage, DecodedImage]:
    dtype: SampleType = "uint16" if 16 in {header.bits for header in headers} else "uint8"
    destinations = [
        await blocks.create((header.height_px, header.width_px, 3), dtype) for header in headers
    ]
    decodings = [
        asyncio.ensure_future(service.codec.decode(form.files[field], destination=destination))
        for field, destination in zip(FILE_FIELDS, destinations, strict=True)
    ]
    try:
        under, over = await asyncio.gather(*decodings)
    finally:
        # The first failure decides the answer; the other call must not go on behind its back.
        for decoding in decodings:
            decoding.cancel()
        await asyncio.gather(*decodings, return_exceptions=True)
    return under, over


def _make_job(
    under: DecodedImage,
    over: DecodedImage,
    alignment: PairAlignment,
    output: SharedDescriptor,
    weights: ServedWeights,
) -> FuseJob:
    darker, brighter = under.pixels, over.pixels
    if alignment.is_swapped:
        darker, brighter = brighter, darker
    return FuseJob(darker, brighter, output, alignment.is_swapped, alignment.report, weights.label)


def _respond(
    picture: bytes,
    allowance: Allowance,
    answer_format: ImageFormat,
    weights: ServedWeights,
    alignment: PairAlignment,
    record: RequestRecord,
    service: Service,
) -> Response:
    outcome, description = _describe_alignment(alignment.report)
    service.metrics.alignments.labels(outcome).inc()
    record.outcome = FUSED_OUTCOME
    record.end = time.monotonic()
    return PictureResponse(
        picture,
        allowance,
        media_type=MEDIA_TYPES[answer_format],
        headers={
            "X-Expofuse-Weights": weights.label,
            "X-Expofuse-Alignment": description,
            "X-Expofuse-Exposure-Order": "swapped" if alignment.is_swapped else "as-given",
            "Server-Timing": record.stages.server_timing(),
            "Vary": "Accept",
            "Cache-Control": "no-store",
        },
    )


def _describe_alignment(report: AlignmentReport | None) -> tuple[str, str]:
    """The outcome as a metric label, and as a header with its figures."""
    if report is None:
        return "off", "off"
    if report.refused is not None:
        return "refused", report.describe()
    return report.model, report.describe()

"""Answers every route; `_fuse_exposures` is the one straight path of every `POST /fuse`."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from traceback import clear_frames

from fastapi import APIRouter, Request
from starlette.responses import Response

from expofuse.answers import Health, Readiness, Version, Weights, WeightsVersion
from expofuse.errors import FileError, MediaTypeError
from expofuse.files.headers import ImageHeader, check_size, sniff
from expofuse.files.white_balance import choose_balanced
from expofuse.package_version import package_version
from model.describe import summarise_alignment
from model.exposure import (
    ALIGNMENT_HELPS,
    MAX_EXPOSURES,
    MIN_EXPOSURES,
    MIN_SIDE_PX,
    check_one_size,
)
from service.admission import PIXELS_PER_MEGAPIXEL, count_megapixels, count_resized, count_turned
from service.codec.messages import DecodedImage, StackFound
from service.codec.turns import Turn, expect_work_s
from service.device.messages import FuseJob
from service.errors import (
    BodyTooLargeError,
    CodecError,
    DeadlineError,
    DocumentError,
    WorkerStoppedError,
)
from service.http.accept import check_result, choose_encoding
from service.http.disconnect import cancel_when_client_leaves
from service.http.grouping import (
    GROUP_OPENAPI,
    MAX_FRAMES,
    MAX_GROUP_BODY_BYTES,
    Grouping,
    GroupsFound,
)
from service.http.options import (
    MEDIA_TYPES,
    FuseOptions,
    choose_weights,
    parse_options,
)
from service.http.pictures import PictureResponse
from service.http.problem_pages import add_problem_pages
from service.http.running import RunningRequests
from service.http.schemas import (
    FUSE_OPENAPI,
    FUSED_RESPONSE,
    PROGRESS_OPENAPI,
    Limits,
    RequestProgress,
    describe_loaded,
    describe_weights,
)
from service.http.told import tell_fusion
from service.http.uploads import (
    MAX_CONTENT_TYPE_BYTES,
    MAX_OPTION_BYTES,
    MAX_PART_HEADER_BYTES,
    MAX_PART_HEADERS,
    MAX_PARTS,
    Form,
    receive_form,
)
from service.lifecycle import Service
from service.metrics import METRICS_MEDIA_TYPE
from service.problem_types import FUSED_OUTCOME, PROBLEMS
from service.problems import ANYWHERE, describe_problems
from service.processes.job_blocks import JobBlocks
from service.processes.shared_memory import SampleType, SharedDescriptor
from service.request_record import RequestRecord
from service.served_weights import ServedWeights


def create_router(service: Service, running: RunningRequests) -> APIRouter:
    """All routes of the service but those of the page.

    Args:
        service: Its parts, started or about to be.
        running: The requests that are being answered.
    """
    router = APIRouter(responses=describe_problems(ANYWHERE))
    grouping = Grouping()

    @router.post(
        "/fuse",
        summary="Fuse two to nine exposures of one scene",
        response_class=Response,
        responses=describe_problems(kind for kind in PROBLEMS if kind is not DocumentError)
        | {200: FUSED_RESPONSE},
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
        except BaseException as error:
            _clear_frames(error)
            raise

    @router.post(
        "/group",
        summary="Find the brackets of a shoot by what the headers of its files say",
        responses=describe_problems((*ANYWHERE, BodyTooLargeError, MediaTypeError, DocumentError)),
        openapi_extra=GROUP_OPENAPI,
    )
    async def group(request: Request) -> GroupsFound:
        return await grouping.answer(request)

    # Read from the request: of a parameter FastAPI would describe answers that are never given.
    @router.get(
        "/requests/{request_id}",
        summary="How far a request to fuse is, by its id",
        openapi_extra=PROGRESS_OPENAPI,
    )
    async def progress(request: Request) -> RequestProgress:
        return running.describe(request.path_params["request_id"])

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
            min_exposures=MIN_EXPOSURES,
            max_exposures=MAX_EXPOSURES,
            min_side_px=MIN_SIDE_PX,
            max_option_bytes=MAX_OPTION_BYTES,
            max_content_type_bytes=MAX_CONTENT_TYPE_BYTES,
            max_parts=MAX_PARTS,
            max_part_headers=MAX_PART_HEADERS,
            max_part_header_bytes=MAX_PART_HEADER_BYTES,
            max_group_frames=MAX_FRAMES,
            max_group_body_bytes=MAX_GROUP_BODY_BYTES,
            max_running_jobs=service.settings.worker.max_running,
            codec_timeout_s=service.settings.codec.timeout_s,
            codec_memory_bytes=service.settings.codec.memory_bytes,
        )

    if service.settings.metrics_port is None:

        @router.get(
            "/metrics",
            summary="Metrics for Prometheus",
            response_class=Response,
            responses={200: {"content": {METRICS_MEDIA_TYPE: {"schema": {"type": "string"}}}}},
        )
        async def metrics() -> Response:
            return Response(service.metrics.exposition(), media_type=METRICS_MEDIA_TYPE)

    add_problem_pages(router)
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
            headers = _judge_headers(form, options, service)
            accept = ",".join(request.headers.getlist("accept"))
            encoding = choose_encoding(options, accept, headers)
        largest_px = max(header.pixels for header in headers)
        resized = count_resized(headers, options.reference)
        megapixels = count_megapixels(headers, resized=resized)
        record.megapixels = megapixels
        work_s = expect_work_s(megapixels, is_aligned=options.align != "off")
        turn = Turn(work_s, time.monotonic())
        with (
            service.admission.admit(megapixels),
            ExitStack() as more,
            JobBlocks(service.blocks) as blocks,
        ):
            service.metrics.pair_megapixels.observe(largest_px / PIXELS_PER_MEGAPIXEL)
            async with cancel_when_client_leaves(request.receive):
                with stages.measure("decode"):
                    images = await _decode(form, options, headers, blocks, turn, service)
                    form.files.clear()
                    upload.release()
                with stages.measure("align"):
                    dtype = images[0].pixels.dtype
                    rooms = resized + count_turned([image.orientation for image in images])
                    if rooms > resized:
                        in_all = count_megapixels(headers, resized=rooms)
                        more.enter_context(service.admission.admit_more(in_all - megapixels))
                    found = await service.codec.register(
                        images,
                        align=options.align,
                        ghosts=options.ghosts,
                        reference=options.reference,
                        pair_reference=weights.reference,
                        crop=options.crop,
                        rooms=[await blocks.take((largest_px, 3), dtype) for _ in range(rooms)],
                        turn=turn,
                    )
                    frame = found.frame if options.crop == "common" else None
                    check_result(encoding, found.exposures[0], frame)
                output = await _fuse(found, weights, record, blocks, service)
                with stages.measure("encode"):
                    picture = await service.codec.encode(
                        output,
                        options=encoding,
                        metadata=images[found.used[found.reference]].metadata,
                        frame=frame,
                        turn=turn,
                    )
            # Before the job's budgets are given back, so that no byte is uncounted for a moment.
            allowance = service.admission.hold_response(len(picture))
    service.metrics.alignments.labels(summarise_alignment(found.alignment)).inc()
    service.metrics.replaced_share.observe(found.replaced_share)
    record.outcome = FUSED_OUTCOME
    record.end = time.monotonic()
    return PictureResponse(
        picture,
        allowance,
        media_type=MEDIA_TYPES[encoding.format],
        headers={
            **tell_fusion(options, weights, images, found),
            "Server-Timing": record.stages.server_timing(),
            "Cache-Control": "no-store",
        },
    )


async def _fuse(
    found: StackFound,
    weights: ServedWeights,
    record: RequestRecord,
    blocks: JobBlocks,
    service: Service,
) -> SharedDescriptor:
    """Have the used exposures fused; a single one is the picture."""
    exposures = found.exposures
    if len(exposures) == 1:
        record.stages.record("queue", 0.0)
        record.stages.record("fuse", 0.0)
        return exposures[0]
    output = await blocks.take(exposures[0].shape, exposures[0].dtype)
    job = FuseJob(
        exposures,
        found.used,
        output,
        found.reference,
        found.alignment,
        found.ghosts,
        weights.label,
    )
    record.stages.current = "queue"
    record.find_place = partial(service.device.find_place, job)
    times = await service.device.fuse(job)
    record.stages.record("queue", times.queue_s)
    record.stages.record("fuse", times.fuse_s)
    return output


def _judge_headers(form: Form, options: FuseOptions, service: Service) -> list[ImageHeader]:
    headers: list[ImageHeader] = []
    for index, file in enumerate(form.files):
        with _naming(form.name_exposure(index)):
            header = sniff(file)
            check_size(header, service.pixel_limits)
        headers.append(header)
    if options.align == "off" and len({header.sides for header in headers}) > 1:
        sizes = [(header.width_px, header.height_px) for header in headers]
        check_one_size(sizes, advice=ALIGNMENT_HELPS)
    return headers


async def _decode(
    form: Form,
    options: FuseOptions,
    headers: Sequence[ImageHeader],
    blocks: JobBlocks,
    turn: Turn,
    service: Service,
) -> list[DecodedImage]:
    """Decode all at once, but of raw files first the one whose white balance is for all."""
    dtype: SampleType = "uint16" if 16 in {header.bits for header in headers} else "uint8"
    destinations = [
        await blocks.take((header.height_px, header.width_px, 3), dtype) for header in headers
    ]

    async def decode(index: int, balance: tuple[float, ...] | None = None) -> DecodedImage:
        with _naming(form.name_exposure(index)):
            return await service.codec.decode(
                form.files[index],
                destination=destinations[index],
                white_balance=balance,
                turn=turn,
            )

    raws = [index for index, header in enumerate(headers) if header.format == "raw"]
    found: dict[int, DecodedImage] = {}
    balance = None
    if raws:
        wanted = None if options.reference is None else options.reference - 1
        first = choose_balanced(raws, wanted=wanted)
        found[first] = await decode(first)
        balance = found[first].white_balance
    rest = [index for index in range(len(headers)) if index not in found]
    decodings = [asyncio.ensure_future(decode(index, balance)) for index in rest]
    try:
        found |= zip(rest, await asyncio.gather(*decodings), strict=True)
        return [found[index] for index in range(len(headers))]
    finally:
        # The first failure decides the answer; the other calls must not go on behind its back.
        for decoding in decodings:
            decoding.cancel()
        await asyncio.gather(*decodings, return_exceptions=True)


def _clear_frames(error: BaseException | None) -> None:
    """Let go of what the functions that failed held: the upload would wait for the collector."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextmanager
def _naming(exposure: str) -> Iterator[None]:
    """Let the message of an error say which exposure it is about."""
    try:
        yield
    except (FileError, CodecError) as error:
        raise type(error)(f"{exposure}: {error.message}") from error

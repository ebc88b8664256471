"""Answers every route; that of `POST /fuse` is walked in `service.fusing.path`."""

import asyncio
import time
from traceback import clear_frames

from fastapi import APIRouter, Request
from starlette.responses import Response

from expofuse.answers import Version, Weights, WeightsVersion
from expofuse.errors import MediaTypeError
from expofuse.package_version import package_version
from model.exposure import (
    MAX_EXPOSURES,
    MIN_EXPOSURES,
    MIN_SIDE_PX,
)
from service.errors import (
    BodyTooLargeError,
    DeadlineError,
    DocumentError,
    ReloadError,
    TooManyConcurrentError,
)
from service.fusing.answering import Answering, read_idempotency_key
from service.fusing.options import parse_options
from service.fusing.path import judge
from service.fusing.tag import matches, name_fusion
from service.http.disconnect import cancel_when_client_leaves
from service.http.grouping import (
    GROUP_OPENAPI,
    MAX_FRAMES,
    MAX_GROUP_BODY_BYTES,
    Grouping,
    GroupsFound,
)
from service.http.jobs import JOB_PROBLEMS
from service.http.operating import add_health_routes, add_metrics_route
from service.http.pictures import KEPT_BY_ITS_CLIENT, PictureResponse, answer_not_modified
from service.http.prefer import read_wait_s
from service.http.problem_pages import add_problem_pages
from service.http.running import RunningRequests
from service.http.schemas import (
    FUSE_OPENAPI,
    FUSED_RESPONSE,
    NOT_MODIFIED_RESPONSE,
    PROGRESS_OPENAPI,
    Limits,
    RequestProgress,
    describe_loaded,
    describe_weights,
)
from service.http.uploads import (
    MAX_CONTENT_TYPE_BYTES,
    MAX_OPTION_BYTES,
    MAX_PART_HEADER_BYTES,
    MAX_PART_HEADERS,
    MAX_PARTS,
    receive_form,
)
from service.lifecycle import Service
from service.problem_types import PROBLEMS
from service.problems import ANYWHERE, describe_problems
from service.request_record import RequestRecord

NOT_OF_FUSE = (DocumentError, ReloadError, *JOB_PROBLEMS)
"""Problems that other routes alone answer with."""


def create_router(service: Service, running: RunningRequests) -> APIRouter:
    """All routes of the service but those of the page.

    Args:
        service: Its parts, started or about to be.
        running: The requests that are being answered.
    """
    router = APIRouter(responses=describe_problems(ANYWHERE))
    grouping = Grouping()
    answering = Answering(service)

    @router.post(
        "/fuse",
        summary="Fuse two to nine exposures of one scene",
        response_class=Response,
        responses=describe_problems(kind for kind in PROBLEMS if kind not in NOT_OF_FUSE)
        | {200: FUSED_RESPONSE, 304: NOT_MODIFIED_RESPONSE},
        openapi_extra=FUSE_OPENAPI,
    )
    async def fuse(request: Request) -> Response:
        record = RequestRecord.of(request.scope)
        _heed_wait(request, record, service.limits.deadline_s)
        try:
            async with asyncio.timeout(None) as deadline:
                return await _fuse_exposures(request, record, service, answering, deadline)
        except TimeoutError as cause:
            raise DeadlineError(
                f"expected an answer within {record.wait_s:g} s, got none"
            ) from cause
        except BaseException as error:
            _clear_frames(error)
            raise

    @router.post(
        "/group",
        summary="Find the brackets of a shoot by what the headers of its files say",
        responses=describe_problems(
            (
                *ANYWHERE,
                BodyTooLargeError,
                MediaTypeError,
                DocumentError,
                TooManyConcurrentError,
            )
        ),
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

    add_health_routes(router, service)

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
            codec_memory_bytes=service.codec_memory_bytes,
        )

    if service.settings.metrics_port is None:
        add_metrics_route(router, service)

    add_problem_pages(router)
    return router


async def _fuse_exposures(
    request: Request,
    record: RequestRecord,
    service: Service,
    answering: Answering,
    deadline: asyncio.Timeout,
) -> Response:
    """Receive a form, have it fused, respond; the deadline begins when the form is here."""
    headers = request.headers
    with service.admission.hold_upload() as upload:
        with record.stages.measure("receive"):
            if record.wait_s <= 0:
                raise TimeoutError  # Nothing is begun that could not be answered.
            key = read_idempotency_key(headers.getlist("idempotency-key"))
            service.admission.check_open(record.caller, patience_s=record.wait_s)
            form = await receive_form(request, upload, max_bytes=service.limits.max_body_bytes)
            record.received = time.monotonic()
            deadline.reschedule(asyncio.get_running_loop().time() + record.wait_s)
            options = parse_options(request.query_params, form.options)
            fusion = judge(form, options, ",".join(headers.getlist("accept")), service)
            names = await name_fusion(fusion, service.info, service.settings.codec.jpeg)
        if matches(",".join(headers.getlist("if-none-match")), names.entity_tag):
            return answer_not_modified(record, names.entity_tag)
        async with cancel_when_client_leaves(request.receive):
            with service.keys.charging(record, fusion.megapixels):
                fused = await answering.answer(fusion, names, key, upload, record)
    return PictureResponse(
        fused.picture,
        fused.allowance,
        media_type=fused.media_type,
        headers={**fused.headers, **KEPT_BY_ITS_CLIENT},
    )


def _heed_wait(request: Request, record: RequestRecord, deadline_s: float) -> None:
    """Set the deadline: the service's, or an earlier one that the client prefers."""
    record.wait_s = deadline_s
    wait_s = read_wait_s(request.headers.getlist("prefer"))
    if wait_s is not None and wait_s <= deadline_s:
        record.wait_s = wait_s
        record.preference_applied = f"wait={wait_s}"


def _clear_frames(error: BaseException | None) -> None:
    """Let go of what the functions that failed held: the upload would wait for the collector."""
    while error is not None:
        clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__

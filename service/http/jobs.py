"""Answers the routes of jobs: accept one, say how far it is, send its picture, end it."""

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import Response

from expofuse.answers import (
    ENDED_STATES,
    PROBLEM_MEDIA_TYPE,
    JobList,
    JobStage,
    JobStatus,
    Problem,
)
from expofuse.errors import OptionError
from model.errors import FusionError
from service.errors import (
    DocumentError,
    JobGoneError,
    JobLostError,
    JobNotFoundError,
    JobsOffError,
    JobUnfinishedError,
    StorageFullError,
)
from service.fusing.answering import read_idempotency_key
from service.fusing.form import Form
from service.fusing.options import OPTION_NAMES, parse_options
from service.fusing.path import judge
from service.http.running import describe_progress
from service.http.schemas import IDEMPOTENCY_HEADER, STORED_RESPONSE, describe_form
from service.http.stored_pictures import StoredPictureResponse, is_unchanged, read_range
from service.http.uploads import receive_form
from service.jobs.deliveries import path_of_job, path_of_result
from service.jobs.job import Job
from service.jobs.jobs import Jobs, JobView
from service.jobs.webhooks import MAX_URL_CHARACTERS
from service.lifecycle import Service
from service.problem_types import (
    ACCEPTED_OUTCOME,
    INTERNAL_ROW,
    PROBLEM_TYPES,
    PROBLEMS,
    type_of,
)
from service.problems import ANYWHERE, INTERNAL_DETAIL, describe_header, describe_problems
from service.request_record import KEY_PREFIX, RequestRecord

WEBHOOK_OPTION: Final = "webhook"
STAGES: Final[tuple[JobStage, ...]] = ("decode", "align", "queue", "fuse", "encode")
"""Those of a run, in order; what has been received was received before the job was accepted."""

JOB_PROBLEMS: Final[tuple[type[FusionError], ...]] = (
    JobsOffError,
    JobNotFoundError,
    JobUnfinishedError,
    JobGoneError,
    JobLostError,
    StorageFullError,
)
"""What only the routes of jobs answer with."""

_ASKING = (*ANYWHERE, JobsOffError, JobNotFoundError)
_NO_STORE = {"Cache-Control": "no-store"}
_ID_PARAMETER: dict[str, object] = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "as `Location` named it; a secret",
}
_BY_ID: dict[str, object] = {"parameters": [_ID_PARAMETER]}
_LOCATION = describe_header("path of the job")


def _describe_accepting() -> dict[str, object]:
    """What `POST /jobs` takes: the form of `POST /fuse`, a webhook and a key."""
    webhook = {
        "type": "string",
        "maxLength": MAX_URL_CHARACTERS,
        "description": "URL to call when the job is done or has failed, of a host that the "
        "operator lists",
    }
    return describe_form({WEBHOOK_OPTION: webhook}, IDEMPOTENCY_HEADER)


def add_job_routes(router: APIRouter, service: Service, jobs: Jobs | None) -> None:
    """Add the routes of jobs.

    Args:
        router: Of all routes.
        service: Its parts.
        jobs: All jobs; None: the service keeps none, and says so.
    """

    def require_jobs() -> Jobs:
        if jobs is None:
            raise JobsOffError("expected a service with a state folder, this one has none")
        return jobs

    @router.post(
        "/jobs",
        status_code=202,
        summary="Accept the exposures of one scene, to be fused whether the client waits or not",
        responses=describe_problems(kind for kind in PROBLEMS if kind is not DocumentError)
        | {202: {"headers": {"Location": _LOCATION}}},
        openapi_extra=_describe_accepting(),
    )
    async def submit_job(request: Request, response: Response) -> JobStatus:
        view = await _accept(request, RequestRecord.of(request.scope), service, require_jobs())
        response.headers.update(_NO_STORE | {"Location": path_of_job(view.job.id)})
        return describe_job(view)

    @router.get(
        "/jobs",
        summary="The jobs of the caller's API key, the last accepted first",
        responses=describe_problems(_ASKING),
    )
    async def list_jobs(request: Request, response: Response) -> JobList:
        caller = RequestRecord.of(request.scope).caller
        kept = require_jobs()
        if not caller.startswith(KEY_PREFIX):
            raise JobNotFoundError("expected an API key to list the jobs of, got none")
        response.headers.update(_NO_STORE)
        return JobList(jobs=[describe_job(view) for view in await kept.view_all(caller)])

    # Read from the request: of a parameter FastAPI would describe answers that are never given.
    @router.get(
        "/jobs/{job_id}",
        summary="How far a job is",
        responses=describe_problems(_ASKING),
        openapi_extra=_BY_ID,
    )
    async def show_job(request: Request, response: Response) -> JobStatus:
        response.headers.update(_NO_STORE)
        return describe_job(await _view(request, require_jobs()))

    @router.get(
        "/jobs/{job_id}/result",
        summary="The picture of a job that is done, or the problem of one that failed",
        response_class=Response,
        responses=describe_problems(kind for kind in PROBLEMS if kind is not DocumentError)
        | {200: STORED_RESPONSE},
        openapi_extra=_BY_ID,
    )
    async def fetch_result(request: Request) -> Response:
        return await _answer_result(request, require_jobs())

    @router.delete(
        "/jobs/{job_id}",
        status_code=204,
        summary="Cancel a job that waits or runs; remove one that is over",
        response_class=Response,
        responses=describe_problems(_ASKING),
        openapi_extra=_BY_ID,
    )
    async def end_job(request: Request) -> Response:
        caller = RequestRecord.of(request.scope).caller
        await require_jobs().end(request.path_params["job_id"], caller)
        return Response(status_code=204)


def describe_job(view: JobView) -> JobStatus:
    """How far a job is, as it is told.

    Args:
        view: The job at this moment.
    """
    job, record = view.job, view.record
    is_ended = job.state in ENDED_STATES
    stage, progress = (None, float(job.state == "done")) if record is None else _find_stage(record)
    return JobStatus(
        id=job.id,
        state=job.state,
        stage=stage,
        progress=progress,
        place=view.ahead.jobs + 1 if view.ahead is not None and job.state == "queued" else 0,
        expected_s=None if view.expected_s is None else round(view.expected_s, 1),
        accepted_at=datetime.fromtimestamp(job.accepted_s, UTC),
        started_at=_read_time(job.started_s),
        finished_at=_read_time(job.finished_s if is_ended else None),
        expires_at=_read_time(job.expires_s if is_ended else None),
        result=path_of_result(job.id) if job.state == "done" else None,
        problem=_describe_failure(job),
        webhook=job.webhook_state,
    )


async def _accept(request: Request, record: RequestRecord, service: Service, jobs: Jobs) -> JobView:
    """Receive a form, judge it as `POST /fuse` does, and keep it."""
    key = read_idempotency_key(request.headers.getlist("idempotency-key"))
    await jobs.check_open()
    with service.admission.hold_upload() as upload:
        form = await receive_form(
            request,
            upload,
            max_bytes=service.limits.max_body_bytes,
            option_names=(*OPTION_NAMES, WEBHOOK_OPTION),
        )
        query, webhook = _take_webhook(request.query_params, form)
        options = parse_options(query, form.options)
        if webhook is not None:
            jobs.listed.check(webhook)
        fusion = judge(form, options, ",".join(request.headers.getlist("accept")), service)
        with service.keys.charging(record, fusion.megapixels):
            job_id = await jobs.accept(fusion, record, webhook=webhook, idempotency_key=key)
    record.outcome = ACCEPTED_OUTCOME
    return await jobs.view(job_id, record.caller)


async def _view(request: Request, jobs: Jobs) -> JobView:
    return await jobs.view(request.path_params["job_id"], RequestRecord.of(request.scope).caller)


async def _answer_result(request: Request, jobs: Jobs) -> Response:
    job = (await _view(request, jobs)).job
    problem = _describe_failure(job)
    if problem is not None and job.problem is not None:
        RequestRecord.of(request.scope).outcome = job.problem.code
        return Response(
            problem.model_dump_json(), problem.status, _NO_STORE, media_type=PROBLEM_MEDIA_TYPE
        )
    if job.state in ("cancelled", "expired"):
        raise JobGoneError(f"expected a job whose picture is kept, it is {job.state}")
    if job.picture is None:
        raise JobUnfinishedError(f"expected a job that is done, it is {job.state}")
    etag = f'"{job.picture.digest}"'
    headers = job.picture.headers | _NO_STORE | {"ETag": etag, "Accept-Ranges": "bytes"}
    if is_unchanged(request.headers, etag):
        return Response(status_code=304, headers=headers)
    size = job.picture.n_bytes
    return StoredPictureResponse(
        await jobs.open_picture(job),
        size,
        read_range(request.headers, etag, size),
        media_type=job.picture.media_type,
        headers=headers,
    )


def _take_webhook(query: QueryParams, form: Form) -> tuple[QueryParams, str | None]:
    """Take the webhook out of the options, which are those of `POST /fuse` then."""
    items = query.multi_items()
    given = [value for name, value in items if name == WEBHOOK_OPTION and value]
    if WEBHOOK_OPTION in form.options:
        given.append(form.options.pop(WEBHOOK_OPTION))
    if len(given) > 1:
        raise OptionError(f"expected the option '{WEBHOOK_OPTION}' once, got it twice")
    rest = QueryParams([one for one in items if one[0] != WEBHOOK_OPTION])
    return rest, given[0] if given else None


def _find_stage(record: RequestRecord) -> tuple[JobStage | None, float]:
    """The stage of a job that runs, and the share of those that are over."""
    told = describe_progress(record)
    current = next((one for one in STAGES if one == told.stage), None)
    over = len(STAGES) if told.stage == "send" else STAGES.index(current) if current else 0
    return current, over / len(STAGES)


def _describe_failure(job: Job) -> Problem | None:
    """Why a job failed: the log tells of it under the id of the request that brought the job."""
    if job.problem is None:
        return None
    row = PROBLEM_TYPES.get(job.problem.code, INTERNAL_ROW)
    return Problem(
        type=type_of(job.problem.code),
        title=row.title,
        status=row.status,
        detail=INTERNAL_DETAIL if row.is_internal else job.problem.detail,
        request_id=job.request_id,
    )


def _read_time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

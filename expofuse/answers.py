"""Models of the service's JSON answers: the service fills them in, the client reads them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

PROBLEM_MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(
        description="stable identifier of the class of problem: the path, at this service, of the "
        "page that says what it means and what to do; `about:blank` where the status says all"
    )
    title: str = Field(description="the same words for every occurrence of this class")
    status: int
    detail: str = Field(description="what was expected and what came")
    request_id: str


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The device worker is alive and warmed up, and the service is not draining."""

    status: Literal["ready"] = "ready"


class WeightsVersion(BaseModel):
    """One weights version."""

    name: str
    version: str


class LoadedVersion(WeightsVersion):
    """One of the weights versions that are served."""

    label: str = Field(description="name and version as one word, as in `X-Expofuse-Weights`")
    architecture: str = Field(description="architecture of its network")
    summary: str = Field(description="what it is; may be empty")
    precision: str = Field(description="precision of its network")
    is_default: bool = Field(description="fuses where the option `weights` is not given")


class Version(BaseModel):
    """What runs here, and on what."""

    service: str = Field(description="version of the service")
    weights: WeightsVersion = Field(description="the default weights version")
    weights_loaded: list[LoadedVersion] = Field(description="all that are served, default first")
    device: str = Field(description="`cpu` or `cuda:N`")
    precision: str = Field(description="precision of the network of the default version")


class Weights(BaseModel):
    """What the option `weights` of `POST /fuse` may ask for."""

    default: str = Field(description="label of the default")
    loaded: list[LoadedVersion] = Field(description="all that are served, default first")
    names: dict[str, str] = Field(
        description="every value of the option, with the label of the version it stands for; a "
        "name without a version stands for the highest one loaded"
    )


JobState = Literal["queued", "running", "done", "failed", "cancelled", "expired"]
JobStage = Literal["receive", "decode", "align", "queue", "fuse", "encode"]
WebhookState = Literal["none", "pending", "delivered", "given-up"]
ENDED_STATES: tuple[JobState, ...] = ("done", "failed", "cancelled", "expired")
"""Those that a job stays in, but that what is done expires."""


class JobStatus(BaseModel):
    """How far a job is."""

    id: str = Field(description="whoever knows it may ask for the picture: keep it secret")
    state: JobState = Field(description="`expired`: it was done, and its picture is no longer kept")
    stage: JobStage | None = Field(None, description="what is being done, of a job that runs")
    progress: float = Field(description="share of the stages that are over, 0 to 1")
    place: int = Field(0, description="about which of the waiting jobs it is, from 1; 0: of none")
    expected_s: float | None = Field(
        None, description="seconds after which it is expected to be done; null: it is over"
    )
    accepted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expires_at: datetime | None = Field(
        None, description="until when it is kept, unless it has to give way before"
    )
    result: str | None = Field(None, description="path of the picture, once there is one")
    problem: Problem | None = Field(None, description="why it failed")
    webhook: WebhookState = Field(
        description="what became of the webhook; `pending` before the job is done too"
    )


class JobList(BaseModel):
    """The jobs of one caller, the last accepted first."""

    jobs: list[JobStatus]

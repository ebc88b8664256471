"""Models of the service's JSON answers: the service fills them in, the client reads them."""

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

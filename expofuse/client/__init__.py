"""The client for Python: fuses through a running service. It needs the extra `client` (httpx)."""

from expofuse.answers import Health, JobStatus, LoadedVersion, Version, Weights, WeightsVersion
from expofuse.client.awaiting import AsyncClient
from expofuse.client.blocking import Client
from expofuse.client.errors import (
    AnswerTimeoutError,
    ApiKeyError,
    BusyError,
    ClientError,
    DeadlineError,
    ExposuresError,
    ImageError,
    NoAnswerError,
    OptionError,
    ProblemDocument,
    ProblemError,
    RequestError,
    ServiceError,
    TooLargeError,
    UnexpectedAnswerError,
    UsageError,
)
from expofuse.client.exposures import Exposure
from expofuse.client.fused import Fused
from expofuse.client.options import FuseOptions
from expofuse.client.report import Alignment, ExposureAlignment, Ghosts, Report
from expofuse.client.retries import Retries
from expofuse.client.state import Limits, ReadyState

__all__ = [
    "Alignment",
    "AnswerTimeoutError",
    "ApiKeyError",
    "AsyncClient",
    "BusyError",
    "Client",
    "ClientError",
    "DeadlineError",
    "Exposure",
    "ExposureAlignment",
    "ExposuresError",
    "FuseOptions",
    "Fused",
    "Ghosts",
    "Health",
    "ImageError",
    "JobStatus",
    "Limits",
    "LoadedVersion",
    "NoAnswerError",
    "OptionError",
    "ProblemDocument",
    "ProblemError",
    "ReadyState",
    "Report",
    "RequestError",
    "Retries",
    "ServiceError",
    "TooLargeError",
    "UnexpectedAnswerError",
    "UsageError",
    "Version",
    "Weights",
    "WeightsVersion",
]

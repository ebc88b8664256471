"""Routes for operators alone; they stand on the port of the metrics, never on the public one."""

from fastapi import APIRouter

from expofuse.answers import Weights
from service.errors import ReloadError
from service.http.schemas import describe_weights
from service.lifecycle import Service
from service.problems import describe_problems

RELOAD_PATH = "/admin/reload"


def add_reload_route(router: APIRouter, service: Service) -> None:
    """Let an operator have the weights loaded again.

    Args:
        router: Of the application on the port of the metrics.
        service: Its parts.
    """

    @router.post(
        RELOAD_PATH,
        summary="Serve the weights as they lie on the disk now",
        responses=describe_problems((ReloadError,)),
    )
    async def reload() -> Weights:
        await service.reload_weights()
        return describe_weights(service.info.weights)

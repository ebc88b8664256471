"""The routes by which a service is watched: its health, its readiness, its metrics."""

from fastapi import APIRouter
from starlette.responses import Response

from expofuse.answers import Health, Readiness
from service.errors import WorkerStoppedError
from service.lifecycle import Service
from service.metrics import METRICS_MEDIA_TYPE


def add_health_routes(router: APIRouter, service: Service) -> None:
    """Add `GET /healthz` and `GET /readyz`.

    Args:
        router: Gets the routes.
        service: Whose health it is.
    """

    @router.get("/healthz", summary="Whether the process answers")
    async def healthz() -> Health:
        return Health()

    @router.get("/readyz", summary="Whether requests should come here")
    async def readyz() -> Readiness:
        status = service.status
        if not status.is_ready:
            raise WorkerStoppedError(status.reason)
        return Readiness()


def add_metrics_route(router: APIRouter, service: Service) -> None:
    """Add `GET /metrics`.

    Args:
        router: Gets the route.
        service: Whose metrics they are.
    """

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {METRICS_MEDIA_TYPE: {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        return Response(service.metrics.exposition(), media_type=METRICS_MEDIA_TYPE)

"""Puts the application of the operators' port together: metrics, health, changes.

It is served where `EXPOFUSE_METRICS_PORT` is set, and without TLS: whoever reaches this port may
use what is on it.
"""

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import OriginError
from service.http.admin_routes import add_reload_route
from service.http.app import add_middleware
from service.http.operating import add_health_routes, add_metrics_route
from service.http.running import RunningRequests
from service.lifecycle import Service
from service.problems import add_problem_handlers, answer_error
from service.request_record import RequestRecord

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class RefusePages:
    """Refuses what a page of a browser sends: every page may send a `POST` to any address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] == "http" and _is_of_page(scope):
            error = OriginError("expected a request of a programme, got one of a page")
            await answer_error(RequestRecord.of(scope), error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_of_page(scope: Scope) -> bool:
    if scope["method"] in SAFE_METHODS:
        return False
    return any(name == b"origin" for name, _ in scope["headers"])


def create_admin_app(service: Service) -> FastAPI:
    """Put the application together.

    Args:
        service: The parts that requests meet; starting and stopping them is the caller's.
    """
    app = FastAPI(title="expofuse, for operators", docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False
    add_problem_handlers(app)
    router = APIRouter()
    add_health_routes(router, service)
    add_metrics_route(router, service)
    add_reload_route(router, service)
    app.include_router(router)
    app.add_middleware(RefusePages)
    routes = [*app.routes, *router.routes]
    add_middleware(app, service, RunningRequests(), routes, open_doors=None)
    return app

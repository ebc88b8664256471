"""Puts the ASGI application together: routes, the page, problem documents, middleware."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from expofuse.package_version import package_version
from service.http.jobs import add_job_routes
from service.http.key_check import KeyCheck, describe_keys
from service.http.middleware import (
    CloseUnread,
    CrossOrigin,
    EveryMethod,
    PlainTarget,
    RequestContext,
)
from service.http.reference import create_reference_routes
from service.http.routes import create_router
from service.http.running import RunningRequests
from service.http.safety import SafeAnswers
from service.jobs.jobs import Jobs
from service.lifecycle import Service
from service.problems import (
    PROBLEM_SCHEMA,
    PROBLEM_SCHEMA_NAME,
    LastHandler,
    add_problem_handlers,
)
from service.web.page_routes import create_page_routes


class DescribedApp(FastAPI):
    """An application whose OpenAPI description holds the form of problem documents."""

    def openapi(self) -> dict[str, Any]:
        """The description that `/openapi.json` answers with."""
        description = super().openapi()
        description["components"]["schemas"][PROBLEM_SCHEMA_NAME] = PROBLEM_SCHEMA
        describe_keys(description)
        return description


def create_app(service: Service, jobs: Jobs | None = None) -> FastAPI:
    """Put the application together.

    Pure ASGI middleware only: a single `@app.middleware("http")` would keep the news of a client
    that left from ever reaching the route.

    Args:
        service: The parts that requests meet; starting and stopping them is the caller's.
        jobs: Those that outlive connections, alike; None: the service keeps none.
    """
    app = DescribedApp(
        title="expofuse",
        summary="Fuses two to nine exposures of one scene into one display-ready picture.",
        version=package_version(),
        # Those of FastAPI load their scripts from elsewhere; `service.http.reference` has ours.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Clients that are generated from the description name their functions by these.
        generate_unique_id_function=lambda route: route.name,
    )
    add_problem_handlers(app)
    running = RunningRequests()
    router = create_router(service, running)
    add_job_routes(router, service, jobs)
    app.include_router(router)
    app.routes.extend(create_reference_routes())
    app.routes.extend(create_page_routes())
    doors = service.settings.keys.open_doors if service.keys.is_needed else None
    add_middleware(app, service, running, [*app.routes, *router.routes], open_doors=doors)
    return app


def add_middleware(
    app: FastAPI,
    service: Service,
    running: RunningRequests,
    routes: Iterable[BaseRoute],
    *,
    open_doors: frozenset[str] | None,
) -> None:
    """Put around an application what every request of it passes.

    Args:
        app: The application, with its routes.
        service: The parts that requests meet.
        running: Knows the requests that are being answered.
        routes: Those of the application.
        open_doors: What needs no key; None: nothing does.
    """
    # The last one added is the outermost.
    app.add_middleware(EveryMethod, methods=_list_methods(routes))
    if open_doors is not None:
        app.add_middleware(KeyCheck, keys=service.keys, open_doors=open_doors)
    app.add_middleware(LastHandler)
    if service.settings.allowed_origins:
        app.add_middleware(CrossOrigin, origins=service.settings.allowed_origins)
    app.add_middleware(CloseUnread)
    app.add_middleware(
        RequestContext,
        metrics=service.metrics,
        running=running,
        retry_after_s=service.limits.retry_after_s,
        tracing=service.tracing,
    )
    app.add_middleware(PlainTarget)
    app.add_middleware(SafeAnswers, hsts_s=service.settings.tls.hsts_s)


def _list_methods(routes: Iterable[BaseRoute]) -> dict[str, set[str]]:
    """The methods that the routes of each path name."""
    methods: dict[str, set[str]] = {}
    for route in routes:
        if isinstance(route, Route):
            methods.setdefault(route.path, set()).update(route.methods or ())
    return methods

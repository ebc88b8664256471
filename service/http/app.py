"""Puts the ASGI application together: routes, problem documents, middleware."""

from fastapi import FastAPI

from expofuse.package_version import package_version
from service.http.middleware import LingeringClose, RequestContext
from service.http.routes import create_router
from service.lifecycle import Service
from service.problems import LastHandler, add_problem_handlers


def create_app(service: Service) -> FastAPI:
    """Put the application together.

    Pure ASGI middleware only: a single `@app.middleware("http")` would keep the news of a client
    that left from ever reaching the route.

    Args:
        service: The parts that requests meet; starting and stopping them is the caller's.
    """
    app = FastAPI(
        title="expofuse",
        summary="Fuses two to nine exposures of one scene into one display-ready picture.",
        version=package_version(),
        # The pages of FastAPI load their scripts from elsewhere; the description stays.
        docs_url=None,
        redoc_url=None,
    )
    add_problem_handlers(app)
    app.include_router(create_router(service))
    # The last one added is the outermost.
    app.add_middleware(LastHandler)
    app.add_middleware(LingeringClose)
    app.add_middleware(
        RequestContext, metrics=service.metrics, retry_after_s=service.limits.retry_after_s
    )
    return app

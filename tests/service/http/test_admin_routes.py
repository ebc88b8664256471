"""The route that reloads weights answers with what is served from then on, or why it is not."""

import httpx
from fastapi import APIRouter, FastAPI

from service.http.admin_routes import RELOAD_PATH, add_reload_route
from service.http.middleware import RequestContext
from service.http.running import RunningRequests
from service.lifecycle import Service
from service.problems import add_problem_handlers
from service.settings import CodecSettings, Settings
from tests.service.backends import backend_command, copying, failing_warm_up, labelled


def make_app(service):
    app, router = FastAPI(), APIRouter()
    add_reload_route(router, service)
    app.include_router(router)
    add_problem_handlers(app)
    app.add_middleware(
        RequestContext, metrics=service.metrics, running=RunningRequests(), retry_after_s=1
    )
    return app


async def test_weights_are_reloaded_or_the_problem_is_told():
    commands = [backend_command(failing_warm_up), backend_command(labelled, "0.0.2", "other")]
    settings = Settings(codec=CodecSettings(processes=1), log_level="error")
    service = Service(settings, backend_command(copying), renew_command=lambda: commands.pop(0))
    await service.start()
    try:
        transport = httpx.ASGITransport(make_app(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            refused = await client.post(RELOAD_PATH)
            assert refused.status_code == 409
            assert refused.json()["type"] == "/problems/reload-failed"
            assert "cuda:7" in refused.json()["detail"]
            assert service.status.is_ready
            assert service.info.weights[0].label == "copy-0.0.1"
            answer = await client.post(RELOAD_PATH)
            assert (answer.status_code, answer.json()["default"]) == (200, "copy-0.0.2")
        assert service.info.weights[0].label == "copy-0.0.2"
        sample = service.metrics.registry.get_sample_value
        for outcome in ("reloaded", "refused"):
            assert sample("expofuse_weights_reloads_total", {"outcome": outcome}) == 1
        text = service.metrics.exposition().decode()
        assert 'version="0.0.2"' in text
        assert 'expofuse_weights_info{default="true",device="cpu",name="copy",' in text
        assert 'name="copy",precision="float32",version="0.0.1"' not in text
    finally:
        await service.stop()

"""A service in this process, its codec processes real, its worker one that copies."""

from contextlib import asynccontextmanager

import httpx

from service.http.app import create_app
from service.lifecycle import Service
from service.settings import CodecSettings, Settings, WorkerSettings
from tests.service.backends import backend_command, copying


@asynccontextmanager
async def serving(*, renew_command=None, backoff_s=0.5, timeout_s=5.0, **rooms):
    """A client of a service that is started for it; `client.service` is the service.

    Args:
        renew_command: Makes the command of the workers that take over.
        backoff_s: Of a worker that ended.
        timeout_s: How long the client waits.
        **rooms: Settings of the service's rooms.
    """
    settings = Settings(
        worker=WorkerSettings(max_running=2, backoff_s=backoff_s),
        codec=CodecSettings(processes=2),
        log_level="error",
        **rooms,
    )
    service = Service(settings, backend_command(copying), renew_command=renew_command)
    await service.start()
    transport = httpx.ASGITransport(create_app(service))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://x", timeout=timeout_s
    ) as client:
        client.service = service
        try:
            yield client
        finally:
            await service.stop()

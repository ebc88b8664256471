"""The whole service on a real socket in this process: connections, codec processes, worker."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn

from service.http.app import create_app
from service.http.connections import ConnectionGuard
from service.lifecycle import Service
from service.settings import CodecSettings, LimitSettings, Settings, WorkerSettings
from tests.service.backends import backend_command, copying

BOUNDARY = "live"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over a connection."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def problem(self) -> str:
        """Code of the problem."""
        return str(json.loads(self.body)["type"]).rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Live:
    """A running service and the port it listens on."""

    service: Service
    port: int

    def sample(self, name: str, /, **labels: str) -> float:
        """A metric's value."""
        value = self.service.metrics.registry.get_sample_value(f"expofuse_{name}", labels)
        assert value is not None, name
        return value

    async def connect(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request, and leave it to the caller to read or to leave."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and read its answer to the end."""
        reader, writer = await self.connect(request)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode().strip().split("\r\n")
            headers = {
                name.lower(): value for name, value in (line.split(": ", 1) for line in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        finally:
            writer.transport.abort()
        return Answer(int(first.split()[1]), headers, body)

    async def ask_stage(self, request_id: str) -> str:
        """The stage that a request is in."""
        answer = await self.exchange(
            f"GET /requests/{request_id} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        return str(json.loads(answer.body)["stage"])


def make_body(files: list[bytes], name: str = "exposures") -> bytes:
    """A multipart form of exposures."""
    body = b""
    for content in files:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="x"'
        body += f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode()


def make_request(
    body: bytes,
    query: str = "?align=off&format=png",
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> bytes:
    """A whole request to fuse."""
    named = {
        "Host": "x",
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items() if value)
    return f"{method} /fuse{query} HTTP/1.1\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def serving_live(
    *, max_running: int = 2, processes: int = 1, **limits: float
) -> AsyncIterator[Live]:
    """Run the service on a free port.

    Args:
        max_running: Jobs that share the device.
        processes: Codec processes.
        limits: See `LimitSettings`.
    """
    settings = Settings(
        limits=LimitSettings.model_validate(limits),
        worker=WorkerSettings(max_running=max_running),
        codec=CodecSettings(processes=processes, abandon_grace_s=30.0),
        log_level="error",
    )
    service = Service(settings, backend_command(copying))
    await service.start()
    guard = ConnectionGuard(service.limits, service.metrics)
    config = uvicorn.Config(
        create_app(service), http=guard.protocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield Live(service, listener.getsockname()[1])
        finally:
            await service.stop()
            server.should_exit = True
            await task


async def until(condition, timeout_s: float = 60.0) -> None:
    """Wait for what happens in another process."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

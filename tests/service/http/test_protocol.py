"""Many pipelines of requests, cut and ended in every way, through a real server in this process."""

import asyncio
import random
import socket
from contextlib import asynccontextmanager

import pytest
import uvicorn
import uvloop

from service.http.connections import ConnectionGuard
from service.settings import LimitSettings

CONNECTIONS = 40
OK = b"HTTP/1.1 200 OK\r\n"


async def count_body(scope, receive, send):
    """Answers how long the body was, some of the time not at once."""
    length, has_more = 0, True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            return
        length += len(message.get("body", b""))
        has_more = message.get("more_body", False)
    if length % 3 == 0:
        await asyncio.sleep(0.03)
    answer = str(length).encode()
    headers = [(b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def serving(metrics):
    guard = ConnectionGuard(LimitSettings(), metrics)
    config = uvicorn.Config(
        count_body, http=guard.protocol, ws="none", lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


def make_request(rng):
    """A request, with the length of its body."""
    kind, length = rng.choice(["get", "whole", "chunks"]), rng.choice([0, 1, 3, 500, 70_000])
    if kind == "get":
        return b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0
    if kind == "whole":
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        return head.encode() + bytes(length), length
    size = rng.choice([1, 4096])
    length = min(length, 500 * size)
    head = (
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    pieces = [min(size, length - at) for at in range(0, length, size)]
    body = b"".join(b"%x\r\n%b\r\n" % (piece, bytes(piece)) for piece in pieces)
    return head + body + b"0\r\n\r\n", length


async def exchange(port, rng):
    """Send a pipeline, whole or in pieces, end the stream, and compare every answer."""
    requests = [make_request(rng) for _ in range(rng.choice([1, 1, 3, 40]))]
    data = rng.choice([b"", b"\r\n"]).join(request for request, _ in requests)
    step = rng.choice([len(data), max(1, len(data) // 7)])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reading = asyncio.create_task(reader.read())
    for begin in range(0, len(data), step):
        writer.write(data[begin : begin + step])
        await writer.drain()
        await asyncio.sleep(0.005)
    writer.write_eof()
    answers = (await asyncio.wait_for(reading, 60)).split(OK)[1:]
    writer.close()
    assert [int(one.partition(b"\r\n\r\n")[2]) for one in answers] == [n for _, n in requests]


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_request_of_every_pipeline_is_answered_once_and_in_order(make_loop, metrics):
    async def scenario():
        failures = []
        asyncio.get_running_loop().set_exception_handler(lambda _, one: failures.append(one))
        rng = random.Random(7)
        async with serving(metrics) as port:
            for _ in range(CONNECTIONS // 10):
                await asyncio.gather(*(exchange(port, rng) for _ in range(10)))
        assert failures == []
        assert metrics.connections._value.get() == 0

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(scenario())

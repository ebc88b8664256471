import asyncio

import pytest

from service.http import middleware
from service.http.middleware import LingeringClose

REFUSAL = [
    {"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"2")]},
    {"type": "http.response.body", "body": b"no"},
]


async def run(app, *, headers, incoming):
    """Run one request; what the server saw, and how many messages of the body were taken."""
    sent, taken = [], []

    async def receive():
        if not incoming:
            await asyncio.sleep(3600)
        taken.append(incoming[0])
        return incoming.pop(0)

    async def send(message):
        sent.append(message)

    await LingeringClose(app)({"type": "http", "headers": headers}, receive, send)
    return sent, taken


async def refuse_at_once(scope, receive, send):
    for message in REFUSAL:
        await send(message)


def chunks(count):
    return [
        {"type": "http.request", "body": b"x", "more_body": index < count - 1}
        for index in range(count)
    ]


async def test_a_refused_body_is_read_to_its_end_before_the_connection_closes():
    sent, taken = await run(refuse_at_once, headers=[(b"content-length", b"5")], incoming=chunks(5))
    assert (b"connection", b"close") in sent[0]["headers"]
    assert sent[1] == {"type": "http.response.body", "body": b"no", "more_body": True}
    assert sent[2] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert len(taken) == 5


async def test_an_endless_body_is_not_read_for_ever(monkeypatch):
    monkeypatch.setattr(middleware, "LINGER_S", 0.05)
    sent, _ = await run(refuse_at_once, headers=[(b"transfer-encoding", b"chunked")], incoming=[])
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_a_client_that_leaves_is_not_waited_for():
    sent, taken = await run(
        refuse_at_once,
        headers=[(b"content-length", b"5")],
        incoming=[{"type": "http.disconnect"}],
    )
    assert len(taken) == 1
    assert len(sent) == 3


@pytest.mark.parametrize(
    "headers",
    [[], [(b"content-length", b"0")], [(b"content-length", b"9"), (b"expect", b"100-Continue")]],
)
async def test_a_request_whose_body_is_not_under_way_is_answered_plainly(headers):
    sent, taken = await run(refuse_at_once, headers=headers, incoming=[])
    assert sent == REFUSAL
    assert taken == []


async def test_an_answer_after_the_whole_body_keeps_the_connection():
    async def read_then_answer(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await refuse_at_once(scope, receive, send)

    sent, _ = await run(read_then_answer, headers=[(b"content-length", b"3")], incoming=chunks(3))
    assert sent == REFUSAL


async def test_an_answer_in_parts_is_passed_on():
    async def answer_in_parts(scope, receive, send):
        await send(REFUSAL[0])
        await send({"type": "http.response.body", "body": b"n", "more_body": True})
        await send({"type": "http.response.body", "body": b"o"})

    sent, _ = await run(answer_in_parts, headers=[(b"content-length", b"1")], incoming=chunks(1))
    assert b"".join(message.get("body", b"") for message in sent) == b"no"
    assert [message.get("more_body") for message in sent[1:]] == [True, True, False]


async def test_other_protocols_are_left_alone():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    await LingeringClose(app)({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]

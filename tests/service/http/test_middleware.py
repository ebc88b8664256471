import asyncio

import pytest

from service.http.middleware import CloseUnread, CrossOrigin, EveryMethod, PlainTarget

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

    await CloseUnread(app)({"type": "http", "headers": headers}, receive, send)
    return sent, taken


async def refuse_at_once(scope, receive, send):
    for message in REFUSAL:
        await send(message)


def chunks(count):
    return [
        {"type": "http.request", "body": b"x", "more_body": index < count - 1}
        for index in range(count)
    ]


@pytest.mark.parametrize("header", [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])
@pytest.mark.parametrize("expect", [[], [(b"expect", b"100-continue")]])
async def test_an_answer_before_the_end_of_the_body_is_the_last_of_its_connection(header, expect):
    sent, taken = await run(refuse_at_once, headers=[header, *expect], incoming=chunks(5))
    assert (b"connection", b"close") in sent[0]["headers"]
    assert sent[1:] == REFUSAL[1:]
    assert taken == []


async def test_a_client_that_leaves_has_no_connection_to_close():
    async def notice_then_answer(scope, receive, send):
        await receive()
        await refuse_at_once(scope, receive, send)

    sent, _ = await run(
        notice_then_answer,
        headers=[(b"content-length", b"5")],
        incoming=[{"type": "http.disconnect"}],
    )
    assert sent == REFUSAL


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"0")]])
async def test_a_request_without_a_body_is_answered_plainly(headers):
    sent, _ = await run(refuse_at_once, headers=headers, incoming=[])
    assert sent == REFUSAL


async def test_an_answer_after_the_whole_body_keeps_the_connection():
    async def read_then_answer(scope, receive, send):
        while (await receive()).get("more_body"):
            pass
        await refuse_at_once(scope, receive, send)

    sent, _ = await run(read_then_answer, headers=[(b"content-length", b"3")], incoming=chunks(3))
    assert sent == REFUSAL


async def routed(path, method="GET"):
    """One request through what every route gets; the request that arrived, and what was sent."""
    arrived, sent = [], []

    async def answer(scope, receive, send):
        arrived.append((scope["method"], scope["path"]))
        status = 405 if scope["method"] == "DELETE" else 200
        await send({"type": "http.response.start", "status": status, "headers": [ALLOW, LENGTH]})
        await send({"type": "http.response.body", "body": b"no"})

    async def send(message):
        sent.append(message)

    methods = {"/fuse": {"POST"}, "/limits": {"GET"}, "/requests/{request_id}": {"GET"}}
    app = PlainTarget(EveryMethod(answer, methods=methods))
    await app({"type": "http", "path": path, "method": method, "headers": []}, None, send)
    return arrived, sent


ALLOW, LENGTH = (b"allow", b"?"), (b"content-length", b"2")


@pytest.mark.parametrize(
    "path",
    ["/limits", "/limits/", "//limits", "/limits//", "http://x/limits", "HTTPS://x:1/limits/"],
)
async def test_a_path_is_found_however_it_is_spelt(path):
    arrived, _ = await routed(path)
    assert arrived == [("GET", "/limits")]


async def test_head_is_get_without_the_body():
    arrived, sent = await routed("/limits", "HEAD")
    assert arrived == [("GET", "/limits")]
    assert (sent[0]["headers"], sent[1]["body"]) == ([ALLOW, LENGTH], b"")
    arrived, _ = await routed("/fuse", "HEAD")
    assert arrived == [("HEAD", "/fuse")]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/fuse/", b"OPTIONS, POST"),
        ("/limits", b"GET, HEAD, OPTIONS"),
        ("/requests/any-id", b"GET, HEAD, OPTIONS"),
        ("*", b"GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_options_says_what_there_is(path, allow):
    arrived, sent = await routed(path, "OPTIONS")
    assert arrived == []
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"allow"]) == (204, allow)


async def test_a_wrong_method_is_told_the_right_ones():
    _, sent = await routed("/limits", "DELETE")
    assert dict(sent[0]["headers"])[b"allow"] == b"GET, HEAD, OPTIONS"


async def test_an_unknown_path_is_left_to_the_application():
    arrived, _ = await routed("/nothing", "OPTIONS")
    assert arrived == [("OPTIONS", "/nothing")]


async def test_other_protocols_are_left_alone():
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    for wrapped in (
        CloseUnread(app),
        PlainTarget(app),
        EveryMethod(app, methods={}),
        CrossOrigin(app, origins=["*"]),
    ):
        await wrapped({"type": "lifespan"}, None, None)
    assert seen == ["lifespan"] * 4

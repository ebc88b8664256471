"""What a tag and a key promise, by the real weights and processes."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.conftest import make_client, metric

pytestmark = pytest.mark.e2e

REQUESTS = 6


def test_equal_requests_have_equal_bytes_whatever_runs_beside_them(server, under, over):
    """Alignment and the search for what moved included; micro-batches mix both formats."""

    def send(number):
        with make_client(server) as client:
            query = "?format=png&bit_depth=16" if number % 2 else "?format=jpeg"
            files = {"under": under, "over": over}
            answer = client.post(f"/fuse{query}", files=files)
            assert answer.status_code == 200
            return answer.headers["etag"], answer.content

    with ThreadPoolExecutor(REQUESTS) as pool:
        answers = list(pool.map(send, range(REQUESTS)))
    assert len({tag for tag, _ in answers}) == 2
    assert len(set(answers)) == 2


def test_a_picture_that_the_client_has_is_not_fused(client, post):
    first = post("?format=png")
    fused = metric(client, "requests_total", outcome="fused")
    again = post("?format=png", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert metric(client, "requests_total", outcome="fused") == fused
    assert metric(client, "requests_total", outcome="not-modified") >= 1


def test_a_request_that_is_repeated_with_its_key_is_not_fused_again(client, post):
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    first = post(headers=key)
    fused = metric(client, "requests_total", outcome="fused")
    again = post(headers=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["x-expofuse-cache"] == "hit"
    assert metric(client, "requests_total", outcome="fused") == fused
    assert metric(client, "kept_bytes", kept_for="keyed") >= len(first.content)

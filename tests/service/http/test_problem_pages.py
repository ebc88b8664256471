import json
import re
from urllib.parse import urljoin

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from service.http.middleware import RequestContext
from service.http.problem_pages import INDEX_PATH, add_problem_pages
from service.http.running import RunningRequests
from service.problem_types import PROBLEM_TYPES, type_of
from service.problems import add_problem_handlers

BASE = "http://x"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def client(metrics):
    app = FastAPI()
    add_problem_handlers(app)
    router = APIRouter()
    add_problem_pages(router)
    app.include_router(router)
    app.add_middleware(RequestContext, metrics=metrics, running=RunningRequests(), retry_after_s=3)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE)


@pytest.mark.parametrize("code", PROBLEM_TYPES)
async def test_every_type_resolves_to_its_page_in_three_forms(client, code):
    row = PROBLEM_TYPES[code]
    address = urljoin(f"{BASE}/fuse?format=png", type_of(code))
    page = await client.get(address, headers={"Accept": BROWSER})
    plain = await client.get(address, headers={"Accept": "*/*"})
    data = await client.get(address, headers={"Accept": "application/json"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert f"<h1>{row.title}</h1>" in page.text
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert row.meaning in plain.text
    assert row.remedy in plain.text
    assert data.headers["content-type"] == "application/json"
    assert data.json() == {
        "type": f"/problems/{code}",
        "title": row.title,
        "status": row.status,
        "meaning": row.meaning,
        "remedy": row.remedy,
        "may_retry": row.may_retry,
    }


async def test_a_page_asks_for_nothing_and_may_not(client):
    for path in (INDEX_PATH, type_of("queue-full")):
        page = await client.get(path, headers={"Accept": BROWSER})
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; ")
        assert "; style-src 'sha256-" in policy
        assert not re.search(r"<(script|link|img|iframe|object)|url\(|//", page.text)


async def test_the_list_leads_to_every_page(client):
    page = await client.get(INDEX_PATH, headers={"Accept": BROWSER})
    found = re.findall(r'href="([^"]+)"', page.text)
    assert found == [type_of(code) for code in PROBLEM_TYPES]
    listed = (await client.get(INDEX_PATH, headers={"Accept": "application/json"})).json()
    assert [one["type"] for one in listed["problems"]] == found
    plain = (await client.get(INDEX_PATH)).text
    assert plain.count("\n") == len(found)


async def test_code_in_a_text_is_marked_and_nothing_else_is_markup(client):
    page = await client.get(type_of("head-too-large"), headers={"Accept": BROWSER})
    assert "<code>GET /limits</code>" in page.text
    assert "`" not in page.text


async def test_a_type_that_there_is_not_is_a_problem_whose_type_there_is(client):
    lost = await client.get("/problems/nothing")
    assert (lost.status_code, lost.json()["type"]) == (404, "/problems/http-404")
    assert (await client.get(lost.json()["type"])).status_code == 200


async def test_the_description_names_the_list(client):
    described = (await client.get("/openapi.json")).json()
    assert list(described["paths"]) == [INDEX_PATH]
    assert "remedy" in json.dumps(described["components"])

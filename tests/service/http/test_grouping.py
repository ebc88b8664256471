"""`POST /group`: what it finds, and what it refuses."""

import asyncio
import json

import httpx
import jsonschema
import pytest
from fastapi import FastAPI, Request

from expofuse.grouping import Groups
from service.errors import DocumentError
from service.http.grouping import (
    GROUP_OPENAPI,
    MAX_FRAMES,
    MAX_GROUP_BODY_BYTES,
    MAX_WAITING,
    Grouping,
    GroupsFound,
    read_shoot,
)
from service.http.middleware import RequestContext
from service.http.running import RunningRequests
from service.metrics import Metrics
from service.problems import add_problem_handlers

JSON = {"Content-Type": "application/json"}


def frame(number, bias_ev=0.0, **facts):
    """A frame of a camera that brackets by its compensation, one a second."""
    return {
        "name": f"IMG_{number:04}.JPG",
        "taken_s": 1_714_557_600.0 + number,
        "exposure_s": 2.0**bias_ev / 60,
        "f_number": 8.0,
        "iso": 100.0,
        "bias_ev": bias_ev,
        "width_px": 6000,
        "height_px": 4000,
        **facts,
    }


@pytest.fixture
def client():
    app = FastAPI()
    add_problem_handlers(app)
    grouping = Grouping()

    @app.post("/group")
    async def group(request: Request) -> GroupsFound:
        return await grouping.answer(request)

    app.add_middleware(
        RequestContext, metrics=Metrics(), running=RunningRequests(), retry_after_s=1
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")


async def test_brackets_and_single_files_are_told_as_the_command_tells_them(client):
    frames = [frame(number, ev) for number, ev in enumerate((0, -2, 2))]
    answer = await client.post("/group", json={"frames": [*frames, frame(500)]})
    assert answer.status_code == 200, answer.text
    groups = Groups.from_json(answer.content)
    assert [one.names for one in groups.brackets] == [tuple(one["name"] for one in frames)]
    assert [one.name for one in groups.singles] == ["IMG_0500.JPG"]
    assert answer.json()["singles"][0]["reason"]


async def test_a_shoot_without_files_holds_nothing(client):
    answer = await client.post("/group", json={"frames": []})
    assert answer.json() == {"form": "expofuse-groups-1", "brackets": [], "singles": []}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"no json", "at its start"),
        (b"{}", "at frames"),
        (b'{"frames": [{}]}', "at frames.0.name"),
        (b'{"frames": [{"name": "a", "exposure_s": -1}]}', "at frames.0.exposure_s"),
        (b'{"frames": [{"name": "a", "exposure_s": 1e999}]}', "at frames.0.exposure_s"),
        (b'{"frames": [{"name": "a", "iso": 5e-324}]}', "at frames.0.iso"),
        (b'{"frames": [{"name": "a", "width_px": true}]}', "at frames.0.width_px"),
        (b'{"frames": [{"name": "a", "sekret": 1}]}', "at frames.0.sekret"),
        (b'{"frames": [{"name": "a"}, {"name": "a"}]}', "two of one name"),
        (json.dumps({"frames": [{"name": str(n)} for n in range(MAX_FRAMES + 1)]}), "at frames"),
    ],
)
async def test_another_document_is_refused_by_its_place(client, body, said):
    answer = await client.post("/group", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["type"] == "/problems/malformed-document"
    assert said in answer.json()["detail"]


async def test_a_body_of_another_type_or_size_is_refused(client):
    other = await client.post("/group", content=b"{}", headers={"Content-Type": "text/plain"})
    assert other.status_code == 415
    large = b" " * (MAX_GROUP_BODY_BYTES + 1)
    assert (await client.post("/group", content=large, headers=JSON)).status_code == 413


async def test_shoots_wait_for_each_other_but_not_without_bound(client):
    asked = {"frames": [frame(number) for number in range(40)]}
    calls = [client.post("/group", json=asked) for _ in range(MAX_WAITING + 8)]
    answers = await asyncio.gather(*calls)
    assert {one.status_code for one in answers} == {200, 503}
    assert [one.status_code for one in answers].count(200) == MAX_WAITING + 1
    assert (await client.post("/group", json=asked)).status_code == 200


def test_the_description_is_a_schema_of_what_is_taken():
    schema = GROUP_OPENAPI["requestBody"]["content"]["application/json"]["schema"]
    assert "$ref" not in json.dumps(schema)
    jsonschema.validate({"frames": [frame(1)]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"frames": [{"name": ""}]}, schema)


def test_what_a_client_wrote_is_not_repeated_to_it():
    with pytest.raises(DocumentError) as caught:
        read_shoot(b'{"frames": [{"name": "a", "kind": "sekret"}]}')
    assert "sekret" not in caught.value.message

"""The committed OpenAPI description is that of the service, and says what clients rely on."""

import json

import pytest
from jsonschema import Draft202012Validator

from service.fusing.options import MEDIA_TYPES, OPTION_NAMES
from service.fusing.told import TOLD_HEADERS
from service.http.openapi import describe_api
from service.http.routes import NOT_OF_FUSE
from service.problems import CLIENT_LEFT_STATUS, PROBLEMS
from tests.paths import ROOT

COMMITTED = ROOT / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def paths():
    return json.loads(COMMITTED.read_text())["paths"]


def test_the_committed_description_is_that_of_the_service():
    assert COMMITTED.read_text() == describe_api(), "run `make openapi`"


def test_settings_do_not_change_the_description(monkeypatch):
    monkeypatch.setenv("EXPOFUSE_METRICS_PORT", "9100")
    monkeypatch.setenv("EXPOFUSE_LIMITS__MAX_JOBS", "3")
    assert COMMITTED.read_text() == describe_api()


def test_operations_have_names_that_a_generated_client_can_use(paths):
    names = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(set(names)) == len(names)
    assert {"fuse", "limits", "version", "weights", "healthz", "readyz"} <= set(names)
    assert all(name.isidentifier() for name in names)


def test_every_status_of_every_problem_is_described(paths):
    responses = paths["/fuse"]["post"]["responses"]
    kinds = PROBLEMS.keys() - set(NOT_OF_FUSE)
    statuses = {PROBLEMS[kind].status for kind in kinds} - {CLIENT_LEFT_STATUS}
    assert responses.keys() == {"200", "304", *map(str, statuses)}
    for path in paths.values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                headers = response.get("headers", {})
                assert ("Retry-After" in headers) == (status in ("429", "503", "507"))
                assert ("WWW-Authenticate" in headers) == (status == "401")
                if not status.startswith("2") and status != "304":
                    assert list(response["content"]) == ["application/problem+json"]


def test_the_picture_is_described_with_its_formats_and_headers(paths):
    response = paths["/fuse"]["post"]["responses"]["200"]
    assert response["content"].keys() == set(MEDIA_TYPES.values())
    assert response["headers"].keys() == {*TOLD_HEADERS, "X-Request-Id"}


def test_every_option_may_be_empty(paths):
    operation = paths["/fuse"]["post"]
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    places = {place: {} for place in ("query", "header")}
    for one in operation["parameters"]:
        places[one["in"]][one["name"]] = one["schema"]
    assert places["header"].keys() == {"If-None-Match", "Idempotency-Key"}
    query = places["query"]
    assert query.keys() == set(OPTION_NAMES)
    for name, schema in query.items():
        assert form[name] == schema
        Draft202012Validator(schema).validate("")

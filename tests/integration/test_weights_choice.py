"""Several weights versions, of both architectures, in one service.

Each request gets what the version that it asks for gives alone.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from service.console.cli import main
from tests import images
from tests.integration.conftest import (
    RELEASED,
    Post,
    make_client,
    metric,
    problem_of,
    server_settings,
    wait_for,
)
from tests.paths import ROOT
from tests.server import RunningServer, running_server
from tests.service.versions import write_blend_version

pytestmark = pytest.mark.e2e

OLDER = "hyperp-mb-1.1.0"
NAME = RELEASED.rpartition("-")[0]
BLEND = "blend-0.1.0"
"""Of the other architecture, whose runs have three passes; nobody trained it."""
LABELS = (OLDER, RELEASED, BLEND)


@pytest.fixture(scope="module", autouse=True)
def _both_are_there(weights: str) -> None:
    if weights != RELEASED or not (ROOT / "weights" / OLDER).is_dir():
        pytest.skip(f"there are no {RELEASED} and {OLDER} below weights/")


@pytest.fixture(scope="module")
def blend(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blend_version(tmp_path_factory.mktemp("weights"), BLEND)


@pytest.fixture(scope="module")
def several(blend: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """The older version is the default, so that a bare name asks for another one."""
    log_path = tmp_path_factory.mktemp("several") / "server.log"
    settings = server_settings(f"{OLDER},{RELEASED}, {blend}")
    with running_server(settings, log_path=log_path) as running:
        yield running


@pytest.fixture(scope="module")
def answers(
    blend: Path, reference: bytes, under: bytes, over: bytes, tmp_path_factory
) -> dict[str, bytes]:
    """What a service that has only one version answers to the sound pair, by its label."""
    found = {RELEASED: reference}
    for label, served in ((OLDER, OLDER), (BLEND, str(blend))):
        log_path = tmp_path_factory.mktemp("alone") / "server.log"
        with (
            running_server(server_settings(served), log_path=log_path) as alone,
            make_client(alone) as client,
        ):
            answer = client.post("/fuse", files={"under": under, "over": over})
        assert answer.headers["x-expofuse-weights"] == label
        found[label] = answer.content
    assert len(set(found.values())) == len(LABELS)
    return found


@pytest.fixture(scope="module")
def visitor(several: RunningServer) -> Iterator[httpx.Client]:
    with make_client(several) as client:
        yield client


@pytest.fixture(scope="module")
def ask(visitor: httpx.Client, under: bytes, over: bytes) -> Post:
    def send(query: str = "", **fields: str) -> httpx.Response:
        files = {"under": under, "over": over}
        return visitor.post(f"/fuse{query}", files=files, data=fields)

    return send


@pytest.mark.parametrize(
    ("query", "fields", "label"),
    [
        ("", {}, OLDER),
        (f"?weights={OLDER}", {}, OLDER),
        (f"?weights={RELEASED}", {}, RELEASED),
        (f"?weights={NAME}", {}, RELEASED),
        ("?weights=hyperp-mb", {}, OLDER),
        ("?weights=blend", {}, BLEND),
        ("", {"weights": RELEASED}, RELEASED),
        ("", {"weights": BLEND}, BLEND),
    ],
)
def test_a_request_gets_the_bytes_of_a_service_that_has_only_that_version(
    ask, answers, query, fields, label
):
    response = ask(query, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["x-expofuse-weights"] == label
    assert response.content == answers[label]


@pytest.mark.parametrize(
    ("label", "unused"), [(OLDER, "1=surplus 3=duplicate"), (RELEASED, "3=duplicate")]
)
def test_weights_for_pairs_say_which_exposures_of_a_bracket_they_leave_out(visitor, label, unused):
    scenes = [images.encoded(pixels=images.scene(gain=gain)) for gain in (0.6, 0.3, 0.6, 1.0)]
    files = [("exposures", file) for file in scenes]
    response = visitor.post(f"/fuse?weights={label}&align=off", files=files)
    assert response.status_code == 200, response.text
    assert response.headers["x-expofuse-unused"] == unused


def test_requests_for_several_versions_at_one_time_keep_their_bytes(ask, answers, visitor):
    labels = [*LABELS] * 4
    before = {label: metric(visitor, "fuse_seconds_count", weights=label) for label in answers}
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(lambda label: ask(f"?weights={label}"), labels))
    for label, response in zip(labels, responses, strict=True):
        assert response.headers["x-expofuse-weights"] == label
        assert response.content == answers[label]
    for label, count in before.items():
        assert metric(visitor, "fuse_seconds_count", weights=label) == count + 4


@pytest.mark.parametrize("given", ["hyperp-mb-9.9.9", "mertens"])
def test_weights_that_are_not_loaded_are_a_422_that_names_those_that_are(ask, several, given):
    response = ask(f"?weights={given}")
    assert response.status_code == 422
    problem = problem_of(response)
    assert problem["type"] == "/problems/bad-option"
    assert problem["detail"] == (
        f"expected weights as one of {OLDER}, {RELEASED}, {BLEND}, blend, hyperp-mb, {NAME}, "
        "got another"
    )
    assert "mertens" not in several.log()


def test_what_may_be_asked_for_is_published(visitor):
    weights = visitor.get("/weights").json()
    assert weights["default"] == OLDER
    names = {NAME: RELEASED, "blend": BLEND, "hyperp-mb": OLDER}
    assert weights["names"] == dict(zip(LABELS, LABELS, strict=True)) | names
    assert [one["label"] for one in weights["loaded"]] == [*LABELS]
    architectures = [one["architecture"] for one in weights["loaded"]]
    assert architectures == ["hyperp-mb", "pyramid-blend", "pyramid-blend"]
    version = visitor.get("/version").json()
    assert version["weights"] == {"name": "hyperp-mb", "version": "1.1.0"}
    assert version["weights_loaded"] == weights["loaded"]
    assert [one["is_default"] for one in version["weights_loaded"]] == [True, False, False]
    paths = visitor.get("/openapi.json").json()["paths"]
    assert "200" in paths["/weights"]["get"]["responses"]
    options = {one["name"] for one in paths["/fuse"]["post"]["parameters"]}
    assert "weights" in options


def test_metrics_show_every_version_and_mark_the_default(visitor):
    text = visitor.get("/metrics").text
    shown = [line for line in text.splitlines() if line.startswith("expofuse_weights_info{")]
    for line, label in zip(shown, LABELS, strict=True):
        assert f'version="{label.rpartition("-")[2]}"' in line
        assert ('default="true"' in line) == (label == OLDER)


def test_the_log_line_of_a_request_names_its_weights(several, visitor, under, over):
    for index, label in enumerate(LABELS):
        visitor.post(
            f"/fuse?weights={label}",
            files={"under": under, "over": over},
            headers={"X-Request-Id": f"choice-{index}"},
        )
        mark = f'"choice-{index}"'
        wait_for(lambda mark=mark: mark in several.log())
        (line,) = [line for line in several.log().splitlines() if mark in line]
        assert json.loads(line)["weights"] == label


def test_the_command_line_asks_for_a_version(several, answers, tmp_path, capsys, under, over):
    (tmp_path / "under.png").write_bytes(under)
    (tmp_path / "over.png").write_bytes(over)
    files = [str(tmp_path / name) for name in ("under.png", "over.png", "fused.png")]
    command = ["fuse", *files, "--url", several.base_url, "--weights"]
    assert main([*command, NAME]) == 0
    assert (tmp_path / "fused.png").read_bytes() == answers[RELEASED]
    assert capsys.readouterr().out.startswith(f"{RELEASED}; ")
    assert main([*command, "none"]) == 1
    assert f"expected weights as one of {OLDER}, {RELEASED}" in capsys.readouterr().err


def test_a_worker_that_dies_under_jobs_of_every_version_loses_none_of_them(
    several, ask, answers, visitor
):
    (worker,) = [
        one
        for one in psutil.Process(several.process.pid).children()
        if "service.device.child" in " ".join(one.cmdline())
    ]
    labels = [*LABELS] * 2
    worker.suspend()
    with ThreadPoolExecutor(len(labels)) as pool:
        load = [pool.submit(ask, f"?weights={label}") for label in labels]
        wait_for(lambda: metric(visitor, "running_jobs") == len(labels))
        worker.kill()
        responses = [one.result() for one in load]
    assert [response.content for response in responses] == [answers[label] for label in labels]
    wait_for(lambda: metric(visitor, "worker_restarts_total") == 1)

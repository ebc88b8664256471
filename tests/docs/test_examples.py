"""The commands and programs of the documents, run as they stand against the real server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import RELEASED, server_settings
from tests.paths import ROOT
from tests.server import RunningServer, running_server
from tests.trainer import photographs

pytestmark = pytest.mark.e2e

ADDRESS = "127.0.0.1:8000"
TIMEOUT_S = 1200.0
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
README = "README.md"
START = "docs/start.md"
OPTIONS = "docs/options.md"
PHOTOGRAPHERS = "docs/guides/photographers.md"
OPERATORS = "docs/guides/operators.md"
JOBS = "docs/guides/jobs.md"
TRAINERS = "docs/guides/trainers.md"
PAGES = (README, START, OPTIONS, PHOTOGRAPHERS, OPERATORS, JOBS, TRAINERS)
NOT_RUN = {
    "make serve",  # tests/deploy/test_first_minutes.py
    "make venv-dev",
    "EXPOFUSE_WEIGHTS=first-0.1.0,pyramid-blend-2.1.0 make serve",
    "make test",
    "make test-slow",
    "make lint",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    place = tmp_path_factory.mktemp("server")
    settings = server_settings(RELEASED) | {"EXPOFUSE_STATE_DIR": str(place / "state")}
    with running_server(settings, log_path=place / "server.log") as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a reader has: the folder of the repository, with its environment, and photographs."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(ROOT / "trainer" / "configs", tmp_path / "trainer" / "configs")
    shutil.copytree(ROOT / "weights" / RELEASED, tmp_path / "weights" / RELEASED)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    for name in ("under", "over"):
        place = tmp_path / "brackets" / "room" / f"{name}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "examples" / f"{name}.jpg", place)
    lonely = tmp_path / "brackets" / "lonely" / "under.jpg"
    lonely.parent.mkdir()
    shutil.copy(ROOT / "examples" / "under.jpg", lonely)
    return tmp_path


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Language and text of each fenced block of a page."""
    return BLOCK.findall((ROOT / page).read_text())


def run(command: list[str], folder: Path) -> str:
    """What a command writes; it must end well."""
    bin_path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    # PyTorch with two threads on a core that is shared crawls.
    ours = {"PATH": bin_path, "no_proxy": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | ours,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_page(page: str, folder: Path, address: str) -> list[str]:
    """Run every block of a page in its order; what each of them wrote."""
    written = []
    for language, text in blocks_of(page):
        here = text.replace(ADDRESS, address)
        if language == "sh":
            written.append(run(["bash", "-euo", "pipefail", "-c", here], folder))
        elif language == "python":
            written.append(run([str(folder / ".venv" / "bin" / "python"), "-c", here], folder))
    return written


def address_of(server: RunningServer) -> str:
    return server.base_url.removeprefix("http://")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_does_not_have_run_is_known(page):
    for language, text in blocks_of(page):
        assert language in {"sh", "python", "console", "json", ""}, language
        if language == "console":
            commands = {line.partition("  #")[0].strip() for line in text.splitlines()}
            assert commands <= NOT_RUN
        elif language == "json":
            json.loads(text)


def test_the_options_are_taken_from_the_address_and_the_form(folder, server):
    run_page(OPTIONS, folder, address_of(server))
    assert (folder / "fused.webp").read_bytes()[8:12] == b"WEBP"
    assert (folder / "fused.png").read_bytes().startswith(b"\x89PNG")


def test_all_ways_of_the_readme_give_the_same_picture(folder, server):
    run_page(README, folder, address_of(server))
    names = ("fused.jpg", "fused-here.jpg", "fused-by-python.jpg")
    pictures = {(folder / name).read_bytes() for name in names}
    assert len(pictures) == 1


def test_the_start_says_what_the_service_answers(folder, server):
    ready, _, headers, _, told, _, problem, explained = run_page(START, folder, address_of(server))
    assert ready == '{"status":"ready"}'
    assert "identity" in headers
    assert told.startswith(f"{RELEASED} identity")
    assert json.loads(problem)["type"] == "/problems/bad-option"
    assert explained.startswith("An option is not accepted")


def test_the_photographers_fuse_a_folder_and_one_bad_bracket_ends_nothing(folder, server):
    written = run_page(PHOTOGRAPHERS, folder, address_of(server))
    report = written[1].splitlines()
    assert report[0].startswith("brackets/lonely: expected 2 to 9")
    assert report[1] == "brackets/room: 2 exposures"
    assert (folder / "brackets" / "room.fused.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (folder / "fused.tif").stat().st_size > 100_000


def test_the_operators_see_what_they_ask_for(folder, server):
    written = run_page(OPERATORS, folder, address_of(server))
    assert '"max_megapixels"' in written[1]
    assert "expofuse_requests_total" in written[2]
    assert "/problems/queue-full" in written[3]


def test_a_job_is_sent_and_fetched_by_curl_and_by_python(folder, server):
    run_page(JOBS, folder, address_of(server))
    assert (folder / "fused.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (folder / "fused.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_trainers_go_from_photographs_to_weights(folder):
    for scene in range(3):
        radiance = photographs.make_radiance(seed=scene)
        for index, ev in enumerate((-3, 0, 3)):
            pixels = photographs.photograph(radiance, ev, seed=index)
            photographs.save(folder / "PHOTOS" / str(scene) / f"{index}.jpg", pixels)
    run_page(TRAINERS, folder, ADDRESS)
    assert (folder / "weights" / "first-0.1.0" / "manifest.json").is_file()
    assert (folder / "runs" / "first" / "record.json").is_file()
    compared = (folder / "comparison" / "summary.json").read_text()
    assert all(name in compared for name in ("first-0.1.0", RELEASED, "mertens"))

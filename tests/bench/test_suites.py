"""The suites of `python -m bench`: each in its smallest form, and what their records hold."""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, CalledProcessError, Popen
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from bench import __main__ as command
from bench import opponents, scenes
from bench.measurement import OURS, CannotError, Measurement, run_rounds
from bench.opponents import OPENCV, PROGRAMS
from bench.plots import write_plot
from bench.processes import read_core_time, read_memory, run_command
from bench.repository import ROOT
from bench.scope import QUICK, Curve, Scope
from bench.suites import align, codec, fuse, peers, request, service, start
from bench.timing import Cost

SCHEMA = json.loads((ROOT / "bench" / "record.schema.json").read_text())
TINY = replace(
    QUICK,
    name="tiny",
    repeats=2,
    case_mp=0.1,
    sizes_mp=(0.05, 0.1),
    counts=(2, 3),
    count_mp=0.05,
    clients=(1, 2),
    load_rounds=2,
)


@pytest.fixture(autouse=True)
def no_photographs_and_no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every machine has: the sample pair, and no programs but Python."""
    for module in (align, codec, peers, request, scenes):
        monkeypatch.setattr(module, "has_photographs", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)


def run(suite: str, folder: Path, scope: Scope = TINY) -> dict[str, Any]:
    """Run a suite by the command's own function; its record, which follows the schema."""
    command.run_suite(suite, scope, folder)
    record = json.loads((folder / f"{suite}.json").read_text())
    jsonschema.validate(record, SCHEMA)
    assert record["suite"] == suite
    assert (folder / f"{suite}.svg").exists() == bool(record["curves"])
    for measurement in record["measurements"]:
        check_ratios(measurement)
    return record  # type: ignore[no-any-return]


def check_ratios(measurement: Mapping[str, Any]) -> None:
    """Every ratio is that of two costs of one round."""
    for way, ratio in measurement["ratios"].items():
        for clock, found in ratio.items():
            ours = measurement["rounds"][OURS][f"{clock}_s"]["values"]
            others = measurement["rounds"][way][f"{clock}_s"]["values"]
            wanted = [one / other for one, other in zip(ours, others, strict=True)]
            assert found["values"] == pytest.approx(wanted, rel=1e-3)


def find(record: Mapping[str, Any], name: str) -> Any:
    """The measurement of that name."""
    return next(one for one in record["measurements"] if one["name"] == name)


def test_ratios_are_of_the_same_round_and_not_of_medians() -> None:
    rounds = {
        OURS: [Cost(1, 2), Cost(3, 2), Cost(2, 2)],
        "other": [Cost(4, 1), Cost(1, 1), Cost(2, 1)],
    }
    measurement = Measurement("job", "made", 32, 32, 2, rounds).describe()
    ratio = measurement["ratios"]["other"]  # type: ignore[index]
    assert ratio["wall"] == {"median": 1.0, "min": 0.25, "max": 3.0, "values": [0.25, 3.0, 1.0]}
    assert ratio["cpu"]["values"] == [2.0, 2.0, 2.0]


def test_a_way_that_cannot_is_left_out_with_its_reason() -> None:
    tries: list[None] = []

    def fail() -> None:
        tries.append(None)
        raise CannotError("finds nothing")

    skipped: dict[str, str] = {}
    rounds = run_rounds({OURS: lambda: None, "other": fail}, repeats=3, skipped=skipped)
    assert {way: len(costs) for way, costs in rounds.items()} == {OURS: 3}
    assert skipped == {"other": "finds nothing"}
    assert len(tries) == 1
    with pytest.raises(CannotError):
        run_rounds({"other": fail}, repeats=1)


def test_a_command_costs_what_its_children_cost(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nbytearray(50_000_000)"
    shell = ["/bin/sh", "-c", f"{sys.executable} -c '{busy}'"]
    ended = run_command(shell, cwd=tmp_path, timeout_s=60)
    assert 0.3 <= ended.cost.cpu_s <= ended.cost.wall_s * 1.1
    assert ended.peak_mib > 50
    with pytest.raises(CalledProcessError) as failure:
        run_command(["/bin/sh", "-c", "exit 3"], cwd=tmp_path, timeout_s=60)
    assert failure.value.stderr.strip() == "/bin/sh ended with status 3"


def test_core_time_of_another_process_is_read_from_outside() -> None:
    busy = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True); input()"
    command_line = [sys.executable, "-c", busy]
    with Popen(command_line, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert read_core_time(process.pid) >= 0.5
        assert read_memory([process.pid]).mib > 1
        process.communicate(b"\n")


def test_alignment_of_still_and_moved_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(align, "SIZES_MP", (0.1,))
    record = run("align", tmp_path)
    assert find(record, "0.1 MP, still")["facts"]["outcome"] == "identity"
    moved = find(record, "0.1 MP, moved")["facts"]
    assert moved["outcome"] == "homography"
    assert moved["corner_error_px"] < 3
    assert [curve["name"] for curve in record["curves"]] == ["time, still", "time, moved"]


def test_fusion_with_its_passes_roofline_and_peaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuse, "SIZES_MP", (0.1,))
    record = run("fuse", tmp_path)
    one = find(record, "0.1 MP, 1 thread")
    assert set(one["facts"]["passes"]) == {"reduce", "coarse", "blend"}
    roofline = one["facts"]["roofline"]
    assert roofline["least_bytes"] == one["width"] * one["height"] * 3 * 3
    for reached, possible, share in (
        ("bytes_per_core_s", "copy_bytes_per_core_s", "share_of_copy"),
        ("operations_per_core_s", "product_operations_per_core_s", "share_of_product"),
    ):
        for got, could, part in zip(
            roofline[reached]["values"],
            roofline[possible]["values"],
            roofline[share]["values"],
            strict=True,
        ):
            assert part == pytest.approx(got / could, rel=1e-3)
            assert 0 < part < 1
    three = find(record, "3 of 0.05 MP")
    assert set(three["peak_memory"]) == {OURS, fuse.MERTENS}
    assert {curve["along"] for curve in record["curves"]} == {"megapixels", "exposures"}


def test_codec_beside_opencv_and_pillow_in_every_format(tmp_path: Path) -> None:
    record = run("codec", tmp_path)
    for name in ("decode webp", "encode tiff", "a pair in and a picture out, jpeg, 0.6 MP"):
        measurement = find(record, name)
        assert set(measurement["ratios"]) == {codec.OPENCV, codec.PILLOW}
        core_s = measurement["rounds"][OURS]["cpu_s"]["median"]
        per_megapixel = measurement["facts"]["core_ms_per_megapixel"][OURS]["median"]
        assert per_megapixel == pytest.approx(
            1000 * core_s / (measurement["width"] * measurement["height"] / 1e6), rel=1e-3
        )


@pytest.mark.slow
@pytest.mark.e2e
def test_requests_with_their_stages_and_memory(tmp_path: Path) -> None:
    record = run("request", tmp_path)
    assert set(record["facts"]["service"]["weights_loaded"][0]) >= {"name", "version"}
    stack = find(record, "3 of 0.1 MP, by hand, something moves")
    assert stack["exposures"] == 3
    assert stack["skipped"][PROGRAMS] == "not installed: align_image_stack, enfuse"
    assert OPENCV in stack["ratios"]
    facts = stack["facts"]
    assert "homography" in facts["alignment"]
    assert not facts["answers_differ"]
    assert facts["stages_s"]["align"]["median"] > 0
    assert facts["stages_alone_core_s"]["fuse"]["median"] > 0
    assert stack["rounds"][OURS]["cpu_s"]["median"] > 0
    assert stack["peak_memory"][OURS]["mib"] > 50


@pytest.mark.slow
@pytest.mark.e2e
def test_clients_at_once_beside_what_the_stages_allow(tmp_path: Path) -> None:
    record = run("service", tmp_path)
    two = find(record, "2 clients")
    assert two["facts"]["clients"] == 2
    assert not two["facts"]["answers_differ"]
    assert len(two["facts"]["requests_per_s"]["values"]) == TINY.load_rounds
    share = two["facts"]["share_of_allowed"]["values"]
    assert share == pytest.approx(
        [1 / value for value in two["ratios"][service.ALLOWED]["wall"]["values"]], rel=1e-3
    )


@pytest.mark.slow
@pytest.mark.e2e
def test_start_idle_memory_and_installation(tmp_path: Path) -> None:
    facts = run("start", tmp_path)["facts"]
    assert facts["ready_s"]["median"] > 0
    by_process = facts["idle_memory_by_process_mib"]
    assert {"event loop 1", "device worker 1", "codec process 1"} <= set(by_process)
    assert sum(by_process.values()) == pytest.approx(facts["idle_memory_mib"]["median"], rel=0.2)
    installed = facts["installed"]
    assert installed["service_mib"] > sum(installed["largest_mib"].values()) * 0.9
    assert "numpy" in start.find_needed(["opencv-python-headless"])[0]


def test_what_is_not_installed_is_said() -> None:
    assert start.find_needed(["no-such-thing-as-this"])[1] == ["no-such-thing-as-this"]


@pytest.mark.slow
def test_peers_warm_and_as_commands(tmp_path: Path) -> None:
    record = run("peers", tmp_path, replace(TINY, repeats=1))
    warm, commands = record["measurements"]
    assert set(warm["ratios"]) == {OPENCV}
    assert commands["skipped"] == {PROGRAMS: "not installed: align_image_stack, enfuse"}
    assert commands["peak_memory"][OPENCV]["mib"] > 20


def test_the_command_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["fuse", "speed"])
    assert "got speed" in capsys.readouterr().err


def test_the_command_writes_a_record_and_tells_the_ratios(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.main(["codec", "--quick", f"--out={tmp_path}"])
    said = capsys.readouterr().out
    assert "decode jpeg, 0.6 MP" in said
    assert "of opencv" in said
    jsonschema.validate(json.loads((tmp_path / "codec.json").read_text()), SCHEMA)


def test_displaced_exposures_show_the_scene_where_their_maps_say() -> None:
    scene = scenes.take_handheld(0.2, 3)
    assert scene.maps is not None
    first, reference, last = scene.exposures
    to_reference = np.linalg.inv(scene.maps[2])
    moved = cv2.warpPerspective(last, to_reference, (scene.width, scene.height))
    inside = (slice(40, -40), slice(40, -40))
    still = scenes.take_still(0.2 / (1 - 2 * scenes.MARGIN) ** 2, 3).exposures[2]
    top, left = (still.shape[0] - scene.height) // 2, (still.shape[1] - scene.width) // 2
    there = still[top : top + scene.height, left : left + scene.width]
    assert np.abs(moved[inside].astype(int) - there[inside]).mean() < 4
    assert np.abs(last[inside].astype(int) - there[inside]).mean() > 8
    assert first.shape == reference.shape


def test_scenes_have_the_size_and_number_asked_for_and_are_the_same_every_time() -> None:
    scene = scenes.take_handheld(0.3, 5, moves=True)
    assert len(scene.exposures) == 5
    assert scene.width * scene.height / 1e6 == pytest.approx(0.3, rel=0.02)
    again = scenes.take_handheld(0.3, 5, moves=True)
    assert scene.encode() == again.encode()
    means = [one.mean() for one in scene.exposures]
    assert means == sorted(means)


def test_the_same_curves_give_the_same_plot(tmp_path: Path) -> None:
    curves = [Curve("time", "s", "clients", {OURS: [(1, 0.5), (2, 0.8)]})] * 3
    for name in ("one.svg", "other.svg"):
        write_plot(tmp_path / name, "service", curves)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()


def test_a_program_that_is_installed_is_measured_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    if opponents.why_no_programs() is not None:
        pytest.skip("align_image_stack and enfuse are not installed")
    paths = [tmp_path / path.name for path in scenes.SAMPLE]
    for source, path in zip(scenes.SAMPLE, paths, strict=True):
        shutil.copy(source, path)
    ended = opponents.fuse_by_programs(paths, tmp_path)
    assert (tmp_path / "fused.jpg").stat().st_size > 10_000
    assert ended.cost.cpu_s > 0
    assert ended.peak_mib > 5

"""The hard cases: what they look like, what is measured of them, and the sheets."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench import hard_cases
from bench.rendered_views import shoot
from bench.repository import ROOT

SIDE_PX = 96
PANORAMAS = (
    "royal_esplanade_1k",
    "crystal_falls_1k",
    "noon_grass_1k",
    "circus_arena_1k",
    "st_peters_square_night_1k",
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Tiny panoramas under the names that the cases take."""
    (tmp_path / "hdri").mkdir()
    for seed, name in enumerate(PANORAMAS):
        noise = np.random.default_rng(seed).standard_normal((48, 96, 3))
        smooth = cv2.GaussianBlur(noise, (0, 0), 4)
        radiance = 2 ** (3 * smooth / np.abs(smooth).max())
        cv2.imwrite(str(tmp_path / "hdri" / f"{name}.hdr"), radiance.astype(np.float32))
    return tmp_path


def test_every_case_has_a_sheet_and_the_drawn_ones_are_measured(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sheets = data / "hard-cases.json", data / "sheets"
    weights = ROOT / "weights" / "hyperp-mb-1.1.0"
    options = [f"--weights={weights}", f"--data={data}", f"--side-px={SIDE_PX}", f"--out={path}"]
    monkeypatch.setattr(sys, "argv", ["hard_cases.py", str(sheets), *options])
    hard_cases.main()
    cases = json.loads(path.read_text())["cases"]
    assert list(cases) == list(hard_cases.CASES)
    assert sorted(sheet.stem for sheet in sheets.iterdir()) == sorted(cases)
    assert all(sheet.stat().st_size < 200_000 for sheet in sheets.iterdir())
    assert cases["white-over"]["fused_exposures"] == {"hyperp-mb-1.1.0": 1}
    measured = cases["wall-beside-panel"]["measured"]
    assert list(measured) == ["hyperp-mb-1.1.0", "MergeMertens"]
    assert measured["hyperp-mb-1.1.0"]["channels_apart_by"] < 6
    assert set(cases["step-beside-ramp"]["measured"]["MergeMertens"]) == {
        "ramp_falls_by",
        "fields_uneven_by",
    }


def test_the_wall_is_neutral_in_the_exposures_and_its_measure_sees_a_tint(data: Path) -> None:
    case = hard_cases.CASES["wall-beside-panel"]
    under, over = shoot(case.draw(data, SIDE_PX), case.evs).exposures
    for exposure in (under, over):
        assert hard_cases.measure_wall_beside_panel(exposure)["channels_apart_by"] < 2
    assert over[-1].min() == 255
    tinted = over.copy()
    tinted[SIDE_PX // 4 - 1, :, 2] += 9
    assert hard_cases.measure_wall_beside_panel(tinted)["channels_apart_by"] > 8


def test_the_measure_of_the_step_sees_a_dip_in_the_ramp_and_a_rim(data: Path) -> None:
    case = hard_cases.CASES["step-beside-ramp"]
    truth = shoot(case.draw(data, SIDE_PX), case.evs).truth
    of_truth = hard_cases.measure_step_beside_ramp(truth)
    assert of_truth == {"ramp_falls_by": 0.0, "fields_uneven_by": 0.0}
    spoilt = truth.copy()
    spoilt[: SIDE_PX // 4, 40:44] -= 20
    spoilt[-SIDE_PX // 4 :, SIDE_PX // 2 + 6] += 12
    of_spoilt = hard_cases.measure_step_beside_ramp(spoilt)
    assert of_spoilt["ramp_falls_by"] > 10
    assert of_spoilt["fields_uneven_by"] == 12.0


def test_the_lamps_are_clipped_in_the_over_exposure_alone(data: Path) -> None:
    case = hard_cases.CASES["coloured-lamps"]
    under, over = shoot(case.draw(data, SIDE_PX), case.evs).exposures
    row = SIDE_PX // 3
    lamps = [round(index * SIDE_PX / 5) for index in range(1, 5)]
    assert over[row, lamps].min() > 240
    assert under[row, lamps].max() < 250
    assert under[row, lamps].argmax(axis=1).tolist() == [0, 0, 1, 2]

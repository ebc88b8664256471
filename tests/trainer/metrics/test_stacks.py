"""Metrics and guards of stacks of more than two exposures: order, copies, what each one counts."""

from itertools import permutations

import cv2
import numpy as np
import pytest
import scipy.signal
import torch

from tests.trainer.metrics.test_guards import count_reversals, make_edge
from tests.trainer.metrics.test_table import HEIGHT, WIDTH, make_radiance
from trainer.metrics import GUARDS, MEASURES, fmi, halo, ms_ssim, qabf, tone_inversion, viff
from trainer.metrics.guards.hue import foreign_hue
from trainer.metrics.windows import gaussian_taps

COMPARING = [name for name, one in MEASURES.items() if one.inputs == "sources + fused"]
GAINS = (0.4, 1.0, 1.8, 3.0)
OF_ENDS = [name for name in COMPARING if name.startswith("highlight-")]
OF_ENDS += ["lost-shadows", "crushed"]
"""What compares with the darkest and the brightest exposure alone."""


def make_stack(name: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Four exposures, dark to bright, and a fusion with faults, as the measure reads them."""
    scene = make_radiance()
    noise = np.random.default_rng(8).normal(0, 2, (len(GAINS), HEIGHT, WIDTH))
    planes = [
        np.rint(np.clip(scene * gain + of_one, 0, 255))
        for gain, of_one in zip(GAINS, noise, strict=True)
    ]
    mean = np.mean(planes, axis=0)
    fused = np.clip(1.9 * mean - 0.9 * cv2.GaussianBlur(mean, (0, 0), 12), 0, 255)
    fused[:, :60] = 255 - fused[:, :60]
    pictures = [plane.astype(np.uint8) for plane in (*planes, fused)]
    if MEASURES[name].reads == "rgb":
        shifts = (0, 3, 11)
        pictures = [
            np.stack([np.roll(one, shift + turn, axis=1) for shift in shifts], axis=-1)
            for turn, one in enumerate(pictures)
        ]
    return pictures[:-1], pictures[-1]


@pytest.mark.parametrize("name", COMPARING)
def test_the_order_of_the_exposures_does_not_matter(name: str) -> None:
    exposures, fused = make_stack(name)
    value = MEASURES[name].compute(exposures, fused)
    for order in ((3, 2, 1, 0), (1, 3, 0, 2)):
        turned = MEASURES[name].compute([exposures[index] for index in order], fused)
        assert turned == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", COMPARING)
def test_every_exposure_taken_twice_changes_nothing(name: str) -> None:
    exposures, fused = make_stack(name)
    value = MEASURES[name].compute(exposures, fused)
    doubled = [one for one in exposures for _ in range(2)]
    assert MEASURES[name].compute(doubled, fused) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("index", range(len(GAINS)))
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("VIFF", 1e-12), ("inversion", 1e-12), ("hue", 1e-12), ("halo", 1e-12), ("MEF-SSIM", 0.02)],
)
def test_one_exposure_taken_twice_changes_nothing_much(
    name: str, tolerance: float, index: int
) -> None:
    exposures, fused = make_stack(name)
    value = MEASURES[name].compute(exposures, fused)
    copied = [*exposures[: index + 1], *exposures[index:]]
    assert value > 0
    assert MEASURES[name].compute(copied, fused) == pytest.approx(value, rel=tolerance)


@pytest.mark.parametrize("name", [name for name in COMPARING if name not in OF_ENDS])
def test_a_further_exposure_is_looked_at(name: str) -> None:
    exposures, fused = make_stack(name)
    if name == "clipped":
        exposures[1][:90], fused[:90] = 255, 255
    of_pair = MEASURES[name].compute([exposures[0], exposures[-1]], fused)
    assert MEASURES[name].compute(exposures, fused) != pytest.approx(of_pair, rel=1e-3)


@pytest.mark.parametrize("name", OF_ENDS)
def test_exposures_between_the_darkest_and_the_brightest_are_not_looked_at(name: str) -> None:
    exposures, fused = make_stack(name)
    value = MEASURES[name].compute(exposures, fused)
    assert value > 0
    assert MEASURES[name].compute([exposures[-1], exposures[0]], fused) == value


@pytest.mark.parametrize("name", [name for name in MEASURES if name not in COMPARING])
def test_what_judges_the_fusion_alone_does_not_look_at_the_exposures(name: str) -> None:
    exposures, fused = make_stack(name)
    assert MEASURES[name].compute(exposures, fused) == MEASURES[name].compute((), fused)


@pytest.mark.parametrize("name", COMPARING)
def test_a_single_exposure_is_no_stack(name: str) -> None:
    exposures, fused = make_stack(name)
    with pytest.raises(ValueError, match="expected at least 2 exposures, got 1"):
        MEASURES[name].compute(exposures[:1], fused)


@pytest.mark.parametrize("metric", [ms_ssim, fmi])
def test_of_a_stack_the_mean_over_the_exposures_is_taken(metric) -> None:
    exposures, fused = make_stack("FMI")
    alone = [metric([one, one], fused) for one in exposures]
    assert metric(exposures, fused) == pytest.approx(np.mean(alone), rel=1e-12)


def test_exposures_weigh_in_qabf_by_their_edges() -> None:
    exposures, fused = make_stack("Qabf")
    strengths = []
    for one in exposures:
        slopes = [
            cv2.Sobel(one.astype(np.float64), -1, *axes, borderType=cv2.BORDER_CONSTANT)
            for axes in ((1, 0), (0, 1))
        ]
        strengths.append(np.hypot(*slopes).sum())
    alone = [qabf([one, one], fused) for one in exposures]
    expected = np.average(alone, weights=strengths)
    assert qabf(exposures, fused) == pytest.approx(expected, rel=1e-9)


def viff_of_scale(exposures: list[np.ndarray], fused: np.ndarray, window: np.ndarray) -> float:
    """The share of information kept at one scale, place by place as the definition reads."""
    size = len(window)
    kept = present = 0.0
    for top in range(fused.shape[0] - size + 1):
        for left in range(fused.shape[1] - size + 1):
            cut = np.s_[top : top + size, left : left + size]
            result = fused[cut] - (window * fused[cut]).sum()
            choices = []
            for exposure in exposures:
                source = exposure[cut] - (window * exposure[cut]).sum()
                variance = (window * source**2).sum()
                gain = max((window * source * result).sum() / variance, 0)
                noise = (window * result**2).sum() - gain * (window * source * result).sum()
                seen = max(noise, 1e-10) + 0.005 * 255**2
                choices.append(
                    (gain, np.log10(1 + gain**2 * variance / seen), variance / (0.005 * 255**2))
                )
            _, of_place, strength = min(choices)
            kept += of_place + 1e-7
            present += np.log10(1 + strength) + 1e-7
    return kept / present


def test_viff_takes_the_exposure_of_the_smallest_gain_everywhere() -> None:
    rng = np.random.default_rng(2)
    scene = cv2.GaussianBlur(rng.normal(size=(46, 43)), (0, 0), 2) * 200
    exposures = [gain * scene + rng.normal(0, 9, scene.shape) + 100 for gain in (0.5, 1.0, 1.5)]
    fused = scene + 100
    planes, expected = [*exposures, fused], 0.0
    for scale, (size, weight) in enumerate(((17, 1.0), (9, 0.0), (5, 0.15), (3, 1.0))):
        window = np.outer(gaussian_taps(size, size / 5), gaussian_taps(size, size / 5))
        if scale:
            planes = [scipy.signal.convolve2d(one, window, "valid")[::2, ::2] for one in planes]
        expected += weight * viff_of_scale(planes[:-1], planes[-1], window) / 2.15
    assert viff(exposures, fused) == pytest.approx(expected, rel=1e-9)


def test_inversion_of_a_stack_equals_its_definition_pair_by_pair() -> None:
    exposures, fused = make_stack("inversion")
    cut = np.s_[:90, 40:160]
    exposures, fused = [one[cut] for one in exposures], fused[cut]
    expected = count_reversals(exposures, fused)
    assert 1 < expected < 99
    assert tone_inversion(exposures, fused) == pytest.approx(expected, rel=1e-12)


def test_a_clipped_exposure_takes_no_order_from_those_that_show_it() -> None:
    ramp = np.tile(np.arange(0, 128, dtype=np.uint8), (64, 1))
    clipped = np.full_like(ramp, 255)
    assert tone_inversion([ramp, 2 * ramp, clipped], 255 - ramp) == 100.0
    assert tone_inversion([ramp, clipped, clipped - 9], 255 - ramp) == 0.0
    contrary = 200 - ramp
    assert tone_inversion([ramp, 2 * ramp, contrary], 255 - ramp) == 0.0


def test_a_clipped_exposure_takes_no_edge_from_those_that_show_it() -> None:
    dark, middle, white = make_edge(10, 90), make_edge(110, 230), make_edge(255, 255)
    fused = make_edge(60, 160)
    fused[:, 256:272] += 20
    of_pair = halo([dark, middle], fused)
    assert of_pair > 0
    for order in permutations((dark, middle, white)):
        assert halo(order, fused) == of_pair
    assert halo([dark, white, white - 9], fused) == 0.0
    barely, against = make_edge(251, 250), make_edge(255, 250)
    assert halo([dark, middle, barely], fused) == of_pair
    assert halo([dark, middle, against], fused) == 0.0


def test_a_rim_that_any_exposure_shows_may_be_kept() -> None:
    exposures = [make_edge(10, 90), make_edge(60, 160), make_edge(110, 200)]
    fused = make_edge(60, 160)
    fused[:, 256:272] += 20
    assert halo(exposures, fused) > 0
    exposures[1][:, 256:272] += 10
    assert halo(exposures, fused) == 0.0


def test_any_mix_of_the_exposures_colours_has_no_foreign_hue() -> None:
    generator = torch.Generator().manual_seed(3)
    cells = torch.rand(4, 2, 3, 8, 8, generator=generator, dtype=torch.float64) * 255
    exposures = [one.repeat_interleave(4, 2).repeat_interleave(4, 3) for one in cells]
    shares = torch.rand(4, generator=generator, dtype=torch.float64)
    mix = sum(share * one for share, one in zip(shares / shares.sum(), exposures, strict=True))
    assert foreign_hue(mix, exposures).max().item() < 1e-9
    assert foreign_hue(mix, exposures[:2]).min().item() > 1
    # The nearest of all pairs' mixes, cell by cell, is the nearest of all mixes.
    strange = mix.flip(1)
    of_pairs = [
        foreign_hue(strange, [exposures[first], exposures[second]])
        for first in range(4)
        for second in range(first)
    ]
    assert (foreign_hue(strange, exposures) < torch.stack(of_pairs).min(dim=0).values).all()


def test_guards_of_a_stack_that_shows_nothing_are_zero() -> None:
    flat = [np.full((64, 64), level, np.uint8) for level in (0, 90, 255)]
    for name in ("inversion", "halo"):
        assert GUARDS[name].compute(flat, flat[1]) == 0.0

"""The guards: reversed tones, rims and colour, on pictures whose faults are known."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from trainer.metrics import GUARDS, MEASURES, METRICS, RANKED_METRICS, halo, tone_inversion
from trainer.metrics.guards.cells import average_cells
from trainer.metrics.guards.mean_chroma import mean_chroma
from trainer.metrics.guards.tone_order import CELLS as TONE_CELLS
from trainer.metrics.guards.tone_order import ORDERED_BY, REVERSED_BY

HEIGHT, WIDTH = 192, 288
GREY = ("inversion", "halo")


def make_scene() -> np.ndarray:
    """Smooth tones of several sizes, 0..1."""
    noise = np.random.default_rng(4).standard_normal((HEIGHT, WIDTH))
    scene = sum(sigma * cv2.GaussianBlur(noise, (0, 0), sigma) for sigma in (6, 20, 50))
    return (scene - scene.min()) / np.ptp(scene)


def expose(scene: np.ndarray, gain: float) -> np.ndarray:
    return np.rint(255 * np.clip(gain * scene, 0, 1) ** (1 / 2.2)).astype(np.uint8)


def make_pair() -> tuple[np.ndarray, np.ndarray]:
    """Exposures of which the brighter one is clipped in half of the picture."""
    scene = make_scene()
    return expose(scene, 0.3), expose(scene, 2.0)


def make_edge(dark: float, bright: float, *, width: int = 512, height: int = 64) -> np.ndarray:
    edge = np.full((height, width), dark, np.float64)
    edge[:, width // 2 :] = bright
    return edge


def count_reversals(exposures: Sequence[np.ndarray], fused: np.ndarray) -> float:
    """The share of reversed pairs, pair by pair as the definition reads."""
    *tones, result = (
        average_cells(picture.astype(np.float64), TONE_CELLS).ravel().tolist()
        for picture in (*exposures, fused)
    )
    ordered = wrong = 0
    for i in range(len(result)):
        for j in range(len(result)):
            steps = [of_exposure[i] - of_exposure[j] for of_exposure in tones]
            if sum(step > ORDERED_BY for step in steps) >= 2 and min(steps) >= -ORDERED_BY:
                ordered += 1
                wrong += result[i] - result[j] < -REVERSED_BY
    return 100 * wrong / ordered


def test_inversion_equals_its_definition_pair_by_pair() -> None:
    under, over = (picture[:80, :120] for picture in make_pair())
    fused = cv2.addWeighted(under, 1.5, over, -0.8, 120)
    expected = count_reversals((under, over), fused)
    assert 1 < expected < 99
    assert tone_inversion((under, over), fused) == pytest.approx(expected, rel=1e-12)


def test_a_monotone_curve_of_either_exposure_reverses_nothing() -> None:
    under, over = make_pair()
    curves = [np.arange(256.0), 255 * (np.arange(256) / 255) ** 0.4, np.arange(256) // 2 + 60.0]
    for exposure in (under, over):
        for curve in curves:
            assert tone_inversion((under, over), curve[exposure]) == 0.0
    assert tone_inversion((under, over), (under / 2 + over / 2)) == 0.0


def test_the_negative_reverses_all_that_is_ordered() -> None:
    under, over = make_pair()
    assert tone_inversion((under, over), 255 - under) == 100.0


def test_inversion_grows_with_the_share_of_the_picture_that_is_reversed() -> None:
    under, over = make_pair()
    values = []
    for share in (0.0, 0.2, 0.5):
        fused = under.astype(np.float64)
        columns = slice(0, round(share * WIDTH))
        fused[:, columns] = 255 - fused[:, columns]
        values.append(tone_inversion((under, over), fused))
    assert values[0] == 0.0
    assert values[0] < values[1] < values[2]


def test_what_one_exposure_shows_as_equal_has_no_order_to_reverse() -> None:
    ramp = np.tile(np.arange(0, 128, dtype=np.uint8), (64, 1))
    clipped = np.full_like(ramp, 255)
    assert tone_inversion((ramp, clipped), 255 - ramp) == 0.0
    half = np.where(np.arange(128) < 64, ramp, 255).astype(np.uint8)
    assert tone_inversion((ramp, half), 255 - ramp) == 100.0


def test_noise_and_texture_do_not_count_as_reversed_tones() -> None:
    under, over = make_pair()
    noise = np.random.default_rng(1).normal(0, 12, under.shape)
    assert tone_inversion((under, over), under + noise) < 0.5


def test_an_edge_without_a_rim_has_no_halo() -> None:
    under, over = make_edge(10, 90), make_edge(120, 250)
    for fused in (under, over, (under + over) / 2, make_edge(0, 255)):
        assert halo((under, over), fused) == 0.0


@pytest.mark.parametrize("side", ["bright", "dark"])
def test_halo_is_the_height_of_the_rim_in_per_cent_of_the_edge(side: str) -> None:
    under, over = make_edge(10, 90), make_edge(110, 230)
    rim = slice(256, 272) if side == "bright" else slice(240, 256)
    for height in (2, 10, 30):
        fused = make_edge(60, 160)
        fused[:, rim] += height if side == "bright" else -height
        # An edge of 120 levels is seen from both sides, and 2 levels of its rim are forgiven.
        assert halo((under, over), fused) == pytest.approx(100 * (height - 2) / (2 * 120))


@pytest.mark.parametrize("width", [8, 16, 28])
def test_wide_and_narrow_rims_are_found_along_rows_and_columns(width: int) -> None:
    under, over = make_edge(10, 90, height=512), make_edge(110, 230, height=512)
    fused = make_edge(60, 160, height=512)
    fused[:, 256 : 256 + width] += 20
    expected = 100 * 18 / (2 * 120)
    assert halo((under, over), fused) == pytest.approx(expected)
    assert halo((under.T, over.T), fused.T) == pytest.approx(expected)


def test_tones_that_run_with_the_edge_are_no_rim() -> None:
    under, over = make_edge(10, 90), make_edge(110, 230)
    fused = make_edge(60, 160)
    fused[:, 256:288] -= 20
    assert halo((under, over), fused) == 0.0


def test_a_rim_of_an_exposure_may_be_kept_and_doubled_but_not_more() -> None:
    under, over, fused = make_edge(10, 90), make_edge(110, 200), make_edge(60, 160)
    over[:, 256:272] += 10
    for height, is_rim in ((10, False), (22, False), (30, True)):
        rimmed = fused.copy()
        rimmed[:, 256:272] += height
        assert (halo((under, over), rimmed) > 0) == is_rim


def test_weak_edges_and_edges_on_which_the_exposures_disagree_have_no_rims() -> None:
    fused = make_edge(60, 160)
    fused[:, 256:272] += 30
    assert halo((make_edge(10, 20), make_edge(110, 135)), fused) == 0.0
    assert halo((make_edge(90, 10), make_edge(110, 230)), fused) == 0.0


def test_halo_is_the_same_of_a_scene_at_twice_the_size() -> None:
    under, over = make_edge(10, 90, height=512), make_edge(110, 230, height=512)
    fused = cv2.GaussianBlur(make_edge(60, 160, height=512), (0, 0), 6) * -0.5
    fused += make_edge(90, 240, height=512)

    def double(plane: np.ndarray) -> np.ndarray:
        return plane.repeat(2, axis=0).repeat(2, axis=1)

    value = halo((under, over), fused)
    assert value > 5
    assert halo((double(under), double(over)), double(fused)) == pytest.approx(value, rel=1e-9)
    doubled = tone_inversion((double(under), double(over)), double(255 - fused))
    assert doubled == pytest.approx(tone_inversion((under, over), 255 - fused), rel=1e-9)


@pytest.mark.parametrize("name", GREY)
@pytest.mark.parametrize("shape", [(2, 2), (2, 300), (300, 2), (64, 64)])
def test_guards_of_flat_and_of_small_pictures_are_zero(name: str, shape: tuple[int, int]) -> None:
    for level in (0, 128, 255):
        flat = np.full(shape, level, np.uint8)
        assert GUARDS[name].compute((flat, flat), flat) == 0.0


@pytest.mark.parametrize("name", GREY)
def test_guards_take_the_exposures_in_either_order_and_mirrored_pictures(name: str) -> None:
    under, over = make_pair()
    guard = GUARDS[name].compute
    fused = np.clip(1.3 * over - 0.9 * cv2.GaussianBlur(over, (0, 0), 9) + 0.5 * under, 0, 255)
    value = guard((under, over), fused)
    assert value > 0
    assert type(value) is float
    assert guard((over, under), fused) == value
    *mirrored, mirrored_fused = (
        np.ascontiguousarray(plane[:, ::-1]) for plane in (under, over, fused)
    )
    # Cells that are no whole number of pixels are summed in another order.
    assert guard(mirrored, mirrored_fused) == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("name", GREY)
def test_guards_refuse_pictures_that_do_not_fit(name: str) -> None:
    under, over = make_pair()
    with pytest.raises(ValueError, match="expected pictures of one size"):
        GUARDS[name].compute((under, over), over[:-1])
    with pytest.raises(ValueError, match="expected grey pictures"):
        GUARDS[name].compute((under, over), np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def test_chroma_is_that_of_cielab_under_d65() -> None:
    # python -c "import cv2, numpy; print(numpy.linalg.norm(cv2.cvtColor(numpy.float32(
    #     [[[1, 0, 0]]]), cv2.COLOR_RGB2Lab)[0, 0, 1:]))" prints 104.55
    red = np.zeros((3, 5, 3), np.uint8)
    red[..., 0] = 255
    assert mean_chroma(red) == pytest.approx(104.55, abs=0.02)
    half = np.where(np.arange(5)[None, :, None] < 2, red, 77).astype(np.uint8)
    assert mean_chroma(half) == pytest.approx(0.4 * mean_chroma(red), abs=0.01)


def test_chroma_reads_colour_and_refuses_grey() -> None:
    assert GUARDS["chroma"].reads == "rgb"
    grey = make_pair()[0]
    with pytest.raises(ValueError, match="expected a uint8 picture"):
        GUARDS["chroma"].compute((grey, grey), grey)


def test_hue_that_an_exposure_has_or_a_mix_is_no_error_and_any_other_is() -> None:
    guard = GUARDS["hue"]
    assert guard.reads == "rgb"
    rng = np.random.default_rng(5)
    cells = rng.integers(0, 256, (2, 70, 9, 3), np.uint8)  # 280 rows: two strips
    under, over = (one.repeat(4, axis=0).repeat(4, axis=1) for one in cells)
    assert guard.compute((under, over), under) < 0.1
    assert guard.compute((under, over), over // 2 + under // 2) < 0.5  # halves are rounded
    strange = guard.compute((under, over), 255 - over)
    assert strange > 20
    assert type(strange) is float
    assert guard.compute((over, under), 255 - over) == strange
    # Two strips count as their rows do.
    top = guard.compute((under[:256], over[:256]), 255 - over[:256])
    rest = guard.compute((under[256:], over[256:]), 255 - over[256:])
    assert strange == pytest.approx((256 * top + 24 * rest) / 280)


def test_hue_refuses_grey_and_other_sizes() -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="expected a uint8 picture"):
        GUARDS["hue"].compute((rgb, rgb), rgb[..., 0])
    with pytest.raises(ValueError, match="expected pictures of one size"):
        GUARDS["hue"].compute((rgb, rgb), rgb[:4])
    assert GUARDS["hue"].compute((rgb[:3], rgb[:3]), rgb[:3]) == 0.0


def test_guards_stand_apart_from_the_metrics_and_are_not_ranked() -> None:
    of_highlights = [f"highlight-{what}" for what in ("chroma", "hue", "texture", "lightness")]
    older = ("inversion", "halo", "chroma", "hue", "hue-worst", "colour-rims")
    assert tuple(GUARDS) == (*older, *of_highlights, "lost-shadows", "crushed", "clipped")
    higher = [name for name, guard in GUARDS.items() if guard.higher_is_better]
    assert higher == ["chroma", "highlight-chroma", "highlight-texture"]
    assert not GUARDS.keys() & METRICS.keys()
    assert tuple(MEASURES) == (*METRICS, *GUARDS)
    partial = [name for name, measure in MEASURES.items() if measure.applies == "to some scenes"]
    assert partial == of_highlights
    assert len(RANKED_METRICS) == 11
    assert set(RANKED_METRICS) < set(METRICS)

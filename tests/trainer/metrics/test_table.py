"""Every metric of the table on a scene made here: values, identity, direction, order, bounds."""

import cv2
import numpy as np
import pytest

from trainer.metrics import METRICS, PAPER_METRICS, Metric, score_fusion

HEIGHT, WIDTH = 181, 224
ALL = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
Pair = tuple[np.ndarray, np.ndarray]
OF_SOURCES = [metric for metric in METRICS.values() if metric.inputs == "sources + fused"]

# The code that gave these values agrees with the published programmes on photographs
# (test_reference.py). From the root: python -c "from tests.trainer.metrics.test_table import *;
# print(score_fusion(make_pair(), make_fused()))"
EXPECTED = {
    "AG": 5.577863283931584,
    "EI": 57.41121038306963,
    "FMI": 0.5009163817020443,
    "LPC-SI": 0.9715099309544547,
    "S3": 0.17395260735924165,
    "SF": 16.781280796226476,
    "PIQE": 56.37172573745026,
    "MS-SSIM": 0.7335868742385934,
    "Qabf": 0.6302219902222889,
    "VIFF": 0.5583984151742853,
    "MEF-SSIM": 0.8602000163334668,
    "Qcb": 0.6349063528623425,
    "FMI-gradient": 0.5819739868464591,
    "FMI-wavelet": 0.6243889455435541,
}

# The same with both sides odd: print(score_fusion(*cut_odd(make_pair(), make_fused())))
EXPECTED_ODD = {
    "AG": 5.760944340689059,
    "EI": 58.66329904210101,
    "FMI": 0.5043275742606191,
    "LPC-SI": 0.9711502777728955,
    "S3": 0.18968089335272195,
    "SF": 17.408398354999193,
    "PIQE": 53.6629052440129,
    "MS-SSIM": 0.7473883238134766,
    "Qabf": 0.6292670198756735,
    "VIFF": 0.5576183218829663,
    "MEF-SSIM": 0.8647003103825255,
    "Qcb": 0.6454788420694462,
    "FMI-gradient": 0.5927031366231028,
    "FMI-wavelet": 0.6451613027484978,
}


def make_radiance() -> np.ndarray:
    """A dim half with fine checks and a bright half with waves, on a slope, with a dark disc."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    checks = 18 * (((x // 5) + (y // 7)) % 2)
    waves = 160 * (1 + np.sin(x * y / 900)) + 40 * np.cos(y / 3)
    scene = np.where(x < WIDTH / 2, 20 + checks, 260 + waves) + 0.15 * (x + y)
    scene[(x - 150) ** 2 + (y - 90) ** 2 < 30**2] *= 0.2
    return scene


def make_pair() -> Pair:
    scene = make_radiance()
    return tuple(
        np.floor(np.clip(scene * gain, 0, 255) + 0.5).astype(np.uint8) for gain in (0.4, 3.0)
    )


def make_fused() -> np.ndarray:
    under, over = make_pair()
    return ((under.astype(np.uint16) + over + 1) // 2).astype(np.uint8)


def cut_odd(pair: Pair, fused: np.ndarray) -> tuple[Pair, np.ndarray]:
    under, over, cut = (np.ascontiguousarray(one[3:176, 5:210]) for one in (*pair, fused))
    return (under, over), cut


def blur(picture: np.ndarray, sigma_px: float) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), sigma_px)


@ALL
def test_metric_keeps_its_value(metric: Metric) -> None:
    value = metric.compute(make_pair(), make_fused())
    assert value == pytest.approx(EXPECTED[metric.name], rel=1e-10)


@ALL
def test_metric_keeps_its_value_on_odd_sides(metric: Metric) -> None:
    value = metric.compute(*cut_odd(make_pair(), make_fused()))
    assert value == pytest.approx(EXPECTED_ODD[metric.name], rel=1e-10)


def test_table_is_in_the_order_of_the_result_tables() -> None:
    extra = ("MEF-SSIM", "Qcb", "FMI-gradient", "FMI-wavelet")
    assert tuple(METRICS) == (*PAPER_METRICS, *extra)
    names = "AG EI FMI LPC-SI S3 SF PIQE MS-SSIM Qabf VIFF"
    assert " ".join(PAPER_METRICS) == names


def test_only_piqe_is_better_when_lower() -> None:
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["PIQE"]


@ALL
def test_value_is_a_float_of_any_real_dtype(metric: Metric) -> None:
    under, over = make_pair()
    fused = make_fused()
    value = metric.compute((under, over), fused)
    assert type(value) is float
    *as_float, fused_as_float = (plane.astype(np.float32) for plane in (under, over, fused))
    assert metric.compute(as_float, fused_as_float) == value


@pytest.mark.parametrize("metric", OF_SOURCES, ids=lambda metric: metric.name)
def test_equal_pictures_keep_everything(metric: Metric) -> None:
    picture = make_fused()
    value = metric.compute((picture, picture), picture)
    # Qabf's sigmoids end below 1, and MEF-SSIM adds a thousandth to every patch norm.
    assert value == pytest.approx(1.0, abs=0.03 if metric.name == "Qabf" else 1e-4)


@ALL
def test_exposures_may_change_places(metric: Metric) -> None:
    under, over = make_pair()
    fused = make_fused()
    swapped = metric.compute((over, under), fused)
    assert swapped == pytest.approx(metric.compute((under, over), fused), rel=1e-12)


@ALL
def test_mirrored_pictures_score_alike(metric: Metric) -> None:
    # Sides that are multiples of 16, as an odd side halves differently from its mirror image.
    planes = [plane[:176, :208] for plane in (*make_pair(), make_fused())]
    mirrored = [np.ascontiguousarray(plane[:, ::-1]) for plane in planes]
    # VIFF keeps every second window of its coarser scales, and the kept ones change places; the
    # edge angle of Qabf jumps at the vertical, where the definition prefers one side; FMI reads
    # its windows column by column; PIQE splits its blocks, and S3 interpolates its spectra, by
    # rules that are not symmetric; LPC-SI takes the highest frequency for a negative one.
    tolerance = {
        "VIFF": 5e-3,
        "Qabf": 1e-2,
        "FMI": 2e-2,
        "FMI-gradient": 2e-2,
        "FMI-wavelet": 2e-2,
        "PIQE": 5e-2,
        "S3": 1e-3,
        "LPC-SI": 1e-5,
    }.get(metric.name, 1e-10)
    value = metric.compute(planes[:2], planes[2])
    assert metric.compute(mirrored[:2], mirrored[2]) == pytest.approx(value, rel=tolerance)


@ALL
def test_stronger_blur_scores_worse(metric: Metric) -> None:
    under, over = make_pair()
    fused = make_fused()
    if metric.name == "MS-SSIM":
        # Clipped halves make blur forgivable against one exposure; against one picture it is not.
        under, over = fused, fused
    # Blocks that blur makes inactive drop out of PIQE, which hides steps between mild blurs.
    sigmas = (0.4, 0.8, 3.2) if metric.name == "PIQE" else (0.8, 1.6, 3.2)
    sign = 1 if metric.higher_is_better else -1
    scores = [sign * metric.compute((under, over), blur(fused, sigma)) for sigma in sigmas]
    assert scores[0] > scores[1] > scores[2]


@ALL
@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_pictures_have_a_finite_score_within_bounds(metric: Metric, level: int) -> None:
    flat = np.full((HEIGHT, WIDTH), level, np.uint8)
    for value in (metric.compute((flat, flat), flat), metric.compute(make_pair(), flat)):
        assert np.isfinite(value)
        assert value >= metric.low
        assert metric.high is None or value <= metric.high


@pytest.mark.parametrize("metric", OF_SOURCES, ids=lambda metric: metric.name)
def test_negative_of_the_scene_stays_within_bounds(metric: Metric) -> None:
    value = metric.compute(make_pair(), 255 - make_fused())
    assert metric.low <= value < metric.compute(make_pair(), make_fused())


@ALL
def test_pictures_that_do_not_fit_are_refused(metric: Metric) -> None:
    under, over = make_pair()
    with pytest.raises(ValueError, match="expected grey pictures"):
        metric.compute((under, over), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    line = np.zeros((1, 300), np.uint8)
    with pytest.raises(ValueError, match="expected sides of at least"):
        metric.compute((line, line), line)


@ALL
def test_a_tiny_picture_has_a_finite_score_or_is_refused_with_the_size_it_needs(
    metric: Metric,
) -> None:
    def compute(side: int) -> float:
        cut = np.s_[9 : 9 + side, 40 : 41 + side]
        return metric.compute([picture[cut] for picture in make_pair()], make_fused()[cut])

    smallest = 2
    try:
        compute(2)
    except ValueError as error:
        smallest = int(str(error).removeprefix("expected sides of at least ").split()[0])
        with pytest.raises(ValueError, match=f"expected sides of at least {smallest}"):
            compute(smallest - 1)
    for side in (smallest, smallest + 1):
        assert np.isfinite(compute(side))


@pytest.mark.parametrize("metric", OF_SOURCES, ids=lambda metric: metric.name)
def test_pictures_of_different_sizes_are_refused(metric: Metric) -> None:
    under, over = make_pair()
    with pytest.raises(ValueError, match="expected pictures of one size"):
        metric.compute((under, over), make_fused()[:-1])


def test_score_fusion_gives_the_asked_metrics_in_order() -> None:
    fused = make_fused()
    assert list(score_fusion(make_pair(), fused)) == list(METRICS)
    assert list(score_fusion(make_pair(), fused, names=["SF", "AG"])) == ["SF", "AG"]
    with pytest.raises(KeyError):
        score_fusion(make_pair(), fused, names=["unknown"])

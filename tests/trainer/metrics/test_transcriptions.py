"""FMI, LPC-SI, S3, PIQE and Qcb against slow transcriptions of their definitions."""

import math

import numpy as np
import pytest
import pywt
import scipy.fft
import scipy.signal

from trainer.metrics import fmi, lpc_si, piqe, qcb, s3


def make_stack(height: int, width: int, count: int = 2) -> list[np.ndarray]:
    """Noisy exposures, clipped black and white in places, and their mean, in whole levels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    noise = 25 * np.random.default_rng(3).standard_normal((height, width))
    scene = 90 + 90 * np.sin(x / 7.3) * np.cos(y / 5.1) + noise
    gains = np.geomspace(0.6, 2.5, count)
    exposures = [np.rint(np.clip(scene * gain - 20, 0, 255)) for gain in gains]
    return [*exposures, np.rint(np.mean(exposures, axis=0))]


def fmi_of_window(source: np.ndarray, fused: np.ndarray) -> float:
    if np.array_equal(source, fused):
        return 1.0

    def scale(values: list[float]) -> list[float]:
        low, high = min(values), max(values)
        scaled = [(v - low) / (high - low) if high > low else 1.0 for v in values]
        return [v / sum(scaled) for v in scaled]

    def entropy(masses: list[float]) -> float:
        return -sum(v * math.log2(abs(v)) for v in masses if v != 0)

    def spread(masses: list[float]) -> float:
        mean = sum(i * v for i, v in enumerate(masses, 1))
        return math.sqrt(max(sum(i * i * v for i, v in enumerate(masses, 1)) - mean**2, 0))

    p, q = (scale(list(map(float, window.T.ravel()))) for window in (source, fused))
    a, b = ([v - sum(masses) / 9 for v in masses] for masses in (p, q))
    shared = sum(v * w for v, w in zip(a, b, strict=True))
    c = 0.0
    if shared != 0:
        c = shared / math.sqrt(sum(v * v for v in a) * sum(w * w for w in b))
    sums_p, sums_q = [0.0, *np.cumsum(p)], [0.0, *np.cumsum(q)]
    if c >= 0:
        bound = [[min(u, v) for v in sums_p] for u in sums_q]
    else:
        bound = [[max(u + v - 1, 0) for v in sums_p] for u in sums_q]
    t = 0.0
    if c != 0 and spread(p) > 0 and spread(q) > 0:
        cells = ((i, j) for i in range(1, 10) for j in range(1, 10))
        r = sum(bound[i][j] - sums_q[i] * sums_p[j] for i, j in cells) / (spread(p) * spread(q))
        t = c / r
    masses = []
    for i in range(1, 10):
        for j in range(1, 10):
            mass = bound[i][j] - bound[i - 1][j] - bound[i][j - 1] + bound[i - 1][j - 1]
            masses.append(t * mass + (1 - t) * q[i - 1] * p[j - 1])
    total = entropy(p) + entropy(q)
    return 2 * (total - entropy(masses)) / total if total > 0 else 0.0


def wavelet_tiles(plane: np.ndarray) -> np.ndarray:
    low, (horizontal, vertical, diagonal) = pywt.dwt2(plane, "dmey", "symmetric")
    tiles = np.vstack([np.hstack([low, horizontal]), np.hstack([vertical, diagonal])])
    return (tiles - tiles.min()) / np.ptp(tiles)


FEATURES = {
    "none": lambda plane: plane,
    "gradient": lambda plane: np.gradient(plane, axis=1),
    "dct": lambda plane: scipy.fft.dct(scipy.fft.dct(plane, axis=0, norm="ortho"), norm="ortho"),
    "wavelet": wavelet_tiles,
}


def fmi_by_windows(exposures: list[np.ndarray], fused: np.ndarray, *, feature: str) -> float:
    *sources, fused = (FEATURES[feature](plane) for plane in (*exposures, fused))
    values = [
        fmi_of_window(source[y : y + 3, x : x + 3], fused[y : y + 3, x : x + 3])
        for source in sources
        for y in range(fused.shape[0] - 2)
        for x in range(fused.shape[1] - 2)
    ]
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("feature", "shape"),
    [(feature, (9, 23)) for feature in ("none", "gradient", "dct")]
    + [(feature, (3, 4)) for feature in FEATURES],
)
@pytest.mark.parametrize("count", [2, 3])
def test_fmi_equals_its_definition_window_by_window(
    feature: str, shape: tuple[int, int], count: int
) -> None:
    planes = make_stack(*shape, count)
    planes[-2][:4, :7], planes[-1][:4, :7] = 255, 200
    expected = fmi_by_windows(planes[:-1], planes[-1], feature=feature)
    # Rounding decides what nearly empty wavelet bands hold.
    tolerance = 1e-7 if feature == "wavelet" else 1e-9
    assert fmi(planes[:-1], planes[-1], feature=feature) == pytest.approx(expected, rel=tolerance)


def test_fmi_of_flat_windows_of_different_levels_is_full() -> None:
    flat = np.full((9, 9), 255.0)
    assert fmi([flat, flat], np.full((9, 9), 40.0), feature="none") == pytest.approx(1, abs=1e-12)


def test_fmi_does_not_depend_on_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    *exposures, fused = make_stack(40, 31)
    whole = fmi(exposures, fused)
    monkeypatch.setitem(fmi.__globals__, "CHUNK_WINDOWS", 64)
    assert fmi(exposures, fused) == pytest.approx(whole, rel=1e-13)


def test_fmi_refuses_an_unknown_feature() -> None:
    with pytest.raises(ValueError, match="expected a feature of dct, gradient, wavelet, none"):
        fmi([np.zeros((9, 9))] * 2, np.zeros((9, 9)), feature="edge")  # type: ignore[arg-type]


def lpc_si_centred(plane: np.ndarray) -> float:
    """LPC-SI with the zero frequency in the middle and complex angles taken one by one."""
    axes = []
    for side in plane.shape:
        if side % 2:
            axes.append(np.arange(-(side - 1) / 2, (side - 1) / 2 + 1) / (side - 1))
        else:
            axes.append(np.arange(-side / 2, side / 2) / side)
    v, u = axes[0][:, None], axes[1][None, :]
    rho, theta = np.sqrt(u**2 + v**2), np.arctan2(-v, u + 0 * v)
    middle = rho == 0
    low_pass = 1 / (1 + (rho / 0.45) ** 30)
    rho[middle] = 1
    border = math.floor(min(plane.shape) / 16 + 0.5)
    inside = np.s_[border : plane.shape[0] - border, border : plane.shape[1] - border]
    weighted = strengths = 0.0
    for k in range(8):
        turn = np.angle(np.exp(1j * (theta - k * np.pi / 8)))
        angular = np.exp(-(turn**2) / (2 * (np.pi / 12) ** 2))
        responses = []
        for m in (1, 1.5, 2):
            radial = np.exp(-(np.log(rho * 4 * m) ** 2) / (2 * np.log(0.33) ** 2)) * low_pass
            radial[middle] = 0
            spectrum = np.fft.fftshift(np.fft.fft2(plane)) * radial * angular
            responses.append(np.fft.ifft2(np.fft.ifftshift(spectrum))[inside])
        product = responses[0] * responses[1].conj() ** 3 * responses[2] ** 2
        strength = np.abs(responses[0])
        strength = np.maximum(strength - strength.mean() - 2 * strength.std(ddof=1), 0)
        weighted = weighted + np.maximum(product.real / np.abs(product), 0) * strength
        strengths = strengths + strength
    values = sorted((weighted / (strengths + 2)).ravel(), reverse=True)
    weights = [math.exp(-k / (len(values) - 1) / 1e-4) for k in range(len(values))]
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


@pytest.mark.parametrize("shape", [(40, 64), (41, 64), (71, 39)])
def test_lpc_si_equals_its_definition(shape: tuple[int, int]) -> None:
    fused = make_stack(*shape)[2]
    assert lpc_si(fused) == pytest.approx(lpc_si_centred(fused), rel=1e-9)


def spectrum_on_circle(magnitude: np.ndarray, radius: int) -> float:
    """The mean over 360 places; weights change sides on negative coordinates (sic)."""
    total = 0.0
    for degree in range(360):
        points = []
        for place in (
            radius * math.sin(degree / 360 * 2 * math.pi),
            radius * math.cos(degree / 360 * 2 * math.pi),
        ):
            a, b = math.trunc(place), (math.floor if place < 0 else math.ceil)(place)
            share = abs(place - a) if b >= 0 else abs(place - b)
            points.append(((a, 1 - share), (b, share)))
        for row, row_share in points[0]:
            for column, column_share in points[1]:
                total += row_share * column_share * magnitude[row % 32, column % 32]
    return total / 360


def s1_of_block(block: np.ndarray) -> float:
    luminance = (0.7656 + 0.0364 * block) ** 2.2
    subs = [luminance[y : y + 8, x : x + 8] for y in range(0, 25, 4) for x in range(0, 25, 4)]
    subs = [255 - sub if sub.mean() > 127.5 else sub for sub in subs]
    if not any(sub.mean() > 2 and np.ptp(sub) > 5 for sub in subs):
        return 0.0
    taps = np.array([0.5 * (1 - math.cos(2 * math.pi * k / 33)) for k in range(1, 33)])
    magnitude = np.abs(np.fft.fft2(block * taps[:, None] * taps))
    magnitude[0, 0] = (magnitude[1, 0] + magnitude[0, 1]) / 2
    radial = [spectrum_on_circle(magnitude, radius) for radius in range(1, 17)]
    slope = np.polyfit(np.log(np.arange(1, 17) / 32), np.log(radial), 1)[0]
    return 1 - 1 / (1 + math.exp(-3 * (-slope - 2)))


def s3_map_by_blocks(plane: np.ndarray) -> np.ndarray:
    def pad(margin: int) -> np.ndarray:
        return np.pad(plane, (margin, margin + 1), mode="symmetric")

    def starts(length: int, size: int) -> range:
        return range(0, length - size, 8)

    padded = pad(16)
    spectral = np.zeros_like(padded)
    for y in starts(padded.shape[0], 32):
        for x in starts(padded.shape[1], 32):
            spectral[y + 12 : y + 20, x + 12 : x + 20] = s1_of_block(padded[y : y + 32, x : x + 32])
    parts = []
    for margin in (8, 4):
        padded = pad(margin)
        spatial = np.zeros_like(padded)
        for y in starts(padded.shape[0], 8):
            for x in starts(padded.shape[1], 8):
                cells = (
                    padded[y + i : y + i + 2, x + j : x + j + 2].ravel()
                    for i, j in np.ndindex(7, 7)
                )
                spatial[y : y + 8, x : x + 8] = max(
                    sum(abs(cell[m] - cell[n]) for m in range(4) for n in range(m)) / 255 / 4
                    for cell in cells
                )
        parts.append(spatial[margin : -margin - 1, margin : -margin - 1])
    return np.sqrt(spectral[16:-17, 16:-17] * np.maximum(*parts))


@pytest.mark.parametrize("shape", [(24, 32), (17, 31)])
def test_s3_equals_its_definition_block_by_block(shape: tuple[int, int]) -> None:
    fused = make_stack(*shape)[1]
    fused[:, :12] = 1
    expected = s3_map_by_blocks(fused)
    assert 0 < expected.mean() < 1
    assert s3(fused) == pytest.approx(expected.mean(), rel=1e-10)
    largest = np.sort(expected, axis=None)[-math.ceil(expected.size / 100) :]
    assert s3(fused, pooling="top") == pytest.approx(largest.mean(), rel=1e-10)


def piqe_by_blocks(plane: np.ndarray) -> float:
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % 16), (0, -width % 16)), mode="symmetric")
    scaled = np.round(255 * (padded / padded.max()))
    offset = np.arange(-3, 4)
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return scipy.signal.correlate2d(np.pad(values, 3, mode="edge"), window, mode="valid")

    deviation = np.sqrt(np.abs(mean(scaled**2) - mean(scaled) ** 2))
    normal = (scaled - mean(scaled)) / (deviation + 1)
    active, distortion = 0, 0.0
    for y in range(0, padded.shape[0], 16):
        for x in range(0, padded.shape[1], 16):
            block = normal[y : y + 16, x : x + 16]
            variance = block.var(ddof=1)
            if variance <= 0.1:
                continue
            active += 1
            edges = (block[0], block[15], block[:, 0], block[:, 15])
            if any(e[k : k + 6].std(ddof=1) < 0.1 for e in edges for k in range(11)):
                distortion += 1 - variance
            surround = [column for column in range(16) if column not in (7, 9)]
            ratio = block[:, 7:9].std(ddof=1) / block[:, surround].std(ddof=1)
            sigma = math.sqrt(variance)
            if sigma > 2 * abs(sigma - ratio) / max(sigma, ratio):
                distortion += variance
    return 100 * (distortion + 1) / (active + 1)


@pytest.mark.parametrize("shape", [(64, 48), (75, 83)])
@pytest.mark.parametrize("kind", [0, 1, 2])
def test_piqe_equals_its_definition_block_by_block(shape: tuple[int, int], kind: int) -> None:
    picture = make_stack(*shape)[kind]
    assert piqe(picture) == pytest.approx(piqe_by_blocks(picture), rel=1e-10)


def test_piqe_of_a_block_with_a_flat_surround_is_finite() -> None:
    picture = np.zeros((16, 16))
    picture[::2, 7] = 255
    assert np.isfinite(piqe(picture))


def masked_contrast(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    stretched = np.floor((plane - plane.min()) / np.ptp(plane) * 255 + 0.5)
    v = (np.arange(height) - height // 2)[:, None] * 2 / height * height / 30
    u = (np.arange(width) - width // 2)[None, :] * 2 / width * width / 30
    r = np.sqrt(u**2 + v**2)
    sensitivity = np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
    spectrum = np.fft.fftshift(np.fft.fft2(stretched)) * sensitivity
    seen = np.fft.ifft2(np.fft.ifftshift(spectrum)).real
    y, x = np.mgrid[-15:16, -15:16]
    narrow, wide = (
        scipy.signal.convolve2d(
            seen, np.exp(-(x**2 + y**2) / (2 * s**2)) / (2 * np.pi * s**2), mode="same"
        )
        for s in (2, 4)
    )
    contrast = np.abs(narrow / wide - 1)
    return contrast**3 / (contrast**2 + 1e-4)


@pytest.mark.parametrize(("shape", "count"), [((48, 40), 2), ((37, 51), 2), ((37, 51), 3)])
def test_qcb_equals_its_definition(shape: tuple[int, int], count: int) -> None:
    planes = make_stack(*shape, count)
    *of_exposures, f = (masked_contrast(plane) for plane in planes)
    kept = sum(c**2 * np.minimum(c / f, f / c) for c in of_exposures)
    expected = (kept / sum(c**2 for c in of_exposures)).mean()
    assert qcb(planes[:-1], planes[-1]) == pytest.approx(expected, rel=1e-8)

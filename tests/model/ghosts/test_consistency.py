"""The score of contradictions, strip by strip."""

import numpy as np
import pytest

from model.ghosts import consistency
from model.ghosts.consistency import expect, score_contradiction
from model.ghosts.curves import fit_curves, trust_levels
from model.ghosts.planes import Planes


def picture(height, width):
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    noise = np.random.default_rng(7).integers(0, 30, (height, width, 3))
    slopes = np.stack([x * 200 // width, y * 200 // height, (x + y) * 100 // width % 200], axis=-1)
    return (slopes + noise).astype(np.uint8)


@pytest.mark.parametrize("is_brighter", [False, True])
@pytest.mark.parametrize("height", [16, 48, 49, 145, 200])
def test_strips_score_as_the_whole_picture(monkeypatch, height, is_brighter):
    reference = picture(height, 80)
    exposure = (reference.astype(int) * (1.2 if is_brighter else 0.6)).clip(0, 255).astype(np.uint8)
    exposure[height // 3 : height // 2, 20:50] = 90
    curves, trust = fit_curves(reference, exposure), trust_levels(is_brighter=is_brighter)
    expected = expect(Planes.of(reference), curves, trust, is_brighter=is_brighter)
    scores = []
    for rows in (consistency.STRIP_ROWS, 1000):
        monkeypatch.setattr(consistency, "STRIP_ROWS", rows)
        scores.append(score_contradiction(Planes.of(exposure), expected))
    assert scores[1].max() > 0.1
    np.testing.assert_allclose(*scores, rtol=1e-6, atol=1e-6)

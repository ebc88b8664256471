"""Chroma on arrays against the same on tensors."""

import numpy as np
import pytest
import torch

from model.colour import linear_to_lab
from model.lightness import torch_chroma
from model.lightness.chroma import fuse_chroma

RULES = ["mean", "weighted", "unclipped"]


def exposures(count=2, seed=0):
    """Linear sRGB of exposures, black and white and grey among it. Shape (3, H, W) each."""
    planes = np.random.default_rng(seed).random((count, 3, 40, 50), dtype=np.float32)
    planes[0, :, 0], planes[-1, :, 1] = 0, 1
    planes[:, :, 2] = 0.25
    return list(planes)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("lightness", [None, 5.0, 97.0, 104.0])
def test_arrays_are_fused_as_tensors_are(rule, lightness):
    linear = exposures()
    labs = [linear_to_lab(one) for one in linear]
    fused_l = np.mean([lab[0] for lab in labs], axis=0, dtype=np.float32)
    if lightness is not None:
        fused_l[:] = lightness
    chroma = [lab[1:] for lab in labs]
    ours = fuse_chroma(chroma, rule=rule, linear=linear, lightness=fused_l)
    theirs = torch_chroma.fuse_chroma(
        torch.from_numpy(np.stack(chroma))[None],
        rule=rule,
        linear=torch.from_numpy(np.stack(linear))[None],
        lightness=torch.from_numpy(fused_l)[None],
    )[0].numpy()
    assert ours.dtype == np.float32
    off = np.abs(ours - theirs)
    # The gamut's edge is found by bisection: a rounding may fall on its other side.
    assert np.quantile(off, 0.999) < 0.01
    assert off.max() < 1


@pytest.mark.parametrize("rule", RULES)
def test_neutral_exposures_stay_neutral(rule):
    neutral = [np.zeros((2, 3, 4), np.float32)] * 2
    grey = [np.full((3, 3, 4), 0.3, np.float32)] * 2
    lightness = np.full((3, 4), 60, np.float32)
    assert not fuse_chroma(neutral, rule=rule, linear=grey, lightness=lightness).any()

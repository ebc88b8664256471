import numpy as np
import pytest
import torch

from trainer.config import DataConfig
from trainer.data.motion import OBJECT_SHIFT_PX, move_between
from trainer.data.triples import TripleDataset


@pytest.fixture
def pictures():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (96, 96, 3), dtype=np.uint8) for _ in range(3)]


def test_one_of_the_outer_exposures_changes_and_never_the_correct_one(pictures):
    before = [picture.copy() for picture in pictures]
    changed = set()
    for seed in range(20):
        moved = move_between(pictures, np.random.default_rng(seed))
        differing = [i for i in range(3) if not np.array_equal(moved[i], before[i])]
        assert len(differing) == 1
        changed |= set(differing)
        assert moved[differing[0]].dtype == np.uint8
        assert moved[differing[0]].shape == (96, 96, 3)
    assert changed == {0, 2}
    for picture, kept in zip(pictures, before, strict=True):
        np.testing.assert_array_equal(picture, kept)


def test_an_object_moves_further_than_the_camera_does():
    """Position is painted as a ramp: what a pixel shows says how far it came."""
    ramp = np.tile(np.arange(0, 250, dtype=np.uint8)[:, None], (1, 250))
    picture = np.stack([ramp, ramp.T, ramp], axis=2)
    furthest, typical = [], []
    for seed in range(12):
        moved = move_between([picture] * 3, np.random.default_rng(seed))
        which = 0 if not np.array_equal(moved[0], picture) else 2
        shift = (moved[which].astype(float) - picture)[30:-30, 30:-30, :2]
        distance = np.hypot(shift[..., 0], shift[..., 1])
        furthest.append(distance.max())
        typical.append(np.median(distance))
    assert max(typical) <= 2.0  # a pixel of the camera, rounded
    assert max(furthest) > 8
    assert max(furthest) < OBJECT_SHIFT_PX[1] + 3


def dataset(root, **options):
    config = DataConfig(side_px=176, stack_share=0.5, **options)
    return TripleDataset(root, config, seed=5, length=40)


def test_motion_leaves_every_other_draw_as_it_was(data_root):
    still, moving, some = (dataset(data_root, motion=share) for share in (0.0, 1.0, 0.5))
    changes = 0
    for index in range(12):
        assert torch.equal(still[index][1], moving[index][1])
        assert not torch.equal(still[index], moving[index])
        assert torch.equal(moving[index], dataset(data_root, motion=1.0)[index])
        changes += not torch.equal(still[index], some[index])
    assert 0 < changes < 12


def test_rgb_triples_are_the_pictures_that_lightness_is_made_of(data_root):
    for index in range(4):
        colour = dataset(data_root, lightness="rgb")[index]
        luma = dataset(data_root, lightness="luma")[index]
        assert colour.shape == (3, 3, 176, 176)
        assert colour.dtype == torch.float32
        assert colour.min() >= 0
        assert colour.max() <= 1
        assert torch.equal((colour * 255).round(), colour * 255) or (
            (colour * 255 - (colour * 255).round()).abs().max() < 1e-4
        )
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        grey = (colour * weights).sum(1, keepdim=True)
        assert (grey * 100 - luma).abs().max() < 0.3  # luma is rounded to 8 bits


def test_gaps_of_ten_ev_clip_what_lies_at_either_end(data_root):
    config = DataConfig(side_px=176, stack_share=0.0, lightness="rgb", gap_ev=(5.0, 5.0))
    triples = TripleDataset(data_root, config, seed=5, length=40)
    black, white = zip(
        *(
            ((t[0] <= 2 / 255).float().mean(), (t[2] == 1).float().mean())
            for t in map(triples.__getitem__, range(6))
        ),
        strict=True,
    )
    assert max(black) > 0.3
    assert max(white) > 0.3

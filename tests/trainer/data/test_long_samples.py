"""Samples of more than two exposures, and what may happen to a rendered scene."""

import numpy as np
import pytest
import torch

from trainer.config import DataConfig, LossConfig
from trainer.data.camera import Camera, colour_light, sample_camera
from trainer.data.lamps import add_lamps
from trainer.data.replacement import replace_region
from trainer.data.sample import split_sample
from trainer.data.tone_curve import apply_tone_curve
from trainer.data.triples import TripleDataset, count_exposures
from trainer.losses.pairs import find_telling
from trainer.losses.weighted_sum import compute_losses

OPTIONS = {"side_px": 176, "stack_share": 0.0, "lightness": "rgb", "gap_ev": (2.0, 4.0)}


def draw(root, *, length=100, batch=1, seed=1, **options):
    config = DataConfig(**(OPTIONS | options))
    return TripleDataset(root, config, seed=seed, length=length, batch=batch)


def lightness(planes):
    return planes.mean(dim=(1, 2, 3)).tolist()


def test_half_of_the_steps_have_the_fewest_exposures_and_a_batch_has_as_many():
    config = DataConfig(exposures=(2, 9))
    counts = [count_exposures(config, 5, step) for step in range(400)]
    assert 0.4 < counts.count(2) / 400 < 0.6
    assert set(counts) == set(range(2, 10))
    assert {count_exposures(DataConfig(), 5, step) for step in range(20)} == {2}


def test_exposures_of_a_sample_are_ordered_and_as_many_as_the_step_says(data_root):
    config = DataConfig(exposures=(3, 6), **OPTIONS)
    samples = draw(data_root, exposures=(3, 6), batch=2)
    for index in range(8):
        planes = samples[index]
        count = count_exposures(config, 1, index // 2)
        assert planes.shape == (count + 1, 3, 176, 176)
        sample = split_sample(planes[None], has_truth=False)
        assert len(sample.exposures) == count
        means = [one.mean().item() for one in sample.exposures]
        assert means == sorted(means)
        darkest, correct, brightest = lightness(sample.triple[0])
        assert (darkest, brightest) == (pytest.approx(means[0]), pytest.approx(means[-1]))
        assert darkest < correct < brightest


def test_equal_exposures_are_drawn_with_no_gap(data_root):
    planes = draw(data_root, gap_ev=(0.0, 0.0))[3]
    assert max(lightness(planes)) - min(lightness(planes)) < 0.01


def test_the_truth_is_the_last_plane_and_turned_with_the_others(data_root):
    samples, plain = draw(data_root, truth=True), draw(data_root)
    for index in range(6):
        planes = samples[index]
        assert torch.equal(planes[:-1], plain[index])
        sample = split_sample(planes[None], has_truth=True)
        grey, truth = sample.triple[0, 1].mean(0), sample.truth[0].mean(0)
        # the scene is not symmetric: only the right way round do both agree
        pairs = torch.stack([grey.flatten(), truth.flatten(), truth.flip(-1).flatten()])
        similarity = torch.corrcoef(pairs)[0]
        assert similarity[1] > max(0.9, similarity[2] + 0.05)


def test_photographs_have_no_truth(data_root):
    planes = draw(data_root, truth=True, stack_share=1.0)[0]
    assert planes.shape[0] == 4
    assert planes[-1].max() == 0


def test_a_useless_exposure_is_black_white_or_a_copy(data_root):
    samples = draw(data_root, exposures=(4, 4), useless=1.0)
    kinds = set()
    for index in range(20):
        _, *exposures = split_sample(samples[index][None], has_truth=False).exposures
        planes = [one[0] for one in exposures]
        if any(one.max() == 0 for one in planes):
            kinds.add("black")
        elif any(one.min() == 1 for one in planes):
            kinds.add("white")
        else:
            kinds.add("copy")
            whole = samples[index]
            assert any(torch.equal(whole[3 + k], whole[end]) for k in (0, 1) for end in (0, 2))
    assert kinds == {"black", "white", "copy"}


def test_items_are_left_out_by_name(data_root):
    kept = draw(data_root, without=("stacks/desk",))
    assert [source.name for source in kept.sources] == ["hdri/room.hdr"]


def test_few_electrons_make_the_dark_noisy():
    rng = np.random.default_rng(0)
    wells = [sample_camera(rng, (500.0, 1000.0)).full_well for _ in range(20)]
    assert 500 <= min(wells) < max(wells) <= 1000


def test_coloured_light_pulls_the_channels_apart():
    rng = np.random.default_rng(0)
    spreads = []
    for _ in range(50):
        balance = colour_light(Camera(), rng).white_balance
        spreads.append(max(balance) / min(balance))
    assert 1 < min(spreads) < 1.5
    assert 2 < max(spreads) <= np.exp(1.1) + 1e-6


def test_lamps_are_bright_and_leave_the_rest_as_it_is():
    room = np.full((96, 96, 3), 0.5, np.float32)
    lit = add_lamps(room, np.random.default_rng(2))
    assert (room == 0.5).all()
    assert (lit >= room).all()
    assert lit.max() > 0.5 * 2**3.5
    assert np.median(lit) < 0.5 * 2


def test_a_region_is_made_of_another_exposure():
    rng = np.random.default_rng(4)
    scene = np.random.default_rng(1).random((96, 96, 3))
    dark, bright = ((255 * scene * gain).clip(0, 255).astype(np.uint8) for gain in (0.3, 2.0))
    changed = replace_region([dark, bright], rng)
    differs = [(one != two).any() for one, two in zip(changed, (dark, bright), strict=True)]
    assert sorted(differs) == [False, True]
    which = differs.index(True)
    kept = (changed[which] == (dark, bright)[which]).all(axis=2).mean()
    assert 0.3 < kept < 0.99


def test_the_tone_curve_meets_the_lightness_and_keeps_order_and_hue():
    columns = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    luminance = 2.0 ** (columns / 6)  # more than ten stops
    radiance = luminance[..., None] * np.array([1.0, 0.8, 0.5], np.float32)
    shown = apply_tone_curve(radiance, 50.0, Camera())
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (np.diff(shown[0, :, 1]) > 0).all()
    assert (shown[..., 0] >= shown[..., 1]).all()
    assert (shown[..., 1] >= shown[..., 2]).all()
    brighter = apply_tone_curve(radiance * 16, 50.0, Camera())
    np.testing.assert_allclose(brighter, shown, atol=1e-4)
    assert apply_tone_curve(radiance, 70.0, Camera()).mean() > shown.mean() + 0.1


def test_the_telling_pair_shows_most_together():
    flat = torch.full((1, 3, 32, 32), 0.5)
    left, right, both = flat.clone(), flat.clone(), flat.clone()
    left[..., 4:12:4] += 0.4
    right[..., 20:28:4] += 0.4
    both[..., 4:12:4] += 0.1
    stack = torch.stack([flat, left, both, right], dim=1)
    telling = find_telling(stack)
    assert torch.equal(telling[0], torch.stack([left[0], right[0]]))


def test_of_two_exposures_there_is_nothing_to_choose():
    planes = torch.rand(1, 3, 3, 16, 16)
    assert split_sample(planes, has_truth=False).choose_pairs(1, 2) is None


def test_pairs_apart_span_a_third_of_the_stack():
    for count, distance in ((3, 1), (4, 1), (5, 2), (7, 2), (9, 3)):
        sample = split_sample(torch.rand(1, count + 1, 3, 16, 16), has_truth=False)
        apart = sample.choose_pairs(1, 1).apart
        assert len(apart) == count - distance
        for darker, pair in enumerate(apart):
            assert torch.equal(pair[:, 0], sample.exposures[darker])
            assert torch.equal(pair[:, 1], sample.exposures[darker + distance])


def test_a_long_stack_does_not_ask_for_highlights_of_its_ends():
    ramp = torch.linspace(0.4, 0.7, 64).expand(1, 3, 64, 64)
    darkest, middle, brightest = ramp / 4, ramp, torch.ones_like(ramp)
    triple = torch.stack([darkest, middle, brightest], dim=1)
    planes = torch.cat([triple, middle.unsqueeze(1)], dim=1)
    config = LossConfig(tasks=0.0, highlights=1.0)

    def lost(fused, pairs):
        return compute_losses(fused, triple, config, pairs=pairs)["lost_highlights"].item()

    pairs = split_sample(planes, has_truth=False).choose_pairs(1, 1)
    # the middle exposure holds what the brightest burns; against the darkest it looks veiled
    assert lost(middle, pairs) < lost(darkest, pairs) < lost(brightest, pairs)
    assert lost(middle, None) > 5 * lost(middle, pairs)


def test_drawn_pairs_depend_on_seed_and_step_and_reach_every_exposure():
    sample = split_sample(torch.rand(2, 6, 3, 16, 16), has_truth=False)
    assert len(sample.exposures) == 5
    seen = set()
    for step in range(40):
        drawn = sample.choose_pairs(1, step).drawn
        assert torch.equal(drawn, sample.choose_pairs(1, step).drawn)
        for which in (0, 1):
            seen |= {k for k in range(5) if torch.equal(drawn[:, which], sample.exposures[k])}
    assert seen == set(range(5))

import shutil

import pytest
import torch

import trainer.data.triples as triples_module
from tests.paths import SHARED
from trainer.config import DataConfig, dump_config, load_config
from trainer.data.triples import TripleDataset
from trainer.errors import ConfigError, DataError

SHARED_DATA = SHARED / "data"


def dataset(root, *, seed=1, **options):
    return TripleDataset(root, DataConfig(side_px=176, **options), seed=seed, length=100)


def test_a_triple_is_three_planes_of_lightness_dark_to_bright(data_root):
    for index in range(12):
        triple = dataset(data_root, stack_share=0.3)[index]
        assert triple.shape == (3, 1, 176, 176)
        assert triple.dtype == torch.float32
        assert triple.min() >= 0
        assert triple.max() <= 100.001
        under, correct, over = triple.mean(dim=(1, 2, 3)).tolist()
        assert under < correct < over


def test_a_triple_depends_on_seed_and_index_alone(data_root):
    first, again = dataset(data_root), dataset(data_root)
    for index in (5, 2, 9):
        again[index + 1]
        torch.testing.assert_close(first[index], again[index], rtol=0, atol=0)
    assert (first[3] != first[4]).any()
    assert (first[3] != dataset(data_root, seed=2)[3]).any()


def test_the_correct_exposure_lies_in_the_asked_range(data_root):
    triples = dataset(data_root, stack_share=0.0, correct_lightness=(45.0, 50.0))
    means = [triples[index][1].mean().item() for index in range(10)]
    # The meter works on luminance without noise; the picture's lightness comes near it.
    assert min(means) > 40
    assert max(means) < 55


def test_the_share_of_photographed_triples_is_kept(data_root):
    # The stack's three exposures are the same at every draw, so few distinct planes come from it.
    assert dataset(data_root, stack_share=1.0, resize="anisotropic")[0].shape == (3, 1, 176, 176)
    squeezed = dataset(data_root, stack_share=1.0, resize="anisotropic")
    planes = {round(squeezed[index].mean().item(), 3) for index in range(6)}
    assert len(planes) == 1


def test_a_licence_that_is_not_clean_is_refused(data_root, tmp_path):
    text = (data_root / "manifest.csv").read_text().replace("CC0,made", "unknown,made")
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match="licence"):
        dataset(tmp_path)


def test_items_for_validation_never_reach_the_training_set(data_root):
    names = [source.name for source in dataset(data_root).sources]
    assert names == ["hdri/room.hdr", "stacks/desk"]


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.csv"):
        dataset(tmp_path)


# Means of L* of triples 0 to 5 (under, correct, over), by the code of commit 3cccf26, before
# photographs alone could be trained on: TripleDataset(root, DataConfig(side_px=176,
# stack_share=0.5), seed=1620, length=100)[index].mean(dim=(1, 2, 3)); ../shared/data at 256 pixels.
MADE = [
    [18.854, 46.924, 91.0],
    [18.878, 46.993, 90.758],
    [19.73, 48.751, 93.071],
    [19.464, 48.205, 92.606],
    [7.424, 57.249, 86.143],
    [19.962, 49.252, 93.103],
]
SHARED = [
    [39.799, 48.41, 90.883],
    [46.481, 55.594, 67.256],
    [50.429, 70.983, 87.125],
    [29.886, 54.577, 77.402],
    [6.703, 56.684, 95.943],
    [50.009, 59.026, 92.3],
]


def means(root, **options):
    config = DataConfig(stack_share=0.5, **options)
    triples = TripleDataset(root, config, seed=1620, length=100)
    return torch.stack([triples[index].mean(dim=(1, 2, 3)) for index in range(6)])


def test_a_seed_draws_the_triples_that_it_always_drew(data_root):
    # One grey level of a single pixel that rounds otherwise on another processor moves the mean
    # by 1e-5; another draw moves it by far more than this tolerance.
    drawn = means(data_root, side_px=176)
    torch.testing.assert_close(drawn, torch.tensor(MADE), rtol=0, atol=0.02)


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="needs ../shared/data")
def test_a_seed_draws_the_photographs_and_panoramas_that_it_always_drew():
    drawn = means(SHARED_DATA)
    torch.testing.assert_close(drawn, torch.tensor(SHARED), rtol=0, atol=0.02)


@pytest.fixture
def photographs(data_root, tmp_path):
    """The photographed half of the training data."""
    shutil.copytree(data_root / "stacks", tmp_path / "stacks")
    header, _, stack, _ = (data_root / "manifest.csv").read_text().splitlines()
    (tmp_path / "manifest.csv").write_text(f"{header}\n{stack}\n")
    return tmp_path


def test_without_panoramas_every_triple_is_photographed(photographs):
    triples = dataset(photographs, stack_share=0.0, resize="anisotropic")
    planes = {round(triples[index].mean().item(), 3) for index in range(6)}
    assert len(planes) == 1


def test_stacks_that_do_not_fit_into_memory_give_the_same_triples(photographs, monkeypatch):
    kept = dataset(photographs)
    monkeypatch.setattr(triples_module, "KEPT_BYTES", 0)
    lazy = dataset(photographs)
    for index in range(4):
        torch.testing.assert_close(kept[index], lazy[index], rtol=0, atol=0)


def test_a_root_with_nothing_to_draw_from_is_refused(photographs):
    (photographs / "stacks" / "desk" / "02.jpg").unlink()  # the over exposure
    with pytest.raises(DataError, match="found none"):
        dataset(photographs)


def test_a_stack_smaller_than_a_crop_is_refused_unless_it_is_squeezed(photographs):
    with pytest.raises(DataError, match="'desk' has 400x300"):
        TripleDataset(photographs, DataConfig(side_px=304), seed=1, length=1)
    squeezed = DataConfig(side_px=304, resize="anisotropic")
    assert TripleDataset(photographs, squeezed, seed=1, length=1)[0].shape == (3, 1, 304, 304)


def test_other_licences_are_accepted_on_ones_own_word(photographs):
    manifest = photographs / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("CC0", "own photographs"))
    with pytest.raises(DataError) as refusal:
        dataset(photographs)
    consent = '["CC0", "MIT", "Apache-2.0", "own photographs"]'
    assert f"--set 'data.licences={consent}'" in refusal.value.message
    assert dataset(photographs, licences=("own",)).sources[0].licence == "own photographs"


def test_a_config_says_which_licences_and_refuses_to_accept_all(config_file):
    config = load_config(config_file, ['data.licences=["own", "CC0"]'])
    assert config.data.licences == ("own", "CC0")
    config_file.write_text(dump_config(config))
    assert load_config(config_file) == config
    for everything in ("[]", '[""]'):
        with pytest.raises(ConfigError, match="licences"):
            load_config(config_file, [f"data.licences={everything}"])

import pytest
import torch

from trainer.config import DataConfig
from trainer.data.triples import TripleDataset
from trainer.errors import DataError


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

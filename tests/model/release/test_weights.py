import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from model.blend.definition import parameter_shapes as blend_shapes
from model.errors import WeightsError
from model.lightness.definition import parameter_shapes as lightness_shapes
from model.lightness.torch_network import FusionNetwork
from model.manifest import (
    GRAPH_NAME,
    MANIFEST_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    NetworkConfig,
    PyramidBlendConfig,
    describe_file,
    read_manifest,
    write_manifest,
)
from model.release.torch_networks import (
    answer_golden,
    build_loaded,
    build_network,
    compute_golden,
    save_parameters,
)
from model.release.verify import verify_torch
from model.release.weights import _random_phases, golden_pair, load_weights, run_golden
from tests.paths import ROOT

BUNDLED = ROOT / "weights" / "hyperp-mb-1.1.0"


@pytest.fixture
def write_weights(tiny_graphs_dir: Path) -> Callable[..., Path]:
    """Writes a version, by the graphs that the trainer writes, with other entries or without."""
    return partial(write_tiny_weights, tiny_graphs_dir)


def write_tiny_weights(graphs: Path, root: Path, **changes) -> Path:
    """A complete weights version of a narrow random network; graphs are opaque bytes here."""
    directory = root / "tiny-net-1.0.0"
    directory.mkdir()
    torch.manual_seed(0)
    network = FusionNetwork(NetworkConfig(width=2))
    save_parameters(network, directory / PARAMETERS_NAME)
    for name in (GRAPH_NAME, VALID_GRAPH_NAME):
        shutil.copy(graphs / name, directory / name)
    names = (PARAMETERS_NAME, GRAPH_NAME, VALID_GRAPH_NAME)
    document = {
        "name": "tiny-net",
        "version": "1.0.0",
        "network": {"width": 2},
        "files": {name: describe_file(directory / name).model_dump() for name in names},
        "receptive_field": 17,
        "size_multiple": 1,
        "accepted_exposures": [2, 2],
        "chroma": "mean",
        "reference": "over",
        "golden": compute_golden(network).model_dump(),
        "training": {
            "config": "", "commit": "none", "seed": 0, "steps": 0, "device": "none", "data": []
        },
    }  # fmt: skip
    document.update(changes)
    (directory / MANIFEST_NAME).write_text(json.dumps(document))
    return directory


def test_what_was_saved_is_loaded(write_weights, tmp_path):
    weights = load_weights(write_weights(tmp_path))
    torch.manual_seed(0)
    expected = FusionNetwork(NetworkConfig(width=2)).state_dict()
    assert weights.parameters.keys() == expected.keys()
    for name, array in weights.parameters.items():
        assert torch.equal(torch.from_numpy(array), expected[name])
    assert weights.manifest.label == "tiny-net-1.0.0"


def test_saved_parameters_are_readable_by_another_user(write_weights, tmp_path):
    mode = (write_weights(tmp_path) / PARAMETERS_NAME).stat().st_mode
    assert mode & 0o444 == 0o444


def test_manifest_survives_writing_and_reading(write_weights, tmp_path):
    directory = write_weights(tmp_path)
    manifest = read_manifest(directory)
    write_manifest(manifest, directory)
    assert read_manifest(directory) == manifest


@pytest.mark.parametrize("name", [PARAMETERS_NAME, GRAPH_NAME, VALID_GRAPH_NAME])
def test_one_changed_bit_of_any_file_is_noticed(write_weights, tmp_path, name):
    path = write_weights(tmp_path) / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=f"{name} has SHA-256"):
        load_weights(path.parent)


@pytest.mark.parametrize("name", [PARAMETERS_NAME, GRAPH_NAME])
def test_a_missing_file_is_named(write_weights, tmp_path, name):
    directory = write_weights(tmp_path)
    (directory / name).unlink()
    with pytest.raises(WeightsError, match=f"expected the file {name}"):
        load_weights(directory)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": {"width": 4}}, "does not fit the network config"),
        ({"network": {"width": 2, "depth": 3}}, "network.depth"),
        ({"receptive_field": 15}, "receptive field is 17"),
        ({"version": "1.0"}, "version"),
        ({"version": "1.0.1"}, "named 'tiny-net-1.0.1'"),
        ({"schema_version": 2}, "schema_version"),
        ({"files": {}}, "names no network.safetensors"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_what_and_where(
    write_weights, tmp_path, changes, said
):
    with pytest.raises(WeightsError, match=said):
        load_weights(write_weights(tmp_path, **changes))


def test_another_behaviour_than_the_golden_one_is_refused(write_weights, tmp_path):
    directory = write_weights(tmp_path)
    document = json.loads((directory / MANIFEST_NAME).read_text())
    document["golden"]["samples"][3] += 1.0
    (directory / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(WeightsError, match="golden pair"):
        load_weights(directory)


def test_the_golden_pair_is_the_one_that_the_manifest_names(write_weights, tmp_path):
    torch.manual_seed(0)
    network = FusionNetwork(NetworkConfig(width=2))
    other = compute_golden(network, seed=7, side_px=64)
    assert len(other.samples) == 8
    assert load_weights(write_weights(tmp_path, golden=other.model_dump()))


@pytest.mark.parametrize("change", [{"seed": 1621}, {"side_px": 88}])
def test_answers_to_another_golden_pair_are_refused(tmp_path, change):
    directory = shutil.copytree(BUNDLED, tmp_path / BUNDLED.name)
    document = json.loads((directory / MANIFEST_NAME).read_text())
    document["golden"] |= change
    (directory / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(WeightsError, match="golden pair"):
        load_weights(directory)


def test_a_network_that_answers_with_no_number_is_refused(blend_weights_dir, tmp_path):
    directory = shutil.copytree(blend_weights_dir, tmp_path / blend_weights_dir.name)
    network = build_loaded(load_weights(directory))
    network.mix.bias.fill_(float("nan"))
    save_and_sign(directory, network)
    with pytest.raises(WeightsError, match="golden pair"):
        load_weights(directory)


def test_parameters_that_are_not_those_of_the_graphs_are_refused_by_torch(tmp_path):
    directory = shutil.copytree(BUNDLED, tmp_path / BUNDLED.name)
    network = build_loaded(load_weights(directory))
    network.decoder[-1].convolution.bias.fill_(float("nan"))
    save_and_sign(directory, network)
    with pytest.raises(WeightsError, match="golden pair's fused lightness by the network in torch"):
        verify_torch(load_weights(directory))


def save_and_sign(directory: Path, network: FusionNetwork) -> None:
    """Put other parameters in place, with the hash that belongs to them."""
    save_parameters(network, directory / PARAMETERS_NAME)
    document = json.loads((directory / MANIFEST_NAME).read_text())
    document["files"][PARAMETERS_NAME] = describe_file(directory / PARAMETERS_NAME).model_dump()
    (directory / MANIFEST_NAME).write_text(json.dumps(document))


def test_a_file_that_is_no_safetensors_is_refused(write_weights, tmp_path):
    directory = write_weights(tmp_path)
    path = directory / PARAMETERS_NAME
    path.write_bytes(b"not at all")
    document = json.loads((directory / MANIFEST_NAME).read_text())
    document["files"][PARAMETERS_NAME] = describe_file(path).model_dump()
    (directory / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(directory)


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"expected manifest\.json"):
        read_manifest(tmp_path)


def test_no_message_holds_a_path(tmp_path):
    with pytest.raises(WeightsError) as caught:
        load_weights(tmp_path / "none-1.0.0")
    assert str(tmp_path) not in caught.value.message


def test_weights_of_the_other_architecture_are_loaded_and_answer_their_golden_pair(
    blend_network, blend_weights_dir
):
    weights = load_weights(blend_weights_dir)
    assert [*weights.manifest.files] == [PARAMETERS_NAME]
    for name, array in weights.parameters.items():
        assert torch.equal(torch.from_numpy(array), blend_network.state_dict()[name])
    grey = [torch.from_numpy(plane / 100).expand(1, 3, -1, -1) for plane in golden_pair(1620, 96)]
    fused = build_loaded(weights)(*grey)
    assert fused.mean(1).mean().item() * 100 == pytest.approx(weights.manifest.golden.mean, abs=0.1)


def test_another_network_s_parameters_under_a_valid_hash_are_noticed(blend_weights_dir, tmp_path):
    directory = tmp_path / blend_weights_dir.name
    shutil.copytree(blend_weights_dir, directory)
    network = build_loaded(load_weights(directory))
    network.band_gain += 0.2
    save_parameters(network, directory / PARAMETERS_NAME)
    document = json.loads((directory / MANIFEST_NAME).read_text())
    document["files"][PARAMETERS_NAME] = describe_file(directory / PARAMETERS_NAME).model_dump()
    (directory / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(WeightsError, match="golden pair's fused lightness by the network is off"):
        load_weights(directory)
    document["receptive_field"] = 17
    (directory / MANIFEST_NAME).write_text(json.dumps(document))
    with pytest.raises(WeightsError, match="is the whole picture, the manifest says 17 pixels"):
        load_weights(directory)


def test_golden_pair_is_a_dark_and_a_bright_plane_within_range():
    under, over = golden_pair(1, 64)
    assert under.min() >= 0
    assert over.max() <= 100
    assert under.mean() < over.mean()
    assert not np.array_equal(under, golden_pair(2, 64)[0])


@pytest.mark.parametrize("seed", [0, 1620, 2**32 + 5])
def test_the_golden_pair_is_drawn_as_torch_draws(seed):
    expected = torch.rand(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert _random_phases(seed).tolist() == expected[:3].tolist()


@pytest.mark.parametrize("fixture", ["weights_dir", "blend_weights_dir"])
def test_the_cpu_answers_the_golden_pair_as_torch_does(request, fixture):
    weights = load_weights(request.getfixturevalue(fixture))
    golden = weights.manifest.golden
    expected = answer_golden(build_loaded(weights), seed=golden.seed, side_px=golden.side_px)
    np.testing.assert_allclose(run_golden(weights), expected, atol=1e-3)


@pytest.mark.parametrize("config", [NetworkConfig(encoders="separate"), PyramidBlendConfig()])
def test_parameters_have_the_names_and_shapes_that_the_config_says(config):
    shapes = lightness_shapes if isinstance(config, NetworkConfig) else blend_shapes
    state = build_network(config).state_dict()
    assert {name: tuple(one.shape) for name, one in state.items()} == shapes(config)


@pytest.mark.parametrize("directory", sorted(BUNDLED.parent.iterdir()), ids=lambda path: path.name)
def test_bundled_weights_verify_and_come_from_clean_licences_alone(directory):
    manifest = load_weights(directory).manifest
    assert manifest.label == directory.name
    assert manifest.training.data
    for source in manifest.training.data:
        assert source.licence.startswith(("CC0", "MIT", "Apache-2.0")), source.name
    assert sum(entry.size_bytes for entry in manifest.files.values()) < 1_500_000


@pytest.mark.parametrize("directory", sorted(BUNDLED.parent.iterdir()), ids=lambda path: path.name)
def test_what_bundled_weights_started_from_ships_too_or_can_be_trained_again(directory):
    manifest = read_manifest(directory)
    earlier = manifest.training.started_from
    if not earlier:
        return
    if (directory.parent / earlier).is_dir():
        assert set(read_manifest(directory.parent / earlier).training.data) <= set(
            manifest.training.data
        )
    else:
        run = ROOT / "docs" / "runs" / earlier
        assert (run / "record.json").is_file()
        config = ROOT / "trainer" / "configs" / f"{earlier}.toml"
        assert config.is_file() or (run / PARAMETERS_NAME).is_file()

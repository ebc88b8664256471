"""A small world for the model's tests: a network of each architecture with a lively output."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from model.blend.torch_network import BlendNetwork
from model.exposure import AlignmentReport, ExposureStack, StackAlignment
from model.lightness.torch_network import FusionNetwork
from model.manifest import (
    GRAPH_NAME,
    PARAMETERS_NAME,
    VALID_GRAPH_NAME,
    Manifest,
    NetworkConfig,
    PyramidBlendConfig,
    describe_file,
    read_manifest,
    write_manifest,
)
from model.release.torch_networks import AnyNetwork, compute_golden, save_parameters
from model.release.weights import LoadedWeights, golden_pair, load_weights
from tests.model.host_launcher import HostLauncher, compile_kernels
from tests.once import make_once

LIVELY = "lively-0.0.1"


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """The pictures are tiny, and threads that wait for each other make a busy machine crawl."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def host_launcher(tmp_path_factory) -> HostLauncher:
    """The GPU's kernels on the CPU."""
    return HostLauncher(compile_kernels(tmp_path_factory.mktemp("kernels")))


def make_network(config: NetworkConfig) -> FusionNetwork:
    """A seeded network whose output spans the lightness scale instead of dying in a ReLU."""
    torch.manual_seed(3)
    network = FusionNetwork(config).eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            nn.init.normal_(module.bias, 0, 0.1)
    last = network.decoder[-1]
    activation, last.activation = last.activation, "none"
    fused = network(*(torch.from_numpy(one)[None, None] for one in golden_pair(1, 64)))
    last.activation = activation
    gain = 12 / fused.std()
    last.convolution.weight *= gain
    last.convolution.bias *= gain
    last.convolution.bias += (50 - gain * fused.mean()) * config.lightness_scale / 100
    return network


@pytest.fixture(scope="session")
def lively_network() -> FusionNetwork:
    return make_network(NetworkConfig(encoders="separate"))


def make_blend_network(**config) -> BlendNetwork:
    """A seeded network whose maps differ from place to place, and which changes every pixel."""
    torch.manual_seed(3)
    network = BlendNetwork(PyramidBlendConfig(**config)).eval().requires_grad_(False)
    for head in (network.coefficients, network.gains):
        nn.init.normal_(head.weight, 0, 0.3)
        nn.init.normal_(head.bias, 0, 0.2)
    network.band_gain.normal_(0, 0.1)
    if network.config.saliency:
        network.saliency.normal_(0, 1)
    return network


def write_version(network: AnyNetwork, directory: Path) -> Path:
    """A complete weights version of a network but for its graphs."""
    directory.mkdir()
    save_parameters(network, directory / PARAMETERS_NAME)
    name, _, version = directory.name.rpartition("-")
    document = {
        "name": name,
        "version": version,
        "network": network.config,
        "files": {PARAMETERS_NAME: describe_file(directory / PARAMETERS_NAME)},
        "receptive_field": network.receptive_field,
        "size_multiple": network.size_multiple,
        "accepted_exposures": (2, 2),
        "chroma": "blend" if isinstance(network, BlendNetwork) else "mean",
        "reference": "over",
        "golden": compute_golden(network),
        "training": {
            "config": "",
            "commit": "none",
            "seed": 3,
            "steps": 0,
            "device": "none",
            "data": (),
        },
    }
    write_manifest(Manifest.model_validate(document), directory)
    return directory


@pytest.fixture(scope="session")
def weights_dir(lively_network, tmp_path_factory) -> Path:
    """A complete weights version of the lively network, its graphs written by the trainer."""
    from trainer.release.export import export_graph

    def make(folder: Path) -> None:
        directory = write_version(lively_network, folder / LIVELY)
        export_graph(lively_network, directory / GRAPH_NAME, "reflect")
        export_graph(lively_network, directory / VALID_GRAPH_NAME, "valid")
        graphs = {name: describe_file(directory / name) for name in (GRAPH_NAME, VALID_GRAPH_NAME)}
        manifest = read_manifest(directory)
        files = {**manifest.files, **graphs}
        write_manifest(manifest.model_copy(update={"files": files}), directory)

    return make_once(tmp_path_factory, "lively-weights", make) / LIVELY


@pytest.fixture(scope="session")
def blend_network() -> BlendNetwork:
    return make_blend_network()


@pytest.fixture(scope="session")
def blend_weights_dir(blend_network, tmp_path_factory) -> Path:
    """A complete weights version of the other architecture, which has no graphs."""
    return write_version(blend_network, tmp_path_factory.mktemp("weights") / "blend-0.0.1")


@pytest.fixture(scope="session")
def make_blend():
    """Builds blend networks of other configs than the default one."""
    return make_blend_network


@pytest.fixture(scope="session")
def loaded_weights(weights_dir) -> LoadedWeights:
    return load_weights(weights_dir)


@pytest.fixture
def make_scene():
    """Builds an exposure pair of one smooth coloured scene with clipped and dark regions."""

    def make(height: int, width: int, dtype=np.uint8, *, seed: int = 0) -> ExposureStack:
        rng = np.random.default_rng(seed)
        scene = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 1.5)
        scene = (scene - scene.min()) / (scene.max() - scene.min())
        full = np.iinfo(dtype).max
        under = np.rint(0.4 * scene * full).astype(dtype)
        over = np.rint((1.6 * scene).clip(0, 1) * full).astype(dtype)
        return ExposureStack.from_images([under, over])

    return make


@pytest.fixture
def make_stack():
    """Builds a bracket of one smooth coloured scene, dark to bright, clipped where it is bright."""

    def make(
        count: int,
        height: int,
        width: int,
        dtype=np.uint8,
        *,
        seed: int = 0,
        order: tuple[int, ...] | None = None,
    ) -> ExposureStack:
        rng = np.random.default_rng(seed)
        scene = cv2.GaussianBlur(rng.random((height, width, 3)), (0, 0), 1.5)
        scene = (scene - scene.min()) / (scene.max() - scene.min())
        full = np.iinfo(dtype).max
        exposures = tuple(
            np.rint((gain * scene).clip(0, 1) * full).astype(dtype)
            for gain in np.geomspace(0.25, 2.5, count)
        )
        return ExposureStack(exposures, order or tuple(range(count)))

    return make


@pytest.fixture
def tilt() -> AlignmentReport:
    """A report of a motion with rotation, shift and perspective."""
    return AlignmentReport(
        model="homography",
        homography=(1.01, 0.02, 1.5, -0.015, 0.99, -2.0, 1e-5, 2e-5, 1.0),
        inliers=99,
        inlier_ratio=0.9,
        max_corner_shift_px=5.0,
        refused=None,
    )


@pytest.fixture
def tilted(tilt) -> StackAlignment:
    """The alignment of a pair of which the under exposure moved so."""
    return StackAlignment(1, (tilt, None))

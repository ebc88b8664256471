"""What tests of several rooms need; what it takes is imported by those who ask for it."""

from pathlib import Path

import pytest

from tests.once import make_once


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first, so that no process is left alone with one at the end."""
    long = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session")
def tiny_graphs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both graphs of a network of width 2, whose parameters are those of seed 0."""
    import torch

    from model.lightness.torch_network import FusionNetwork
    from model.manifest import NetworkConfig
    from trainer.release.export import GRAPHS, export_graph

    def make(folder: Path) -> None:
        torch.manual_seed(0)
        network = FusionNetwork(NetworkConfig(width=2)).eval()
        for name, padding in GRAPHS:
            export_graph(network, folder / name, padding)

    return make_once(tmp_path_factory, "tiny-graphs", make)

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import InferenceError, WeightsError
from model.exposure import ExposurePair
from service.backend import BackendConfig, classify_torch_error, create_backend
from service.server import make_backend_factory
from service.settings import Settings
from tests.service import images

WEIGHTS = Path(__file__).resolve().parents[2] / "weights"


@pytest.fixture(scope="module")
def config():
    found = sorted(WEIGHTS.glob("*/manifest.json"))
    if not found:
        pytest.skip("there are no weights below weights/")
    return BackendConfig(found[-1].parent, "cpu", "auto", threads=1, max_batch=None)


@pytest.fixture
def _torch_threads():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_torch_threads")
def test_the_network_fuses_a_pair_window_by_window(config):
    backend = create_backend(config)
    backend.warm_up()
    backend.free_memory()
    label = f"{backend.info.weights_name}-{backend.info.weights_version}"
    assert label == config.weights_directory.name
    assert (backend.info.device, backend.info.precision) == ("cpu", "float32")
    pair = ExposurePair(images.scene(gain=0.3), images.scene())
    output = np.zeros_like(pair.under)
    run = backend.begin(pair, None, output)
    for windows in run.passes:
        for window in windows:
            backend.fuse_windows([(run, window)])
    assert pair.under.mean() < output.mean()
    assert backend.max_batch == 1


@pytest.mark.usefixtures("_torch_threads")
def test_the_manifest_is_read_once(config):
    reads: list[str] = []

    def count(event, arguments):
        if event == "open" and str(arguments[0]).endswith("manifest.json"):
            reads.append(arguments[0])

    sys.addaudithook(lambda *seen: count(*seen) if counting else None)
    counting = True
    create_backend(config)
    counting = False
    assert len(reads) == 1


def test_weights_that_are_not_there_are_a_weights_error(tmp_path):
    with pytest.raises(WeightsError):
        create_backend(BackendConfig(tmp_path / "no-0.0.0", "cpu", "auto", None, None))


def test_a_device_that_is_not_there_is_told(config):
    missing = BackendConfig(config.weights_directory, "cuda:63", "auto", None, None)
    with pytest.raises(ValueError, match="cuda:63"):
        create_backend(missing)


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), "memory"),
        (caused(InferenceError("x"), RuntimeError("Failed to allocate memory")), "memory"),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), "device"),
        (caused(InferenceError("x"), torch.AcceleratorError("CUDA error")), "device"),
        (InferenceError("the network returned something else"), "job"),
        (ValueError("x"), "job"),
    ],
)
def test_failures_are_told_apart(error, kind):
    assert classify_torch_error(error) == kind


def test_the_factory_travels_to_another_process():
    factory = make_backend_factory(Settings(device="cpu", weights="some-1.0.0"))
    assert pickle.loads(pickle.dumps(factory)).args[0].weights_directory.name == "some-1.0.0"

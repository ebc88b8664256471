import itertools
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.errors import InferenceError, WeightsError
from model.exposure import ExposureStack
from model.manifest import PARAMETERS_NAME, read_manifest, write_manifest
from model.registration import AS_THEY_ARE
from service.device import torch_device
from service.device.backend import Backend, BackendConfig, classify_error, create_backend
from service.device.child import Worker
from service.device.messages import BatchDone, Finished
from service.server import make_worker_command
from service.settings import Settings
from tests import images
from tests.paths import ROOT
from tests.service.versions import write_blend_version
from tests.torch_devices import needs_cuda

WEIGHTS = ROOT / "weights"
LABELS = ("hyperp-mb-1.1.0", "pyramid-blend-2.1.0")


def config_of(*directories: Path) -> BackendConfig:
    return BackendConfig(directories, "cpu", "auto", threads=1, max_batch=None)


@pytest.fixture(scope="module")
def config():
    for label in LABELS:
        if not (WEIGHTS / label / "manifest.json").is_file():
            pytest.skip(f"there is no {label} below weights/")
    return config_of(*(WEIGHTS / label for label in LABELS))


@pytest.fixture(scope="module")
def mixed(config, tmp_path_factory):
    """The released versions and one of the other architecture, whose runs have three passes."""
    blend = write_blend_version(tmp_path_factory.mktemp("weights"))
    return replace(config, weights_directories=(*config.weights_directories, blend))


def fuse_in_worker(backend: Backend, jobs) -> list[np.ndarray]:
    """The pictures of jobs that run on one worker at the same time."""
    messages = []
    worker = Worker(backend, messages.append)
    for number, (job, _, _) in enumerate(jobs):
        worker.submit(number, job)
    while not worker.is_idle:
        worker.step()
    finished = [message.number for message in messages if isinstance(message, Finished)]
    assert sorted(finished) == list(range(len(jobs)))
    return [output.array.copy() for _, output, _ in jobs]


def test_every_version_fuses_a_pair_window_by_window(config):
    backend = create_backend(config)
    backend.free_memory()
    assert backend.measure_memory() == 0
    assert tuple(one.label for one in backend.info.weights) == LABELS == tuple(backend.pipelines)
    assert backend.info.device == "cpu"
    pair = ExposureStack((images.scene(gain=0.3), images.scene()), (0, 1))
    pictures = []
    for pipeline in backend.pipelines.values():
        pipeline.warm_up()
        output = np.zeros_like(pair.darkest)
        run = pipeline.begin(pair, AS_THEY_ARE, output)
        for windows in run.passes:
            for window in windows:
                pipeline.fuse_windows([(run, window)])
        assert pair.darkest.mean() < output.mean()
        pictures.append(output)
    assert (pictures[0] != pictures[1]).any()
    assert [pipeline.max_batch for pipeline in backend.pipelines.values()] == [1, 4]


def test_jobs_of_several_versions_at_one_time_get_what_each_version_gives_alone(mixed, make_job):
    labels = [directory.name for directory in mixed.weights_directories]
    # The width is several windows of each architecture.
    jobs = [make_job(1 + n // 3, 70, 1100, weights=labels[n % 3]) for n in range(6)]
    together = fuse_in_worker(create_backend(mixed), jobs)
    for label, directory in zip(labels, mixed.weights_directories, strict=True):
        alone = create_backend(config_of(directory))
        assert [one.label for one in alone.info.weights] == [label]
        for number, job in enumerate(jobs):
            if job[0].weights == label:
                job[1].array[:] = 0
                (picture,) = fuse_in_worker(alone, [job])
                np.testing.assert_array_equal(picture, together[number])
    assert all((one != other).any() for one, other in itertools.combinations(together, 2))


def test_a_job_of_three_passes_that_is_cancelled_between_them_disturbs_no_other(mixed, make_job):
    label = mixed.weights_directories[-1].name
    backend, messages = create_backend(mixed), []
    jobs = [make_job(1, 300, 300, weights=label), make_job(2, 300, 600, weights=label)]
    (expected,) = fuse_in_worker(backend, [jobs[1]])
    jobs[1][1].array[:] = 0
    worker = Worker(backend, messages.append)
    for number, (job, _, _) in enumerate(jobs):
        worker.submit(number, job)
    # The first job goes first, and its first two passes have one window each.
    while sum(one.windows for one in messages if isinstance(one, BatchDone)) < 2:
        worker.step()
    worker.cancel(0)
    while not worker.is_idle:
        worker.step()
    assert not jobs[0][1].array.any()
    np.testing.assert_array_equal(jobs[1][1].array, expected)
    assert [one.number for one in messages if isinstance(one, Finished)] == [1]


def test_each_manifest_is_read_once(config):
    reads: list[str] = []

    def count(event, arguments):
        if event == "open" and str(arguments[0]).endswith("manifest.json"):
            reads.append(arguments[0])

    sys.addaudithook(lambda *seen: count(*seen) if counting else None)
    counting = True
    create_backend(config)
    counting = False
    assert len(reads) == len(set(reads)) == len(LABELS)


def test_two_versions_of_one_label_are_refused(config, tmp_path):
    first = config.weights_directories[0]
    other = tmp_path / first.name
    other.mkdir()
    with pytest.raises(WeightsError, match=rf"different labels, got '{first.name}' 2 times"):
        create_backend(config_of(first, config.weights_directories[1], other))


def test_a_fault_in_any_version_is_told(config, tmp_path):
    copy = tmp_path / LABELS[1]
    shutil.copytree(config.weights_directories[1], copy)
    parameters = copy / PARAMETERS_NAME
    parameters.write_bytes(parameters.read_bytes()[:-1] + b"\x77")
    with pytest.raises(WeightsError, match=f"'{LABELS[1]}': network.safetensors has SHA-256"):
        create_backend(config_of(config.weights_directories[0], copy))


def test_weights_that_are_not_there_are_a_weights_error(tmp_path):
    with pytest.raises(WeightsError):
        create_backend(config_of(tmp_path / "no-0.0.0"))


def test_a_device_that_is_not_there_is_told(config):
    missing = replace(config, device="cuda:63")
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
        (torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might"), "memory"),
        (
            caused(InferenceError("x"), torch.AcceleratorError("CUDA error: out of memory")),
            "memory",
        ),
        (caused(InferenceError("x"), torch.AcceleratorError("CUDA error")), "device"),
        (InferenceError("the network returned something else"), "job"),
        (ValueError("x"), "job"),
    ],
)
def test_failures_are_told_apart(error, kind):
    assert torch_device.classify_error(error) == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (caused(InferenceError("x"), RuntimeError("Failed to allocate memory")), "memory"),
        (InferenceError("the network returned something else"), "job"),
    ],
)
def test_failures_are_told_apart_without_torch(error, kind):
    assert classify_error(error) == kind


@pytest.mark.gpu
@needs_cuda
def test_the_memory_of_the_device_is_what_torch_holds():
    block = torch.zeros(2**20, dtype=torch.uint8, device="cuda:0")
    assert torch_device.measure_memory() >= block.nbytes
    devices = range(torch.cuda.device_count())
    assert torch_device.measure_memory() == sum(map(torch.cuda.memory_reserved, devices))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_where_there_is_no_device_none_of_its_memory_is_held():
    assert torch_device.measure_memory() == 0


def test_the_config_travels_to_another_process():
    settings = Settings(device="cpu", weights="some-1.0.0,/else/where-2.0.0")
    config = BackendConfig.from_json(make_worker_command(settings)[-2])
    assert [directory.name for directory in config.weights_directories] == [
        "some-1.0.0",
        "where-2.0.0",
    ]


def test_a_start_refuses_what_makes_another_picture_than_the_golden_one(config, tmp_path):
    directory = tmp_path / LABELS[1]
    shutil.copytree(WEIGHTS / LABELS[1], directory)
    manifest = read_manifest(directory)
    golden = manifest.golden.model_copy(update={"picture": (0,) * len(manifest.golden.picture)})
    write_manifest(manifest.model_copy(update={"golden": golden}), directory)
    with pytest.raises(WeightsError, match="golden picture as this device makes it is off by"):
        create_backend(replace(config, weights_directories=(directory,)))

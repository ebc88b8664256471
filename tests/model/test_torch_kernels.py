"""The kernels by the compiler of the GPU, and what is said where it or the driver fails."""

import numpy as np
import pytest
import torch

from model import torch_kernels
from model.errors import DeviceError
from model.torch_kernels import compile_source, list_kernels, open_kernels
from model.torch_passes import reduce_planes
from tests.torch_devices import needs_cuda


def has_compiler():
    try:
        return torch_kernels.nvrtc is not None and bool(torch_kernels.nvrtc.nvrtcVersion())
    except RuntimeError:
        return False


needs_compiler = pytest.mark.skipif(
    not has_compiler(),
    reason="NVIDIA's compiler comes with torch for CUDA, or by "
    "pip install cuda-bindings==13.5.0 nvidia-cuda-nvrtc==13.0.88",
)


def test_the_source_names_its_kernels():
    assert list_kernels() == [
        "reduce_pixels_uint8",
        "reduce_pixels_uint16",
        "reduce_planes",
        "add_band",
        "blend_pixels_uint8",
        "blend_pixels_uint16",
        "warp_uint8",
        "warp_uint16",
    ]


@needs_compiler
@pytest.mark.parametrize("capability", [80, 90, 100])
def test_the_source_is_compiled_for_a_gpu_that_is_not_there(capability):
    image = compile_source(capability)
    assert image.startswith(b"\x7fELF")
    for name in list_kernels():
        assert name.encode() in image


@needs_compiler
def test_for_a_gpu_newer_than_the_compiler_the_driver_translates():
    assert b".target sm_" in compile_source(999)


@needs_compiler
def test_a_gpu_older_than_the_compiler_is_refused():
    with pytest.raises(DeviceError, match="expected a GPU of capability"):
        compile_source(35)


@needs_compiler
def test_what_the_compiler_refuses_is_an_error_of_the_device(monkeypatch, tmp_path):
    (tmp_path / torch_kernels.SOURCE).write_text("no kernel")
    monkeypatch.setattr(torch_kernels, "FOLDER", tmp_path)
    monkeypatch.setattr(torch_kernels, "HEADERS", ())
    with pytest.raises(DeviceError, match=r"NVRTC_ERROR_COMPILATION: fusion.cu\(1\)"):
        compile_source(90)


def test_without_the_compiler_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(torch_kernels, "nvrtc", None)
    with pytest.raises(DeviceError, match="pip install"):
        compile_source(90)


@needs_compiler
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY", torch.OutOfMemoryError),
        ("CUDA_ERROR_ILLEGAL_ADDRESS", torch.AcceleratorError),
    ],
)
def test_the_driver_s_failures_are_those_that_torch_would_raise(name, kind):
    result = getattr(torch_kernels.driver.CUresult, name)
    with pytest.raises(kind, match=name):
        torch_kernels._check((result, None))


@pytest.mark.gpu
@needs_cuda
def test_kernels_run_on_the_stream_that_is_torch_s_current_one():
    device = torch.device("cuda:0")
    launcher, stream = open_kernels(device), torch.cuda.Stream(device)
    planes = np.random.default_rng(1).random((3, 700, 900), dtype=np.float32)
    with torch.cuda.stream(stream):
        given = torch.from_numpy(planes).to(device)
        # The code of torch's kernels is loaded as they are first called, which may wait for others.
        (given * 2).sum().item()
        torch.cuda._sleep(50_000_000)
        doubled = given * 2
        reduced = reduce_planes(launcher, doubled)
        # Were it on another stream, it would have read before there was anything.
        assert not stream.query()
    stream.synchronize()
    expected = reduce_planes(launcher, 2 * torch.from_numpy(planes).to(device))
    assert torch.equal(reduced, expected)
    assert open_kernels(device) is launcher

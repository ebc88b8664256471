import pytest
import torch

from model.errors import InferenceError
from model.lightness.network import FusionNetwork
from model.lightness.runtime import OnnxRuntime, TorchRuntime, create_runtime

PADDINGS = ["reflect", "valid"]


def planes(count=2, height=41, width=53):
    generator = torch.Generator().manual_seed(7)
    return tuple(100 * torch.rand(count, 1, height, width, generator=generator) for _ in range(2))


@pytest.fixture(scope="module")
def onnx_runtime(lively_network, loaded_weights):
    return OnnxRuntime(lively_network, loaded_weights.directory, threads=2)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("height", "width"), [(17, 17), (16, 301), (97, 63)])
def test_onnx_runtime_equals_torch_within_1e_5_of_full_scale(
    onnx_runtime, lively_network, height, width, padding
):
    under_l, over_l = planes(2, height, width)
    if padding == "valid":
        under_l, over_l = (
            torch.nn.functional.pad(plane, (8, 8, 8, 8), mode="reflect")
            for plane in (under_l, over_l)
        )
    actual = onnx_runtime.run(under_l, over_l, padding=padding)
    expected = lively_network(under_l, over_l, padding)
    assert actual.shape == (2, 1, height, width)
    assert actual.dtype == torch.float32
    assert (actual - expected).abs().max() <= 1e-5 * 100


@pytest.mark.parametrize("padding", PADDINGS)
def test_torch_runtime_equals_the_network(lively_network, padding):
    runtime = TorchRuntime(lively_network, device=torch.device("cpu"))
    actual = runtime.run(*planes(), padding=padding)
    expected = lively_network(*planes(), padding)
    assert (actual - expected).abs().max() <= 1e-5 * 100


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 3e-2), ("float16", 3e-3)])
def test_torch_runtime_keeps_to_its_precision(lively_network, precision, tolerance):
    runtime = TorchRuntime(lively_network, device=torch.device("cpu"), precision=precision)
    actual = runtime.run(*planes(), padding="reflect")
    expected = lively_network(*planes())
    assert actual.dtype == torch.float32
    assert 0 < (actual - expected).abs().mean() <= tolerance * 100


def test_torch_runtime_leaves_the_network_it_was_given_alone(lively_network):
    TorchRuntime(lively_network, device=torch.device("cpu"), precision="bfloat16")
    assert {parameter.dtype for parameter in lively_network.parameters()} == {torch.float32}


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_window_has_the_same_bits_alone_and_in_company(onnx_runtime, padding):
    under_l, over_l = planes(3)
    together = onnx_runtime.run(under_l, over_l, padding=padding)
    for index in range(3):
        one = slice(index, index + 1)
        alone = onnx_runtime.run(under_l[one], over_l[one], padding=padding)
        assert torch.equal(together[one], alone)


def test_runtimes_declare_the_networks_halo(onnx_runtime, lively_network):
    torch_runtime = TorchRuntime(lively_network, device=torch.device("cpu"))
    assert onnx_runtime.halo_px == torch_runtime.halo_px == lively_network.halo == 8


def test_a_failing_graph_is_an_inference_error_and_the_next_call_works(onnx_runtime):
    under_l, over_l = planes(1)
    with pytest.raises(InferenceError, match="ONNX Runtime failed on windows of shape"):
        onnx_runtime.run(under_l.double(), over_l.double(), padding="reflect")
    assert onnx_runtime.run(under_l, over_l, padding="reflect").shape == under_l.shape


def test_out_of_memory_halves_the_batch_and_reaches_the_caller(lively_network, monkeypatch):
    runtime = TorchRuntime(lively_network, device=torch.device("cpu"))
    runtime.preferred_batch = 8

    def exhaust(*_args):
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(FusionNetwork, "forward", exhaust)
        for expected in (4, 2, 1, 1):
            with pytest.raises(torch.OutOfMemoryError):
                runtime.run(*planes(1), padding="reflect")
            assert runtime.preferred_batch == expected
    assert runtime.run(*planes(1), padding="reflect").shape == (1, 1, 41, 53)


def test_create_runtime_takes_onnx_runtime_on_the_cpu(lively_network, weights_dir):
    runtime = create_runtime(lively_network, weights_dir, device="cpu", threads=1)
    assert isinstance(runtime, OnnxRuntime)
    assert runtime.device == torch.device("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), ("float16", 1e-2), ("bfloat16", 5e-2)]
)
def test_cuda_equals_the_cpu(weights_dir, lively_network, precision, tolerance, padding):
    runtime = create_runtime(lively_network, weights_dir, device="cuda:0", precision=precision)
    under_l, over_l = planes(3, 97, 131)
    actual = runtime.run(under_l.cuda(), over_l.cuda(), padding=padding).cpu()
    expected = lively_network(under_l, over_l, padding)
    assert (actual - expected).abs().max() <= tolerance * 100
    alone = runtime.run(under_l[:1].cuda(), over_l[:1].cuda(), padding=padding).cpu()
    assert torch.equal(alone, actual[:1])

import numpy as np
import pytest
import torch

from model.errors import InferenceError
from model.lightness.cpu_engine import CpuEngine, OnnxNetwork
from model.lightness.definition import RECEPTIVE_FIELD
from model.lightness.torch_engine import TorchEngine, TorchNetwork
from model.lightness.torch_network import FusionNetwork
from tests.torch_devices import needs_cuda

PADDINGS = ["reflect", "valid"]


def planes(count=2, height=41, width=53):
    generator = torch.Generator().manual_seed(7)
    return tuple(100 * torch.rand(count, 1, height, width, generator=generator) for _ in range(2))


@pytest.fixture(scope="module")
def onnx(loaded_weights):
    return OnnxNetwork(loaded_weights.directory, threads=2)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(("height", "width"), [(17, 17), (16, 301), (97, 63)])
def test_onnx_network_equals_torch_within_1e_5_of_full_scale(
    onnx, lively_network, height, width, padding
):
    under_l, over_l = planes(1, height, width)
    if padding == "valid":
        under_l, over_l = (
            torch.nn.functional.pad(plane, (8, 8, 8, 8), mode="reflect")
            for plane in (under_l, over_l)
        )
    actual = onnx.run(under_l[0, 0].numpy(), over_l[0, 0].numpy(), padding=padding)
    expected = lively_network(under_l, over_l, padding)[0, 0].numpy()
    assert actual.shape == (height, width)
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() <= 1e-5 * 100


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_network_in_torch_equals_the_network(lively_network, padding):
    network = TorchNetwork(lively_network, device=torch.device("cpu"))
    actual = network.run(*planes(), padding=padding)
    expected = lively_network(*planes(), padding)
    assert (actual - expected).abs().max() <= 1e-5 * 100


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 3e-2), ("float16", 3e-3)])
def test_the_network_in_torch_keeps_to_its_precision(lively_network, precision, tolerance):
    network = TorchNetwork(lively_network, device=torch.device("cpu"), precision=precision)
    actual = network.run(*planes(), padding="reflect")
    expected = lively_network(*planes())
    assert actual.dtype == torch.float32
    assert 0 < (actual - expected).abs().mean() <= tolerance * 100


def test_the_network_in_torch_leaves_the_network_it_was_given_alone(lively_network):
    TorchNetwork(lively_network, device=torch.device("cpu"), precision="bfloat16")
    assert {parameter.dtype for parameter in lively_network.parameters()} == {torch.float32}


def test_engines_declare_the_networks_halo(onnx, lively_network):
    torch_network = TorchNetwork(lively_network, device=torch.device("cpu"))
    halos = {CpuEngine(onnx).halo_px, TorchEngine(torch_network).halo_px, lively_network.halo}
    assert halos == {8}
    assert lively_network.receptive_field == RECEPTIVE_FIELD


def test_a_failing_graph_is_an_inference_error_and_the_next_call_works(onnx):
    under_l, over_l = (plane[0, 0].numpy() for plane in planes(1))
    with pytest.raises(InferenceError, match="ONNX Runtime failed on a window of shape"):
        onnx.run(under_l.astype(float), over_l.astype(float), padding="reflect")
    assert onnx.run(under_l, over_l, padding="reflect").shape == under_l.shape


def test_out_of_memory_halves_the_batch_and_reaches_the_caller(lively_network, monkeypatch):
    network = TorchNetwork(lively_network, device=torch.device("cpu"))
    network.preferred_batch = 8

    def exhaust(*_args):
        raise torch.OutOfMemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(FusionNetwork, "forward", exhaust)
        for expected in (4, 2, 1, 1):
            with pytest.raises(torch.OutOfMemoryError):
                network.run(*planes(1), padding="reflect")
            assert network.preferred_batch == expected
    assert network.run(*planes(1), padding="reflect").shape == (1, 1, 41, 53)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_is_float32_is_not_rounded_to_tf32(lively_network, monkeypatch, precision):
    network = TorchNetwork(lively_network, device=torch.device("cpu"), precision=precision)
    flags, forward, seen = torch.backends.cudnn, FusionNetwork.forward, []

    def watch(*given):
        seen.append((flags.allow_tf32, flags.deterministic))
        return forward(*given)

    before = (flags.allow_tf32, flags.deterministic)
    monkeypatch.setattr(FusionNetwork, "forward", watch)
    network.run(*planes(1), padding="reflect")
    assert seen == [(False, True)] != [before]
    assert (flags.allow_tf32, flags.deterministic) == before


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 1e-5), ("float16", 1e-2), ("bfloat16", 5e-2)]
)
def test_cuda_equals_the_cpu(lively_network, precision, tolerance, padding):
    network = TorchNetwork(lively_network, device=torch.device("cuda:0"), precision=precision)
    under_l, over_l = planes(3, 97, 131)
    actual = network.run(under_l.cuda(), over_l.cuda(), padding=padding).cpu()
    expected = lively_network(under_l, over_l, padding)
    assert (actual - expected).abs().max() <= tolerance * 100
    alone = network.run(under_l[:1].cuda(), over_l[:1].cuda(), padding=padding).cpu()
    assert torch.equal(alone, actual[:1])

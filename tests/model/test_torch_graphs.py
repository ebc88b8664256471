"""Computations are captured when they come again, and give what they give step by step."""

import logging

import pytest
import torch

from model.torch_graphs import MOST_SEEN, Graphs
from tests.torch_devices import needs_cuda

CPU = torch.device("cpu")


def double(values):
    return (values * 2,)


def test_on_the_cpu_there_are_no_graphs():
    graphs = Graphs(CPU)
    with graphs.computing():
        for _ in range(3):
            (found,) = graphs.run("double", double, torch.ones(3))
            assert found.tolist() == [2, 2, 2]
    assert len(graphs) == 0
    assert not graphs.is_capturing


def test_the_seen_are_remembered_up_to_a_number():
    graphs = Graphs(CPU)
    assert not graphs._was_seen("first")
    assert graphs._was_seen("first")
    for number in range(MOST_SEEN):
        assert not graphs._was_seen(number)
    assert not graphs._was_seen("first")
    assert len(graphs._seen) == MOST_SEEN


def test_too_little_memory_lets_graphs_go():
    graphs = Graphs(CPU)
    graphs._captured["kept"] = None
    with pytest.raises(torch.OutOfMemoryError), graphs.computing():
        raise torch.OutOfMemoryError("no memory")
    assert len(graphs) == 0


@pytest.fixture
def device():
    return torch.device("cuda:0")


def count_active_bytes(device):
    """What is given out, or given back and still waited for."""
    return torch.cuda.memory_stats(device)["active_bytes.all.current"]


@pytest.mark.gpu
@needs_cuda
def test_a_replay_gives_what_is_given_step_by_step_and_keeps_it(device):
    graphs = Graphs(device, most=2)
    layer = torch.nn.Conv2d(3, 8, 3, padding=1).to(device).requires_grad_(False)

    def compute(one, other):
        mixed = layer(one) + other.sqrt()
        return mixed, mixed.mean((2, 3))

    given = [
        tuple(torch.rand(1, channels, side, 40, device=device) for channels in (3, 8))
        for side in (30, 50, 30, 30, 50, 50, 20, 20, 20, 30, 50)
    ]
    with torch.inference_mode(), graphs.computing():
        found = [graphs.run(tuple(one.shape), compute, one, other) for one, other in given]
        expected = [compute(*pair) for pair in given]
        torch.cuda.synchronize(device)
        for ours, theirs in zip(found, expected, strict=True):
            assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    assert len(graphs) == 2


@pytest.mark.gpu
@needs_cuda
def test_what_cannot_be_captured_is_done_step_by_step_and_the_log_says_so_once(device, caplog):
    graphs = Graphs(device)

    def compute(values):
        return (values * values.sum().item(),)

    with torch.inference_mode(), graphs.computing(), caplog.at_level(logging.WARNING):
        for count in range(1, 5):
            (found,) = graphs.run("waits", compute, torch.ones(count % 2 + 1, device=device))
            assert found.tolist() == [count % 2 + 1] * (count % 2 + 1)
    assert len(caplog.records) == 1
    assert "no CUDA graph" in caplog.text
    # and the device is as it was
    assert (torch.ones(3, device=device) * 2).tolist() == [2, 2, 2]
    # as is what gives out its memory: a block that another stream used comes back
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    before, other = count_active_bytes(device), torch.cuda.Stream(device)
    torch.ones(2**20, device=device).record_stream(other)
    torch.cuda.synchronize(device)
    torch.ones(1, device=device)
    assert count_active_bytes(device) - before < 2**20


@pytest.mark.gpu
@needs_cuda
def test_after_a_failure_others_are_captured(device):
    def wait(values):
        return (values * values.sum().item(),)

    with torch.inference_mode():
        for compute in (wait, double):
            graphs = Graphs(device)
            with graphs.computing():
                for _ in range(3):
                    (found,) = graphs.run("one", compute, torch.ones(1, device=device))
                    assert found.tolist() == [1 if compute is wait else 2]
            assert len(graphs) == (compute is double)


@pytest.mark.gpu
@needs_cuda
def test_graphs_that_were_let_go_are_captured_again(device):
    graphs = Graphs(device)
    with torch.inference_mode(), graphs.computing():
        for _ in range(2):
            for size in (3, 4):
                for _ in range(2):
                    values = torch.rand(size, device=device)
                    assert torch.equal(graphs.run(size, double, values)[0], 2 * values)
            assert len(graphs) == 2
            graphs.clear()
            torch.cuda.empty_cache()

"""The engine on the CPU among other threads: what it holds and what it leaves behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest
import torch

from model.blend.cpu_engine import CpuEngine
from model.blend.single_thread import hold_single_thread

TIMEOUT_S = 20.0


@pytest.fixture
def counts():
    """Thread counts that differ from 1, so that what is left behind can be told apart."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(2)
    torch.set_num_threads(3)
    yield 2, 3
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


def count_threads():
    return cv2.getNumThreads(), torch.get_num_threads()


@pytest.mark.parametrize("threads", [1, 2])
def test_two_threads_that_fuse_at_once_leave_the_thread_counts_as_they_were(
    blend_network, counts, threads
):
    engines = [CpuEngine(blend_network, threads=threads) for _ in range(2)]
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first(_):
        first_is_in.set()
        assert second_is_in.wait(TIMEOUT_S)
        seen.append(count_threads())

    def second(_):
        second_is_in.set()
        assert first_is_out.wait(TIMEOUT_S)
        seen.append(count_threads())

    def run_first():
        torch.ones(1).add_(1)
        engines[0].map(first, [None])
        first_is_out.set()
        return count_threads()

    def run_second():
        assert first_is_in.wait(TIMEOUT_S)
        engines[1].map(second, [None])
        return count_threads()

    with ThreadPoolExecutor(2) as pool:
        left = [pool.submit(run) for run in (run_first, run_second)]
        afterwards = [one.result(TIMEOUT_S) for one in left]
    assert seen == [(1, 1), (1, 1)]
    assert afterwards[1] == counts
    assert count_threads() == counts
    with ThreadPoolExecutor(1) as pool:  # a thread that had no part in it
        assert pool.submit(count_threads).result() == counts


def test_a_block_within_a_block_leaves_the_outer_one_at_one_thread(counts):
    with hold_single_thread():
        with hold_single_thread():
            assert count_threads() == (1, 1)
        assert count_threads() == (1, 1)
    assert count_threads() == counts


@pytest.mark.parametrize("raised", [MemoryError, ValueError])
def test_a_failing_window_is_told_when_no_other_window_runs_any_more(blend_network, raised):
    engine = CpuEngine(blend_network, threads=2)
    has_begun, may_end, has_ended = (threading.Event() for _ in range(3))
    begun = []

    def work(item):
        begun.append(item)
        if item == "fails":
            assert has_begun.wait(TIMEOUT_S)
            raise raised("as asked")
        has_begun.set()
        assert may_end.wait(TIMEOUT_S)
        has_ended.set()

    with ThreadPoolExecutor(1) as caller:
        outcome = caller.submit(engine.map, work, ["fails", "slow", *["late"] * 6])
        assert has_begun.wait(TIMEOUT_S)
        with pytest.raises(TimeoutError):
            outcome.result(timeout=0.2)
        may_end.set()
        with pytest.raises(raised, match="as asked"):
            outcome.result(TIMEOUT_S)
        assert has_ended.is_set()
    count = len(begun)
    assert engine.map(str, [1, 2, 3]) == ["1", "2", "3"]
    assert len(begun) == count

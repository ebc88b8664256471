"""The engine on the CPU among other threads: what it holds and what it leaves behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest

from model.blend.single_thread import hold_single_thread
from model.torch_pipeline import create_blend_engine

TIMEOUT_S = 300.0


@pytest.fixture
def count():
    """A number of OpenCV's threads that differs from 1, so that what is left can be told apart."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield 2
    cv2.setNumThreads(before)


@pytest.mark.parametrize("threads", [1, 2])
def test_two_threads_that_fuse_at_once_leave_the_thread_count_as_it_was(
    blend_network, count, threads
):
    engines = [create_blend_engine(blend_network, device="cpu", threads=threads) for _ in range(2)]
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first(_):
        first_is_in.set()
        assert second_is_in.wait(TIMEOUT_S)
        seen.append(cv2.getNumThreads())

    def second(_):
        second_is_in.set()
        assert first_is_out.wait(TIMEOUT_S)
        seen.append(cv2.getNumThreads())

    def run_first():
        engines[0].map(first, [None])
        first_is_out.set()

    def run_second():
        assert first_is_in.wait(TIMEOUT_S)
        engines[1].map(second, [None])

    with ThreadPoolExecutor(2) as pool:
        for one in [pool.submit(run) for run in (run_first, run_second)]:
            one.result(TIMEOUT_S)
    assert seen == [1, 1]
    assert cv2.getNumThreads() == count


def test_a_block_within_a_block_leaves_the_outer_one_at_one_thread(count):
    with hold_single_thread():
        with hold_single_thread():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 1
    assert cv2.getNumThreads() == count


@pytest.mark.parametrize("raised", [MemoryError, ValueError])
def test_a_failing_window_is_told_when_no_other_window_runs_any_more(blend_network, raised):
    engine = create_blend_engine(blend_network, device="cpu", threads=2)
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

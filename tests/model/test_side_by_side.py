"""Parts of one piece of work on several threads."""

import gc
import os
import sys
import threading
import time
import weakref
from dataclasses import asdict

import numpy as np
import pytest

from model.exposure import ExposureSet
from model.register import register
from model.side_by_side import OtherThreads, alone, map_parts, map_with, use_threads
from tests.model.alignment.test_estimate import expose, make_scene, turn

THREADS = (1, 2, 5)


@pytest.mark.parametrize("count", THREADS)
def test_results_come_in_the_order_of_the_items(count):
    def work(item):
        time.sleep(0.002 * (item % 3))
        return -item

    with use_threads(count):
        assert map_parts(work, range(40)) == [-item for item in range(40)]
        assert map_parts(work, []) == []
        assert map_parts(work, iter([7])) == [-7]


def test_so_many_threads_work_at_once_and_none_without_leave():
    barrier = threading.Barrier(3, timeout=30)
    with use_threads(3):
        map_parts(lambda _: barrier.wait(), range(3))
    names = set(map_parts(lambda _: threading.current_thread().name, range(3)))
    assert names == {threading.current_thread().name}


@pytest.mark.parametrize("count", THREADS)
def test_work_may_be_made_of_parts_itself(count):
    def work(item):
        return sum(map_parts(lambda part: part * item, range(10)))

    with use_threads(count):
        assert map_parts(work, range(20)) == [45 * item for item in range(20)]


@pytest.mark.parametrize("count", THREADS)
def test_an_error_comes_when_no_work_runs_any_more(count):
    running, lock = [0], threading.Lock()

    def work(item):
        with lock:
            running[0] += 1
        time.sleep(0.01)
        with lock:
            running[0] -= 1
        if item % 4 == 0:
            raise KeyError(item)

    with use_threads(count), pytest.raises(KeyError) as caught:
        map_parts(work, range(20))
    assert running == [0]
    assert caught.value.args == (0,)
    time.sleep(0.05)
    assert running == [0]


def see_processors(others):
    """Those on which another thread may run, while it and the caller work."""
    barrier, caller = threading.Barrier(2, timeout=30), threading.current_thread()

    def work(_):
        barrier.wait()
        is_caller = threading.current_thread() is caller
        return None if is_caller else os.sched_getaffinity(0)

    map_with(others, work, range(2))
    (found,) = (one for one in map_with(others, work, range(2)) if one is not None)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads are left where they are")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_other_threads_are_kept_off_the_callers_processor_while_nothing_else_runs():
    allowed, others = os.sched_getaffinity(0), OtherThreads(1)
    assert see_processors(others) == allowed
    with alone():
        kept_off = see_processors(others)
        assert kept_off < allowed
        assert len(kept_off) == len(allowed) - 1
        with alone(is_alone=False):
            assert see_processors(others) == allowed
    assert see_processors(others) == allowed
    others.end()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads are left where they are")
def test_a_caller_with_one_processor_shares_it():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        with use_threads(2):
            for _ in range(2):
                assert map_parts(abs, [-1, 2, -3]) == [1, 2, 3]
    finally:
        os.sched_setaffinity(0, allowed)


def test_an_error_leaves_nothing_behind():
    class Window:
        pass

    held = []

    def work(item):
        window = Window()
        held.append(weakref.ref(window))
        raise KeyError(item)

    gc.disable()
    try:
        with use_threads(2), pytest.raises(KeyError):
            map_parts(work, range(6))
        time.sleep(0.05)
        assert held
        assert not [one for one in held if one() is not None]
    finally:
        gc.enable()


def test_what_is_registered_does_not_depend_on_the_number_of_threads():
    scene = make_scene(11, 900, 620)
    motions = [turn(0.8, (6, -4)), turn(), turn(-1.0, (9, 3))]
    images = [
        expose(scene, gain, homography=motion)
        for gain, motion in zip((0.1, 0.35, 0.9), motions, strict=True)
    ]
    images[2][200:320, 300:420] = 30
    images.append(images[1][:-3, 2:] // 2)
    given = ExposureSet.from_images(images)
    first, *others = [register_on(given, count) for count in THREADS]
    models = [report and report.model for report in first.registration.alignment.reports]
    assert models.count("homography") >= 2
    assert any(ghost is not None for ghost in first.registration.ghosts)
    for other in others:
        assert other.registration.alignment == first.registration.alignment
        assert (other.used.order, other.frame, other.gap_ev) == (
            first.used.order, first.frame, first.gap_ev
        )  # fmt: skip
        np.testing.assert_equal(
            [ghost and asdict(ghost) for ghost in other.registration.ghosts],
            [ghost and asdict(ghost) for ghost in first.registration.ghosts],
        )
        np.testing.assert_equal(other.used.exposures, first.used.exposures)


def register_on(given, count):
    with use_threads(count):
        return register(given, align="auto", ghosts="auto")

"""Supervision of a real worker process: what dies is replaced, what is accepted is answered."""

import asyncio
import math
import os
import signal
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest

from model.errors import InferenceError
from service.device.job_queue import JobQueue
from service.device.messages import BatchDone, Cancelled, Failed, Finished, Started
from service.errors import ChildStartError, QueueFullError, WorkerStoppedError
from service.processes.child_process import UnexpectedMessageError
from service.settings import WorkerSettings
from service.turns import Turn
from tests.service.backends import (
    CRASH,
    DIE,
    DIE_AFTER_DRAFT_ONCE,
    DIE_ONCE,
    HANG,
    INFO,
    LOSE_DEVICE,
    NEVER_FITS,
    RAISE,
    SLOW,
    backend_command,
    copying,
    dying_at_start,
    failing_warm_up,
    hanging_at_start,
    starting_once,
)


@asynccontextmanager
async def running(metrics, *factory, max_queued=64, **settings):
    settings = WorkerSettings(**{"backoff_s": 0.05, **settings})
    worker = JobQueue(
        backend_command(*(factory or (copying,))),
        limits=settings.supervision,
        max_running=settings.max_running,
        max_queued=max_queued,
        metrics=metrics,
    )
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def wait_until(condition, timeout_s=300.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a process
            await asyncio.sleep(0.01)


def gauge(metrics, name):
    return metrics.registry.get_sample_value(f"expofuse_{name}")


async def test_a_job_knows_its_place_until_it_is_begun(metrics, make_job):
    async with running(metrics, max_running=1) as worker:
        jobs = [make_job(SLOW)[0], make_job()[0], make_job()[0]]
        calls = [asyncio.create_task(worker.fuse(job)) for job in jobs]
        await wait_until(lambda: worker.find_place(jobs[2]) == 2)
        assert [worker.find_place(job) for job in jobs] == [0, 1, 2]
        await asyncio.gather(*calls)
        assert [worker.find_place(job) for job in jobs] == [0, 0, 0]


async def test_jobs_that_wait_are_run_in_the_order_of_their_turns(metrics, make_job):
    async with running(metrics, max_running=1) as worker:
        slow = make_job(SLOW, 320, 320)[0]
        first = asyncio.create_task(worker.fuse(slow, turn=Turn(0.0, 0.0)))
        await wait_until(
            lambda: gauge(metrics, "running_jobs") == 1 and worker.find_place(slow) == 0
        )
        jobs = [make_job()[0] for _ in range(3)]
        turns = [Turn(2.0, 1.0), Turn(0.5, 2.0), Turn(1.0, 3.0)]
        waiting = [
            asyncio.create_task(worker.fuse(job, turn=turn))
            for job, turn in zip(jobs, turns, strict=True)
        ]
        await wait_until(lambda: gauge(metrics, "queue_jobs") == 3)
        assert [worker.find_place(job) for job in jobs] == [3, 1, 2]
        await asyncio.gather(first, *waiting)


async def test_a_job_before_all_that_run_need_not_wait_for_their_end(metrics, make_job):
    async with running(metrics, max_running=1) as worker:
        slow = make_job(SLOW, 640, 640)[0]
        large = asyncio.create_task(worker.fuse(slow, turn=Turn(2.0, 0.0)))
        await wait_until(lambda: gauge(metrics, "running_jobs") == 1)
        job, output, expected = make_job()
        await worker.fuse(job, turn=Turn(0.1, 1.0))
        np.testing.assert_array_equal(output.array, expected)
        assert not large.done()
        large.cancel()
        await asyncio.gather(large, return_exceptions=True)
        await wait_until(lambda: gauge(metrics, "running_jobs") == 0)


async def test_jobs_are_fused_and_the_device_is_named(metrics, make_job):
    async with running(metrics) as worker:
        assert worker.info == INFO
        assert gauge(metrics, "worker_up") == 1
        jobs = [make_job(deed) for deed in range(2, 8)]
        times = await asyncio.gather(*(worker.fuse(job) for job, _, _ in jobs))
        for _, output, expected in jobs:
            np.testing.assert_array_equal(output.array, expected)
        assert all(one.queue_s >= 0 and one.fuse_s >= 0 for one in times)
        assert gauge(metrics, "queue_jobs") == gauge(metrics, "running_jobs") == 0
        assert gauge(metrics, "batch_windows_count") >= 1
    assert gauge(metrics, "worker_up") == 0


async def test_a_failing_job_gets_a_typed_error_and_its_neighbours_their_pictures(
    metrics, make_job
):
    async with running(metrics) as worker:
        jobs = [make_job(deed) for deed in (2, RAISE, 3)]
        outcomes = await asyncio.gather(
            *(worker.fuse(job) for job, _, _ in jobs), return_exceptions=True
        )
        assert isinstance(outcomes[1], InferenceError)
        for index in (0, 2):
            np.testing.assert_array_equal(jobs[index][1].array, jobs[index][2])
        assert worker.restarts == 0


async def test_a_killed_worker_is_replaced_and_its_jobs_are_run_again(metrics, make_job, tmp_path):
    async with running(metrics, copying, tmp_path / "died") as worker:
        first_pid = worker.pid
        jobs = [make_job(deed) for deed in (2, DIE_ONCE, 3)]
        await asyncio.gather(*(worker.fuse(job) for job, _, _ in jobs))
        for _, output, expected in jobs:
            np.testing.assert_array_equal(output.array, expected)
        assert worker.pid != first_pid
        assert worker.restarts == 1


async def test_a_job_whose_worker_dies_between_its_passes_is_run_again_from_the_first(
    metrics, make_job, tmp_path
):
    async with running(metrics, copying, tmp_path / "died", True) as worker:
        jobs = [make_job(deed) for deed in (2, DIE_AFTER_DRAFT_ONCE, 3)]
        await asyncio.gather(*(worker.fuse(job) for job, _, _ in jobs))
        for _, output, expected in jobs:
            np.testing.assert_array_equal(output.array, expected)
        assert (tmp_path / "died").exists()
        assert worker.restarts == 1
        assert gauge(metrics, "running_jobs") == 0


@pytest.mark.parametrize(("deed", "ends"), [(DIE, 10), (LOSE_DEVICE, 3), (CRASH, 3)])
async def test_a_job_that_ends_each_worker_fails_alone_after_a_bounded_number(
    metrics, make_job, deed, ends
):
    """A crash is its own: once beside others, twice alone. SIGKILL may be anybody's."""
    async with running(metrics) as worker:
        jobs = [make_job(one) for one in (2, deed, 3)]
        outcomes = await asyncio.gather(
            *(worker.fuse(job) for job, _, _ in jobs), return_exceptions=True
        )
        assert isinstance(outcomes[1], InferenceError)
        for index in (0, 2):
            np.testing.assert_array_equal(jobs[index][1].array, jobs[index][2])
        assert f"{worker.restarts} device workers" in outcomes[1].message
        assert worker.restarts <= ends
        await wait_until(lambda: worker.is_ready)


@pytest.mark.parametrize(
    "message",
    [
        Started(7, 1.0),
        Finished(7, 1.0),
        Failed(7, "inference-failed", ""),
        Cancelled(7),
        BatchDone(0, 1.0),
        BatchDone(1, math.nan),
        BatchDone(1, -1.0),
        BatchDone(1, 1.0, -1),
    ],
)
async def test_what_a_worker_says_without_reason_is_not_believed(metrics, message):
    worker = JobQueue(
        backend_command(copying),
        limits=WorkerSettings().supervision,
        max_running=1,
        max_queued=1,
        metrics=metrics,
    )
    with pytest.raises(UnexpectedMessageError):
        worker.on_child_message(message, b"")
    assert worker.bound_payload(message) == 0


async def test_a_running_job_ends_only_as_it_can(metrics, make_job):
    async with running(metrics) as worker:
        fusing = asyncio.create_task(worker.fuse(make_job(HANG)[0]))
        await wait_until(lambda: gauge(metrics, "running_jobs") == 1)
        (number,) = worker._running
        later = time.monotonic() + 1000
        for message in (Cancelled(number), Started(number, later), Finished(number, later)):
            with pytest.raises(UnexpectedMessageError):
                worker.on_child_message(message, b"")
        fusing.cancel()


async def test_queued_jobs_wait_for_the_replacement(metrics, make_job):
    async with running(metrics, max_running=1) as worker:
        jobs = [make_job(SLOW) for _ in range(4)]
        fusing = [asyncio.create_task(worker.fuse(job)) for job, _, _ in jobs]
        await wait_until(lambda: gauge(metrics, "queue_jobs") == 3)
        os.kill(worker.pid, signal.SIGKILL)
        await wait_until(lambda: not worker.is_ready)
        assert gauge(metrics, "worker_up") == 0
        await asyncio.gather(*fusing)
        for _, output, expected in jobs:
            np.testing.assert_array_equal(output.array, expected)


async def test_a_hanging_worker_is_replaced(metrics, make_job):
    async with running(metrics, stall_timeout_s=0.4) as worker:
        with pytest.raises(InferenceError, match="2 device workers"):
            await worker.fuse(make_job(HANG)[0])
        job, output, expected = make_job()
        await worker.fuse(job)
        np.testing.assert_array_equal(output.array, expected)


async def test_a_full_queue_refuses_at_once(metrics, make_job):
    async with running(metrics, max_running=1, max_queued=1) as worker:
        running_one = asyncio.create_task(worker.fuse(make_job(SLOW)[0]))
        await wait_until(lambda: gauge(metrics, "running_jobs") == 1)
        waiting_one = asyncio.create_task(worker.fuse(make_job(2)[0]))
        await wait_until(lambda: gauge(metrics, "queue_jobs") == 1)
        with pytest.raises(QueueFullError):
            await worker.fuse(make_job(3)[0])
        await asyncio.gather(running_one, waiting_one)


async def test_a_cancelled_job_is_dropped_while_it_waits_and_while_it_runs(metrics, make_job):
    async with running(metrics, max_running=1) as worker:
        jobs = [make_job(SLOW, height=160, width=160) for _ in range(2)]
        fusing = [asyncio.create_task(worker.fuse(job)) for job, _, _ in jobs]
        await wait_until(lambda: gauge(metrics, "queue_jobs") == 1)
        for one in reversed(fusing):
            one.cancel()
        outcomes = await asyncio.gather(*fusing, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)
        assert gauge(metrics, "queue_jobs") == 0
        await wait_until(lambda: gauge(metrics, "running_jobs") == 0)
        job, output, expected = make_job()
        await worker.fuse(job)
        np.testing.assert_array_equal(output.array, expected)
        assert not jobs[1][1].array.any()


async def test_what_befalls_the_device_is_counted(metrics, make_job):
    async with running(metrics) as worker:
        with pytest.raises(InferenceError):
            await worker.fuse(make_job(NEVER_FITS)[0])
        assert gauge(metrics, "device_out_of_memory_total") >= 1
        await worker.fuse(make_job()[0])
        assert gauge(metrics, "device_memory_bytes") > 0
        assert gauge(metrics, "device_lost_total") == 0
        with pytest.raises(InferenceError):
            await worker.fuse(make_job(LOSE_DEVICE)[0])
        assert gauge(metrics, "device_lost_total") == worker.restarts >= 1
        assert gauge(metrics, "device_memory_bytes") == 0


async def test_a_worker_that_is_killed_has_not_lost_its_device(metrics, make_job, tmp_path):
    async with running(metrics, copying, tmp_path / "died") as worker:
        await worker.fuse(make_job(DIE_ONCE)[0])
        assert worker.restarts == 1
        assert gauge(metrics, "device_lost_total") == 0


async def test_a_stopped_worker_answers_what_is_left_and_takes_nothing_new(metrics, make_job):
    async with running(metrics, max_running=1) as worker:
        jobs = [make_job(SLOW, height=160, width=160)[0] for _ in range(2)]
        fusing = [asyncio.create_task(worker.fuse(job)) for job in jobs]
        await wait_until(lambda: gauge(metrics, "queue_jobs") == 1)
        await worker.stop()
        outcomes = await asyncio.gather(*fusing, return_exceptions=True)
        assert all(isinstance(one, WorkerStoppedError) for one in outcomes)
        with pytest.raises(WorkerStoppedError):
            await worker.fuse(jobs[0])


@pytest.mark.parametrize(
    ("factory", "timeout_s", "sentence"),
    [
        (failing_warm_up, 300, "expected a device below cuda:0, got 'cuda:7'"),
        (dying_at_start, 300, "ended while it started"),
        (hanging_at_start, 2, "ready within 2 s"),
    ],
)
async def test_a_worker_that_does_not_come_up_is_a_failed_start(
    metrics, factory, timeout_s, sentence
):
    with pytest.raises(ChildStartError, match=sentence):
        async with running(metrics, factory, start_timeout_s=timeout_s):
            pass
    assert gauge(metrics, "worker_up") == 0


async def test_a_restart_that_fails_is_tried_again(metrics, make_job, tmp_path):
    async with running(metrics, starting_once, tmp_path / "starts") as worker:
        os.kill(worker.pid, signal.SIGKILL)
        job, output, expected = make_job()
        await worker.fuse(job)
        np.testing.assert_array_equal(output.array, expected)
        assert (worker.restarts, worker.start_failures) == (1, 1)

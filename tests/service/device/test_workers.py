"""Weights are reloaded beside what runs: nothing is lost; what does not pass changes nothing."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest

from service.device.job_queue import JobQueue
from service.device.workers import DeviceWorkers
from service.errors import ChildStartError, ReloadError, WorkerStoppedError
from service.settings import WorkerSettings
from tests.service.backends import (
    COPY,
    HANG,
    LABEL,
    SLOW,
    backend_command,
    copying,
    hanging_at_start,
    labelled,
    starting_once,
)

SETTINGS = WorkerSettings(backoff_s=0.05)
OTHER = replace(COPY, version="0.0.2", digest="other")


def make_queue(metrics, *factory):
    return JobQueue(
        backend_command(*factory),
        limits=SETTINGS.supervision,
        max_running=SETTINGS.max_running,
        max_queued=64,
        metrics=metrics,
    )


@asynccontextmanager
async def running(metrics, *renewed, first=(copying,), drain_timeout_s=30.0):
    workers = DeviceWorkers(
        make_queue(metrics, *first),
        renew=lambda: make_queue(metrics, *renewed),
        drain_timeout_s=drain_timeout_s,
        kept_s=0.0,
    )
    await workers.start()
    try:
        yield workers
    finally:
        await workers.stop()
    assert workers.pids == []


async def wait_until(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a process
            await asyncio.sleep(0.01)


def gauge(metrics, name):
    return metrics.registry.get_sample_value(f"expofuse_{name}")


async def test_new_jobs_go_to_the_new_worker_and_running_ones_finish_with_theirs(metrics, make_job):
    slow, output, expected = make_job(SLOW)
    async with running(metrics, labelled, OTHER.version, OTHER.digest) as workers:
        before = workers.pid
        with workers.lease(COPY) as queue:
            fusing = asyncio.create_task(queue.fuse(slow))
            await wait_until(lambda: gauge(metrics, "running_jobs") == 1)
            info = await workers.reload()
            assert info.weights == workers.info.weights == (OTHER,)
            assert workers.pid != before
            assert sorted(workers.pids) == sorted([before, workers.pid])
            with workers.lease(OTHER) as new:
                job, _, _ = make_job(weights=OTHER.label)
                await new.fuse(job)
            with workers.lease(COPY) as old:
                assert old is queue
            await fusing
        np.testing.assert_array_equal(output.array, expected)
        await wait_until(lambda: workers.pids == [workers.pid])
        assert gauge(metrics, "worker_up") == 1
        assert gauge(metrics, "running_jobs") == gauge(metrics, "queue_jobs") == 0
        assert workers.restarts == 0
        with pytest.raises(WorkerStoppedError, match="was replaced meanwhile"), workers.lease(COPY):
            pass
    assert gauge(metrics, "worker_up") == 0


async def test_a_worker_that_does_not_come_up_leaves_the_one_before(metrics, make_job, tmp_path):
    record = tmp_path / "starts"
    first = (starting_once, record)
    async with running(metrics, starting_once, record, first=first) as workers:
        before = workers.pid
        with pytest.raises(ChildStartError, match="no second start"):
            await workers.reload()
        assert workers.pids == [before]
        assert workers.start_failures == 1
        with workers.lease(COPY) as queue:
            await queue.fuse(make_job()[0])
        await workers.reload()
        assert workers.pid != before


async def test_ten_reloads_at_once_leave_one_worker(metrics):
    async with running(metrics, copying) as workers:
        await asyncio.gather(*(workers.reload() for _ in range(10)))
        await wait_until(lambda: len(workers.pids) == 1)
        assert gauge(metrics, "worker_up") == 1
        assert workers.is_ready


async def test_a_job_that_hangs_on_the_worker_before_is_ended_in_time(metrics, make_job):
    async with running(metrics, copying, drain_timeout_s=0.2) as workers:
        with workers.lease(COPY) as queue:
            fusing = asyncio.create_task(queue.fuse(make_job(HANG)[0]))
            await wait_until(lambda: gauge(metrics, "running_jobs") == 1)
            await workers.reload()
            with pytest.raises(WorkerStoppedError):
                await fusing
        await wait_until(lambda: len(workers.pids) == 1)
        assert workers.restarts == 1, "its blocks must not be used again"


async def test_a_service_that_stops_ends_a_reload_and_takes_no_other(metrics):
    async with running(metrics, hanging_at_start) as workers:
        reloading = asyncio.create_task(workers.reload())
        await asyncio.sleep(0.3)
        await workers.stop()
        with pytest.raises(ChildStartError):
            await reloading
        with pytest.raises(ReloadError, match="is stopping"):
            await workers.reload()


def test_a_label_is_not_enough_to_be_the_same_weights():
    assert replace(COPY, digest="changed") != COPY
    assert replace(COPY, digest="changed").label == LABEL

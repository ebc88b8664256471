"""The promises of the device worker's loop, in this process; DIE and HANG need a real one."""

import numpy as np
import pytest

from model.errors import InferenceError
from service.errors import SharedMemoryError
from service.worker import LostDeviceError, Worker
from service.worker_messages import BatchDone, Failed, Finished, Started
from tests.service.backends import LOSE_DEVICE, NEVER_FITS, RAISE, SOUND, CopyBackend


def run_to_end(worker, limit=1000):
    for _ in range(limit):
        if worker.is_idle:
            return
        worker.step()
    pytest.fail("the worker did not become idle")


def finished(messages):
    return [message.number for message in messages if isinstance(message, Finished)]


def failed(messages):
    return {message.number: message.error for message in messages if isinstance(message, Failed)}


@pytest.fixture
def messages():
    return []


def make_worker(messages, *, max_batch=4, fits=8):
    backend = CopyBackend(fits=fits)
    return backend, Worker(backend.as_backend(max_batch), messages.append)


def test_a_job_is_computed_once_and_settled_once(messages, make_job):
    _, worker = make_worker(messages)
    job, output, expected = make_job(height=40, width=50)
    worker.submit(7, job)
    run_to_end(worker)
    np.testing.assert_array_equal(output.array, expected)
    assert finished(messages) == [7]
    assert [message.number for message in messages if isinstance(message, Started)] == [7]
    assert failed(messages) == {}


def test_a_failing_micro_batch_fails_only_the_job_that_makes_it_fail(messages, make_job):
    backend, worker = make_worker(messages)
    jobs = [make_job(deed) for deed in (SOUND, RAISE, SOUND + 1)]
    for number, (job, _, _) in enumerate(jobs):
        worker.submit(number, job)
    run_to_end(worker)
    assert any(RAISE in batch and SOUND in batch for batch in backend.batches)
    assert sorted(finished(messages)) == [0, 2]
    assert list(failed(messages)) == [1]
    assert isinstance(failed(messages)[1], InferenceError)
    for number in (0, 2):
        np.testing.assert_array_equal(jobs[number][1].array, jobs[number][2])


def test_the_next_micro_batch_runs_after_one_that_failed(messages, make_job):
    _, worker = make_worker(messages)
    worker.submit(0, make_job(RAISE)[0])
    run_to_end(worker)
    job, output, expected = make_job()
    worker.submit(1, job)
    run_to_end(worker)
    assert finished(messages) == [1]
    np.testing.assert_array_equal(output.array, expected)


def test_out_of_memory_halves_the_micro_batch_until_it_fits(messages, make_job):
    backend, worker = make_worker(messages, max_batch=8, fits=2)
    job, output, expected = make_job(height=64, width=64)
    worker.submit(0, job)
    run_to_end(worker)
    assert [len(batch) for batch in backend.batches[:3]] == [8, 4, 2]
    assert backend.frees == 3
    assert finished(messages) == [0]
    np.testing.assert_array_equal(output.array, expected)
    assert all(done.windows <= 2 for done in messages if isinstance(done, BatchDone))


def test_a_halved_micro_batch_stays_halved_until_the_worker_is_idle(messages, make_job):
    backend, worker = make_worker(messages, max_batch=8, fits=2)
    worker.submit(0, make_job(height=64, width=64)[0])
    run_to_end(worker)
    attempts_above = [len(batch) for batch in backend.batches if len(batch) > 2]
    assert attempts_above == [8, 4, 4]
    backend.batches.clear()
    worker.submit(1, make_job(height=64, width=64)[0])
    run_to_end(worker)
    assert len(backend.batches[0]) == 8


def test_a_job_that_never_fits_fails_alone(messages, make_job):
    _, worker = make_worker(messages)
    sound, output, expected = make_job(SOUND)
    worker.submit(0, sound)
    worker.submit(1, make_job(NEVER_FITS)[0])
    run_to_end(worker)
    assert finished(messages) == [0]
    assert "memory" in failed(messages)[1].message
    np.testing.assert_array_equal(output.array, expected)


def test_a_lost_device_ends_the_loop_and_settles_nothing(messages, make_job):
    _, worker = make_worker(messages)
    worker.submit(0, make_job(LOSE_DEVICE)[0])
    with pytest.raises(LostDeviceError):
        worker.step()
    assert finished(messages) == []
    assert failed(messages) == {}


def test_a_cancelled_job_is_dropped_before_compute(messages, make_job):
    backend, worker = make_worker(messages)
    worker.submit(0, make_job(5)[0])
    worker.submit(1, make_job(6)[0])
    worker.cancel(0)
    run_to_end(worker)
    assert finished(messages) == [1]
    assert {deed for batch in backend.batches for deed in batch} == {6}


def test_a_job_cancelled_half_way_is_computed_no_further(messages, make_job):
    backend, worker = make_worker(messages, max_batch=1)
    worker.submit(0, make_job(5, height=64, width=64)[0])
    worker.step()
    worker.cancel(0)
    assert worker.is_idle
    worker.step()
    assert len(backend.batches) == 1
    assert finished(messages) == []


def test_a_job_whose_memory_is_gone_fails_and_the_others_do_not(messages, make_job):
    _, worker = make_worker(messages)
    gone, block, _ = make_job()
    block.unlink()
    worker.submit(0, gone)
    worker.submit(1, make_job()[0])
    run_to_end(worker)
    assert isinstance(failed(messages)[0], SharedMemoryError)
    assert finished(messages) == [1]


def test_a_small_job_is_not_starved_by_a_large_one(messages, make_job):
    backend, worker = make_worker(messages, max_batch=1)
    worker.submit(0, make_job(5, height=160, width=160)[0])
    worker.step()
    worker.submit(1, make_job(6, height=16, width=32)[0])
    run_to_end(worker)
    assert finished(messages) == [1, 0]
    order = [batch[0] for batch in backend.batches]
    assert order.index(6) <= 2
    assert len(order) == 102

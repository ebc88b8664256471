"""The promises of the device worker's loop, in this process; DIE and HANG need a real one."""

import dataclasses
import gc
import os
import threading
import weakref
from functools import partial

import numpy as np
import pytest

from model.errors import InferenceError
from service.device.child import LostDeviceError, Worker, run_worker
from service.device.messages import (
    DEVICE_WIRE,
    BatchDone,
    Cancel,
    Cancelled,
    Failed,
    Finished,
    OutOfMemory,
    Ready,
    Started,
    Submit,
)
from service.errors import SharedMemoryError, error_from_code
from service.processes.child_side import ParentPipe
from service.processes.wire import PREFIX, Ping, Pong, StartFailed, Stop, make_head
from tests.service.backends import (
    INFO,
    LABEL,
    LOSE_DEVICE,
    NEVER_FITS,
    RAISE,
    SOUND,
    CopyBackend,
    LostError,
    copying,
    failing_second_warm_up,
    failing_warm_up,
)


def run_to_end(worker, limit=1000):
    for _ in range(limit):
        if worker.is_idle:
            return
        worker.step()
    pytest.fail("the worker did not become idle")


def finished(messages):
    return [message.number for message in messages if isinstance(message, Finished)]


def failed(messages):
    return {
        message.number: error_from_code(message.code, message.message)
        for message in messages
        if isinstance(message, Failed)
    }


@pytest.fixture
def messages():
    return []


def make_worker(messages, *, max_batch=4, fits=8, has_draft=False):
    backend = CopyBackend(fits=fits, has_draft=has_draft)
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
    assert sum(isinstance(one, OutOfMemory) for one in messages) == 3
    held = [done.memory_bytes for done in messages if isinstance(done, BatchDone)]
    assert held[-1] == 1000 * len(backend.batches)


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
    worker.submit(0, make_job(5, height=160, width=160)[0], rank=2.0)
    worker.step()
    worker.submit(1, make_job(6, height=16, width=32)[0], rank=1.0)
    run_to_end(worker)
    assert finished(messages) == [1, 0]
    order = [batch[0] for batch in backend.batches]
    assert order.index(6) <= 2
    assert len(order) == 102


def test_every_window_of_a_pass_is_fused_before_one_of_the_next(messages, make_job):
    _, worker = make_worker(messages, max_batch=3, has_draft=True)
    jobs = [make_job(deed, height=64, width=64) for deed in (SOUND, SOUND + 1)]
    for number, (job, _, _) in enumerate(jobs):
        worker.submit(number, job)
    run_to_end(worker)
    assert sorted(finished(messages)) == [0, 1]
    assert sum(done.windows for done in messages if isinstance(done, BatchDone)) == 2 * 2 * 16
    for _, output, expected in jobs:
        np.testing.assert_array_equal(output.array, expected)


def test_a_small_job_of_two_passes_is_not_starved_by_large_ones(messages, make_job):
    backend, worker = make_worker(messages, max_batch=1, has_draft=True)
    for number in range(3):
        worker.submit(number, make_job(5, height=96, width=96)[0], rank=2.0)
    worker.step()
    worker.submit(3, make_job(6, height=16, width=32)[0], rank=1.0)
    run_to_end(worker)
    assert finished(messages)[0] == 3
    order = [batch[0] for batch in backend.batches]
    assert [turn for turn, deed in enumerate(order) if deed == 6] == [1, 2, 3, 4]


def test_memory_that_runs_out_in_a_second_pass_costs_no_window(messages, make_job):
    backend, worker = make_worker(messages, max_batch=8, fits=8, has_draft=True)
    job, output, expected = make_job(height=64, width=64)
    worker.submit(0, job)
    worker.step()
    worker.step()
    backend.fits = 3
    run_to_end(worker)
    assert [len(batch) for batch in backend.batches[:5]] == [8, 8, 8, 4, 2]
    assert finished(messages) == [0]
    np.testing.assert_array_equal(output.array, expected)


def remembering(pipeline, runs):
    """The pipeline, and weak references to every run that it begins."""

    def begin(*given):
        run = pipeline.begin(*given)
        runs.append(weakref.ref(run))
        return run

    return dataclasses.replace(pipeline, begin=begin)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_a_job_that_ends_between_its_passes_leaves_nothing_behind(messages, make_job, end):
    backend, runs = CopyBackend(has_draft=True), []
    served = dataclasses.replace(
        backend.as_backend(), pipelines={LABEL: remembering(backend.as_pipeline(8), runs)}
    )
    worker = Worker(served, messages.append)
    worker.submit(0, make_job(5, height=32, width=64)[0])
    worker.step()
    assert len(runs[0]().drafted) == 8
    if end == "cancelled":
        worker.cancel(0)
    else:
        backend.fits = 0
        worker.step()
        assert list(failed(messages)) == [0]
    assert worker.is_idle
    gc.collect()
    assert runs[0]() is None
    count = len(backend.batches)
    job, output, expected = make_job(6)
    backend.fits = 8
    worker.submit(1, job)
    run_to_end(worker)
    assert {deed for batch in backend.batches[count:] for deed in batch} == {6}
    assert finished(messages) == [1]
    np.testing.assert_array_equal(output.array, expected)


def make_worker_that_begins(begin, messages):
    """A worker whose pipeline begins a run as `begin` says, given the call that would do it."""
    backend = CopyBackend()
    pipeline = dataclasses.replace(backend.as_pipeline(), begin=partial(begin, backend.begin))
    served = dataclasses.replace(backend.as_backend(), pipelines={LABEL: pipeline})
    return backend, Worker(served, messages.append)


@pytest.mark.parametrize(("failures", "is_fused"), [(1, True), (2, False)])
def test_memory_that_lacks_when_a_job_begins_is_freed_once(messages, make_job, failures, is_fused):
    left = [MemoryError()] * failures

    def begin(begin_run, *given):
        if left:
            raise left.pop()
        return begin_run(*given)

    backend, worker = make_worker_that_begins(begin, messages)
    worker.submit(0, make_job()[0])
    worker.submit(1, make_job()[0])
    run_to_end(worker)
    assert backend.frees == 1
    assert finished(messages) == ([0, 1] if is_fused else [1])
    assert all(isinstance(error, InferenceError) for error in failed(messages).values())


def test_a_device_that_is_lost_when_a_job_begins_ends_the_loop(messages, make_job):
    def begin(begin_run, *given):
        raise LostError

    _, worker = make_worker_that_begins(begin, messages)
    with pytest.raises(LostDeviceError):
        worker.submit(0, make_job()[0])
    assert messages == []


def test_a_job_that_cannot_begin_fails_alone(messages, make_job):
    def begin(begin_run, pair, *given):
        if pair.darkest[0, 0, 0] == RAISE:
            raise RuntimeError("a run that cannot begin")
        return begin_run(pair, *given)

    _, worker = make_worker_that_begins(begin, messages)
    worker.submit(0, make_job(RAISE)[0])
    worker.submit(1, make_job()[0])
    run_to_end(worker)
    assert finished(messages) == [1]
    assert "RuntimeError" in failed(messages)[0].message


def make_worker_of_two(messages, *, fits=(8, 8)):
    """A worker that serves two versions, and the backend of each."""
    backends = {
        label: CopyBackend(fits=one) for label, one in zip((LABEL, "copy-0.0.2"), fits, strict=True)
    }
    pipelines = {label: backend.as_pipeline(4) for label, backend in backends.items()}
    served = dataclasses.replace(backends[LABEL].as_backend(), pipelines=pipelines)
    return list(backends.values()), Worker(served, messages.append)


def test_each_job_is_fused_by_the_weights_that_it_asks_for(messages, make_job):
    backends, worker = make_worker_of_two(messages)
    jobs = [make_job(2 + n, weights=(LABEL, "copy-0.0.2")[n % 2]) for n in range(6)]
    for number, (job, _, _) in enumerate(jobs):
        worker.submit(number, job)
    run_to_end(worker)
    assert sorted(finished(messages)) == list(range(6))
    assert {deed for batch in backends[0].batches for deed in batch} == {2, 4, 6}
    assert {deed for batch in backends[1].batches for deed in batch} == {3, 5, 7}
    for _, output, expected in jobs:
        np.testing.assert_array_equal(output.array, expected)


def test_a_small_job_of_other_weights_is_not_starved(messages, make_job):
    _, worker = make_worker_of_two(messages)
    for number in range(3):
        worker.submit(number, make_job(5, height=160, width=160)[0], rank=2.0)
    worker.submit(3, make_job(6, height=16, width=32, weights="copy-0.0.2")[0], rank=1.0)
    for _ in range(4):
        worker.step()
    assert finished(messages) == [3]


def test_memory_that_runs_out_halves_the_micro_batches_of_its_weights_only(messages, make_job):
    backends, worker = make_worker_of_two(messages, fits=(2, 8))
    for number, weights in enumerate((LABEL, "copy-0.0.2")):
        worker.submit(number, make_job(height=64, width=64, weights=weights)[0])
    run_to_end(worker)
    assert sorted(finished(messages)) == [0, 1]
    assert [len(batch) for batch in backends[0].batches][:4] == [4, 2, 2, 2]
    assert {len(batch) for batch in backends[1].batches} == {4}


def test_a_failing_job_of_one_version_fails_no_job_of_the_other(messages, make_job):
    _, worker = make_worker_of_two(messages)
    worker.submit(0, make_job(RAISE)[0])
    worker.submit(1, make_job(SOUND, weights="copy-0.0.2")[0])
    run_to_end(worker)
    assert finished(messages) == [1]
    assert list(failed(messages)) == [0]


@pytest.fixture
def _thawed():
    yield
    gc.unfreeze()


def run_process(*to_worker, factory=copying):
    """The body of the worker's process, here; it is told to stop once its jobs are settled."""
    inbox, to_child = os.pipe()
    from_child, outbox = os.pipe()
    jobs_left = sum(isinstance(message, Submit) for message in to_worker)
    said = []

    def send(message):
        text = DEVICE_WIRE.to_child.dump_json(message)
        os.write(to_child, make_head(text, 0))

    def listen(jobs_left):
        with os.fdopen(from_child, "rb") as pipe:
            while prefix := pipe.read(PREFIX.size):
                text = pipe.read(PREFIX.unpack(prefix)[0])
                said.append(DEVICE_WIRE.from_child.validate_json(text))
                if isinstance(said[-1], Finished | Failed):
                    jobs_left -= 1
                    if jobs_left == 0:
                        send(Stop())

    for message in to_worker:
        send(message)
    listener = threading.Thread(target=listen, args=(jobs_left,))
    listener.start()
    pipe = ParentPipe(DEVICE_WIRE, inbox, outbox)
    try:
        run_worker(factory, pipe)
    finally:
        pipe.close()
        listener.join()
        os.close(to_child)
    return said


@pytest.mark.usefixtures("_thawed")
def test_the_process_says_it_is_ready_and_then_how_each_job_ended(make_job):
    jobs = [make_job(deed) for deed in (SOUND, RAISE, SOUND + 1)]
    said = run_process(*(Submit(number, job) for number, (job, _, _) in enumerate(jobs)))
    assert said[0] == Ready(INFO)
    assert sorted(finished(said)) == [0, 2]
    assert list(failed(said)) == [1]
    np.testing.assert_array_equal(jobs[2][1].array, jobs[2][2])


@pytest.mark.usefixtures("_thawed")
def test_the_process_hears_a_cancel_before_it_computes(make_job):
    job, output, _ = make_job()
    said = run_process(Submit(0, job), Cancel(0), Stop())
    assert said == [Ready(INFO), Cancelled(0)]
    assert not output.array.any()


@pytest.mark.usefixtures("_thawed")
def test_the_process_answers_a_heartbeat_between_jobs(make_job):
    said = run_process(Ping(), Submit(0, make_job()[0]))
    assert said[:2] == [Ready(INFO), Pong()]
    assert finished(said) == [0]


@pytest.mark.usefixtures("_thawed")
@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        (failing_warm_up, "expected a device below cuda:0, got 'cuda:7'"),
        (failing_second_warm_up, "expected the second version to run, got nothing"),
    ],
)
def test_the_process_says_why_it_cannot_start(factory, sentence):
    assert run_process(factory=factory) == [StartFailed(sentence)]


@pytest.mark.usefixtures("_thawed")
def test_the_process_ends_itself_when_its_device_is_lost(make_job):
    with pytest.raises(LostDeviceError):
        run_process(Submit(0, make_job(LOSE_DEVICE)[0]))

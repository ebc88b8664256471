"""Jobs in processes that may die: the job that killed its own is found, the rest go on."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

import cv2
import torch

Job = TypeVar("Job")
Result = TypeVar("Result")

JOBS_PER_PROCESS = 2
"""Jobs handed out for each process, so that none of them waits for the next."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_jobs(
    work: Callable[[Job], Result], jobs: Iterable[Job], workers: int, *, threads: int = 1
) -> Iterator[tuple[Job, Result | None]]:
    """Run jobs in parallel and give their results as they come.

    A process that dies takes the jobs handed out with it. These are run again one by one, so that
    the one that kills its process is known and the others have their result.

    Args:
        work: What to do with a job; picklable, as are jobs and results.
        jobs: The jobs.
        workers: Processes; 0 runs the jobs in this process.
        threads: Threads of each process.

    Yields:
        Each job with its result, or with None where it killed its process.
    """
    if workers == 0:
        yield from ((job, work(job)) for job in jobs)
        return
    waiting = deque(jobs)
    while waiting:
        with _limit_libraries(threads):
            pool = _start(min(workers, len(waiting)), threads)
            running: dict[Future[Result], Job] = {}
            try:
                while waiting or running:
                    while waiting and len(running) < JOBS_PER_PROCESS * workers:
                        running[pool.submit(work, waiting[0])] = waiting[0]
                        waiting.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        yield running.pop(future), result
            except BrokenProcessPool:
                yield from ((job, _run_alone(work, job, threads)) for job in running.values())
            finally:
                pool.shutdown(cancel_futures=True)


def count_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_threads(threads: int) -> None:
    """Let torch and OpenCV compute with so many threads in this process."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _run_alone(work: Callable[[Job], Result], job: Job, threads: int) -> Result | None:
    with _start(1, threads) as pool:
        try:
            return pool.submit(work, job).result()
        except BrokenProcessPool:
            return None


def _start(workers: int, threads: int) -> ProcessPoolExecutor:
    # Forking a process that has started OpenMP's threads may hang its child.
    return ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(threads,)
    )


def _begin(threads: int) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limit_threads(threads)


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, killed too: nobody else would."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _limit_libraries(threads: int) -> Iterator[None]:
    """Let processes that start now load their libraries with so many threads."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

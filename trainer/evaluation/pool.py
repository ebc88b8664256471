"""Pairs over worker processes; a process that dies costs one pair and not the run."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context

import cv2
import torch
from tqdm import tqdm

from trainer.evaluation.scoring import PairOutcome, PairTask, evaluate_pair
from trainer.evaluation.summary import Failure

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def evaluate_pairs(tasks: Sequence[PairTask], workers: int | None) -> list[PairOutcome]:
    """Evaluate pairs under a progress bar.

    Args:
        tasks: One for each pair.
        workers: Processes; None takes one for each core, 1 computes in this process.

    Returns:
        The outcomes, in the order of the tasks.
    """
    cores = len(os.sched_getaffinity(0))
    count = min(workers or cores, len(tasks))
    outcomes: dict[str, PairOutcome] = {}
    with tqdm(total=len(tasks), unit="pair", desc="evaluate") as progress:
        if count == 1:
            for task in tasks:
                outcomes[task.pair.name] = evaluate_pair(task)
                progress.update()
        else:
            left = list(tasks)
            while left:
                for outcome in _run_in_pool(left, count, max(1, cores // count)):
                    outcomes[outcome.name] = outcome
                    progress.update()
                left = [task for task in left if task.pair.name not in outcomes]
                # A process that died took its pool with it. Work is dealt in order, so its pair
                # is among the first that are left; each of these gets a process of its own.
                for task in left[:count]:
                    outcomes[task.pair.name] = _run_alone(task, cores)
                    progress.update()
                left = left[count:]
    return [outcomes[task.pair.name] for task in tasks]


def _run_in_pool(tasks: Sequence[PairTask], workers: int, threads: int) -> Iterator[PairOutcome]:
    """Give outcomes as they come; ends early when a worker process dies."""
    with (
        _few_threads(threads),
        ProcessPoolExecutor(
            workers, get_context("spawn"), initializer=_limit_threads, initargs=(threads,)
        ) as pool,
    ):
        futures: list[Future[PairOutcome]] = []
        with suppress(BrokenProcessPool):
            futures.extend(pool.submit(evaluate_pair, task) for task in tasks)
        try:
            for future in as_completed(futures):
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_alone(task: PairTask, threads: int) -> PairOutcome:
    for outcome in _run_in_pool([task], 1, threads):
        return outcome
    failure = Failure(
        pair=task.pair.name, code="died", message="expected a result, got a process that died"
    )
    return PairOutcome(task.pair.name, failures=[failure])


@contextmanager
def _few_threads(threads: int) -> Iterator[None]:
    """Let processes that start now load their libraries with this many threads."""
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


def _limit_threads(threads: int) -> None:
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)

"""The triples of a session, prepared ahead, and how long the steps waited for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import cv2
from torch import Tensor
from torch.utils.data import DataLoader

from trainer.config import TrainConfig
from trainer.data.triples import TripleDataset
from trainer.run.distributed import World
from trainer.run.interruption import ignore_stop_signals

PREFETCHED_BATCHES = 4
"""Batches that each process keeps ready: enough to bridge the slowest triple."""


class TriplePrefetcher:
    """One process's share of the triples, step after step.

    Args:
        dataset: Triples of the run.
        config: Config of the run.
        world: The processes of the run.
        steps: Steps of the session.

    Attributes:
        started_in_s: Seconds until the first batch was there, workers and caches being cold.
        waited_s: Seconds that the later steps waited for theirs.
        outside_steps_s: Seconds after the first batch that went by outside of steps.
    """

    def __init__(
        self, dataset: TripleDataset, config: TrainConfig, world: World, steps: range
    ) -> None:
        workers = config.data.workers
        loader = DataLoader(
            dataset,
            batch_size=world.share_batch(config.optim.batch),
            sampler=world.share_steps(steps, config.optim.batch),
            num_workers=workers,
            pin_memory=world.device.type == "cuda",
            prefetch_factor=PREFETCHED_BATCHES if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=ignore_stop_signals,
        )
        self._device = world.device
        self._began_s = perf_counter()
        self._batches = iter(loader) if not workers else _fork_workers(loader)
        self._is_started = False
        self.started_in_s = 0.0
        self.waited_s = 0.0
        self.outside_steps_s = 0.0

    def next(self) -> Tensor:
        """The triples of the next step, on the device. Shape (N, 3, C, S, S), float32."""
        asked_s = perf_counter()
        batch: Tensor = next(self._batches)
        if self._is_started:
            self.waited_s += perf_counter() - asked_s
        else:
            self.started_in_s = perf_counter() - self._began_s
            self._is_started = True
        return batch.to(self._device, non_blocking=True)

    @contextmanager
    def outside_steps(self) -> Iterator[None]:
        """What validation, pictures and checkpoints take belongs to no step."""
        began_s = perf_counter()
        try:
            yield
        finally:
            self.outside_steps_s += perf_counter() - began_s

    @property
    def elapsed_s(self) -> float:
        """Seconds since the session began."""
        return perf_counter() - self._began_s

    @property
    def waiting_share(self) -> float:
        """Share of the steps' time after the first batch that went by waiting for data, 0..1."""
        running_s = self.elapsed_s - self.started_in_s - self.outside_steps_s
        return self.waited_s / running_s if running_s > 0 else 0.0


def _fork_workers(loader: DataLoader[Tensor]) -> Iterator[Tensor]:
    """Start the loader's processes while OpenCV has no threads.

    A forked process has OpenCV's pool without its threads and waits for them forever; without a
    pool it computes in one thread, which is what a worker should do.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        cv2.setNumThreads(threads)

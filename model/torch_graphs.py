"""Replays computations of fixed shapes as CUDA graphs: one call starts all of their kernels.

A small picture's kernels take less time than the host takes to start them one by one.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from model.torch_staging import create_stream

logger = logging.getLogger(__name__)

Tensors = tuple[Tensor, ...]
Computation = Callable[..., Tensors]

MOST_GRAPHS = 8
"""Computations that are kept. Each holds the memory of what is between its steps."""

MOST_SEEN = 256
"""Computations that are remembered as seen."""


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    given: Tensors
    found: Tensors

    def replay(self, given: Tensors) -> Tensors:
        for own, values in zip(self.given, given, strict=True):
            own.copy_(values)
        self.graph.replay()
        return tuple(values.clone() for values in self.found)


class Graphs:
    """Computations on one stream, captured the second time they are asked for.

    Any thread may use it.

    The first time a computation is done step by step: most pictures of a service have a size of
    their own, and to capture takes longer than to compute. A replay gives the same bits. Where a
    computation cannot be captured, all are done step by step from then on, which the log says once.

    Args:
        device: Where to compute; on the CPU there are no graphs.
        most: Graphs that are kept, the last used ones.
    """

    def __init__(self, device: torch.device, *, most: int = MOST_GRAPHS) -> None:
        self._device = device
        self._most = most
        self._lock = threading.Lock()
        self._seen: OrderedDict[Hashable, None] = OrderedDict()
        self._captured: OrderedDict[Hashable, _Captured] = OrderedDict()
        self._failed: list[torch.cuda.CUDAGraph] = []
        self.is_capturing = device.type == "cuda" and most > 0
        if device.type == "cuda":
            self._work, self._capturing = create_stream(device), create_stream(device)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Give work to the stream; where memory is too small for it, graphs are let go.

        It is done after what the caller's stream was given, parameters that are copied there, say.
        """
        try:
            if self._device.type != "cuda":
                yield
            else:
                caller = torch.cuda.current_stream(self._device)
                if caller != self._work:
                    self._work.wait_stream(caller)
                with torch.cuda.stream(self._work):
                    yield
        except torch.OutOfMemoryError:
            self.clear()
            raise

    def __len__(self) -> int:
        """Number of the graphs that are kept."""
        return len(self._captured)

    def run(self, key: Hashable, compute: Computation, *given: Tensor) -> Tensors:
        """Compute, by a graph if this computation has been done before; within `computing`.

        Args:
            key: What is equal for two computations that differ in the values of `given` only.
            compute: A function of `given` and of what never changes. It must neither wait for the
                device nor copy from the host.
            given: On the device.

        Returns:
            What it gives, in memory of its own.

        Raises:
            torch.OutOfMemoryError: The device's memory does not hold it.
        """
        if not self.is_capturing:
            return compute(*given)
        with self._lock:
            if key in self._captured:
                self._captured.move_to_end(key)
            elif not self._was_seen(key):
                return compute(*given)
            else:
                captured = self._try_to_capture(compute, given)
                if captured is None:
                    return compute(*given)
                self._captured[key] = captured
                if len(self._captured) > self._most:
                    self._captured.popitem(last=False)
            return self._captured[key].replay(given)

    def clear(self) -> None:
        """Forget every graph, and let go the memory that they hold."""
        with self._lock:
            self._captured.clear()

    def _was_seen(self, key: Hashable) -> bool:
        was_seen = key in self._seen
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > MOST_SEEN:
            self._seen.popitem(last=False)
        return was_seen

    def _try_to_capture(self, compute: Computation, given: Tensors) -> _Captured | None:
        try:
            return self._capture(compute, given)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # A device that is lost says so again as soon as it is asked for anything.
            self.is_capturing = False
            logger.warning("no CUDA graph, kernels are started one by one: %s", error)
            return None

    def _capture(self, compute: Computation, given: Tensors) -> _Captured:
        """Capture on a stream of its own, after what the other was given.

        `torch.cuda.graph` would empty every cache of memory first.
        """
        own = tuple(values.clone() for values in given)
        self._capturing.wait_stream(self._work)
        graph = torch.cuda.CUDAGraph()
        # Graphs are replayed one after the other: what is between their steps may share memory.
        shared = next((one.graph.pool() for one in self._captured.values()), None)
        pool = torch.cuda.graph_pool_handle() if shared is None else shared
        with torch.cuda.stream(self._capturing):
            # Libraries set up by a first call on this stream what they may not while it captures.
            compute(*own)
            try:
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
                found = compute(*own)
                graph.capture_end()
            except BaseException:
                self._give_up(graph, pool)
                raise
        self._work.wait_stream(self._capturing)
        return _Captured(graph, own, found)

    def _give_up(self, graph: torch.cuda.CUDAGraph, pool: tuple[int, int]) -> None:
        """End a capture that failed, for the allocator of memory too.

        torch ends it there only if CUDA made a graph. Until then no memory that two streams used
        is given out again, and `empty_cache` fails.
        """
        with suppress(RuntimeError):
            graph.capture_end()
        # The allocators ask it which stream it captured, and the host's is not told of the end.
        self._failed.append(graph)
        device = self._capturing.device_index
        with suppress(RuntimeError):
            # An error: it has ended there.
            torch._C._cuda_endAllocateToPool(device, pool)
            torch._C._cuda_releasePool(device, pool)

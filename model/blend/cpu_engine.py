"""Computes the passes of `pyramid-blend` on the CPU, a small window on each core at a time."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from model.blend.colour import to_luma
from model.blend.kernels import (
    Planes,
    add_band,
    colour_pixels,
    load_lumas,
    load_planes,
    reduce_planes,
)
from model.blend.network import (
    SALIENCY_SCALE,
    TERMS,
    BlendMaps,
    BlendNetwork,
    build_pyramid,
    sharpen,
)
from model.blend.pyramid import BANDS, Levels, size_at
from model.blend.single_thread import hold_single_thread, use_one_torch_thread
from model.errors import InferenceError
from model.exposure import Pixels
from model.tiling import Rect, Window

Item = TypeVar("Item")
Result = TypeVar("Result")

CPU_TILE_PX = 512
"""Side of a core; see `bench/speed.py`."""

WINDOWS_PER_THREAD = 4
"""Windows of a micro-batch for each thread, so that none waits long for the last."""


class CpuEngine:
    """The passes on the CPU.

    Results do not depend on the number of threads: a window is computed by one.

    Args:
        network: Network in evaluation mode, float32, on the CPU.
        threads: Windows computed at a time; None takes every core.
    """

    tile_px = CPU_TILE_PX
    device = torch.device("cpu")

    def __init__(self, network: BlendNetwork, *, threads: int | None = None) -> None:
        self.network = BlendNetwork(network.config).eval().requires_grad_(False)
        self.network.load_state_dict(network.state_dict())
        for parameter in self.network.parameters():
            if parameter.dim() == 4:  # A third faster with so few feature maps.
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.threads = threads or len(os.sched_getaffinity(0))
        self.preferred_batch = WINDOWS_PER_THREAD * self.threads
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        saliency: list[float] = network.saliency.tolist() if network.config.saliency else []
        self.saliency = saliency + [0.0] * (BANDS - len(saliency))

    def start(self, levels: Levels, exposures: int, height: int, width: int) -> "CpuCanvas":
        """See `Engine.start`."""
        return CpuCanvas(self, levels, exposures, height, width)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """See `Engine.map`."""
        with hold_single_thread(), _named_errors():
            if self._pool is None:
                return [work(item) for item in items]
            return _run_all(self._pool, partial(_work_alone, work), items)


class CpuCanvas:
    """What a run keeps between its passes: two small pictures and the network's maps."""

    def __init__(
        self, engine: CpuEngine, levels: Levels, exposures: int, height: int, width: int
    ) -> None:
        self._engine = engine
        self._levels = levels
        self._whole = Rect(0, 0, height, width)
        size = size_at(height, width, levels.reduction)
        self._reduced: Planes = np.empty((exposures, 3, *size), np.float32)
        self._lumas: Planes = np.empty(0, np.float32)
        self._fused: Planes = np.empty(0, np.float32)
        self._maps: dict[int, Planes] = {}

    def reduce(self, exposures: Sequence[Pixels], window: Window) -> None:
        """See `Canvas.reduce`."""
        level = self._levels.reduction
        target = window.core.reduced(level)
        rows, columns = target.relative_to(window.source.reduced(level)).slices
        for exposure, pixels in enumerate(exposures):
            planes = load_planes(pixels)
            for _ in range(level):
                planes = reduce_planes(planes)
            self._reduced[exposure, :, *target.slices] = planes[:, rows, columns]

    def predict(self) -> None:
        """See `Canvas.predict`."""
        levels, network = self._levels, self._engine.network
        with hold_single_thread(), _named_errors():
            # the exposures at the levels from the reduced one to the network's
            stacks = [self._reduced]
            for _ in range(levels.network - levels.reduction):
                stacks.append(reduce_planes(stacks[-1]))
            # The network's look at the whole picture. From its level up torch does the rest as
            # well: these levels are small.
            seen = torch.from_numpy(stacks[-1]).unsqueeze(0)
            encode = partial(_encode, network, seen)
            maps = network.decide(self._engine.map(encode, range(len(stacks[-1]))), seen)
            # the collapse of lumas from the base down to the network's level
            pyramid = build_pyramid(to_luma(seen), levels.base - levels.network)
            fused = network.blend(pyramid, maps, levels, finest=levels.network)
            groups = {levels.group_of(level) for level in range(levels.network)}
            self._maps = {group: _read_maps(maps, group) for group in groups}
            # and by compiled code from there to the reduced level, where windows take over
            lumas = [to_luma(torch.from_numpy(stack)).numpy() for stack in stacks]
            self._lumas = lumas[0]
            self._fused = self._descend(
                fused[0].numpy(), lumas, self._whole, finest=levels.reduction
            )

    def blend(self, exposures: Sequence[Pixels], window: Window) -> Pixels:
        """See `Canvas.blend`."""
        reduction = self._levels.reduction
        # lumas of the window at its finest levels
        lumas = [load_lumas(exposures)]
        for _ in range(reduction - 1):
            lumas.append(reduce_planes(lumas[-1]))
        # at the reduced level both they and what is fused come from the whole picture
        rows, columns = window.source.reduced(reduction).slices
        lumas.append(self._lumas[..., rows, columns])
        # the collapse down to pixels, of which the core is kept and coloured
        fused = self._descend(self._fused[rows, columns], lumas, window.source, finest=0)
        core = window.core.relative_to(window.source).slices
        return colour_pixels([pixels[core] for pixels in exposures], fused[core])

    def _descend(
        self, fused: Planes, lumas: Sequence[Planes], source: Rect, *, finest: int
    ) -> Planes:
        """Collapse the levels of a window, from the coarsest of its lumas to `finest`."""
        levels, engine = self._levels, self._engine
        for index in reversed(range(len(lumas) - 1)):
            level = finest + index
            group = levels.group_of(level)
            fused = add_band(
                fused,
                lumas[index],
                lumas[index + 1],
                self._maps[group],
                times=levels.network - level,
                place=source.reduced(level),
                saliency=sharpen(len(self._reduced)) * SALIENCY_SCALE * engine.saliency[group],
            )
        return fused


def _read_maps(maps: BlendMaps, group: int) -> Planes:
    """What `add_band` needs of the network's maps for one group of levels."""
    coefficients, gain = maps.coefficients[0, :, group], maps.gains[0, group : group + 1]
    assert coefficients.shape[1] == TERMS
    coefficients = sharpen(len(coefficients)) * coefficients
    together: Planes = torch.cat((coefficients.flatten(0, 1), gain)).numpy()
    return together


def _work_alone(work: Callable[[Item], Result], item: Item) -> Result:
    use_one_torch_thread()
    return work(item)


def _run_all(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item]
) -> list[Result]:
    """Do work in a pool; return or raise only when none of it runs any more.

    The work writes into the run's buffers. Were an error raised while other windows are being
    computed, they would write on behind the back of a caller that tries again or lets go.
    """
    futures = deque(pool.submit(work, item) for item in items)
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    finally:
        for future in futures:
            future.cancel()
        wait(futures)
    # Only a failure leaves windows that were never begun, and the failure is what is raised. No
    # name is left on its future here: its traceback holds this frame, and with it the windows.
    del future
    results: list[Result] = []
    while futures:
        if futures[0].cancelled():
            futures.popleft()
        else:
            results.append(futures.popleft().result())
    return results


def _encode(network: BlendNetwork, planes: Tensor, exposure: int) -> Tensor:
    with torch.inference_mode():
        return network.encode(planes, exposure)


@contextmanager
def _named_errors() -> Iterator[None]:
    """What OpenCV says of its failures, in our words."""
    try:
        yield
    except cv2.error as cause:
        if cause.code == cv2.Error.StsNoMem:
            raise MemoryError("expected memory for a window, OpenCV found none") from cause
        raise InferenceError("OpenCV failed on a window") from cause

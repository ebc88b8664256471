"""Brings pixels to a device and back through page-locked memory, beside what the device computes.

A copy from ordinary memory is made twice, and the host waits for it. From page-locked memory the
device fetches it by itself, on a stream of its own: while one window is computed, the next is on
its way, and the one before is on its way back.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.exposure import Pixels
from model.landing import Landed, Landing
from model.side_by_side import OtherThreads, map_with
from model.torch_colour import PIXEL_TYPES

logger = logging.getLogger(__name__)

ROOMS = 4
"""Windows on their way at a time: both exposures of a pair, of this window and the next."""

COPIERS = 4
"""Threads that copy within the host: one alone is slower than the device fetches."""

SHARED_BYTES = 2**20
"""A smaller copy is done sooner by one thread."""

ARRAY_TYPES = {tensor: array for array, tensor in PIXEL_TYPES.items()}


@dataclass(slots=True)
class _Room:
    """Page-locked memory, and the copy that reads it last."""

    memory: Tensor | None = None
    copied: torch.cuda.Event | None = None

    def take(self, n_bytes: int) -> NDArray[np.uint8]:
        """So many bytes of it, once the copy before is done; it grows as needed.

        Raises:
            RuntimeError: The system locks no more pages.
        """
        if self.copied is not None:
            self.copied.synchronize()
            self.copied = None
        if self.memory is None or self.memory.numel() < n_bytes:
            self.memory = torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)
        return np.asarray(self.memory.numpy()[:n_bytes])


class Staging:
    """Copies windows to one device and back; any thread may use it.

    What is sent is there for everything that the caller's stream is given afterwards. Where pages
    cannot be locked, which a container may forbid, ordinary copies are made, and the log says so
    once.

    Args:
        device: Where to; on the CPU a window is copied as it is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_locking = device.type == "cuda"
        self._rooms = cycle([_Room() for _ in range(ROOMS)])
        self._lock = threading.Lock()
        if device.type == "cuda":
            self._incoming, self._outgoing = create_stream(device), create_stream(device)

    def reserve(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Memory on the device for `send_into`, of any values.

        It belongs to the stream of the copies, so that none of them waits for what is computed, and
        it is not given to others before the caller's stream has done what it is given until the
        tensor is dropped.

        Args:
            shape: Of the tensor.
            dtype: Type of its values.
        """
        if self._device.type != "cuda":
            return torch.empty(tuple(shape), dtype=dtype, device=self._device)
        with torch.cuda.stream(self._incoming):
            reserved = torch.empty(tuple(shape), dtype=dtype, device=self._device)
        reserved.record_stream(self._compute)
        return reserved

    def send(self, pixels: Pixels) -> Tensor:
        """A window on the device.

        Args:
            pixels: Shape (H, W, 3), uint8 or uint16; need not be contiguous.

        Returns:
            The same values, shape and type.
        """
        there = self.reserve(pixels.shape, PIXEL_TYPES[pixels.dtype])
        self.send_into(pixels, there)
        return there

    def send_into(self, pixels: Pixels, there: Tensor) -> None:
        """Copy a window into memory that is reserved.

        Args:
            pixels: Shape (H, W, 3), uint8 or uint16; need not be contiguous.
            there: Reserved, or a window of it. Same shape and type.
        """
        if tuple(there.shape) != pixels.shape or there.dtype != PIXEL_TYPES[pixels.dtype]:
            raise ValueError(
                f"expected room for {pixels.shape} of {pixels.dtype}, "
                f"got {tuple(there.shape)} of {there.dtype}"
            )
        if self._device.type != "cuda":
            there.copy_(torch.from_numpy(np.array(pixels)))
            return
        with self._lock:
            room = next(self._rooms)
            staged = self._stage(pixels, room)
            with torch.cuda.stream(self._incoming):
                # As bytes: what copies with gaps knows every type of one byte.
                there.view(torch.uint8).copy_(staged.view(torch.uint8), non_blocking=True)
                room.copied = self._incoming.record_event()
            self._compute.wait_event(room.copied)

    def fetch(self, values: Tensor) -> Landing:
        """Begin to bring pixels to the host.

        Args:
            values: What the caller's stream computes. Shape (H, W, 3), uint8 or uint16, without
                gaps.

        Returns:
            Them, on their way.
        """
        if self._device.type != "cuda":
            return Landed(values.numpy())
        dtype = ARRAY_TYPES[values.dtype]
        memory = self._lock_pages(values.numel() * dtype.itemsize)
        if memory is None:
            return Landed(values.cpu().numpy())
        self._outgoing.wait_stream(self._compute)
        with torch.cuda.stream(self._outgoing):
            memory.copy_(values.view(torch.uint8).flatten(), non_blocking=True)
            landed = self._outgoing.record_event()
        values.record_stream(self._outgoing)
        return _OnItsWay(memory.numpy().view(dtype).reshape(values.shape), landed)

    @property
    def _compute(self) -> torch.cuda.Stream:
        return torch.cuda.current_stream(self._device)

    def _stage(self, pixels: Pixels, room: _Room) -> Tensor:
        """The same pixels where the device can fetch them."""
        if self._is_locking:
            try:
                staged = room.take(pixels.nbytes).view(pixels.dtype).reshape(pixels.shape)
            except RuntimeError as error:
                self._warn(error)
            else:
                copy_pixels(pixels, staged)
                return torch.from_numpy(staged)
        return torch.from_numpy(np.array(pixels))

    def _lock_pages(self, n_bytes: int) -> Tensor | None:
        """Memory that torch keeps, and gives out again once a copy of it is done and forgotten."""
        if self._is_locking:
            try:
                return torch.empty(n_bytes, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                self._warn(error)
        return None

    def _warn(self, error: RuntimeError) -> None:
        self._is_locking = False
        logger.warning("no page-locked memory, copies will wait: %s", error)


@dataclass(frozen=True, slots=True, eq=False)
class _OnItsWay:
    """See `Landing`.

    Attributes:
        pixels: A view of page-locked memory.
        landed: What the device records once it has written them.
    """

    pixels: Pixels
    landed: torch.cuda.Event

    def wait(self) -> None:
        self.landed.synchronize()

    def write(self, into: Pixels) -> None:
        copy_pixels(self.pixels, into)


def create_stream(device: torch.device) -> torch.cuda.Stream:
    """A queue of work on a CUDA device, beside all others."""
    stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return stream


def copy_pixels(pixels: Pixels, into: Pixels) -> None:
    """Copy pixels by several threads, each some of the rows.

    Args:
        pixels: Shape (H, W, 3).
        into: Same shape and type.
    """
    height = len(pixels)
    if pixels.nbytes < SHARED_BYTES or height < COPIERS:
        into[...] = pixels
        return
    step = -(-height // COPIERS)
    parts = [slice(top, top + step) for top in range(0, height, step)]
    map_with(_copiers(), lambda part: np.copyto(into[part], pixels[part]), parts)


@lru_cache(maxsize=1)
def _copiers() -> OtherThreads:
    return OtherThreads(COPIERS - 1)

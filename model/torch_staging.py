"""Brings pixels to a device and back through page-locked memory that is kept.

A copy from ordinary memory is made twice, and the host waits for it. From page-locked memory the
device fetches it by itself, while the host prepares the next window.
"""

import logging
import threading
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.exposure import Pixels

logger = logging.getLogger(__name__)

ROOMS = 4
"""Windows on their way at a time: both exposures of a pair, of this window and the next."""


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
    """Copies windows to one device; any thread may use it.

    Where pages cannot be locked, which a container may forbid, ordinary copies are made, and the
    log says so once.

    Args:
        device: Where to; on the CPU a window is copied as it is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._is_locking = device.type == "cuda"
        self._rooms = cycle([_Room() for _ in range(ROOMS)])
        self._lock = threading.Lock()

    def send(self, pixels: Pixels) -> Tensor:
        """A window on the device; what is computed with it there waits for its copy.

        Args:
            pixels: Shape (H, W, 3), uint8 or uint16; need not be contiguous.

        Returns:
            The same values, shape and type.
        """
        if self._is_locking:
            with self._lock:
                room = next(self._rooms)
                try:
                    staged = room.take(pixels.nbytes).view(pixels.dtype).reshape(pixels.shape)
                except RuntimeError as error:
                    self._is_locking = False
                    logger.warning("no page-locked memory, copies will wait: %s", error)
                else:
                    staged[...] = pixels
                    sent = torch.from_numpy(staged).to(self._device, non_blocking=True)
                    room.copied = torch.cuda.current_stream(self._device).record_event()
                    return sent
        return torch.from_numpy(np.array(pixels)).to(self._device)

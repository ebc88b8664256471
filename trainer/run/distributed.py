"""The processes of one run: which share of a step each takes, and what they agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

# Its functions take the world of the moment of their import as default, and keep it. Imported now,
# that is none. Adam imports it on first use; then the world's threads would outlive the world, and
# one that still holds a tensor when the interpreter ends aborts the process
# (https://github.com/pytorch/pytorch/issues/190489).
import torch.distributed.nn.functional
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from trainer.errors import ConfigError, RunError

BACKENDS = "cpu:gloo,cuda:nccl"
"""Tensors on the device travel by NCCL; what is agreed on CPU tensors does not stall its stream."""


@dataclass(frozen=True, slots=True)
class World:
    """One process among those of a run.

    Attributes:
        rank: Its number, from 0; rank 0 writes the run folder.
        size: Number of processes.
        device: Where its tensors live.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """It is the process that writes."""
        return self.rank == 0

    def share_batch(self, batch: int) -> int:
        """Triples that this process takes of each step.

        Raises:
            ConfigError: The batch cannot be shared out evenly.
        """
        if batch % self.size:
            raise ConfigError(
                "expected optim.batch, the batch of all processes together, as a multiple of the "
                f"{self.size} processes, got {batch}"
            )
        return batch // self.size

    def share_steps(self, steps: range, batch: int) -> list[int]:
        """Indices of the triples that this process takes, step after step.

        Args:
            steps: Steps of the session.
            batch: Triples in a step, of all processes together.

        Example:
            >>> World(rank=1, size=2, device=torch.device("cpu")).share_steps(range(3, 5), 4)
            [14, 15, 18, 19]
        """
        share = self.share_batch(batch)
        return [
            step * batch + self.rank * share + offset for step in steps for offset in range(share)
        ]

    def replicate(self, network: nn.Module) -> nn.Module:
        """The network as the loop calls it: its gradients are means over all processes."""
        if self.size == 1:
            return network
        is_cuda = self.device.type == "cuda"
        return DistributedDataParallel(network, device_ids=[self.device] if is_cuda else None)

    def sum(self, values: Tensor) -> Tensor:
        """Sum of every process's tensor, in every process; the argument keeps its values."""
        total = values.clone()
        if self.size > 1:
            distributed.all_reduce(total)
        return total

    def mean(self, values: Tensor) -> Tensor:
        """Mean of every process's tensor, in every process."""
        return self.sum(values) / self.size

    def any(self, is_set: bool) -> bool:
        """Whether the claim holds in any process; the answer is the same in all of them."""
        if self.size == 1:
            return is_set
        return bool(self.sum(torch.tensor(int(is_set))).item())

    def wait(self) -> None:
        """Return once every process has come here."""
        self.any(False)


@contextmanager
def join_world() -> Iterator[World]:
    """Join the processes that torchrun started, or be alone.

    Rank, size and the way to the others come from the environment that torchrun sets. A process
    uses the CUDA device of its local rank, and the CPU where there is none.

    Raises:
        RunError: More processes than CUDA devices on a machine that has some.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise RunError(
                f"expected at most {torch.cuda.device_count()} processes on this machine, one for "
                f"each CUDA device, got local rank {local_rank}"
            )
        device = torch.device("cuda", local_rank)
        set_up_cuda(device)
    if size == 1:
        yield World(rank=0, size=1, device=device)
        return
    distributed.init_process_group(BACKENDS if device.type == "cuda" else "gloo")
    try:
        world = World(rank=distributed.get_rank(), size=size, device=device)
        yield world
        world.wait()  # a process that ended early would look to the others like one that failed
    finally:
        distributed.destroy_process_group()


def set_up_cuda(device: torch.device) -> None:
    """Choose how CUDA computes: fastest kernels for the one shape of a run, whole float32.

    TF32 keeps ten bits of a factor. The windows of the losses subtract the square of a mean from
    a mean of squares on the scale 0..255, which leaves nothing of a small variance; feature maps
    become faster by `optim.precision`, where only they are reduced.
    """
    torch.cuda.set_device(device)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False

"""Holds the settings under which a convolution on CUDA is one in float32, with the same bits."""

from contextlib import AbstractContextManager

import torch

from model.process_settings import SharedSettings


def _compute_exactly() -> AbstractContextManager[None]:
    """float32 as such, not rounded to TF32, by algorithms that give the same bits each time."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )


EXACT_CONVOLUTIONS = SharedSettings(_compute_exactly)
"""The flags belong to the process, and two threads may fuse at the same time. As torch comes, cuDNN
rounds float32 to TF32, which has the 11 significant bits of float16."""

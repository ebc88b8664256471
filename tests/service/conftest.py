from collections.abc import Callable, Iterator

import numpy as np
import pytest

from service.device.messages import FuseJob
from service.metrics import Metrics
from service.processes.shared_memory import SharedArray
from tests.service.backends import LABEL, SOUND


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_job() -> Iterator[Callable[..., tuple[FuseJob, SharedArray, np.ndarray]]]:
    """Makes a job in shared memory: (job, its output block, the picture it should become)."""
    blocks: list[SharedArray] = []

    def make(deed: int = SOUND, height: int = 32, width: int = 48, weights: str = LABEL):
        rng = np.random.default_rng(deed)
        under, over, output = (SharedArray.create((height, width, 3), "uint8") for _ in range(3))
        blocks.extend((under, over, output))
        expected = rng.integers(0, 256, (height, width, 3), np.uint8)
        expected[0, 0, 0] = deed
        under.array[:] = expected
        over.array[:] = 255
        job = FuseJob(
            (under.descriptor, over.descriptor), (0, 1), output.descriptor, 1, None, None, weights
        )
        return job, output, expected

    yield make
    for block in blocks:
        block.unlink()

"""What a fusion keeps in memory at the most, measured in a process of its own."""

import subprocess
import sys
import textwrap

import pytest

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")

MEASURE_PEAK = """
    import sys
    from pathlib import Path

    import numpy as np
    import torch

    from model.exposure import ExposureStack
    from model.pipeline import create_pipeline
    from model.registration import AS_THEY_ARE
    from model.release.weights import load_weights

    def status_mib(field):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024

    torch.set_num_threads(1)
    side = int(sys.argv[2])
    pipeline = create_pipeline(load_weights(Path(sys.argv[1])), device="cpu", threads=1)
    levels = np.linspace(60, 180, int(sys.argv[3])).astype(np.uint8)
    exposures = tuple(np.full((side, side, 3), level, np.uint8) for level in levels)
    stack = ExposureStack(exposures, tuple(range(len(exposures))))
    out = np.full((side, side, 3), 1, np.uint8)
    before = status_mib("VmRSS")
    run = pipeline.begin(stack, AS_THEY_ARE, out)
    for windows in run.passes:
        for window in windows:
            pipeline.fuse_windows([(run, window)])
    print(status_mib("VmHWM") - before)
"""


def measure_peak_mib(weights_dir, side, count=2):
    program = textwrap.dedent(MEASURE_PEAK)
    result = subprocess.run(
        [sys.executable, "-c", program, str(weights_dir), str(side), str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(result.stdout)

"""Measure a step of the training and the share of it that waits for data.

A short run of the config in a folder of its own, by the command's own function; the first batch,
whose workers and caches are cold, is counted apart. From the repository root:

    python -m bench.training [--config FILE] [--data DIR] [--steps 100]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from bench.repository import ROOT, SHARED_DATA
from bench.timing import write_record
from trainer.config import TrainConfig, load_config
from trainer.run.train import train
from trainer.run_files import RECORD_NAME

DEFAULT_CONFIG = ROOT / "trainer" / "configs" / "hyperp-mb-1.1.0.toml"
DEFAULT_RESULT = ROOT / "bench" / "results" / "training.json"


def measure_training(config: TrainConfig, data_root: Path) -> dict[str, object]:
    """Train from the start and read off the run's record what a step costs."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        steps = train(config, data_root, run)
        record = json.loads((run / RECORD_NAME).read_text(encoding="utf-8"))
    (session,) = record["sessions"]
    running_s = session["elapsed_s"] - session["started_in_s"]
    return {
        "device": session["device"],
        "steps": steps,
        "batch": config.optim.batch,
        "side_px": config.data.side_px,
        "precision": config.optim.precision,
        "workers": config.data.workers,
        "first_batch_s": session["started_in_s"],
        "step_ms": round(1000 * running_s / steps, 1),
        "waiting_share": session["waiting_share"],
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--set", action="append", default=[], metavar="GROUP.KEY=VALUE")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    overrides = [f"optim.steps={options.steps}", f"run.checkpoint_every={options.steps}"]
    config = load_config(options.config, [*overrides, *options.set])
    write_record(options.out, measure_training(config, options.data))


if __name__ == "__main__":
    main()

"""What a run folder's files are called, and whether a run is complete."""

import json
from pathlib import Path

CONFIG_NAME = "config.toml"
RECORD_NAME = "record.json"
CURVE_NAME = "losses.csv"
VALIDATION_NAME = "validation.csv"
CHECKPOINT_NAME = "checkpoint.pt"
BEST_NAME = "best.safetensors"


def is_complete(run: Path) -> bool:
    """Whether the run of this folder has taken its last step."""
    record = run / RECORD_NAME
    return record.is_file() and bool(json.loads(record.read_text("utf-8")).get("is_complete"))

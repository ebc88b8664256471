"""Where an ablation keeps what: one folder for trainings, weights, scores and logs."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer.ablation.plan import Trial
from trainer.errors import DataError
from trainer.evaluation.report.summary import SCORES_NAME, Summary, read_summary
from trainer.run.folder import CURVE_NAME, RECORD_NAME

VERSION = "0.0.0"
"""Every arm's version: none of them is a release."""

PairScores = Mapping[str, Mapping[str, float]]
"""Value by pair and metric."""

Curve = Mapping[str, list[float]]
"""Values by column of a loss curve, `step` among them."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The output folder of an ablation.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def runs(self) -> Path:
        """Folder of the trainings."""
        return self.root / "runs"

    def run(self, name: str) -> Path:
        """Run folder of a training."""
        return self.runs / name

    def weights(self, name: str) -> Path:
        """Exported weights of a training."""
        return self.root / "weights" / f"{name}-{VERSION}"

    def log(self, name: str) -> Path:
        """What the process of a training has said."""
        return self.root / "logs" / f"{name}.log"

    def scores(self, trial: Trial) -> Path:
        """Output folder of an evaluation."""
        return self.root / "scores" / trial.pairs / trial.label

    def read_record(self, name: str) -> dict[str, object] | None:
        """Record of a training, None before its first checkpoint."""
        try:
            text = (self.run(name) / RECORD_NAME).read_text(encoding="utf-8")
        except OSError:
            return None
        record: dict[str, object] = json.loads(text)
        return record

    def read_curve(self, name: str) -> Curve:
        """Loss curve of a training; empty before its first row."""
        rows = _read_rows(self.run(name) / CURVE_NAME)
        return {
            column: [float(row[column]) for row in rows] for column in (rows[0] if rows else ())
        }

    def read_summary(self, trial: Trial) -> Summary | None:
        """What a trial's evaluation found, None before it."""
        try:
            return read_summary(self.scores(trial))
        except DataError:
            return None

    def read_scores(self, trial: Trial) -> PairScores:
        """Scores of a trial; empty before its evaluation."""
        scores: dict[str, dict[str, float]] = {}
        for row in _read_rows(self.scores(trial) / SCORES_NAME):
            if row["method"] == trial.label:
                scores.setdefault(row["pair"], {})[row["metric"]] = float(row["value"])
        return scores


def _read_rows(path: Path) -> list[dict[str, str]]:
    """Whole rows of a CSV table; another process may be writing its last one."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return []
    whole = [line for line in lines if line.endswith("\n")]
    return [dict(row) for row in csv.DictReader(whole)]

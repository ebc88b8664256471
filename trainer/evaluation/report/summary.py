"""Defines, reads and writes the documents of an evaluation: `summary.json`, `scores.csv`."""

import csv
import io
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from model.exposure import MIN_EXPOSURES
from trainer.errors import DataError
from trainer.evaluation.report.earlier import read_earlier
from trainer.evaluation.report.statistics import Scores
from trainer.evaluation.scenes import ExposureChoice
from trainer.files import write_whole

SUMMARY_NAME = "summary.json"
SCORES_NAME = "scores.csv"
SCORES_COLUMNS = ("scene", "method", "metric", "value")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Failure(_Record):
    """Something that could not be scored.

    Attributes:
        scene: Name of the scene.
        method: Label of the method; None when the whole scene failed.
        metric: Name of the metric; None when the whole picture failed.
        code: Code of the error.
        message: What was expected and what came.
    """

    scene: str
    method: str | None = None
    metric: str | None = None
    code: str
    message: str

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.scene, self.method, self.metric) if part)
        return f"{where}: {self.code}: {self.message}"


class MethodSummary(_Record):
    """What a column of the tables is.

    Attributes:
        kind: Ours (a weights version), our training of another publication's network, computed on
            the spot, or a peer's published pictures.
        weights: Name and version of the weights.
        parameters_sha256: Hash of their parameters.
        exposures: Fewest and most exposures that they fuse; of more than that they take the
            darkest and the brightest. None where it was not recorded, as of the options.
        align: Option of alignment, of ours.
        ghosts: Option of ghosts, of ours.
        chroma: Rule of chroma, of ours.
        reference: Reference exposure, of ours.
    """

    kind: Literal["weights", "run", "computed", "peer"]
    weights: str | None = None
    parameters_sha256: str | None = None
    exposures: tuple[int, int] | None = None
    align: str | None = None
    ghosts: str | None = None
    chroma: str | None = None
    reference: str | None = None


class Interval(_Record):
    """See `trainer.evaluation.report.statistics.PairedInterval`.

    A summary of an earlier version knows neither `higher` nor `lower`.
    """

    difference: float
    low: float
    high: float
    scenes: int
    higher: int | None = None
    lower: int | None = None


class Margins(_Record):
    """The paper's two margins of our first weights version over its peers, as shares.

    Attributes:
        peers: The peers.
        scenes: Scenes that ours and all peers have every value of, over which all of them are
            averaged; None in a summary from before this was recorded.
        sharpness: Over AG, EI, LPC-SI, S3 and SF.
        quality: Over PIQE, Qabf and VIFF.
    """

    peers: tuple[str, ...]
    scenes: int | None = None
    sharpness: float | None
    quality: float | None


class Summary(_Record):
    """What an evaluation found.

    Attributes:
        dataset: Name of the folder of scenes.
        exposures: Which exposures of each scene were taken; None in a summary from before this was
            recorded, when those were the darkest and the brightest.
        max_side_px: Side to which the exposures were reduced before fusing; None: full size.
        scenes: Names of the scenes that were scored.
        exposure_counts: How many exposures of each were fused, by scene.
        metrics: Names of the quality metrics, in the order of the tables.
        ours: Label of the first weights version, None when there was none.
        methods: Every method by label, in the order of the tables.
        counts: Scenes that each method has a picture of.
        lacking: Names of the scenes that a method has no picture of; absent where it has all.
        means: Mean value by method and metric.
        guards: Mean value by method and guard, see `trainer.metrics.GUARDS`; a guard that applies
            to none of the scenes is absent.
        guard_scenes: How many scenes each of these means is over, by method and guard: those that
            the guard applies to. A summary from before guards could fail to apply has none.
        ranked: Names of the metrics that `mean_rank` is taken over.
        mean_rank: Mean rank over scenes and these metrics, 1 the best, among the methods that have
            a picture of every scene; the others have none.
        mean_rank_paper: The same over the paper's ten metrics.
        intervals: Ours minus the other, with its 95 % interval, by other method and metric or
            guard.
        margins: The paper's margins, where its peers are there.
        missing_methods: Methods that were asked for and that this machine has not.
        failures: What could not be scored.
    """

    dataset: str
    exposures: ExposureChoice | None = None
    max_side_px: int | None
    scenes: tuple[str, ...]
    exposure_counts: dict[str, int] = {}
    metrics: tuple[str, ...]
    ours: str | None
    methods: dict[str, MethodSummary]
    counts: dict[str, int]
    lacking: dict[str, tuple[str, ...]] = {}
    means: dict[str, dict[str, float]]
    guards: dict[str, dict[str, float]] = {}
    guard_scenes: dict[str, dict[str, int]] = {}
    ranked: tuple[str, ...]
    mean_rank: dict[str, float]
    mean_rank_paper: dict[str, float]
    intervals: dict[str, dict[str, Interval]]
    margins: Margins | None
    missing_methods: tuple[str, ...]
    failures: tuple[Failure, ...]

    @property
    def chroma(self) -> dict[str, float]:
        """Mean CIELAB chroma of each method's pictures."""
        return {
            name: values["chroma"] for name, values in self.guards.items() if "chroma" in values
        }

    @model_validator(mode="before")
    @classmethod
    def _read_earlier(cls, data: object) -> object:
        """A summary of an earlier version, see `trainer.evaluation.report.earlier`."""
        return read_earlier(data)

    def count_exposures(self, scene: str) -> int:
        """How many exposures of a scene were fused."""
        return self.exposure_counts.get(scene, MIN_EXPOSURES)

    def count_guarded(self, label: str, guard: str) -> int:
        """How many scenes a method's mean of a guard is over."""
        return self.guard_scenes.get(label, {}).get(guard, self.counts[label])

    def have_same_scenes(self, first: str, second: str) -> bool:
        """Whether two methods have pictures of the same scenes; False where that is not known."""
        scenes = [set(self.scenes) - set(self.lacking.get(label, ())) for label in (first, second)]
        # A summary from before `lacking` knows the scenes of those methods that have all.
        is_known = all(
            len(of_method) == self.counts[label]
            for label, of_method in zip((first, second), scenes, strict=True)
        )
        return is_known and scenes[0] == scenes[1]


def write_summary(out: Path, summary: Summary) -> None:
    """Write `summary.json` to the output folder."""
    document = summary.model_dump_json(indent=1) + "\n"
    write_whole(out / SUMMARY_NAME, document)


def read_summary(path: Path) -> Summary:
    """Read a `summary.json`, or the one of an output folder.

    Raises:
        DataError: There is none, or it is not one of this version.
    """
    file = path / SUMMARY_NAME if path.is_dir() else path
    try:
        return Summary.model_validate_json(file.read_bytes())
    except OSError as cause:
        raise DataError(f"expected {SUMMARY_NAME} of an evaluation, found none") from cause
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "document"
        raise DataError(
            f"{file.name} is no evaluation summary at '{where}': {first['msg']}"
        ) from cause


def write_scores(out: Path, scores: Scores) -> None:
    """Write `scores.csv` to the output folder: a line per scene, method and metric or guard."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SCORES_COLUMNS)
    for scene, methods in scores.items():
        for method, values in methods.items():
            writer.writerows((scene, method, metric, repr(v)) for metric, v in values.items())
    write_whole(out / SCORES_NAME, text.getvalue())

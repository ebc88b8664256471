"""`python -m trainer ablate`: train, score and report the arms of a file of studies."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trainer.ablation.document import StudyResult, write_document
from trainer.ablation.run import score_study, train_arms
from trainer.ablation.studies import USUAL_SCENES, plan_studies
from trainer.commands.arguments import Commands, at_least, names
from trainer.errors import ConfigError
from trainer.metrics import METRICS, PAPER_METRICS

DEFAULT_STUDIES = Path("trainer/configs/ablation.toml")
DEFAULT_METRICS = (*PAPER_METRICS, "MEF-SSIM")


def add_parser(commands: Commands) -> None:
    """Declare the command's arguments."""
    parser = commands.add_parser(
        "ablate", help="train and compare the arms of a file of studies; resumes what was begun"
    )
    parser.add_argument("studies", type=Path, nargs="?", default=DEFAULT_STUDIES, help="TOML file")
    parser.add_argument("--data", type=Path, required=True, help="training data, see `train`")
    parser.add_argument(
        "--scenes",
        action="append",
        required=True,
        metavar="[NAME=]DIR",
        help="scenes to score on, see `evaluate`; with a name for studies that ask for it",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of runs and document")
    parser.add_argument(
        "--study", action="append", default=[], metavar="NAME", help="only this one"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="GROUP.KEY=VALUE",
        help="override the base config for every arm",
    )
    parser.add_argument(
        "--metrics",
        type=names,
        default=DEFAULT_METRICS,
        help="names, comma-separated (default: the paper's ten and MEF-SSIM)",
    )
    parser.add_argument(
        "--max-side-px",
        type=at_least(176),
        help="reduce the scenes of every study first: quick, not full resolution",
    )
    parser.add_argument(
        "--workers",
        type=at_least(0),
        default=1,
        help="trainings at a time, a process each (default: 1); 0: none but this one",
    )
    parser.set_defaults(run_command=run_command)


def run_command(options: argparse.Namespace) -> int:
    """Run the ablation as the options say; 1 when an arm failed."""
    unknown = sorted(set(options.metrics) - METRICS.keys())
    if unknown:
        raise ConfigError(f"expected metrics of {', '.join(METRICS)}, got {', '.join(unknown)}")
    scenes = parse_scenes(options.scenes)
    studies = plan_studies(options.studies, options.set, names=options.study)
    arms = [one for study in studies for one in study]
    failures = train_arms(arms, options.data, options.out, workers=options.workers)
    results = [
        StudyResult(
            study,
            score_study(
                study,
                scenes,
                options.out,
                metrics=options.metrics,
                max_side_px=options.max_side_px,
                workers=options.workers,
            ),
            failures,
        )
        for study in studies
    ]
    path = write_document(options.out, results, studies=options.studies.name)
    sys.stdout.write(f"{path}\n")
    unscored = any(result.summary.failures for result in results if result.summary is not None)
    return 1 if failures or unscored else 0


def parse_scenes(items: Sequence[str]) -> dict[str, Path]:
    """Folders of scenes by name; one without a name is that of every study that names none.

    Raises:
        ConfigError: A name stands twice.

    Example:
        >>> sorted(parse_scenes(["eval", "handheld=other"]))
        ['handheld', 'scenes']
    """
    scenes: dict[str, Path] = {}
    for item in items:
        name, separator, folder = item.partition("=")
        if not separator:
            name, folder = USUAL_SCENES, item
        if name in scenes:
            raise ConfigError(f"expected one folder of scenes named '{name}', got two")
        scenes[name] = Path(folder)
    return scenes

"""A tree of photographs to a data root; a later call redoes only what changed since."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from trainer.data.preparation.brackets import Bracket, Grouping, find_brackets
from trainer.data.preparation.root import OUTCOMES_NAME, close_root, open_root
from trainer.data.preparation.scenes import Outcome, prepare_scene
from trainer.data.preparation.tables import STACKS_NAME, write_manifest, write_report
from trainer.data.stacks import list_exposures
from trainer.errors import DataError
from trainer.pool import run_jobs

FORMAT = 2
"""Raised when the same photographs would become other stacks; every scene is then redone."""


@dataclass(frozen=True, slots=True)
class SceneJob:
    """One bracket on its way to a worker process."""

    bracket: Bracket
    stacks: Path
    max_side_px: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Preparation:
    """What `prepare` did.

    Attributes:
        outcomes: What became of each bracket.
        uses: Use of each accepted scene: `train`, `validate`, or what was set by hand.
        reused: Scenes that stood already.
        removed: Scenes that stood and whose photographs are gone.
        ignored: Files that are no photographs, by suffix.
    """

    outcomes: tuple[Outcome, ...]
    uses: Mapping[str, str]
    reused: int
    removed: int
    ignored: Mapping[str, int]

    @property
    def refused(self) -> Counter[str]:
        """Number of refused scenes by reason."""
        return Counter(one.reason for one in self.outcomes if one.reason is not None)


def prepare(
    tree: Path,
    out: Path,
    *,
    by: Grouping = "auto",
    licence: str = "own photographs",
    source: str | None = None,
    validate_share: float = 0.1,
    max_side_px: int = 1024,
    workers: int = 0,
) -> Preparation:
    """Turn a tree of photographed brackets into a data root for `python -m trainer train`.

    Writes `stacks/<scene>/`, `manifest.csv`, `report.csv` with a line for each bracket, and
    `prepared.jsonl` and `tree.json`, by which a later call redoes only what has changed since. A
    `use` that was set by hand in the manifest is kept.

    Args:
        tree: Top of the photographs; never written to.
        out: The data root: empty, new, or prepared from this tree before.
        by: How photographs are grouped, see `find_brackets`.
        licence: Licence of the photographs, as the manifest and the weights will name it.
        source: Where they come from; None takes the name of the tree's folder.
        validate_share: Share of the scenes, chosen by a hash of their names, that are kept from
            training.
        max_side_px: The longer side of the photographs is reduced to this.
        workers: Processes; 0 works in this one.

    Returns:
        What was done.

    Raises:
        DataError: The tree holds no photographs, or `out` holds something else.
    """
    if not tree.is_dir():
        raise DataError(f"expected a folder of photographs, '{tree.name}' is none")
    survey = find_brackets(tree, by, without=out)
    if not survey.brackets:
        raise DataError(f"expected JPEG, PNG, TIFF or WebP files in '{tree.name}', found none")
    past = open_root(out, tree, survey.brackets)
    duplicates = find_duplicates(survey.brackets)
    outcomes: dict[str, Outcome] = {}
    jobs = []
    for bracket in survey.brackets:
        job = SceneJob(bracket, out / STACKS_NAME, max_side_px, _fingerprint(bracket, max_side_px))
        earlier = past.outcomes.get(bracket.name)
        if bracket.name in duplicates:
            detail = f"the same files as '{duplicates[bracket.name]}'"
            outcomes[bracket.name] = _refuse(job, "duplicate", detail)
        elif earlier is not None and _stands(earlier, job):
            outcomes[bracket.name] = earlier
        else:
            jobs.append(job)
    _run(jobs, workers, out / OUTCOMES_NAME, outcomes)
    ordered = tuple(outcomes[bracket.name] for bracket in survey.brackets)
    chosen = split_scenes([one.scene for one in ordered if one.reason is None], validate_share)
    uses = {scene: past.by_hand.get(scene, use) for scene, use in chosen.items()}
    removed = _remove_others(out / STACKS_NAME, past.outcomes, uses)
    write_manifest(out, ordered, uses, licence=licence, source=source or tree.resolve().name)
    write_report(out, ordered, uses)
    close_root(out, tree, survey.brackets, ordered, chosen)
    reused = len(survey.brackets) - len(jobs) - len(duplicates)
    return Preparation(ordered, uses, reused, removed, survey.ignored)


def find_duplicates(brackets: Sequence[Bracket]) -> dict[str, str]:
    """Brackets whose files equal those of an earlier one, byte for byte, with that one's name."""
    sizes = Counter(photo.size_bytes for bracket in brackets for photo in bracket.photos)
    first: dict[tuple[str, ...], str] = {}
    duplicates: dict[str, str] = {}
    for bracket in brackets:
        if bracket.grouped_by == "nothing":
            continue
        # Only files of equal length can be equal, so hardly any needs to be read for this.
        contents = tuple(
            sorted(
                _digest(photo.path)
                if photo.size_bytes and sizes[photo.size_bytes] > 1
                else str(photo.path)
                for photo in bracket.photos
            )
        )
        if contents in first:
            duplicates[bracket.name] = first[contents]
        else:
            first[contents] = bracket.name
    return duplicates


def split_scenes(scenes: Sequence[str], validate_share: float) -> dict[str, str]:
    """Choose the use of each scene by a hash of its name, whatever other scenes there are.

    Where this would leave nothing to train on, the scene with the largest hash is trained on;
    where it would keep none of several for validation, the one with the smallest is kept.

    Example:
        >>> split_scenes(["desk", "garden"], 0.0)
        {'desk': 'train', 'garden': 'train'}
    """
    places = {
        scene: int(hashlib.sha256(scene.encode()).hexdigest()[:12], 16) / 16**12 for scene in scenes
    }
    uses = {
        scene: "validate" if place < validate_share else "train" for scene, place in places.items()
    }
    if scenes and "train" not in uses.values():
        uses[max(places, key=places.__getitem__)] = "train"
    if len(scenes) > 1 and validate_share > 0 and "validate" not in uses.values():
        uses[min(places, key=places.__getitem__)] = "validate"
    return uses


def work_on(job: SceneJob) -> Outcome:
    """Prepare one scene; the function that worker processes run."""
    return prepare_scene(job.bracket, job.stacks, job.max_side_px, job.fingerprint)


def _run(jobs: Sequence[SceneJob], workers: int, path: Path, outcomes: dict[str, Outcome]) -> None:
    """Prepare scenes and note each outcome at once, so that a killed run loses none."""
    progress = tqdm(total=len(jobs), desc="preparing", unit="scene")
    with path.open("a", encoding="utf-8") as file, progress:
        for job, result in run_jobs(work_on, jobs, workers):
            outcome = result or _refuse(job, "failed", "its process died, maybe out of memory")
            outcomes[outcome.scene] = outcome
            file.write(outcome.model_dump_json() + "\n")
            file.flush()
            progress.update()


def _refuse(job: SceneJob, reason: str, detail: str) -> Outcome:
    return Outcome.model_validate(
        {
            "scene": job.bracket.name,
            "folder": job.bracket.folder,
            "grouped_by": job.bracket.grouped_by,
            "photos": tuple(photo.path.name for photo in job.bracket.photos),
            "fingerprint": job.fingerprint,
            "reason": reason,
            "detail": detail,
        }
    )


def _fingerprint(bracket: Bracket, max_side_px: int) -> str:
    files = [(one.path.name, one.size_bytes, one.modified_ns) for one in bracket.photos]
    document = json.dumps([FORMAT, max_side_px, bracket.folder, bracket.grouped_by, files])
    return hashlib.sha256(document.encode()).hexdigest()


def _stands(outcome: Outcome, job: SceneJob) -> bool:
    """Whether a scene need not be redone."""
    if outcome.fingerprint != job.fingerprint or outcome.reason in ("failed", "duplicate"):
        return False
    found = list_exposures(job.stacks / outcome.scene)
    return outcome.reason is not None or len(found) == len(outcome.kept)


def _remove_others(stacks: Path, known: Mapping[str, Outcome], uses: Mapping[str, str]) -> int:
    """Remove the stacks of earlier calls that no longer stand for anything."""
    stale = [name for name in known if name not in uses and (stacks / name).is_dir()]
    for name in stale:
        shutil.rmtree(stacks / name)
    return len(stale)


def _digest(path: Path) -> str:
    """SHA-256 of a file; of one that cannot be read, its path, which is nobody else's."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return str(path)

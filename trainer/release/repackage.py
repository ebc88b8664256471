"""A released version under a new patch number: the same parameters and graphs, other rules."""

import shutil
from pathlib import Path

from model.lightness.definition import ChromaRule
from model.manifest import Manifest, read_manifest, verify_file, write_manifest
from model.release.weights import load_weights
from trainer.errors import RunError
from trainer.release.description import Description, apply_description
from trainer.release.golden import add_golden_picture
from trainer.release.model_card import write_card
from trainer.release.target import begin_version, parse_version


def repackage(
    source: Path,
    target: Path,
    *,
    chroma: ChromaRule,
    description: Description | None = None,
) -> Manifest:
    """Write a released version again with another rule of chroma.

    The files are copied; the manifest keeps its provenance. The scores are left out, since they
    are of pictures fused by the old rule; `python -m trainer card` records new ones.

    Args:
        source: `weights/<name>-<version>`.
        target: The same name and version with a higher patch number; must not exist.
        chroma: Rule that fuses a* and b*.
        description: Texts that are written by hand; what it leaves out is the source's.

    Returns:
        The manifest that was written.

    Raises:
        WeightsError: The source does not pass its checks.
        RunError: The weights blend colour themselves, the rule is theirs already, or the target
            exists or is not named as a patch of the source.
    """
    manifest = read_manifest(source)
    if manifest.chroma == "blend":
        raise RunError(f"expected weights that take a rule of chroma, '{manifest.label}' has none")
    if manifest.chroma == chroma:
        raise RunError(f"expected another rule of chroma than '{chroma}' of '{manifest.label}'")
    version = parse_version(manifest.name, target)
    before, after = _parse_numbers(manifest.version), _parse_numbers(version)
    if after[:2] != before[:2] or after <= before:
        raise RunError(f"expected a patch of '{manifest.label}', got '{target.name}'")
    load_weights(source)
    changed = manifest.model_copy(update={"version": version, "chroma": chroma, "evaluation": ()})
    changed = apply_description(changed, description or Description())
    with begin_version(target) as partial:
        for name in changed.files:
            shutil.copyfile(source / name, partial / name)
            verify_file(changed, partial, name)
        changed = add_golden_picture(changed, partial)
        write_manifest(changed, partial)
        write_card(partial)
    return changed


def _parse_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))

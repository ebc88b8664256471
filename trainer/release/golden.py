"""Adds to a manifest what the product makes of the golden pair in colour."""

from pathlib import Path

from model.manifest import Manifest
from model.pipeline import create_pipeline
from model.release.golden_picture import describe_picture
from model.release.weights import LoadedWeights, restore_parameters


def add_golden_picture(manifest: Manifest, directory: Path) -> Manifest:
    """The manifest with its golden picture, as the CPU makes it.

    Args:
        manifest: Of the version, complete but for the picture.
        directory: Where its files lie.
    """
    weights = LoadedWeights(manifest, restore_parameters(manifest, directory), directory)
    pipeline = create_pipeline(weights, device="cpu")
    golden = describe_picture(manifest.golden, pipeline.fuse)
    return manifest.model_copy(update={"golden": golden})

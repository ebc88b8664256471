"""The manifest of a weights version: what the released parameters are and where they come from.

Pydantic only, so that a process without torch can read it. `trainer/export.py` writes it,
`model/weights.py` verifies it, the service reports it.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from model.errors import WeightsError
from model.exposure import Reference

MANIFEST_NAME = "manifest.json"
PARAMETERS_NAME = "network.safetensors"
GRAPH_NAME = "network.onnx"
VALID_GRAPH_NAME = "network-valid.onnx"
SchemaVersion = Literal[1]
SCHEMA_VERSION: SchemaVersion = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkConfig(_Record):
    """Everything that decides the shape and the arithmetic of the fusion network.

    Attributes:
        architecture: Name of the architecture.
        width: Feature maps of the first layer and of each dense layer.
        encoders: One encoder for both exposures, or one each.
        feature_fusion: How the two encoders' features are joined.
        final_activation: What follows the last convolution.
        lightness_scale: The value that L* = 100 has inside the network.
    """

    architecture: Literal["hyperp-mb"] = "hyperp-mb"
    width: int = Field(default=16, ge=1)
    encoders: Literal["tied", "separate"] = "tied"
    feature_fusion: Literal["sum", "mean"] = "sum"
    final_activation: Literal["relu", "none"] = "relu"
    lightness_scale: float = Field(default=255.0, gt=0)


class FileEntry(_Record):
    """One file of a weights directory."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=1)


class Golden(_Record):
    """A checksum of behaviour: the network's answer to a synthetic pair that code can remake.

    Attributes:
        seed: Seed of the pair (`model.weights.golden_pair`).
        side_px: Side of its square planes.
        mean: Mean of the fused lightness, 0..100.
        samples: Fused lightness along the main diagonal, every eighth pixel.
    """

    seed: int
    side_px: int
    mean: float
    samples: tuple[float, ...]


class DataSource(_Record):
    """One item of the training data, with its licence."""

    name: str
    kind: str
    licence: str
    source: str


class Training(_Record):
    """How the parameters came about.

    Attributes:
        config: The resolved training config, as TOML text.
        commit: Commit of the code that ran it.
        seed: Seed of the run.
        steps: Optimiser steps taken.
        device: Hardware, in words.
        data: Every source of training data.
    """

    config: str
    commit: str
    seed: int
    steps: int
    device: str
    data: tuple[DataSource, ...]


class Evaluation(_Record):
    """Mean scores over one named evaluation set."""

    dataset: str
    pairs: int
    scores: dict[str, float]


class Manifest(_Record):
    """The JSON document beside the parameters.

    Attributes:
        schema_version: Version of this schema.
        name: Name of the weights.
        version: Semantic version. Major: the contract changed. Minor: retrained, better. Patch:
            the same numbers repackaged.
        network: Config of the network.
        files: Every file of the version by name, with hash and size.
        receptive_field: Side of the input square that one output pixel depends on, in pixels.
        size_multiple: Grid on which tile origins must lie.
        accepted_exposures: Smallest and largest number of exposures.
        chroma: Rule that fuses a* and b*.
        reference: Exposure onto which the other is warped.
        golden: Checksum of behaviour.
        training: Provenance.
        evaluation: Scores; empty before the first evaluation.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    network: NetworkConfig
    files: dict[str, FileEntry]
    receptive_field: int = Field(ge=1)
    size_multiple: int = Field(ge=1)
    accepted_exposures: tuple[int, int]
    chroma: Literal["mean", "weighted"]
    reference: Reference
    golden: Golden
    training: Training
    evaluation: tuple[Evaluation, ...] = ()

    @property
    def label(self) -> str:
        """Name and version as one word, also the name of the directory."""
        return f"{self.name}-{self.version}"


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of a weights directory.

    Args:
        directory: `weights/<name>-<version>`.

    Returns:
        The manifest; the files it names are not looked at.

    Raises:
        WeightsError: There is no manifest, or it does not satisfy the schema.
    """
    path = directory / MANIFEST_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as cause:
        raise WeightsError(
            f"expected {MANIFEST_NAME} in the weights directory '{directory.name}', found none"
        ) from cause
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise WeightsError(
            f"{MANIFEST_NAME} of '{directory.name}' does not satisfy the schema at "
            f"'{where}': {first['msg']}"
        ) from cause


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write the manifest as indented JSON with a final newline."""
    document = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (directory / MANIFEST_NAME).write_text(document + "\n", encoding="utf-8")


def describe_file(path: Path) -> FileEntry:
    """Hash and size of one file."""
    data = path.read_bytes()
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def verify_files(manifest: Manifest, directory: Path) -> None:
    """Compare every file that the manifest names with its hash.

    Raises:
        WeightsError: A file is missing or its SHA-256 differs; the message names the file.
    """
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.is_file():
            raise WeightsError(f"weights '{manifest.label}': expected the file {name}, found none")
        actual = describe_file(path)
        if actual.sha256 != expected.sha256:
            raise WeightsError(
                f"weights '{manifest.label}': {name} has SHA-256 {actual.sha256[:12]}..., "
                f"the manifest says {expected.sha256[:12]}..."
            )

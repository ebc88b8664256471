"""Defines the manifest of a weights version: what the parameters are, where they come from.

It needs no torch, so that a process without torch can read it. `trainer/release/export.py` writes
it, `model/release/weights.py` verifies it, and the service reports it. Keys are only ever added,
with a default: a manifest that was released with schema version 1 stays readable.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    PositiveInt,
    Tag,
    ValidationError,
    model_validator,
)
from safetensors import SafetensorError, safe_open

from model.errors import WeightsError
from model.exposure import Reference

MANIFEST_NAME = "manifest.json"
PARAMETERS_NAME = "network.safetensors"
GRAPH_NAME = "network.onnx"
VALID_GRAPH_NAME = "network-valid.onnx"
Parameters = Mapping[str, NDArray[np.float32]]
"""The parameters of a network by name, as the file holds them."""

SchemaVersion = Literal[1]
SCHEMA_VERSION: SchemaVersion = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Architecture = Literal["hyperp-mb", "pyramid-blend"]
REQUIRED_FILES: dict[Architecture, tuple[str, ...]] = {
    "hyperp-mb": (PARAMETERS_NAME, GRAPH_NAME, VALID_GRAPH_NAME),
    "pyramid-blend": (PARAMETERS_NAME,),
}
"""The files that a version must have; the CPU runs `hyperp-mb` from its graphs."""


class NetworkConfig(_Record):
    """Everything that decides the shape and the arithmetic of a `hyperp-mb` network.

    Attributes:
        architecture: Name of the architecture.
        is_for_pairs: Of a stack it fuses the darkest and the brightest exposure alone.
        width: Feature maps of the first layer and of each dense layer.
        encoders: One encoder for both exposures, or one each.
        feature_fusion: How the two encoders' features are joined.
        final_activation: What follows the last convolution.
        lightness_scale: The value that L* = 100 has inside the network.
    """

    is_for_pairs: ClassVar[bool] = True
    architecture: Literal["hyperp-mb"] = "hyperp-mb"
    width: int = Field(default=16, ge=1)
    encoders: Literal["tied", "separate"] = "tied"
    feature_fusion: Literal["sum", "mean"] = "sum"
    final_activation: Literal["relu", "none"] = "relu"
    lightness_scale: float = Field(default=255.0, gt=0)


class PyramidBlendConfig(_Record):
    """Everything that decides the shape and the arithmetic of a `pyramid-blend` network.

    Attributes:
        architecture: Name of the architecture.
        is_for_pairs: It fuses all exposures of a stack.
        width: Feature maps of every layer.
        dilations: Dilation of each 3x3 layer after the first.
        network_side_px: Longest side of the reduced picture that the network looks at.
        saliency: Local contrast adds to the weight at the finest two groups of levels.
    """

    is_for_pairs: ClassVar[bool] = False
    architecture: Literal["pyramid-blend"] = "pyramid-blend"
    width: int = Field(default=16, ge=1)
    dilations: tuple[PositiveInt, ...] = (1, 2, 4, 8)
    network_side_px: int = Field(default=256, ge=8)
    saliency: bool = True


def _architecture_of(value: object) -> object:
    """What tells the configs apart; where nothing is said, it is the first architecture."""
    if isinstance(value, dict):
        return value.get("architecture", "hyperp-mb")
    return getattr(value, "architecture", None)


AnyNetworkConfig = Annotated[
    Annotated[NetworkConfig, Tag("hyperp-mb")]
    | Annotated[PyramidBlendConfig, Tag("pyramid-blend")],
    Discriminator(_architecture_of),
]
"""The config of a network of either architecture."""


class FileEntry(_Record):
    """One file of a weights directory."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(ge=1)


class Golden(_Record):
    """A checksum of behaviour: the network's answer to a synthetic pair that code can remake.

    Attributes:
        seed: Seed of the pair (`model.release.weights.golden_pair`).
        side_px: Side of its square planes.
        mean: Mean of the fused lightness, 0..100.
        samples: Fused lightness, or luma times 100 where colour is fused too, along
            the main diagonal, every eighth pixel.
        picture: R, G and B, 0..255, of the picture that is made of such a pair in colour
            (`model.release.golden_picture`), at the same places; empty in versions that were
            exported without.
    """

    seed: int = Field(ge=0, lt=2**63)
    side_px: int = Field(ge=2, le=2048)
    mean: FiniteFloat
    samples: tuple[FiniteFloat, ...]
    picture: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()


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
        data: Every source of training data, those of `started_from` included.
        checkpoint: Which parameters of the run these are: its last ones, or those that did best
            on the validation scenes.
        exported_step: The step that they were taken after; None: the last one.
        started_from: Weights version that the run began with; empty where it began anew.
    """

    config: str
    commit: str
    seed: int
    steps: int
    device: str
    data: tuple[DataSource, ...]
    checkpoint: Literal["best", "last"] = "last"
    exported_step: int | None = None
    started_from: str = ""


Scores = dict[str, FiniteFloat]
"""Metric -> its mean over the pairs."""


class Evaluation(_Record):
    """Mean scores over one named evaluation set, and those of other methods on the same pairs.

    Attributes:
        dataset: Name of the evaluation set.
        pairs: Pairs that every method was scored on.
        scores: The means of these weights, in the order in which a table shows the metrics.
        methods: The means of each other method, by its name.
        ranks: Mean rank over the metrics of each method, these weights under their label.
        lower_is_better: Metrics of which a smaller value is the better one.
        align: How exposures were aligned before fusion: the gates decided, or not at all.
    """

    dataset: str
    pairs: int
    scores: Scores
    methods: dict[str, Scores] = {}
    ranks: dict[str, FiniteFloat] = {}
    lower_is_better: tuple[str, ...] = ()
    align: Literal["auto", "off"] | None = None


class Manifest(_Record):
    """The JSON document beside the parameters.

    Attributes:
        schema_version: Version of this schema.
        name: Name of the weights.
        version: Semantic version. Major: the contract changed. Minor: retrained, better. Patch:
            the same numbers repackaged.
        network: Config of the network.
        files: Every file of the version by name, with hash and size.
        receptive_field: Side of the input square that one output pixel depends on, in pixels;
            None: the whole picture decides each pixel, which is run in passes.
        size_multiple: Grid on which tile origins must lie.
        accepted_exposures: Smallest and largest number of exposures.
        chroma: Rule that fuses a* and b*; `blend`: colour is blended with lightness.
        reference: Exposure onto which the other is warped.
        golden: Checksum of behaviour.
        training: Provenance.
        evaluation: Scores; empty before the first evaluation.
        summary: What the weights are, in a sentence or two.
        intended_use: What they are for, and what they are not for.
        limits: What is known to go wrong, a sentence each.
    """

    schema_version: SchemaVersion = SCHEMA_VERSION
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    network: AnyNetworkConfig
    files: dict[str, FileEntry]
    receptive_field: Annotated[int, Field(ge=1)] | None
    size_multiple: int = Field(ge=1)
    accepted_exposures: tuple[int, int]
    chroma: Literal["mean", "weighted", "unclipped", "blend"]
    reference: Reference
    golden: Golden
    training: Training
    evaluation: tuple[Evaluation, ...] = ()
    summary: str = ""
    intended_use: str = ""
    limits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_chroma(self) -> Self:
        architecture = self.network.architecture
        if (self.chroma == "blend") != (architecture == "pyramid-blend"):
            raise ValueError(f"chroma '{self.chroma}' does not go with {architecture}")
        return self

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
        # The tag of a config's architecture is no key of the document.
        parts = [str(part) for part in first["loc"] if part not in get_args(Architecture)]
        where = ".".join(parts) or "document"
        raise WeightsError(
            f"{MANIFEST_NAME} of '{directory.name}' does not satisfy the schema at "
            f"'{where}': {first['msg']}"
        ) from cause


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write the manifest as indented JSON with a final newline.

    One that is there stays whole until the new one is: the parameters are worth nothing without.
    """
    document = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    partial = directory / f".{MANIFEST_NAME}.partial"
    partial.write_text(document + "\n", encoding="utf-8")
    partial.replace(directory / MANIFEST_NAME)


def describe_file(path: Path) -> FileEntry:
    """Hash and size of one file."""
    data = path.read_bytes()
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def verify_label(manifest: Manifest, directory: Path) -> None:
    """Compare the directory's name with the manifest's.

    Raises:
        WeightsError: They differ.
    """
    if directory.resolve().name != manifest.label:
        raise WeightsError(
            f"expected the weights directory to be named '{manifest.label}' as its manifest says, "
            f"got '{directory.resolve().name}'"
        )


def verify_file(manifest: Manifest, directory: Path, name: str) -> None:
    """Compare one file with the hash that the manifest has of it.

    Raises:
        WeightsError: The manifest does not name it, it is missing, or its SHA-256 differs.
    """
    expected = manifest.files.get(name)
    if expected is None:
        raise WeightsError(f"weights '{manifest.label}': the manifest names no {name}")
    path = directory / name
    if not path.is_file():
        raise WeightsError(f"weights '{manifest.label}': expected the file {name}, found none")
    actual = describe_file(path)
    if actual.sha256 != expected.sha256:
        raise WeightsError(
            f"weights '{manifest.label}': {name} has SHA-256 {actual.sha256[:12]}..., "
            f"the manifest says {expected.sha256[:12]}..."
        )


def files_to_verify(manifest: Manifest) -> list[str]:
    """The files that a version must have, then the others that its manifest names."""
    required = REQUIRED_FILES[manifest.network.architecture]
    return [*required, *sorted(manifest.files.keys() - set(required))]


def verify_files(directory: Path) -> Manifest:
    """Check of a weights version what can be checked without loading it.

    Args:
        directory: `weights/<name>-<version>`.

    Returns:
        Its manifest.

    Raises:
        WeightsError: The manifest is missing or breaks the schema, the directory's name is not
            the manifest's, or a hash differs.
    """
    manifest = read_manifest(directory)
    verify_label(manifest, directory)
    for name in files_to_verify(manifest):
        verify_file(manifest, directory, name)
    return manifest


def count_parameters(manifest: Manifest, directory: Path) -> int:
    """Number of parameters, from the header of their file; nothing is loaded.

    Raises:
        WeightsError: The file is missing or no safetensors file.
    """
    try:
        with safe_open(directory / PARAMETERS_NAME, framework="numpy") as tensors:
            names = tensors.keys()
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    except OSError as cause:
        raise WeightsError(
            f"weights '{manifest.label}': expected the file {PARAMETERS_NAME}, found none"
        ) from cause
    except SafetensorError as cause:
        raise WeightsError(
            f"weights '{manifest.label}': {PARAMETERS_NAME} is not a safetensors file"
        ) from cause

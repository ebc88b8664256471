"""Makes one weights version a method of the evaluation, which fuses as the service does."""

import hashlib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

import onnxruntime
import torch

import model
from model.exposure import GhostsMode, Pixels, Reference
from model.fuse import fuse_stack
from model.lightness.definition import ChromaRule
from model.manifest import Manifest, read_manifest
from model.pipeline import FusionPipeline, create_pipeline
from model.release.weights import load_weights
from trainer.evaluation.scenes import EvaluationScene, Sources

Chroma = ChromaRule | Literal["blend"]
"""What a manifest may say of chroma."""

SOURCE_SUFFIXES = {".py", ".c"}
"""Of the code of `model`: Python, and what is compiled."""

AlignOption = Literal["auto", "off"]
"""Modes of alignment that give a picture of every scene."""

OPEN_PIPELINES = 16
DEVICE = "cpu"
"""The device on which the service computes in float32, the same on every machine."""


SAID_ABOUT_WEIGHTS = {"training", "evaluation", "summary", "intended_use", "limits"}
"""Keys of a manifest that decide no pixel and may grow after the release."""


@dataclass(frozen=True, slots=True)
class WeightsMethod:
    """A weights version, run at full size: alignment, pipeline and runtime of the service.

    Attributes:
        directory: `weights/<name>-<version>`.
        label: Name of the column; the directory's name when empty.
        align: `auto` as the service's default, `off` warps nothing.
        ghosts: `auto` as the service's default, `off` replaces nothing.
        chroma: Rule that fuses a* and b*; None takes the manifest's.
        reference: Exposure that alignment keeps where it is; None takes the manifest's.
    """

    directory: Path
    label: str = ""
    align: AlignOption = "auto"
    ghosts: GhostsMode = "auto"
    chroma: ChromaRule | None = None
    reference: Reference | None = None

    def __post_init__(self) -> None:
        if not self.label:
            object.__setattr__(self, "label", self.directory.resolve().name)

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return True

    def describe(self) -> str:
        """The manifest but for what is said about it, and the options that decide the picture."""
        manifest = read_manifest(self.directory)
        content = manifest.model_dump_json(exclude=SAID_ABOUT_WEIGHTS)
        chroma, reference = self._resolve(manifest)
        options = f"align={self.align} ghosts={self.ghosts}"
        return f"{content} {options} chroma={chroma} reference={reference}"

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`; it includes the code of `model` and what runs the network."""
        versions = f"torch {torch.__version__} onnxruntime {onnxruntime.__version__}"
        return f"{self.describe()} {hash_model_code()} {versions}"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        _, reference = self._resolve(read_manifest(self.directory))
        pipeline = _open_pipeline(
            self.directory.resolve(), self.describe(), self.chroma, torch.get_num_threads()
        )
        stack = sources.exposures
        fusion = fuse_stack(
            stack,
            pipeline,
            align=self.align,
            ghosts=self.ghosts,
            default=reference,
            find_alignment=sources.find_alignment,
        )
        return fusion.picture

    def _resolve(self, manifest: Manifest) -> tuple[Chroma, Reference]:
        return self.chroma or manifest.chroma, self.reference or manifest.reference


@cache
def hash_model_code() -> str:
    """Hash of the sources of `model`: a picture of other code is another picture."""
    digest = hashlib.sha256()
    for path in sorted(Path(model.__path__[0]).rglob("*.*")):
        if path.suffix in SOURCE_SUFFIXES:
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=OPEN_PIPELINES)
def _open_pipeline(
    directory: Path, description: str, chroma: ChromaRule | None, threads: int
) -> FusionPipeline:
    """A pipeline on verified weights; `description` tells versions of one directory apart."""
    return create_pipeline(load_weights(directory), device=DEVICE, threads=threads, chroma=chroma)

"""Makes the pictures that ours are compared with: simple methods, enfuse, published ones."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from expofuse.files.images import to_8_bit
from model.exposure import Pixels
from trainer.errors import DataError
from trainer.evaluation.methods.weights import hash_model_code
from trainer.evaluation.pairs import EvaluationPair, Sources
from trainer.evaluation.pictures import fit_to, read_picture, read_profile, write_png
from trainer.mertens import fuse_as_mertens

METHODS = ("mertens", "mertens-aligned", "mean", "enfuse")
"""What can be computed on the spot."""

ENFUSE_TIMEOUT_S = 600.0


class Method(Protocol):
    """A column of the result tables: something that gives one picture for a pair.

    Instances cross to the worker processes.
    """

    @property
    def label(self) -> str:
        """Name of the column and of the folder of its pictures."""
        ...

    def applies_to(self, pair: EvaluationPair) -> bool:
        """Whether there is a picture of this pair at all."""
        ...

    def fingerprint(self, pair: EvaluationPair) -> str:
        """What, besides the exposures, decides the picture: equal only for equal pictures."""
        ...

    def fuse(self, sources: Sources) -> Pixels:
        """The picture, at the size of the exposures. Shape (H, W, 3), uint8 or uint16."""
        ...


@dataclass(frozen=True, slots=True)
class MeanMethod:
    """The plain mean of both exposures, halves rounded up."""

    label: str = "mean"

    def applies_to(self, pair: EvaluationPair) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, pair: EvaluationPair) -> str:
        """See `Method.fingerprint`."""
        return "mean, halves up"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        under, over = sources.exposures.exposures
        mean = (under.astype(np.uint32) + over + 1) // 2
        return mean.astype(np.uint16) if under.dtype == np.uint16 else mean.astype(np.uint8)


@dataclass(frozen=True, slots=True)
class MertensMethod:
    """OpenCV's exposure fusion with its default weights; it takes 8 bits.

    Attributes:
        label: See `Method.label`.
        is_aligned: The under exposure is first moved onto the over one, as the service does.

    Reference:
        Mertens, Kautz and Van Reeth, "Exposure fusion", Pacific Graphics, 2007.
    """

    label: str = "mertens"
    is_aligned: bool = False

    def applies_to(self, pair: EvaluationPair) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, pair: EvaluationPair) -> str:
        """See `Method.fingerprint`."""
        version = f"OpenCV {cv2.__version__} MergeMertens"
        return f"{version} {hash_model_code()}" if self.is_aligned else version

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        stack = sources.move("over") if self.is_aligned else sources.exposures
        return fuse_as_mertens([to_8_bit(one) for one in stack.exposures])


@dataclass(frozen=True, slots=True)
class EnfuseMethod:
    """The programme `enfuse` with its default weights.

    Attributes:
        binary: Its path.
        version: The line by which it names itself.
    """

    binary: str
    version: str
    label: str = "enfuse"

    def applies_to(self, pair: EvaluationPair) -> bool:
        """See `Method.applies_to`."""
        return True

    def fingerprint(self, pair: EvaluationPair) -> str:
        """See `Method.fingerprint`."""
        return self.version

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        pair = sources.exposures
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in ("under.png", "over.png", "fused.png")]
            write_png(paths[0], pair.darkest)
            write_png(paths[1], pair.brightest)
            try:
                ended = subprocess.run(
                    [self.binary, f"--output={paths[2]}", *map(str, paths[:2])],
                    capture_output=True,
                    text=True,
                    errors="replace",
                    timeout=ENFUSE_TIMEOUT_S,
                    check=False,
                )
            except subprocess.TimeoutExpired as cause:
                raise DataError(
                    f"expected a picture from enfuse within {ENFUSE_TIMEOUT_S:g} s, got none"
                ) from cause
            if ended.returncode != 0 or not paths[2].exists():
                last = ended.stderr.strip().rpartition("\n")[2].replace(f"{folder}/", "")
                raise DataError(
                    f"expected a picture from enfuse, got status {ended.returncode}: {last}"
                )
            return fit_to(read_picture(paths[2]), pair.height, pair.width)


@dataclass(frozen=True, slots=True)
class PeerMethod:
    """Published pictures of one method, brought to the size and the colours of the pair.

    A picture without a profile, of exposures that carry one, was computed on their values as they
    are stored: it is taken to have the exposures' profile, and converted with it as they are.
    """

    label: str

    def applies_to(self, pair: EvaluationPair) -> bool:
        """See `Method.applies_to`."""
        return self.label in pair.peer_paths

    def fingerprint(self, pair: EvaluationPair) -> str:
        """See `Method.fingerprint`."""
        content = hashlib.sha256(pair.peer_paths[self.label].read_bytes()).hexdigest()
        return f"{content} in the exposures' profile"

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        pair, paths = sources.exposures, sources.pair
        profile = read_profile(paths.exposure_paths[0])
        fused = read_picture(paths.peer_paths[self.label], untagged=profile)
        return fit_to(fused, pair.height, pair.width)


def find_enfuse() -> EnfuseMethod | None:
    """The installed `enfuse`, None where there is none."""
    binary = shutil.which("enfuse")
    if binary is None:
        return None
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    return EnfuseMethod(binary, said.stdout.partition("\n")[0].strip())


def make_methods(names: Sequence[str]) -> tuple[list[Method], list[str]]:
    """Make the methods that are computed on the spot.

    Args:
        names: Of `METHODS`.

    Returns:
        The methods in this order, and the names of those that this machine has not.

    Raises:
        DataError: A name is none of these.
    """
    methods: list[Method] = []
    missing: list[str] = []
    for name in names:
        match name:
            case "mean":
                methods.append(MeanMethod())
            case "mertens":
                methods.append(MertensMethod())
            case "mertens-aligned":
                methods.append(MertensMethod(name, is_aligned=True))
            case "enfuse":
                enfuse = find_enfuse()
                methods += [] if enfuse is None else [enfuse]
                missing += [name] if enfuse is None else []
            case _:
                raise DataError(f"expected methods of {', '.join(METHODS)}, got '{name}'")
    return methods, missing


def list_peers(pairs: Sequence[EvaluationPair]) -> list[PeerMethod]:
    """Every method of which at least one pair has a published picture, by name."""
    return [
        PeerMethod(name) for name in sorted({name for pair in pairs for name in pair.peer_paths})
    ]

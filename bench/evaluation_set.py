"""The evaluation pairs, their published peers, and the simple methods they are compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = ROOT.parent / "shared" / "data" / "eval"

Picture = NDArray[np.uint8]
"""Shape (H, W, 3), RGB."""


@dataclass(frozen=True, slots=True)
class EvaluationPair:
    """One pair of the evaluation set.

    Attributes:
        name: Name of its folder.
        under_path: Encoded darker exposure.
        over_path: Encoded brighter exposure.
        peer_paths: Published fused pictures by method.
    """

    name: str
    under_path: Path
    over_path: Path
    peer_paths: Mapping[str, Path]


def list_pairs(folder: Path) -> list[EvaluationPair]:
    """List the pairs of a folder that holds <pair>/under.*, over.* and peers/<method>.*."""
    if not folder.is_dir():
        raise FileNotFoundError(f"expected the evaluation pairs in {folder}")
    return [
        EvaluationPair(
            name=item.name,
            under_path=next(item.glob("under.*")),
            over_path=next(item.glob("over.*")),
            peer_paths={path.stem: path for path in sorted((item / "peers").glob("*"))},
        )
        for item in sorted(folder.iterdir())
        if item.is_dir()
    ]


def read_picture(path: Path) -> Picture:
    """Read a picture as 8-bit RGB, turned upright."""
    return decode_picture(path.read_bytes())


def decode_picture(encoded: bytes) -> Picture:
    """Decode a picture to 8-bit RGB, turned upright."""
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise ValueError("expected an encoded picture")
    return np.asarray(picture, dtype=np.uint8)


def fit_to(picture: Picture, reference: Picture) -> Picture:
    """Bring a picture to the size of another by area averaging; equal sizes stay untouched."""
    height, width = reference.shape[:2]
    if picture.shape[:2] == (height, width):
        return picture
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, dtype=np.uint8)


def fuse_by_mean(under: Picture, over: Picture) -> Picture:
    """Average two exposures, rounding halves up."""
    return np.asarray((under.astype(np.uint16) + over + 1) // 2, dtype=np.uint8)


def fuse_by_mertens(under: Picture, over: Picture) -> Picture:
    """Fuse two exposures by OpenCV's exposure fusion with its default weights."""
    fused = cv2.createMergeMertens().process([under, over])
    return np.asarray(np.clip(np.rint(fused * 255), 0, 255), dtype=np.uint8)


def iterate_methods(
    pair: EvaluationPair, under: Picture, over: Picture
) -> Iterator[tuple[str, Picture]]:
    """Give every comparison picture of a pair, at the pair's size, with its method's name."""
    yield "mean", fuse_by_mean(under, over)
    yield "mertens", fuse_by_mertens(under, over)
    for name, path in pair.peer_paths.items():
        yield name, fit_to(read_picture(path), under)

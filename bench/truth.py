"""Measure how near fusions come to the scene itself: its radiance through one tone curve.

Views of panoramas are exposed by the trainer's camera model, fused, and compared with the picture
that the tone curve makes of their radiance, see `trainer.data.tone_curve`: PSNR and SSIM of luma
and PSNR of RGB. A fusion may be right up to its brightness, so each score is taken twice: of the
picture as it is, and after the one gain and offset, the same for all pixels and channels, that
bring its luma nearest to that of the truth. From the repository root:

    python -m bench.truth [--weights NAME-VERSION ...] [--sheets DIR]

Pictures of what this code cannot run are judged too, made from views that were written out:

    python -m bench.truth --write-views VIEWS
    python -m bench.truth --pictures LABEL=FUSED     # FUSED/VIEW.png

VIEWS is a folder of scenes as `python -m trainer evaluate` takes it, and `fused/METHOD` of what
that command writes is such a FUSED.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from bench.fidelity import psnr
from bench.rendered_views import draw_radiance, draw_row, shoot, write_jpeg
from bench.repository import ROOT, SHARED_DATA
from bench.timing import write_record
from expofuse.files.pixels import to_8_bit
from model.errors import ExposureError
from model.exposure import Pixels
from trainer.commands.evaluate import make_columns
from trainer.config import load_config
from trainer.data.panorama import read_panorama
from trainer.errors import DataError
from trainer.evaluation import list_scenes
from trainer.evaluation.methods.computed import make_methods
from trainer.evaluation.methods.method import Method
from trainer.evaluation.pictures import Picture, read_picture, write_png
from trainer.evaluation.report.cells import stack_cells
from trainer.evaluation.report.sheets import name_exposures
from trainer.evaluation.scenes import EvaluationScene, Sources
from trainer.losses.local_moments import average_each, ssim_window
from trainer.losses.ms_ssim import compare_luminance, compare_structure
from trainer.metrics.grey import FULL_SCALE, GREY_WEIGHTS

DEFAULT_RESULT = ROOT / "bench" / "results" / "truth.json"
DEFAULT_WEIGHTS = ("pyramid-blend-2.1.0", "hyperp-mb-1.1.0")
CONFIG = ROOT / "trainer" / "configs" / "pyramid-blend-2.1.0.toml"
"""It lists the panoramas that are judged by: its own steps leave them out.

They are no held-out set: the version that it begins with was trained on them.
"""

REFERENCE = "mertens"
COMPUTED = (REFERENCE, "enfuse", "mean")
KINDS: Mapping[str, tuple[float, ...]] = {
    "pair-4ev": (-2.0, 2.0),
    "pair-7ev": (-3.5, 3.5),
    "pair-10ev": (-5.0, 5.0),
    "stack-8ev": (-4.0, -2.0, 0.0, 2.0, 4.0),
}
"""Exposure values over that of the correct exposure."""

SIDE_PX = 512
VIEWS = 4
CELL_SIDE_PX = 256
TRUTH_NAME = "truth.png"

Plane = NDArray[np.float64]
Scores = dict[str, float]
ScoresTwice = dict[str, Scores]
"""Of a picture as it is, and after gain and offset."""


@dataclass(frozen=True, slots=True)
class GivenMethod:
    """Pictures that something else has made of the same views.

    Attributes:
        label: See `Method.label`.
        folder: Holds a picture of each view, `VIEW.png` or in another format.
    """

    label: str
    folder: Path

    def applies_to(self, scene: EvaluationScene) -> bool:
        """See `Method.applies_to`."""
        return any(self.folder.glob(f"{scene.name}.*"))

    def fingerprint(self, scene: EvaluationScene) -> str:
        """See `Method.fingerprint`."""
        return self.folder.name

    def fuse(self, sources: Sources) -> Pixels:
        """See `Method.fuse`."""
        return read_picture(next(self.folder.glob(f"{sources.scene.name}.*")))


def write_views(folder: Path, panoramas: Sequence[Path], *, views: int, side_px: int) -> None:
    """Write views as scenes: a folder each with the exposures `00.png`, ... and the truth.

    They are called after the panorama, the kind of the stack, and their number.
    """
    for path in panoramas:
        panorama = read_panorama(path)
        for number in range(views):
            radiance = draw_radiance(panorama, path.stem, number, side_px)
            for kind, evs in KINDS.items():
                view = shoot(radiance, evs)
                target = folder / f"{path.stem}-{kind}-{number}"
                for index, exposure in enumerate(view.exposures):
                    write_png(target / f"{index:02d}.png", exposure)
                write_png(target / TRUTH_NAME, view.truth)


def score_twice(picture: Picture, truth: Picture) -> ScoresTwice:
    """The scores of a picture as it is, and after the best gain and offset of its luma.

    Args:
        picture: RGB. Shape (H, W, 3), uint8.
        truth: Likewise.
    """
    shown, wanted = picture.astype(np.float64), truth.astype(np.float64)
    fitted = fit_luma(shown, wanted)
    return {"as_it_is": score(shown, wanted), "after_gain_and_offset": score(fitted, wanted)}


def fit_luma(picture: Plane, truth: Plane) -> Plane:
    r"""Bring the luma of a picture nearest to the truth's by one gain and one offset.

    .. math::
        g = \frac{\mathrm{cov}(y, t)}{\mathrm{var}(y)}, \qquad o = \bar{t} - g \bar{y}

    of the lumas y and t, for all three channels, which does the same to the luma. A picture of one
    luma keeps its gain.

    Args:
        picture: RGB, 0..255. Shape (H, W, 3).
        truth: Likewise.

    Returns:
        The picture, clipped to 0..255.

    Reference:
        Ours: least squares.
    """
    luma, target = to_luma(picture), to_luma(truth)
    variance = float(np.var(luma))
    covariance = float(np.mean((luma - luma.mean()) * (target - target.mean())))
    gain = covariance / variance if variance else 1.0
    fitted = gain * (picture - luma.mean()) + target.mean()
    return np.asarray(np.clip(fitted, 0, FULL_SCALE))


def score(picture: Plane, truth: Plane) -> Scores:
    """PSNR of luma and of RGB, dB, and SSIM of luma, at most 1; 0..255. Shape (H, W, 3) each."""
    luma, target = to_luma(picture), to_luma(truth)
    return {
        "luma_psnr_db": psnr(luma, target),
        "luma_ssim": ssim(luma, target),
        "rgb_psnr_db": psnr(picture, truth),
    }


def to_luma(picture: Plane) -> Plane:
    """Luma by the weights of `rgb_to_grey`, not rounded. Shape (H, W)."""
    return np.asarray(picture @ np.array(GREY_WEIGHTS))


def ssim(luma: Plane, truth: Plane) -> float:
    """Mean structural similarity at full size under a Gaussian window of 11 pixels.

    Args:
        luma: 0..255. Shape (H, W), sides of at least 11.
        truth: Likewise.

    Returns:
        Similarity, -1..1.

    Reference:
        Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
        structural similarity", IEEE TIP 13 (2004).
    """
    one, other = (torch.from_numpy(plane)[None, None] for plane in (luma, truth))
    mean, target, square, target_square, product = average_each(
        (one, other, one * one, other * other, one * other), ssim_window().to(one)
    )
    structure = compare_structure(
        product - mean * target, square - mean * mean, target_square - target * target
    )
    return float((structure * compare_luminance(mean, target)).mean())


def measure_kind(
    scenes: Iterable[EvaluationScene], methods: Sequence[Method], sheets: Path | None
) -> dict[str, object]:
    """Fuse views by every method: the means of each, and a sheet for each panorama.

    A view that the service refuses as a stack is left out of the means of its method.

    Raises:
        DataError: A picture has not the size of its view.
    """
    scores: dict[str, dict[str, ScoresTwice]] = {method.label: {} for method in methods}
    refused: dict[str, dict[str, str]] = {method.label: {} for method in methods}
    rows: dict[str, list[Picture]] = {}
    for scene in scenes:
        sources = Sources(scene)
        truth = to_8_bit(read_picture(scene.exposure_paths[0].parent / TRUTH_NAME))
        fused: dict[str, Picture] = {}
        for method in methods:
            if method.applies_to(scene):
                try:
                    fused[method.label] = to_8_bit(method.fuse(sources))
                except ExposureError as refusal:
                    refused[method.label][scene.name] = str(refusal)
        for label, picture in fused.items():
            if picture.shape != truth.shape:
                raise DataError(f"expected '{scene.name}' of {label} in the size of the view")
            scores[label][scene.name] = score_twice(picture, truth)
        shown = dict(zip(name_exposures(len(sources.pictures)), sources.pictures, strict=True))
        row = draw_row({**shown, "truth": truth, **fused}, CELL_SIDE_PX)
        rows.setdefault(scene.name.rpartition("-")[0], []).append(row)
    if sheets:
        for name, of_panorama in rows.items():
            write_jpeg(sheets / f"{name}.jpg", stack_cells(of_panorama))
    return {
        label: {
            "views": len(views),
            "refused": refused[label],
            **(summarise(views, scores[REFERENCE]) if views else {}),
        }
        for label, views in scores.items()
    }


def summarise(
    views: Mapping[str, ScoresTwice], reference: Mapping[str, ScoresTwice]
) -> dict[str, object]:
    """Means over the views, and on how many of them each score is above that of the reference."""
    summary: dict[str, object] = {}
    shared = [name for name in views if name in reference]
    for way, names in next(iter(views.values())).items():
        summary[way] = {
            name: {
                "mean": round(
                    float(np.mean([of_view[way][name] for of_view in views.values()])), 4
                ),
                f"above_{REFERENCE}": sum(
                    views[view][way][name] > reference[view][way][name] for view in shared
                ),
            }
            for name in names
        }
    return summary


def read_given(argument: str) -> GivenMethod:
    """`LABEL=DIR` to a method.

    Raises:
        ArgumentTypeError: It is not of this form, or the folder does not exist.
    """
    label, _, folder = argument.partition("=")
    if not label or not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"expected LABEL=DIR with a folder, got '{argument}'")
    return GivenMethod(label, Path(folder))


def main(argv: list[str] | None = None) -> None:
    """Render, fuse, measure, and write and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("panoramas", nargs="*", help="below the data, hdri/NAME.hdr; default: six")
    parser.add_argument("--data", type=Path, default=SHARED_DATA)
    parser.add_argument(
        "--weights", nargs="*", default=DEFAULT_WEIGHTS, help="names below ./weights, or paths"
    )
    for option in ("--align", "--ghosts"):
        parser.add_argument(
            option, choices=("auto", "off"), default="auto", help="of the weights (default: auto)"
        )
    parser.add_argument(
        "--pictures", type=read_given, action="append", default=[], metavar="LABEL=DIR"
    )
    parser.add_argument("--views", type=int, default=VIEWS, help="of each panorama")
    parser.add_argument("--side-px", type=int, default=SIDE_PX)
    parser.add_argument("--sheets", type=Path, help="folder of the sheets")
    parser.add_argument("--write-views", type=Path, help="write the views there, and no more")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT, help="result file")
    options = parser.parse_args(argv)
    names = options.panoramas or load_config(CONFIG).data.without
    panoramas = [options.data / name for name in names]
    size = {"views": options.views, "side_px": options.side_px}
    if options.write_views:
        write_views(options.write_views, panoramas, **size)
        return
    computed, missing = make_methods(COMPUTED)
    weights = make_columns(options.weights, aligns=[options.align], ghosts=[options.ghosts])
    with TemporaryDirectory() as folder:
        write_views(Path(folder), panoramas, **size)
        methods = [*weights, *options.pictures, *computed]
        scenes = list_scenes(Path(folder))
        kinds = {
            kind: measure_kind(
                [scene for scene in scenes if f"-{kind}-" in scene.name], methods, options.sheets
            )
            for kind in KINDS
        }
    write_record(
        options.out,
        {
            "panoramas": list(names),
            "views_of_each": options.views,
            "side_px": options.side_px,
            "align": options.align,
            "ghosts": options.ghosts,
            "missing_methods": missing,
            "kinds": kinds,
        },
    )


if __name__ == "__main__":
    main()

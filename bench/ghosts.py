"""Measure the removal of ghosts: scenes with truth, still scenes, and what it costs.

Truth is the fusion of the same stack, by the same method, had nothing moved. From the repository
root:

    python -m bench.ghosts [DATA]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch

from bench.fidelity import psnr
from bench.moved_scenes import MovedScene, read_given_scene, render_scene
from bench.repository import ROOT, SHARED_DATA
from bench.timing import Cost, measure, spread, spread_costs, write_record
from expofuse.files.pixels import to_8_bit
from model.blend.torch_network import BlendNetwork
from model.ghosts.find import find_ghosts, find_ghosts_of_proxies
from model.ghosts.ghost_map import GhostMap
from model.ghosts.proxies import choose_reference_of_proxies, reduce_exposure
from model.ghosts.replace import replace_ghosts
from model.release.torch_networks import build_loaded
from model.release.weights import load_weights
from model.tiling import Rect
from trainer.evaluation.pictures import Picture, read_picture
from trainer.mertens import fuse_as_mertens
from trainer.metrics import mef_ssim, rgb_to_grey

DEFAULT_RESULT = ROOT / "bench" / "results" / "ghosts.json"
WEIGHTS = ROOT / "weights" / "pyramid-blend-2.1.0"
GIVEN_SCENES = ("hall118", "bench129")
SEEDS = range(24)
HELD_OUT_SEEDS = range(100, 140)
"""Rendered scenes that no choice was made by."""

STRIP_PX = 512
MAX_SIDE_PX = 1_000
COST_SIZE = (3_000, 4_000)


def free(exposures: Sequence[Picture], reference: int) -> tuple[list[Picture], list[float]]:
    """The stack freed of ghosts, and the share taken from the reference for each."""
    ghosts = find_ghosts(exposures, reference=reference)
    shares = [ghost.share if ghost else 0.0 for ghost in ghosts]
    return replace_in_strips(exposures, ghosts, reference), shares


def replace_in_strips(
    exposures: Sequence[Picture], ghosts: Sequence[GhostMap | None], reference: int
) -> list[Picture]:
    """The stack freed of ghosts window by window; what has none is not copied."""
    height, width = exposures[0].shape[:2]
    result = [
        exposure if ghost is None else np.empty_like(exposure)
        for exposure, ghost in zip(exposures, ghosts, strict=True)
    ]
    for top in range(0, height, STRIP_PX):
        window = Rect(top, 0, min(STRIP_PX, height - top), width)
        parts = replace_ghosts(
            [exposure[window.slices] for exposure in exposures],
            ghosts, reference=reference, window=window, height=height, width=width,
        )  # fmt: skip
        for target, part, ghost in zip(result, parts, ghosts, strict=True):
            if ghost is not None:
                target[window.slices] = part
    return result


def fuse(network: BlendNetwork, exposures: Sequence[Picture]) -> Picture:
    """Fuse a stack by the network on whole tensors."""
    with torch.inference_mode():
        planes = [
            torch.from_numpy(one.copy()).permute(2, 0, 1)[None].float() / 255 for one in exposures
        ]
        fused = network.fuse(planes)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    return np.rint(fused * 255).astype(np.uint8)


def mef_ssim_of_stack(exposures: Sequence[Picture], fused: Picture) -> float:
    """MEF-SSIM against any number of exposures."""
    return mef_ssim([rgb_to_grey(one) for one in exposures], rgb_to_grey(fused))


def fuse_as_opencv(exposures: Sequence[Picture]) -> Picture:
    """What OpenCV has for stacks held by hand: `AlignMTB`, at the whole frame, `MergeMertens`."""
    aligned = [exposure.copy() for exposure in exposures]
    # The middle exposure is not written: in place it is there already.
    cv2.createAlignMTB(cut=False).process(aligned, aligned)
    return fuse_as_mertens(aligned)


def render_scenes(data: Path, seeds: Iterable[int]) -> Iterator[tuple[str, MovedScene]]:
    """The rendered scenes of so many seeds."""
    panoramas = sorted((data / "hdri").rglob("*.hdr"))
    for seed in seeds:
        yield f"rendered-{seed}", render_scene(panoramas, seed)


def read_given_scenes(data: Path) -> Iterator[tuple[str, MovedScene]]:
    """The rendered scenes of others."""
    for name in GIVEN_SCENES:
        yield name, read_given_scene(data / "moving" / name)


def measure_truth(
    network: BlendNetwork, scenes: Iterable[tuple[str, MovedScene]]
) -> dict[str, object]:
    """Inside what moved: the error to the truth without and with the removal of ghosts."""
    rows = {name: measure_scene(network, scene) for name, scene in scenes}
    gains = [row["on_db"] - row["off_db"] for row in rows.values()]
    ahead = [row["on_db"] - row["opencv_db"] for row in rows.values()]
    return {"gain_db": spread(gains), "ahead_of_opencv_db": spread(ahead), "scenes": rows}


def measure_scene(network: BlendNetwork, scene: MovedScene) -> dict[str, float]:
    """What one scene gains, beside OpenCV."""
    freed, shares = free(scene.moved, scene.reference)
    truth = fuse(network, scene.still)
    results = {
        "off": (fuse(network, scene.moved), truth),
        "on": (fuse(network, freed), truth),
        "opencv": (fuse_as_opencv(scene.moved), fuse_as_mertens(scene.still)),
    }
    row: dict[str, float] = {
        "exposures": len(scene.moved),
        "moved_share": round(float(scene.region.mean()), 4),
        "replaced_share": round(max(shares), 4),
        "replaced_share_at_rest": round(max(free(scene.still, scene.reference)[1]), 4),
    }
    for name, (picture, still) in results.items():
        error = np.abs(picture.astype(int) - still)[scene.region]
        row[f"{name}_db"] = round(psnr(picture[scene.region], still[scene.region]), 2)
        row[f"{name}_p99"] = float(np.percentile(error, 99))
    return row


def read_still_stacks(data: Path) -> Iterator[tuple[str, list[Picture]]]:
    """The pairs of `eval/` and the stacks of `brackets/`, up to 1000 pixels a side."""
    for folder in ("eval", "brackets"):
        for item in sorted((data / folder).iterdir()):
            paths = [path for path in sorted(item.glob("*.*")) if path.is_file()]
            if len(paths) < 2:
                continue
            pictures = [limit_side(to_8_bit(read_picture(path))) for path in paths]
            yield f"{folder}/{item.name}", sorted(pictures, key=lambda one: float(one.mean()))


def limit_side(picture: Picture) -> Picture:
    """Reduce to at most `MAX_SIDE_PX` pixels a side."""
    scale = MAX_SIDE_PX / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def measure_still(network: BlendNetwork, data: Path) -> dict[str, object]:
    """What still scenes lose: MEF-SSIM with the removal of ghosts minus without."""
    rows: dict[str, dict[str, object]] = {}
    losses: dict[str, list[float]] = {"eval": [], "brackets": []}
    for name, exposures in read_still_stacks(data):
        freed, shares = free(
            exposures, choose_reference_of_proxies([reduce_exposure(one) for one in exposures])
        )
        change = 0.0
        if max(shares) > 0:
            off = mef_ssim_of_stack(exposures, fuse(network, exposures))
            change = mef_ssim_of_stack(exposures, fuse(network, freed)) - off
        losses[name.partition("/")[0]].append(change)
        rows[name] = {"mef_ssim_change": round(change, 5), "shares": np.round(shares, 4).tolist()}
    summary = {
        folder: {
            "stacks": len(changes),
            "mean_change": round(float(np.mean(changes)), 5),
            "worst_change": round(min(changes), 5),
        }
        for folder, changes in losses.items()
    }
    return {**summary, "stacks": rows}


def measure_cost(data: Path, repeats: int) -> dict[str, object]:
    """Seconds a megapixel and further exposure at 12 megapixels, of a scene that moves.

    Exposures are reduced for other choices too, with `ghosts=off` as well.
    """
    height, width = COST_SIZE
    paths = sorted((data / "moving" / "horse").glob("0*.jpg"))
    exposures = [
        np.asarray(cv2.resize(to_8_bit(read_picture(path)), (width, height))) for path in paths
    ]
    rounds: dict[str, list[Cost]] = {"reduce": [], "find": [], "replace": [], "all": []}
    shares: list[float] = []
    for _ in range(repeats):
        proxies, reducing = measure(lambda: [reduce_exposure(one) for one in exposures])
        ghosts, finding = measure(partial(find_ghosts_of_proxies, proxies, reference=1))
        _, replacing = measure(partial(replace_in_strips, exposures, ghosts, 1))
        costs = (reducing, finding, replacing, reducing + finding + replacing)
        for name, cost in zip(rounds, costs, strict=True):
            rounds[name].append(cost)
        shares = [ghost.share if ghost else 0.0 for ghost in ghosts]
    megapixels = height * width / 1e6 * (len(exposures) - 1)
    spreads: Mapping[str, object] = spread_costs(rounds, megapixels=megapixels)
    return {"exposures": len(exposures), "replaced_shares": np.round(shares, 3).tolist(), **spreads}


def main(argv: list[str] | None = None) -> None:
    """Measure, and write and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", default=SHARED_DATA)
    parser.add_argument("--repeats", type=int, default=7, help="rounds of the timing")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT, help="result file")
    arguments = parser.parse_args(argv)
    network = build_loaded(load_weights(WEIGHTS))
    if not isinstance(network, BlendNetwork):
        raise TypeError("expected weights of pyramid-blend")
    network.eval()
    data: Path = arguments.data
    record: dict[str, object] = {
        "weights": WEIGHTS.name,
        "cost": measure_cost(data, arguments.repeats),
        "truth": measure_truth(network, chain(render_scenes(data, SEEDS), read_given_scenes(data))),
        "held_out": measure_truth(network, render_scenes(data, HELD_OUT_SEEDS)),
        "still": measure_still(network, data),
    }
    write_record(arguments.out, record)


if __name__ == "__main__":
    main()

"""Judge the service's pictures by the metrics, beside simple methods and published peers.

Every pair of the evaluation set is posted to a running service; the answers, the plain mean,
OpenCV's Mertens fusion and the peers' pictures are scored alike. From the repository root:

    python -m bench.quality                              # starts the service itself
    python -m bench.quality --url http://127.0.0.1:8000  # uses one that runs
    python -m bench.quality --fused DIR                  # scores DIR/<pair>.png as ours
    python -m bench.quality --peers-only                 # ours left out
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import cv2
import httpx
import numpy as np

from bench.evaluation_set import (
    DEFAULT_DATA,
    ROOT,
    EvaluationPair,
    Picture,
    decode_picture,
    iterate_methods,
    list_pairs,
    read_picture,
)
from bench.running_service import running_service
from trainer.metrics import METRICS, rgb_to_grey, score_fusion

DEFAULT_RESULT = ROOT / "bench" / "results" / "quality.json"
OURS = "ours"
FACT_PREFIX = "x-expofuse-"
REQUEST_TIMEOUT_S = 300.0

Means = Mapping[str, Mapping[str, float]]
"""Value by method and metric."""


@dataclass(frozen=True, slots=True)
class Ours:
    """Our picture of one pair, and what the service said about it (empty for a file)."""

    picture: Picture
    facts: Mapping[str, str] = field(default_factory=dict)
    duration_s: float | None = None


def post_pair(client: httpx.Client, pair: EvaluationPair, *, align: str) -> Ours:
    """Post a pair as it lies on disk and decode the answer.

    Raises:
        RuntimeError: The service refused the pair; the message holds its problem document.
    """
    started_s = perf_counter()
    response = client.post(
        "/fuse",
        files={
            "under": (pair.under_path.name, pair.under_path.read_bytes()),
            "over": (pair.over_path.name, pair.over_path.read_bytes()),
        },
        data={"format": "png", "align": align},
    )
    duration_s = perf_counter() - started_s
    if response.status_code != httpx.codes.OK:
        raise RuntimeError(f"{pair.name}: {response.status_code} {response.text}")
    facts = {
        name.removeprefix(FACT_PREFIX): value
        for name, value in response.headers.items()
        if name.startswith(FACT_PREFIX)
    }
    return Ours(decode_picture(response.content), facts, duration_s)


def score_pair(pair: EvaluationPair, ours: Picture | None) -> dict[str, dict[str, float]]:
    """Score our picture of a pair, when there is one, and all comparison pictures.

    Returns:
        Value by method and metric, ours first.
    """
    under, over = read_picture(pair.under_path), read_picture(pair.over_path)
    sources = rgb_to_grey(under), rgb_to_grey(over)
    scores: dict[str, dict[str, float]] = {}
    if ours is not None:
        if ours.shape != under.shape:
            raise ValueError(f"{pair.name}: expected a picture {under.shape}, got {ours.shape}")
        scores[OURS] = score_fusion(*sources, rgb_to_grey(ours))
    for method, picture in iterate_methods(pair, under, over):
        scores[method] = score_fusion(*sources, rgb_to_grey(picture))
    return scores


def average_scores(scores: Mapping[str, Means]) -> dict[str, dict[str, float]]:
    """Average scores (by pair, method and metric) over the pairs."""
    methods = next(iter(scores.values()))
    return {
        method: {
            name: float(np.mean([of_pair[method][name] for of_pair in scores.values()]))
            for name in METRICS
        }
        for method in methods
    }


def judge_targets(means: Means) -> dict[str, bool]:
    """Compare our means with what the bundled weights have to reach."""
    ours = means[OURS]
    above = {
        f"MEF-SSIM above {peer}": ours["MEF-SSIM"] > means[peer]["MEF-SSIM"]
        for peer in ("mean", "densefuse", "deepfuse")
    }
    near = {
        f"{name} at least 0.9 of hyperp_mb": ours[name] >= 0.9 * means["hyperp_mb"][name]
        for name in ("AG", "Qabf", "VIFF")
    }
    return above | near


def format_table(means: Means) -> str:
    """Format means as a Markdown table, a row per method."""
    digits = {name: 4 if METRICS[name].inputs == "sources + fused" else 2 for name in METRICS}
    lines = ["| method | " + " | ".join(METRICS) + " |", "|---|" + "---:|" * len(METRICS)]
    for method, values in means.items():
        cells = (f"{values[name]:.{digits[name]}f}" for name in METRICS)
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def read_commit() -> str:
    """Name the commit of the working tree, marked when tracked files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"


def iterate_ours(
    pairs: list[EvaluationPair], client: httpx.Client | None, arguments: argparse.Namespace
) -> Iterator[tuple[EvaluationPair, Ours | None]]:
    """Give every pair with our picture of it: from the service, a folder, or not at all."""
    for pair in pairs:
        if client is not None:
            yield pair, post_pair(client, pair, align=arguments.align)
        elif arguments.fused is not None:
            yield pair, Ours(read_picture(arguments.fused / f"{pair.name}.png"))
        else:
            yield pair, None


def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """Score all pairs and gather the record that the result file holds."""
    scores: dict[str, Means] = {}
    answers: dict[str, dict[str, object]] = {}
    version: object = None
    with ExitStack() as stack:
        client = None
        if arguments.fused is None and not arguments.peers_only:
            url = arguments.url or stack.enter_context(running_service())
            client = stack.enter_context(httpx.Client(base_url=url, timeout=REQUEST_TIMEOUT_S))
            version = client.get("/version").raise_for_status().json()
        for pair, ours in iterate_ours(list_pairs(arguments.data), client, arguments):
            scores[pair.name] = score_pair(pair, ours.picture if ours else None)
            if ours is None:
                continue
            answers[pair.name] = {"duration_s": ours.duration_s, **ours.facts}
            mef_ssim = scores[pair.name][OURS]["MEF-SSIM"]
            print(f"{pair.name}: MEF-SSIM {mef_ssim:.4f} {dict(ours.facts)}", flush=True)
            if arguments.save is not None:
                arguments.save.mkdir(parents=True, exist_ok=True)
                path = arguments.save / f"{pair.name}.png"
                cv2.imwrite(str(path), cv2.cvtColor(ours.picture, cv2.COLOR_RGB2BGR))
    means = average_scores(scores)
    return {
        "command": arguments.command,
        "commit": read_commit(),
        "service": version,
        "packages": {"numpy": np.__version__, "opencv": cv2.__version__},
        "data": f"{len(scores)} pairs of the MEFB benchmark, grey, 8 bit",
        "targets": judge_targets(means) if OURS in means else None,
        "means": means,
        "answers": answers,
        "pairs": scores,
    }


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    ours = parser.add_mutually_exclusive_group()
    ours.add_argument("--url", help="base URL of a running service; default: start one")
    ours.add_argument("--fused", type=Path, metavar="DIR", help="score DIR/<pair>.png as ours")
    ours.add_argument("--peers-only", action="store_true", help="leave ours out")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="the evaluation pairs")
    parser.add_argument("--align", choices=("auto", "off"), default="auto")
    parser.add_argument("--save", type=Path, metavar="DIR", help="keep our pictures there")
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT, help="result file")
    arguments = parser.parse_args(argv)
    chosen = {
        "--url URL": arguments.url,
        "--fused DIR": arguments.fused,
        "--peers-only": arguments.peers_only,
        "--align off": arguments.align == "off",
        "--data DIR": arguments.data != DEFAULT_DATA,
    }
    options = [option for option, is_chosen in chosen.items() if is_chosen]
    arguments.command = " ".join(["python -m bench.quality", *options])
    return arguments


def main(argv: list[str] | None = None) -> None:
    """Measure, print the table and write the result file."""
    arguments = parse_arguments(argv)
    record = measure(arguments)
    means = record["means"]
    assert isinstance(means, dict)
    print(format_table(means))
    if isinstance(record["targets"], dict):
        for target, is_met in record["targets"].items():
            print(f"{'met' if is_met else 'NOT MET'}: {target}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

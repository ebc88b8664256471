"""Measures what a small request takes beside clients that keep sending large ones.

python -m bench.beside                      # rounds of both, alone and beside eight clients
python -m bench.beside --rounds 5 --json out.json

The small one is a pair of 0.3 megapixels without alignment, the large ones are pairs of 2
megapixels with it. Times alone and beside come from the same round: machines are seldom quiet.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench.client import QUERY, Answer, connect, make_form
from bench.running_service import running_service
from bench.scenes import take_still

SMALL_MP, LARGE_MP = 0.3, 2.0
SMALL_QUERY = f"{QUERY}&align=off"
STAGES = ("decode", "align", "queue", "fuse", "encode")
GOAL = 5.0
"""Times its own time alone that a small request may take."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; write the figures where asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=12, help="small ones of each round")
    parser.add_argument("--clients", type=int, default=8, help="with large pairs")
    parser.add_argument("--json", type=Path, help="where the figures go")
    given = parser.parse_args(argv)
    small = make_form(take_still(SMALL_MP, 2).encode())
    large = make_form(take_still(LARGE_MP, 2).encode())
    alone: list[tuple[float, Answer]] = []
    beside: list[tuple[float, Answer]] = []
    served = 0
    with running_service() as url:
        send(url, small, 3)
        for _ in range(given.rounds):
            alone += send(url, small, given.requests)
            with loading(url, large, given.clients) as counts:
                time.sleep(2.0)
                beside += send(url, small, given.requests)
            served += sum(counts)
    figures = describe(alone, beside)
    figures["large_served"] = served
    print(json.dumps(figures, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def send(url: str, form: bytes, count: int) -> list[tuple[float, Answer]]:
    """Send the small request so many times, one after the other, and time each."""
    found = []
    with connect(url) as client:
        for _ in range(count):
            begin_s = time.perf_counter()
            answer = client.fuse(form, SMALL_QUERY)
            found.append((time.perf_counter() - begin_s, answer))
    return found


@contextmanager
def loading(url: str, form: bytes, clients: int) -> Iterator[list[int]]:
    """Have clients send large requests without a pause for the length of the block."""
    is_over = threading.Event()
    counts = [0] * clients

    def run(index: int) -> None:
        with connect(url) as client:
            while not is_over.is_set():
                client.fuse(form)
                counts[index] += 1

    threads = [threading.Thread(target=run, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def describe(
    alone: Sequence[tuple[float, Answer]], beside: Sequence[tuple[float, Answer]]
) -> dict[str, object]:
    """Seconds and stages of both, and how many times as long it took."""
    median_s = float(np.median([seconds for seconds, _ in alone]))
    ratios = [seconds / median_s for seconds, _ in beside]

    def stages(found: Sequence[tuple[float, Answer]]) -> dict[str, float]:
        named = {one: [answer.stages_s[one] for _, answer in found] for one in STAGES}
        return {one: round(float(np.median(values)), 4) for one, values in named.items()}

    return {
        "alone_s": round(median_s, 4),
        "beside_s": round(float(np.median([seconds for seconds, _ in beside])), 4),
        "times": {
            "median": round(float(np.median(ratios)), 2),
            "p90": round(float(np.percentile(ratios, 90)), 2),
            "max": round(max(ratios), 2),
        },
        "goal": GOAL,
        "stages_alone_s": stages(alone),
        "stages_beside_s": stages(beside),
    }


if __name__ == "__main__":
    main()

"""Load the running service with a few clients at once: latency, throughput, batches, answers.

Every client sends the same pair again and again; every answer must be 200 and equal to the
first one. From the repository root:

    python -m bench.service_load [--clients 4] [--requests 40] [--pair ../shared/data/eval/507]

The settings of the environment apply (`EXPOFUSE_WEIGHTS`, `EXPOFUSE_DEVICE`, ...).
"""

from __future__ import annotations

import argparse
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np

from bench.repository import EVALUATION_PAIRS, ROOT
from bench.running_service import running_service
from bench.timing import write_record

DEFAULT_RESULT = ROOT / "bench" / "results" / "service_load.json"
REQUEST_TIMEOUT_S = 600.0
WARM_UP_REQUESTS = 2


def find_pair(folder: Path) -> dict[str, bytes]:
    """The two encoded exposures of one pair."""
    return {name: next(folder.glob(f"{name}.*")).read_bytes() for name in ("under", "over")}


def run_load(url: str, pair: dict[str, bytes], *, clients: int, requests: int) -> dict[str, object]:
    """Send the requests from that many threads and describe what came back."""
    latencies: list[float] = []
    queued: list[float] = []

    def send(client: httpx.Client) -> bytes:
        begin = time.perf_counter()
        response = client.post("/fuse", files=pair)
        response.raise_for_status()
        latencies.append(time.perf_counter() - begin)
        timing = dict(re.findall(r"(\w+);dur=([\d.]+)", response.headers["server-timing"]))
        queued.append(float(timing["queue"]) / 1000)
        return response.content

    with (
        httpx.Client(base_url=url, trust_env=False, timeout=REQUEST_TIMEOUT_S) as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        reference = send(client)
        for _ in range(WARM_UP_REQUESTS - 1):
            send(client)
        latencies.clear()
        queued.clear()
        begin = time.perf_counter()
        answers = list(pool.map(send, [client] * requests))
        seconds = time.perf_counter() - begin
    return {
        "clients": clients,
        "requests": requests,
        "answers_differ": any(answer != reference for answer in answers),
        "requests_per_s": round(requests / seconds, 3),
        "latency_s": quantiles(latencies),
        "queue_s": quantiles(queued),
    }


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, tails and extremes."""
    p50, p95, p99 = np.percentile(values, [50, 95, 99])
    named = {"p50": p50, "p95": p95, "p99": p99, "min": min(values), "max": max(values)}
    return {name: round(float(value), 4) for name, value in named.items()}


def main() -> None:
    """Load one service with one client, then with several."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pair", type=Path, default=EVALUATION_PAIRS / "507")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--out", type=Path, default=DEFAULT_RESULT)
    options = parser.parse_args()
    pair = find_pair(options.pair)
    with running_service() as url:
        version = httpx.get(f"{url}/version", trust_env=False).json()
        loads = [
            run_load(url, pair, clients=clients, requests=options.requests)
            for clients in sorted({1, options.clients})
        ]
    write_record(
        options.out,
        {
            "version": version,
            "pair": options.pair.name,
            "warm_up_requests": WARM_UP_REQUESTS,
            "loads": loads,
        },
    )


if __name__ == "__main__":
    main()

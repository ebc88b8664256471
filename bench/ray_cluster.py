"""A Ray cluster of two nodes on loopback, in a process of its own, whose second node can be killed.

It prints its address. The line `kill` on standard input kills the second node as a power cut would,
as soon as a process on it fuses, and is answered with a line; the end of standard input ends all.

    python -m bench.ray_cluster
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from bench.repository import ROOT

LOOPBACK = "127.0.0.1"
CORES = 2
STORE_BYTES = 100 * 2**20
PATIENCE_S = 120.0
TRIES = 4

ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray takes the machine's own address otherwise
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # it is 15, and what is compared with has 0
}
"""Of the cluster, and of whoever is part of it."""


@contextmanager
def run_cluster() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a cluster within the block; its process, and its address."""
    process, address = _start()
    assert process.stdin is not None
    with process:
        try:
            yield process, address
        finally:
            process.stdin.close()
            process.wait(timeout=PATIENCE_S)


def _start() -> tuple[subprocess.Popen[str], str]:
    """Start a cluster; again where it fails, for Ray gives a node half a minute and no more.

    Raises:
        RuntimeError: It failed each time.
    """
    for _ in range(TRIES):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.ray_cluster"],
            cwd=ROOT,
            env={**os.environ, **ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        if address:
            return process, address
        process.communicate()
    raise RuntimeError(f"expected a Ray cluster, it did not start in {TRIES} tries")


def main() -> None:
    """Be the cluster until standard input ends."""
    from ray.cluster_utils import Cluster

    node = {"node_ip_address": LOOPBACK, "num_cpus": CORES, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    (raylet,) = [one.process.pid for one in second.all_processes["raylet"]]
    for line in sys.stdin:
        if line.strip() == "kill":
            _wait_until_it_fuses(raylet)
            cluster.remove_node(second, allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()


def _wait_until_it_fuses(raylet: int) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        for child in psutil.Process(raylet).children():
            with suppress(psutil.Error):  # It may have ended meanwhile.
                if "Fuser" in " ".join(child.cmdline()):
                    return
        time.sleep(0.02)
    raise TimeoutError("expected a process that fuses on the second node, found none")


if __name__ == "__main__":
    main()

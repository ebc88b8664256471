"""A Ray cluster of two nodes on loopback, in a process of its own, of which one can be killed.

It prints its address. The line `kill` on standard input kills a node as a power cut would, the
first on which a process fuses, and is answered with a line; the end of standard input ends all. A
head that runs no work outlives it.

    python -m bench.ray_cluster
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil

from bench.repository import ROOT

LOOPBACK = "127.0.0.1"
NODES, CORES = 2, 2
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

    node = {"node_ip_address": LOOPBACK, "object_store_memory": STORE_BYTES}
    head = {**node, "num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(**node, num_cpus=CORES) for _ in range(NODES)]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    raylets = {one.all_processes["raylet"][0].process.pid: one for one in nodes}
    for line in sys.stdin:
        if line.strip() == "kill":
            raylet = _find_one_that_fuses(raylets)
            cluster.remove_node(raylets.pop(raylet), allow_graceful=False)
            print("killed", flush=True)
    cluster.shutdown()


def _find_one_that_fuses(raylets: Iterable[int]) -> int:
    """The first node, by the id of its process, of which a child fuses."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        for raylet in raylets:
            for child in psutil.Process(raylet).children():
                with suppress(psutil.Error):  # It may have ended meanwhile.
                    if "Fuser" in " ".join(child.cmdline()):
                        return raylet
        time.sleep(0.02)
    raise TimeoutError("expected a process that fuses on one of the nodes, found none")


if __name__ == "__main__":
    main()

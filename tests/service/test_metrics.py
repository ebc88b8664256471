import dataclasses
import re

from prometheus_client.parser import text_string_to_metric_families

from service.metrics import Metrics
from service.served_weights import WorkerInfo
from tests.service.backends import COPY, INFO

CODEC = {"codec_alive": lambda: 2, "codec_renewals": lambda: 0}


def families(metrics):
    return {
        family.name: family
        for family in text_string_to_metric_families(metrics.exposition().decode())
    }


def test_every_name_has_the_prefix_and_base_units(metrics):
    metrics.show_weights(INFO)
    metrics.show_processes(codec=Counts(), worker=Counts(), **CODEC)
    found = families(metrics)
    assert all(name.startswith("expofuse_") for name in found)
    assert not [name for name in found if re.search(r"_(ms|milliseconds|kb|mb|percent)$", name)]
    for name in ("requests", "stage_seconds", "queue_jobs", "batch_windows", "worker_up"):
        assert f"expofuse_{name}" in found


def test_every_weights_version_is_shown_and_its_label_exists_before_the_first_request(metrics):
    other = dataclasses.replace(COPY, version="0.0.2")
    metrics.show_weights(WorkerInfo((COPY, other), "cpu"))
    found = families(metrics)
    shared = {"name": "copy", "device": "cpu", "precision": "float32"}
    assert [sample.labels for sample in found["expofuse_weights_info"].samples] == [
        shared | {"version": "0.0.1", "default": "true"},
        shared | {"version": "0.0.2", "default": "false"},
    ]
    labels = {sample.labels["weights"] for sample in found["expofuse_fuse_seconds"].samples}
    assert labels == {"copy-0.0.1", "copy-0.0.2"}


def test_closed_label_sets_exist_before_the_first_request(metrics):
    found = families(metrics)
    stages = {sample.labels["stage"] for sample in found["expofuse_stage_seconds"].samples}
    assert stages == {"receive", "decode", "align", "queue", "fuse", "encode"}
    outcomes = {sample.labels["outcome"] for sample in found["expofuse_requests"].samples}
    assert {"fused", "queue-full", "disconnected", "internal-error"} <= outcomes
    alignments = {sample.labels["outcome"] for sample in found["expofuse_alignments"].samples}
    assert alignments == {"off", "identity", "homography", "refused"}


@dataclasses.dataclass
class Counts:
    restarts: int = 0
    start_failures: int = 0
    violations: int = 0


def test_the_counts_of_child_processes_are_shown_as_they_are_now(metrics):
    codec, worker, alive = Counts(), Counts(), [2]
    metrics.show_processes(codec=codec, worker=worker, **CODEC | {"codec_alive": lambda: alive[0]})
    alive[0], codec.restarts, worker.start_failures = 1, 7, 3
    found = families(metrics)
    assert found["expofuse_codec_processes"].samples[0].value == 1
    restarts = found["expofuse_codec_restarts"]
    assert (restarts.type, restarts.samples[0].value) == ("counter", 7)
    assert found["expofuse_worker_start_failures"].samples[0].value == 3


def test_two_services_in_one_process_share_no_metric():
    first, second = Metrics(), Metrics()
    first.requests.labels("fused").inc()
    assert second.registry.get_sample_value("expofuse_requests_total", {"outcome": "fused"}) == 0


def test_memory_is_shown_by_kind_of_process_as_it_is_now(metrics):
    sizes = {"loop": 1.0, "codec": 2.0, "worker": 3.0}
    metrics.show_memory({kind: (lambda kind=kind: sizes[kind]) for kind in sizes})
    metrics.show_shared_memory(held=lambda: 1, idle=lambda: 2, free=lambda: 3, size=lambda: 4)
    sizes["codec"] = 5.0
    found = families(metrics)
    shown = {
        one.labels["process"]: one.value for one in found["expofuse_process_memory_bytes"].samples
    }
    assert shown == sizes
    assert found["expofuse_shared_memory_free_bytes"].samples[0].value == 3
    assert found["expofuse_shared_memory_size_bytes"].samples[0].value == 4


def test_readiness_is_shown_as_it_is_now(metrics):
    is_ready = [True]
    metrics.show_ready(lambda: is_ready[0])
    assert families(metrics)["expofuse_ready"].samples[0].value == 1
    is_ready[0] = False
    assert families(metrics)["expofuse_ready"].samples[0].value == 0

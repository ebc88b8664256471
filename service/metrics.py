"""Defines every metric of the service once: one prefix, base units, labels from closed sets."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from expofuse.answers import JobState
from expofuse.files.device.outcome import Outcome
from service.problem_types import (
    ENDED_OUTCOME_KINDS,
    JOB_OUTCOME_KINDS,
    OUTCOME_KINDS,
    OUTCOMES,
)
from service.request_record import Stage
from service.served_weights import WorkerInfo

# Else each series is followed by a second one with its birthday, which no query of ours reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

METRICS_MEDIA_TYPE = CONTENT_TYPE_LATEST
PREFIX = "expofuse"

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64)
SHARE_BUCKETS = (0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
GAP_BUCKETS = (0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12)
MEGAPIXEL_BUCKETS = (0.1, 0.25, 0.5, 1, 2, 4, 8, 12, 16, 24, 36, 50, 100)

KeyRefusal = Literal["none", "malformed", "unknown", "wrong", "expired", "revoked", "too-many"]
"""Why a request was not let in; the last one: too many wrong keys came from its address."""

LIMITS_OF_KEYS = ("requests", "megapixels", "concurrency")
ALIGNMENT_OUTCOMES = ("off", "identity", "homography", "refused")


CutReason = Literal[
    "no-request", "slow-head", "slow-body", "slow-reader", "stalled", "idle", "too-many"
]
"""No first or no further request came in time; its head, its body, too slowly; its client reads too
slowly, or nothing; gave way to a new one; the new one where all were busy."""

ProcessKind = Literal["loop", "codec", "worker"]

KeptFor = Literal["equal", "keyed"]
"""Requests that are equal; the same request once more, with its `Idempotency-Key`."""

RELOAD_OUTCOMES = ("reloaded", "refused")
"""What lies there now is in force; it did not pass, and what was before stays in force."""

WebhookOutcome = Literal["delivered", "failed", "given-up", "refused"]
"""Of a call: taken or not; of a webhook: no longer tried, or of a host no longer listed."""

RefusalReason = Literal["jobs", "megapixels", "uploads", "responses", "wait", "share"]
"""The budget that was full; it would have to wait too long; its caller holds its share already."""

CodecCallKind = Literal["decode", "register", "encode"]
DeviceCallKind = Literal["decode", "encode"]


class ChildCounts(Protocol):
    """What the owner of child processes counts."""

    @property
    def restarts(self) -> int:
        """Processes that had to be replaced."""
        ...

    @property
    def start_failures(self) -> int:
        """Starts that failed."""
        ...

    @property
    def violations(self) -> int:
        """Processes that said what they had no reason to say."""
        ...


class Metrics:
    """The metrics of one service process, in a registry of their own.

    Attributes:
        requests: Requests to `/fuse` by outcome: `fused`, `reused`, `not-modified`, `disconnected`
            or a problem's code.
        request_seconds: Time from a request's first byte to its outcome, by the kind of outcome:
            what is refused in milliseconds says nothing of how long a fusion takes.
        refusals: Jobs and bodies for which there was no room, by reason.
        codec_queue_calls: Calls that wait for a codec process.
        codec_wait_seconds: Time that a call waited for one.
        codec_busy_seconds: Time that codec processes worked on calls, by the kind of call.
        codec_device_jpegs: JPEG files where there is a device for them, by what became of them.
        expected_wait_seconds: What the smallest job would wait that came now.
        work_rate: Expected core seconds that are done in a second under load.
        limit: The bounds in force, by name as in `GET /limits`.
        stage_seconds: Time of each stage of a fused request.
        fuse_seconds: Time of the stage `fuse` by weights version, of which one may be many times
            as fast as another.
        pair_megapixels: Size of admitted pairs.
        alignments: Aligned pairs by what was applied.
        replaced_share: Share of a picture in which what moved was replaced.
        exposure_gap_ev: From the darkest to the brightest exposure that was fused.
        jobs_in_flight: Jobs admitted and not yet settled.
        megapixels_in_flight: What they count against the budget.
        upload_bytes: Bytes of request bodies held.
        queue_jobs: Jobs that wait for the device.
        running_jobs: Jobs whose windows are on the device.
        batch_windows: Windows in one micro-batch.
        batch_seconds: Time of one micro-batch.
        device_memory_bytes: What the worker holds of the device's memory, as of its last
            micro-batch; 0 on a CPU.
        device_out_of_memory: Micro-batches, and jobs at their begin, that the device's memory did
            not hold.
        device_lost: Workers that ended because their device failed in a way that only a new process
            can get over.
        worker_up: Device workers that are alive and warmed up: 1, and 2 while weights are reloaded.
        weights_reloads: Reloads of the weights by outcome.
        certificate_expiry_timestamp_seconds: When the certificate ends, since 1970; 0: there is
            none.
        certificate_reloads: Times that the certificate was read anew, by outcome.
        response_bytes: Bytes of finished pictures that clients have not read yet.
        kept_bytes: Bytes of finished pictures that are kept, by what for.
        connections: Open connections.
        connections_cut: Connections that were ended by the service, by reason.
        loop_lag_seconds: How much later than due the event loop came to a task, ten times a second.
        keys: API keys that were usable when their file was last read.
        key_reloads: Times that the file was read anew, by whether it was taken.
        keys_refused: Requests without a key that is in force, by reason.
        rate_limited: Requests that were above a limit of their key, by limit.
        key_requests: POST requests of each key, by its id; those beyond the first hundred keys
            share the label `other`.
        key_megapixels: Megapixels that were fused for each key.
        draining: 1 after SIGTERM.
        stored_jobs: Jobs of `POST /jobs` by state.
        stored_jobs_bytes: What they count against the bound of the folder.
        job_submissions: `POST /jobs` by kind of outcome.
        jobs_ended: Jobs that were fused or have failed, by kind of outcome.
        webhook_calls: Calls of webhooks by outcome.
        weights: Name and version of each weights version that is served, the device and the
            precision they run on, and which of them is the default.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(namespace=PREFIX, registry=self.registry)
        self.requests = self._counter("requests", "Requests to /fuse by outcome.", "outcome")
        for outcome in OUTCOMES:
            self.requests.labels(outcome)
        self.request_seconds = self._histogram(
            "request_seconds", "Time from the first byte of a request to its outcome.", "outcome"
        )
        for kind in OUTCOME_KINDS:
            self.request_seconds.labels(kind)
        self.refusals = self._counter("refusals", "Requests for which there was no room.", "reason")
        for reason in get_args(RefusalReason):
            self.refusals.labels(reason)
        self.codec_queue_calls = self._gauge(
            "codec_queue_calls", "Calls that wait for a codec process."
        )
        self.codec_wait_seconds = self._histogram(
            "codec_wait_seconds", "Time that a call waited for a codec process."
        )
        self.codec_busy_seconds = self._counter(
            "codec_busy_seconds", "Time that codec processes worked on calls.", "call"
        )
        for call in get_args(CodecCallKind):
            self.codec_busy_seconds.labels(call)
        self.codec_device_jpegs = self._counter(
            "codec_device_jpegs",
            "JPEG files where the GPU is to do them: those that it did, those that are not given "
            "to it, and those that it failed at; the CPU did the latter two.",
            "call",
            "outcome",
        )
        for device_call in get_args(DeviceCallKind):
            for device_outcome in get_args(Outcome):
                self.codec_device_jpegs.labels(device_call, device_outcome)
        self.expected_wait_seconds = self._gauge(
            "expected_wait_seconds", "Time that the smallest job would wait that came now."
        )
        self.work_rate = self._gauge(
            "work_rate", "Expected core seconds of work that are done in a second under load."
        )
        self.limit = Gauge(
            "limit", "Bounds in force.", ("name",), namespace=PREFIX, registry=self.registry
        )
        self.stage_seconds = self._histogram(
            "stage_seconds", "Time of each stage of a fused request.", "stage"
        )
        for stage in get_args(Stage):
            self.stage_seconds.labels(stage)
        self.fuse_seconds = self._histogram(
            "fuse_seconds", "Time on the device of a fused request.", "weights"
        )
        self.pair_megapixels = self._histogram(
            "pair_megapixels", "Size of admitted pairs.", buckets=MEGAPIXEL_BUCKETS
        )
        self.alignments = self._counter("alignments", "Pairs by what was applied.", "outcome")
        for outcome in ALIGNMENT_OUTCOMES:
            self.alignments.labels(outcome)
        self.replaced_share = self._histogram(
            "replaced_share",
            "Share of a picture in which what moved was replaced.",
            buckets=SHARE_BUCKETS,
        )
        self.exposure_gap_ev = self._histogram(
            "exposure_gap_ev",
            "From the darkest to the brightest exposure of a picture, by their mean light.",
            buckets=GAP_BUCKETS,
        )
        self.jobs_in_flight = self._gauge("jobs_in_flight", "Jobs admitted and not yet settled.")
        self.megapixels_in_flight = self._gauge(
            "megapixels_in_flight", "Megapixels of admitted jobs; a 16-bit pair counts twice."
        )
        self.upload_bytes = self._gauge("upload_bytes", "Bytes of request bodies held.")
        self.queue_jobs = self._gauge("queue_jobs", "Jobs that wait for the device.")
        self.running_jobs = self._gauge("running_jobs", "Jobs whose windows are on the device.")
        self.batch_windows = self._histogram(
            "batch_windows", "Windows in one micro-batch.", buckets=BATCH_BUCKETS
        )
        self.batch_seconds = self._histogram("batch_seconds", "Time of one micro-batch.")
        self.device_memory_bytes = self._gauge(
            "device_memory_bytes", "Memory of the device that the worker holds; 0 on a CPU."
        )
        self.device_out_of_memory = self._counter(
            "device_out_of_memory", "Times that the device's memory did not hold a micro-batch."
        )
        self.device_lost = self._counter(
            "device_lost", "Workers that ended because their device failed for good."
        )
        self.worker_up = self._gauge(
            "worker_up", "Device workers that are warmed up: 1, and 2 while weights are reloaded."
        )
        self.weights_reloads = self._counter(
            "weights_reloads", "Reloads of the weights by outcome.", "outcome"
        )
        for outcome in RELOAD_OUTCOMES:
            self.weights_reloads.labels(outcome)
        self.certificate_expiry_timestamp_seconds = self._gauge(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of the service ends, since 1970; 0 where it has none.",
        )
        self.certificate_reloads = self._counter(
            "certificate_reloads", "Times that the certificate was read anew.", "outcome"
        )
        for outcome in RELOAD_OUTCOMES:
            self.certificate_reloads.labels(outcome)
        self.response_bytes = self._gauge(
            "response_bytes", "Bytes of finished pictures that are not sent yet."
        )
        self.kept_bytes = Gauge(
            "kept_bytes",
            "Bytes of finished pictures that are kept for requests to come.",
            ("kept_for",),
            namespace=PREFIX,
            registry=self.registry,
        )
        for purpose in get_args(KeptFor):
            self.kept_bytes.labels(purpose)
        self.connections = self._gauge("connections", "Open connections.")
        self.connections_cut = self._counter(
            "connections_cut", "Connections that the service ended.", "reason"
        )
        for reason in get_args(CutReason):
            self.connections_cut.labels(reason)
        self.loop_lag_seconds = self._histogram(
            "loop_lag_seconds",
            "How much later than due the event loop came to a task.",
            buckets=LAG_BUCKETS,
        )
        self.keys = self._gauge("keys", "API keys that were usable when their file was read.")
        self.key_reloads = self._counter(
            "key_reloads", "Times that the file of keys was read anew.", "outcome"
        )
        for outcome in RELOAD_OUTCOMES:
            self.key_reloads.labels(outcome)
        self.keys_refused = self._counter(
            "keys_refused", "Requests without a key that is in force, by reason.", "reason"
        )
        for why in get_args(KeyRefusal):
            self.keys_refused.labels(why)
        self.rate_limited = self._counter(
            "rate_limited", "Requests that were above a limit of their key.", "limit"
        )
        for limit in LIMITS_OF_KEYS:
            self.rate_limited.labels(limit)
        self.key_requests = self._counter(
            "key_requests",
            "POST requests of each key; its id, or `other`, is the label `key`.",
            "key",
        )
        self.key_megapixels = self._counter(
            "key_megapixels", "Megapixels that were fused for each key, labelled alike.", "key"
        )
        self.draining = self._gauge("draining", "1 after SIGTERM.")
        self.stored_jobs = self._gauge(
            "stored_jobs", "Jobs of `POST /jobs` in the state folder.", "state"
        )
        self.stored_jobs_bytes = self._gauge(
            "stored_jobs_bytes", "What they count against the bound of the folder."
        )
        self.job_submissions = self._counter(
            "job_submissions", "Requests to POST /jobs by kind of outcome.", "outcome"
        )
        self.jobs_ended = self._counter(
            "jobs_ended", "Jobs that came to their end, by kind of outcome.", "outcome"
        )
        for kind in JOB_OUTCOME_KINDS:
            self.job_submissions.labels(kind)
        for kind in ENDED_OUTCOME_KINDS:
            self.jobs_ended.labels(kind)
        self.webhook_calls = self._counter(
            "webhook_calls", "Calls of webhooks, and webhooks that were given up.", "outcome"
        )
        for webhook_outcome in get_args(WebhookOutcome):
            self.webhook_calls.labels(webhook_outcome)
        self.show_stored_jobs({}, 0)
        self.weights = Info(
            "weights",
            "Weights that are served.",
            ("name", "version"),
            namespace=PREFIX,
            registry=self.registry,
        )

    def show_weights(self, info: WorkerInfo) -> None:
        """Show every weights version that is served, and no other.

        Args:
            info: What the worker runs.
        """
        self.weights.clear()
        for index, one in enumerate(info.weights):
            self.weights.labels(one.name, one.version).info(
                {
                    "device": info.device,
                    "precision": one.precision,
                    "default": "true" if index == 0 else "false",
                }
            )
            self.fuse_seconds.labels(one.label)

    def show_limits(self, limits: Mapping[str, float]) -> None:
        """Show the bounds in force.

        Args:
            limits: By name.
        """
        for name, value in limits.items():
            self.limit.labels(name).set(value)

    def show_waiting(self, *, expected_s: Callable[[], float], rate: Callable[[], float]) -> None:
        """Show how long one waits, read whenever the metrics are.

        Args:
            expected_s: What the smallest job would wait that came now, in seconds.
            rate: Core seconds of work that are done in a second.
        """
        self.expected_wait_seconds.set_function(expected_s)
        self.work_rate.set_function(rate)

    def show_ready(self, is_ready: Callable[[], bool]) -> None:
        """Show whether requests should come here, read whenever the metrics are."""
        self._gauge("ready", "1 while `GET /readyz` answers 200.").set_function(is_ready)

    def show_processes(
        self,
        *,
        codec: ChildCounts,
        worker: ChildCounts,
        codec_alive: Callable[[], int],
        codec_renewals: Callable[[], int],
    ) -> None:
        """Show the counts that the owners of child processes keep, read whenever the metrics are.

        Args:
            codec: Of the codec processes.
            worker: Of the device worker.
            codec_alive: Codec processes that are warmed up.
            codec_renewals: Codec processes that were replaced because they had worked enough.
        """
        self._gauge("codec_processes", "Codec processes that are warmed up.").set_function(
            codec_alive
        )
        renewals = "Codec processes that were replaced because they had worked enough."
        self._register("codec_renewals", renewals, codec_renewals)
        restarts = "Child processes of this kind that had to be replaced."
        self._register("codec_restarts", restarts, lambda: codec.restarts)
        self._register("worker_restarts", restarts, lambda: worker.restarts)
        failures = "Starts of child processes of this kind that failed."
        self._register("codec_start_failures", failures, lambda: codec.start_failures)
        self._register("worker_start_failures", failures, lambda: worker.start_failures)
        violations = "Child processes of this kind that answered what they had no reason to."
        self._register("codec_violations", violations, lambda: codec.violations)
        self._register("worker_violations", violations, lambda: worker.violations)

    def show_memory(self, private_bytes: Mapping[ProcessKind, Callable[[], int]]) -> None:
        """Show what processes have for themselves, read whenever the metrics are.

        Args:
            private_bytes: Of all processes of each kind together.
        """
        memory = Gauge(
            "process_memory_bytes",
            "Resident memory that processes of a kind share with no other, of all together.",
            ("process",),
            namespace=PREFIX,
            registry=self.registry,
        )
        for kind, count in private_bytes.items():
            memory.labels(kind).set_function(count)

    def show_shared_memory(
        self,
        *,
        held: Callable[[], int],
        idle: Callable[[], int],
        free: Callable[[], int],
        size: Callable[[], int],
    ) -> None:
        """Show what the blocks of shared memory take, read whenever the metrics are.

        Args:
            held: Bytes of all blocks.
            idle: Bytes of those that wait for their next job.
            free: Bytes of /dev/shm that nobody has taken.
            size: Bytes of /dev/shm.
        """
        self._gauge("shared_memory_free_bytes", "Free bytes of /dev/shm.").set_function(free)
        self._gauge("shared_memory_size_bytes", "Bytes of /dev/shm.").set_function(size)
        self._gauge(
            "shared_memory_bytes", "Bytes of shared memory for pixels, used and idle."
        ).set_function(held)
        self._gauge(
            "shared_memory_idle_bytes", "Bytes of it that wait for the next job, or for seconds."
        ).set_function(idle)

    def show_stored_jobs(self, states: Mapping[str, int], n_bytes: int) -> None:
        """Show what the state folder holds.

        Args:
            states: How many jobs there are of each state.
            n_bytes: What all of them count.
        """
        for state in get_args(JobState):
            self.stored_jobs.labels(state).set(states.get(state, 0))
        self.stored_jobs_bytes.set(n_bytes)

    def show_dropped_log_lines(self, count: Callable[[], int]) -> None:
        """Show how many log lines could not be written."""
        self._register("log_lines_dropped", "Log lines that could not be written in time.", count)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _register(self, name: str, meaning: str, count: Callable[[], int]) -> None:
        self.registry.register(_CountOf(name, meaning, count))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(
        self,
        name: str,
        meaning: str,
        *labels: str,
        buckets: tuple[float, ...] = SECONDS_BUCKETS,
    ) -> Histogram:
        return Histogram(
            name, meaning, labels, namespace=PREFIX, registry=self.registry, buckets=buckets
        )


class _CountOf(Collector):
    """A counter that somebody else counts."""

    def __init__(self, name: str, meaning: str, count: Callable[[], int]) -> None:
        self._name = f"{PREFIX}_{name}"
        self._meaning = meaning
        self._count = count

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily(self._name, self._meaning, value=self._count())

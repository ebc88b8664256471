"""What the device does."""

from deploy.grafana.panels import Graph, Section, Target, count_recent, quantiles

SECTION = Section(
    "The device",
    (),
    (
        Graph(
            "Share of time at work",
            "percentunit",
            [
                Target(
                    "rate(expofuse_batch_seconds_sum{OURS}[$__rate_interval])",
                    "{{instance}}",
                )
            ],
        ),
        Graph(
            "Windows in a micro-batch",
            "none",
            quantiles("expofuse_batch_windows{OURS}", "", 0.5, 0.95),
        ),
        Graph(
            "Time of a micro-batch",
            "s",
            quantiles("expofuse_batch_seconds{OURS}", "", 0.5, 0.95),
        ),
        Graph(
            "Jobs on the device",
            "none",
            [Target("expofuse_running_jobs{OURS}", "{{instance}}")],
        ),
        Graph(
            "Memory of the device",
            "bytes",
            [Target("expofuse_device_memory_bytes{OURS}", "{{instance}}")],
            "What the worker holds; 0 on a CPU.",
        ),
        Graph(
            "Faults",
            "none",
            [
                Target("sum(increase(expofuse_device_out_of_memory_total{OURS}[5m]))", "memory"),
                count_recent("expofuse_device_lost_total", "device lost"),
                count_recent("expofuse_worker_restarts_total", "restarts"),
            ],
            "Within five minutes.",
        ),
    ),
)

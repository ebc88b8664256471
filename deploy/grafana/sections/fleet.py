"""What the replicas do beside one another."""

from deploy.grafana.panels import Graph, Section, Target, count_recent, rate_by

SECTION = Section(
    "The fleet",
    (),
    (
        Graph(
            "Replicas by weights",
            "none",
            [
                Target(
                    "count by (name, version, default) (expofuse_weights_info{OURS})",
                    "{{name}}-{{version}}, default: {{default}}",
                )
            ],
            "All lines should lie on one another.",
        ),
        Graph(
            "Processes replaced",
            "none",
            [
                count_recent("expofuse_codec_restarts_total", "codec"),
                count_recent("expofuse_codec_renewals_total", "codec, worn"),
                count_recent("expofuse_worker_restarts_total", "worker"),
                Target(
                    "sum(increase(expofuse_codec_start_failures_total{OURS}[5m]))"
                    " + sum(increase(expofuse_worker_start_failures_total{OURS}[5m]))",
                    "did not start",
                ),
                Target(
                    "sum(increase(expofuse_codec_violations_total{OURS}[5m]))"
                    " + sum(increase(expofuse_worker_violations_total{OURS}[5m]))",
                    "broke the protocol",
                ),
            ],
            "Within five minutes.",
        ),
        Graph(
            "Read anew",
            "none",
            [
                Target(
                    f"sum by (outcome) (increase(expofuse_{what}_reloads_total{{OURS}}[5m]))",
                    f"{what} {{{{outcome}}}}",
                )
                for what in ("weights", "key", "certificate")
            ],
            "Within five minutes.",
        ),
        Graph(
            "Jobs kept",
            "none",
            [Target("sum by (state) (expofuse_stored_jobs{OURS})", "{{state}}")],
        ),
        Graph(
            "Jobs that came and ended",
            "ops",
            [
                rate_by("outcome", "expofuse_job_submissions_total{OURS}", legend="came:"),
                rate_by("outcome", "expofuse_jobs_ended_total{OURS}", legend="ended:"),
            ],
        ),
        Graph(
            "Folder of the jobs",
            "bytes",
            [Target("expofuse_stored_jobs_bytes{OURS}", "{{instance}}")],
        ),
        Graph("Webhooks", "ops", [rate_by("outcome", "expofuse_webhook_calls_total{OURS}")]),
        Graph(
            "Requests of the ten busiest keys",
            "reqps",
            [
                Target(
                    "topk(10, sum by (key) "
                    "(rate(expofuse_key_requests_total{OURS}[$__rate_interval])))",
                    "{{key}}",
                )
            ],
        ),
        Graph(
            "Megapixels of the ten busiest keys",
            "none",
            [
                Target(
                    "topk(10, sum by (key) "
                    "(rate(expofuse_key_megapixels_total{OURS}[$__rate_interval])))",
                    "{{key}}",
                )
            ],
        ),
        Graph(
            "Keys refused, and limits of keys",
            "reqps",
            [
                rate_by("reason", "expofuse_keys_refused_total{OURS}"),
                rate_by("limit", "expofuse_rate_limited_total{OURS}"),
            ],
        ),
        Graph(
            "CPU of the event loop's process",
            "none",
            [
                Target(
                    "rate(expofuse_process_cpu_seconds_total{OURS}[$__rate_interval])",
                    "{{instance}}",
                )
            ],
            "Cores. One is all it can use.",
        ),
        Graph(
            "Open files",
            "none",
            [
                Target("expofuse_process_open_fds{OURS}", "{{instance}}"),
                Target("min(expofuse_process_max_fds{OURS})", "limit"),
            ],
        ),
        Graph(
            "Log lines lost",
            "none",
            [Target("increase(expofuse_log_lines_dropped_total{OURS}[5m])", "{{instance}}")],
            "Within five minutes.",
        ),
    ),
)

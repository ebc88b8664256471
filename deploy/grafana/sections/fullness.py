"""How full the service is."""

from deploy.grafana.panels import Graph, Section, Target, beside_limit, quantiles

SECTION = Section(
    "Is it full?",
    (),
    (
        Graph(
            "Expected wait",
            "s",
            beside_limit("expofuse_expected_wait_seconds", "max_wait_s"),
            "Of the smallest job that came now; above the limit requests are shed.",
        ),
        Graph("Jobs", "none", beside_limit("expofuse_jobs_in_flight", "max_jobs")),
        Graph(
            "Megapixels",
            "none",
            beside_limit("expofuse_megapixels_in_flight", "max_megapixels_in_flight"),
        ),
        Graph(
            "Queues",
            "none",
            [
                Target("sum(expofuse_codec_queue_calls{OURS})", "calls for a codec process"),
                Target("sum(expofuse_queue_jobs{OURS})", "jobs for the device"),
            ],
        ),
        Graph("Connections", "none", beside_limit("expofuse_connections", "max_connections")),
        Graph(
            "Rate of work",
            "none",
            [Target("expofuse_work_rate{OURS}", "{{instance}}")],
            "Core seconds of expected work that are done in a second: the capacity.",
        ),
        Graph(
            "Bytes held",
            "bytes",
            [
                Target("sum(expofuse_upload_bytes{OURS})", "bodies"),
                Target("sum(expofuse_response_bytes{OURS})", "pictures not sent yet"),
                Target("sum by (kept_for) (expofuse_kept_bytes{OURS})", "kept, {{kept_for}}"),
            ],
        ),
        Graph(
            "Shared memory",
            "bytes",
            [
                Target("sum(expofuse_shared_memory_bytes{OURS})", "blocks"),
                Target("sum(expofuse_shared_memory_idle_bytes{OURS})", "of them idle"),
                Target("sum(expofuse_shared_memory_free_bytes{OURS})", "free"),
                Target("sum(expofuse_shared_memory_size_bytes{OURS})", "/dev/shm"),
            ],
        ),
        Graph(
            "Memory of the processes",
            "bytes",
            [Target("sum by (process) (expofuse_process_memory_bytes{OURS})", "{{process}}")],
            "What they share with no other. What grows and never comes back is a leak.",
        ),
        Graph(
            "Size of the exposures",
            "none",
            quantiles("expofuse_pair_megapixels{OURS}", "", 0.5, 0.95),
            "Megapixels of the largest exposure of each request.",
        ),
    ),
)

"""Where the time of a request goes."""

from deploy.grafana.panels import Graph, Section, Target, quantiles, rate_by

SECTION = Section(
    "Where does time go?",
    (),
    (
        Graph(
            "Mean time of each stage",
            "s",
            [
                Target(
                    "sum by (stage) (rate(expofuse_stage_seconds_sum{OURS}[$__rate_interval]))"
                    " / sum by (stage) "
                    "(rate(expofuse_stage_seconds_count{OURS}[$__rate_interval]))",
                    "{{stage}}",
                )
            ],
            "Stacked they are the mean time of a request that was fused.",
            is_stacked=True,
        ),
        Graph(
            "95th percentile of each stage",
            "s",
            quantiles("expofuse_stage_seconds{OURS}", "stage, ", 0.95, legend="{{stage}}"),
        ),
        Graph(
            "Fusion by weights",
            "s",
            quantiles("expofuse_fuse_seconds{OURS}", "weights, ", 0.5, 0.95, legend="{{weights}}"),
        ),
        Graph(
            "Codec processes at work",
            "none",
            [
                rate_by("call", "expofuse_codec_busy_seconds_total{OURS}"),
                Target("sum(expofuse_codec_processes{OURS})", "there are"),
            ],
            "How many processes are busy on average, by what they do.",
        ),
        Graph(
            "Wait for a codec process",
            "s",
            quantiles("expofuse_codec_wait_seconds{OURS}", "", 0.5, 0.95, 0.99),
        ),
        Graph(
            "Lag of the event loop",
            "s",
            quantiles("expofuse_loop_lag_seconds{OURS}", "", 0.5, 0.99),
            "Above half a second every request waits for something that does not belong there.",
        ),
    ),
)

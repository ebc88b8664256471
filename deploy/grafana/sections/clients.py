"""Whether clients are served."""

from deploy.grafana.panels import Figure, Graph, Section, Target, quantiles, rate_by

PICTURES = 'expofuse_request_seconds{OURS, outcome=~"fused|reused"}'

SECTION = Section(
    "Are clients served?",
    (
        Figure("Ready", "none", "sum(expofuse_ready{OURS})", "Replicas that take requests."),
        Figure(
            "Served, last hour",
            "percentunit",
            "1 - sum(rate(expofuse_request_seconds_count"
            '{OURS, outcome=~"shed|failed"}[1h]))'
            " / sum(rate(expofuse_request_seconds_count"
            '{OURS, outcome=~"fused|reused|shed|failed"}[1h]))',
            "Of the requests that were owed a picture. What clients sent wrongly is left out.",
        ),
        Figure(
            "Within 10 s, last hour",
            "percentunit",
            "sum(rate(expofuse_request_seconds_bucket"
            '{OURS, outcome=~"fused|reused", le="10.0"}[1h]))'
            " / sum(rate(expofuse_request_seconds_count"
            '{OURS, outcome=~"fused|reused"}[1h]))',
        ),
        Figure(
            "Pictures a second",
            "reqps",
            "sum(rate(expofuse_request_seconds_count"
            '{OURS, outcome=~"fused|reused"}[$__rate_interval]))',
        ),
        Figure("Running now", "none", "sum(expofuse_jobs_in_flight{OURS})"),
        Figure("Draining", "none", "sum(expofuse_draining{OURS})", "Replicas that are ending."),
    ),
    (
        Graph(
            "Requests by kind of outcome",
            "reqps",
            [rate_by("outcome", "expofuse_request_seconds_count{OURS}")],
            "Shed and failed are the service's affair, refused the client's.",
            is_stacked=True,
        ),
        Graph(
            "Requests by outcome, but the pictures",
            "reqps",
            [rate_by("outcome", 'expofuse_requests_total{OURS, outcome!~"fused|reused"}')],
            "Each outcome has its section in docs/problems.md.",
        ),
        Graph(
            "Time to the picture",
            "s",
            quantiles(PICTURES, "", 0.5, 0.95, 0.99),
            "From the first byte of the request until the picture is ready to be sent.",
        ),
        Graph(
            "Budgets being spent",
            "percentunit",
            [
                Target('job:expofuse_requests_bad:ratio_rate1h{job=~"$job"}', "not served, 1h"),
                Target('job:expofuse_requests_bad:ratio_rate6h{job=~"$job"}', "not served, 6h"),
                Target('job:expofuse_requests_slow:ratio_rate1h{job=~"$job"}', "slow, 1h"),
                Target('job:expofuse_requests_slow:ratio_rate6h{job=~"$job"}', "slow, 6h"),
            ],
            "The objectives allow 0.1 % that are not served and 1 % that take over 10 s.",
        ),
        Graph(
            "Refused for want of room",
            "reqps",
            [rate_by("reason", "expofuse_refusals_total{OURS}")],
        ),
        Graph(
            "Connections cut",
            "cps",
            [rate_by("reason", "expofuse_connections_cut_total{OURS}")],
        ),
    ),
)

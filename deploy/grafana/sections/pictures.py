"""How good the pictures are."""

from deploy.grafana.panels import Graph, Section, quantiles, rate_by

SECTION = Section(
    "Are the pictures good?",
    (),
    (
        Graph(
            "Alignment",
            "ops",
            [rate_by("outcome", "expofuse_alignments_total{OURS}")],
            "Refused: an exposure was fused as it lies, because nothing held was found.",
            is_stacked=True,
        ),
        Graph(
            "Share of a picture that was replaced",
            "percentunit",
            quantiles("expofuse_replaced_share{OURS}", "", 0.5, 0.9, 0.99),
            "What moved between the exposures.",
        ),
        Graph(
            "Gap of the exposures, in EV",
            "none",
            quantiles("expofuse_exposure_gap_ev{OURS}", "", 0.1, 0.5, 0.9),
            "From the darkest to the brightest. Below one there was little to fuse.",
        ),
    ),
)

"""The tables of metrics and of guards: what each is called, needs and means, and the scoring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Literal

from trainer.metrics.grey import Grey
from trainer.metrics.guards.clipped import clipped
from trainer.metrics.guards.colour_rims import colour_rims
from trainer.metrics.guards.halo import halo
from trainer.metrics.guards.highlights import (
    highlight_chroma,
    highlight_hue,
    highlight_lightness,
    highlight_texture,
)
from trainer.metrics.guards.hue import hue_error, hue_worst
from trainer.metrics.guards.mean_chroma import mean_chroma
from trainer.metrics.guards.shadows import crushed, lost_shadows
from trainer.metrics.guards.tone_order import tone_inversion
from trainer.metrics.quality.average_gradient import average_gradient
from trainer.metrics.quality.edge_intensity import edge_intensity
from trainer.metrics.quality.fmi import fmi
from trainer.metrics.quality.lpc_si import lpc_si
from trainer.metrics.quality.mef_ssim import mef_ssim
from trainer.metrics.quality.ms_ssim import ms_ssim
from trainer.metrics.quality.piqe import piqe
from trainer.metrics.quality.qabf import qabf
from trainer.metrics.quality.qcb import qcb
from trainer.metrics.quality.s3 import s3
from trainer.metrics.quality.spatial_frequency import spatial_frequency
from trainer.metrics.quality.viff import viff

Compute = Callable[[Sequence[Grey], Grey], float | None]
"""A metric on two or more exposures, in any order, and their fusion; None: it does not apply."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One quality metric of a fused picture, or one guard.

    Attributes:
        name: Short name, as used in tables and result files.
        title: What the name stands for.
        higher_is_better: Direction.
        low: Smallest value the metric can take.
        high: Largest value, or None when it is unbounded.
        inputs: Whether the exposures are compared with the fusion or the fusion is judged alone.
        source: Publication and the programme whose convention is followed.
        compute: The metric on (exposures, fused), pictures on the 0..255 scale.
        reads: Whether these are grey, shape (H, W), or sRGB of 8 bits, shape (H, W, 3).
        applies: Which scenes it says something of; the exposures decide, not the fusion. Its mean
            is over those scenes.
    """

    name: str
    title: str
    higher_is_better: bool
    low: float
    high: float | None
    inputs: Literal["fused", "sources + fused"]
    source: str
    compute: Compute
    reads: Literal["grey", "rgb"] = "grey"
    applies: Literal["to every scene", "to some scenes"] = "to every scene"


def _of_fused(compute: Callable[[Grey], float]) -> Compute:
    """Give a metric of the fused picture alone the common signature."""

    def compute_fused(exposures: Sequence[Grey], fused: Grey) -> float:
        return compute(fused)

    return compute_fused


_ROWS = (
    Metric(
        name="AG",
        title="average gradient",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="fused",
        source="Cui et al. 2015; MEFB metricsAvg_gradient.m",
        compute=_of_fused(average_gradient),
    ),
    Metric(
        name="EI",
        title="edge intensity",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="fused",
        source="Rajalingam and Priya 2018; MEFB metricsEdge_intensity.m",
        compute=_of_fused(edge_intensity),
    ),
    Metric(
        name="FMI",
        title="feature mutual information of the cosine transforms, mean over the exposures",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Haghighat et al. 2011, 2014; fmi.m",
        compute=fmi,
    ),
    Metric(
        name="LPC-SI",
        title="sharpness by local phase coherence",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="fused",
        source="Hassen et al. 2013; lpc_si.m, sigma 0.33",
        compute=_of_fused(lpc_si),
    ),
    Metric(
        name="S3",
        title="spectral and spatial sharpness, mean of the map",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="fused",
        source="Vu et al. 2012; s3_map.m",
        compute=_of_fused(s3),
    ),
    Metric(
        name="SF",
        title="spatial frequency",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="fused",
        source="Eskicioglu and Fisher 1995; MEFB metricsSpatial_frequency.m",
        compute=_of_fused(spatial_frequency),
    ),
    Metric(
        name="PIQE",
        title="perception-based quality evaluator",
        higher_is_better=False,
        low=0.0,
        high=100.0,
        inputs="fused",
        source="Venkatanath et al. 2015; MATLAB piqe, by pypiqe 1.2",
        compute=_of_fused(piqe),
    ),
    Metric(
        name="MS-SSIM",
        title="multi-scale structural similarity, mean over the exposures",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Wang et al. 2003; msssim.m",
        compute=ms_ssim,
    ),
    Metric(
        name="Qabf",
        title="edge transfer, each exposure weighted by its edges",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Xydeas and Petrovic 2000; MEFB metricsQabf.m",
        compute=qabf,
    ),
    Metric(
        name="VIFF",
        title="visual information fidelity for fusion, everywhere of the least rendered exposure",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="Han et al. 2013; VIFF_Public.m, on grey",
        compute=viff,
    ),
    Metric(
        name="MEF-SSIM",
        title="structural similarity for exposure fusion, three scales, of all exposures at once",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Ma et al. 2015; mef_ms_ssim.m",
        compute=mef_ssim,
    ),
    Metric(
        name="Qcb",
        title="kept contrast as the eye sees it, each exposure weighted by its contrast",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Chen and Blum 2009; MEFB metricsQcb.m",
        compute=qcb,
    ),
    Metric(
        name="FMI-gradient",
        title="feature mutual information of the horizontal gradients, mean over the exposures",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Haghighat et al. 2011, 2014; fmi.m",
        compute=partial(fmi, feature="gradient"),
    ),
    Metric(
        name="FMI-wavelet",
        title="feature mutual information of the wavelet transforms, mean over the exposures",
        higher_is_better=True,
        low=0.0,
        high=1.0,
        inputs="sources + fused",
        source="Haghighat et al. 2011, 2014; fmi.m",
        compute=partial(fmi, feature="wavelet"),
    ),
)

METRICS = MappingProxyType({metric.name: metric for metric in _ROWS})
"""All quality metrics by name, in the order of the result tables."""

PAPER_METRICS = tuple(METRICS)[:10]
"""The metrics of the paper's Table 1, in its order."""

RANKED_METRICS = (*PAPER_METRICS, "MEF-SSIM")
"""The metrics that methods are ranked by; the others are extras."""

_GUARDS = (
    Metric(
        name="inversion",
        title="share in per cent of the tone pairs whose order, as exposures agree, is reversed",
        higher_is_better=False,
        low=0.0,
        high=100.0,
        inputs="sources + fused",
        source="ours",
        compute=tone_inversion,
    ),
    Metric(
        name="halo",
        title="overshoot beside strong edges in per cent of their contrast",
        higher_is_better=False,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="ours",
        compute=halo,
    ),
    Metric(
        name="chroma",
        title="mean CIELAB chroma",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="fused",
        source="CIE 15:2004",
        compute=_of_fused(mean_chroma),
        reads="rgb",
    ),
    Metric(
        name="hue",
        title="distance of chroma, in grey levels, from any mix of the exposures' chroma",
        higher_is_better=False,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="ours",
        compute=hue_error,
        reads="rgb",
    ),
    Metric(
        name="hue-worst",
        title="the same distance over the worst per cent of the picture",
        higher_is_better=False,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="ours",
        compute=hue_worst,
        reads="rgb",
    ),
    Metric(
        name="colour-rims",
        title="overshoot beside edges of colour, in grey levels, over the worst per cent",
        higher_is_better=False,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="ours",
        compute=colour_rims,
        reads="rgb",
    ),
    Metric(
        name="highlight-chroma",
        title="chroma where only the darkest exposure is not white, over its own there",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="ours",
        compute=highlight_chroma,
        reads="rgb",
        applies="to some scenes",
    ),
    Metric(
        name="highlight-hue",
        title="turn of the hue in these places, in degrees",
        higher_is_better=False,
        low=0.0,
        high=180.0,
        inputs="sources + fused",
        source="ours",
        compute=highlight_hue,
        reads="rgb",
        applies="to some scenes",
    ),
    Metric(
        name="highlight-texture",
        title="slopes of luma in these places, over those of the darkest exposure",
        higher_is_better=True,
        low=0.0,
        high=None,
        inputs="sources + fused",
        source="ours",
        compute=highlight_texture,
        reads="rgb",
        applies="to some scenes",
    ),
    Metric(
        name="highlight-lightness",
        title="lightness of these places",
        higher_is_better=False,
        low=0.0,
        high=100.0,
        inputs="sources + fused",
        source="ours",
        compute=highlight_lightness,
        reads="rgb",
        applies="to some scenes",
    ),
    Metric(
        name="lost-shadows",
        title="share in per cent that only the brightest exposure shows, and that stays dark",
        higher_is_better=False,
        low=0.0,
        high=100.0,
        inputs="sources + fused",
        source="ours",
        compute=lost_shadows,
        reads="rgb",
    ),
    Metric(
        name="crushed",
        title="share in per cent that the brightest exposure shows, and that comes out black",
        higher_is_better=False,
        low=0.0,
        high=100.0,
        inputs="sources + fused",
        source="ours",
        compute=crushed,
        reads="rgb",
    ),
    Metric(
        name="clipped",
        title="share in per cent of the values that the fusion alone clips",
        higher_is_better=False,
        low=0.0,
        high=100.0,
        inputs="sources + fused",
        source="ours",
        compute=clipped,
        reads="rgb",
    ),
)

GUARDS = MappingProxyType({guard.name: guard for guard in _GUARDS})
"""What spoils a picture for the eye unseen by quality metrics, by name; none of them is ranked."""

MEASURES = MappingProxyType(METRICS | GUARDS)
"""Quality metrics and guards by name."""


def score_fusion(
    exposures: Sequence[Grey], fused: Grey, names: Iterable[str] | None = None
) -> dict[str, float]:
    """Score one fused picture by the metrics of the table.

    Args:
        exposures: Two or more, grey, 0..255. Shape (H, W) each.
        fused: Fused picture, likewise.
        names: Metrics to compute, or guards that read grey; all metrics by default. The three FMI
            take most of the time.

    Returns:
        Value of each metric by name; of those that do not apply to the scene there is none.

    Raises:
        KeyError: A name is in neither table.
        ValueError: The pictures do not fit together, are too small for a metric, or not what it
            reads.
    """
    chosen = METRICS if names is None else tuple(names)
    values = {name: MEASURES[name].compute(exposures, fused) for name in chosen}
    return {name: value for name, value in values.items() if value is not None}

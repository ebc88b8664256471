"""Quality metrics of fused pictures, each checked against its published programme, and guards."""

from trainer.metrics.grey import rgb_to_grey
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
from trainer.metrics.table import (
    GUARDS,
    MEASURES,
    METRICS,
    PAPER_METRICS,
    RANKED_METRICS,
    Metric,
    score_fusion,
)

__all__ = [
    "GUARDS",
    "MEASURES",
    "METRICS",
    "PAPER_METRICS",
    "RANKED_METRICS",
    "Metric",
    "average_gradient",
    "clipped",
    "colour_rims",
    "crushed",
    "edge_intensity",
    "fmi",
    "halo",
    "highlight_chroma",
    "highlight_hue",
    "highlight_lightness",
    "highlight_texture",
    "hue_error",
    "hue_worst",
    "lost_shadows",
    "lpc_si",
    "mean_chroma",
    "mef_ssim",
    "ms_ssim",
    "piqe",
    "qabf",
    "qcb",
    "rgb_to_grey",
    "s3",
    "score_fusion",
    "spatial_frequency",
    "tone_inversion",
    "viff",
]

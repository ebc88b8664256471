"""Quality metrics of fused pictures, each checked against its published programme, and guards."""

from trainer.metrics.average_gradient import average_gradient
from trainer.metrics.edge_intensity import edge_intensity
from trainer.metrics.fmi import fmi
from trainer.metrics.grey import rgb_to_grey
from trainer.metrics.halo import halo
from trainer.metrics.hue import hue_error
from trainer.metrics.lpc_si import lpc_si
from trainer.metrics.mean_chroma import mean_chroma
from trainer.metrics.mef_ssim import mef_ssim
from trainer.metrics.ms_ssim import ms_ssim
from trainer.metrics.piqe import piqe
from trainer.metrics.qabf import qabf
from trainer.metrics.qcb import qcb
from trainer.metrics.s3 import s3
from trainer.metrics.spatial_frequency import spatial_frequency
from trainer.metrics.table import (
    GUARDS,
    MEASURES,
    METRICS,
    PAPER_METRICS,
    RANKED_METRICS,
    Metric,
    score_fusion,
)
from trainer.metrics.tone_order import tone_inversion
from trainer.metrics.viff import viff

__all__ = [
    "GUARDS",
    "MEASURES",
    "METRICS",
    "PAPER_METRICS",
    "RANKED_METRICS",
    "Metric",
    "average_gradient",
    "edge_intensity",
    "fmi",
    "halo",
    "hue_error",
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

"""Quality metrics of fused pictures, each checked against its published programme."""

from trainer.metrics.average_gradient import average_gradient
from trainer.metrics.edge_intensity import edge_intensity
from trainer.metrics.grey import rgb_to_grey
from trainer.metrics.mef_ssim import mef_ssim
from trainer.metrics.ms_ssim import ms_ssim
from trainer.metrics.qabf import qabf
from trainer.metrics.spatial_frequency import spatial_frequency
from trainer.metrics.table import METRICS, Metric, score_fusion
from trainer.metrics.viff import viff

__all__ = [
    "METRICS",
    "Metric",
    "average_gradient",
    "edge_intensity",
    "mef_ssim",
    "ms_ssim",
    "qabf",
    "rgb_to_grey",
    "score_fusion",
    "spatial_frequency",
    "viff",
]

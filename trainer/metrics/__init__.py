"""Quality metrics of fused pictures, each checked against its published programme."""

from trainer.metrics.average_gradient import average_gradient
from trainer.metrics.edge_intensity import edge_intensity
from trainer.metrics.fmi import fmi
from trainer.metrics.grey import rgb_to_grey
from trainer.metrics.lpc_si import lpc_si
from trainer.metrics.mef_ssim import mef_ssim
from trainer.metrics.ms_ssim import ms_ssim
from trainer.metrics.piqe import piqe
from trainer.metrics.qabf import qabf
from trainer.metrics.qcb import qcb
from trainer.metrics.s3 import s3
from trainer.metrics.spatial_frequency import spatial_frequency
from trainer.metrics.table import METRICS, PAPER_METRICS, Metric, score_fusion
from trainer.metrics.viff import viff

__all__ = [
    "METRICS",
    "PAPER_METRICS",
    "Metric",
    "average_gradient",
    "edge_intensity",
    "fmi",
    "lpc_si",
    "mef_ssim",
    "ms_ssim",
    "piqe",
    "qabf",
    "qcb",
    "rgb_to_grey",
    "s3",
    "score_fusion",
    "spatial_frequency",
    "viff",
]

"""Runs the graphs of a weights version in ONNX Runtime, to check them."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    RuntimeException,
)
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as OperatorMissing

from model.errors import WeightsError

GRAPH_ERRORS = (
    EPFail,
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    OperatorMissing,
    RuntimeException,
    ValueError,
)
"""What a file raises that is no graph, or a graph of something else; they have no common base."""


def run_graph(
    path: Path, under: NDArray[np.float32], over: NDArray[np.float32], *, label: str
) -> NDArray[np.float32]:
    """Fuse two lightness planes, (H, W), by a graph.

    Args:
        path: The graph.
        under: L* of the under exposure, 0..100.
        over: L* of the over exposure.
        label: Name and version of the weights, for the message.

    Returns:
        Fused L*, without the pixels that the graph loses at the border.

    Raises:
        WeightsError: It does not run.
    """
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (fused,) = session.run(None, {"under_l": under[None, None], "over_l": over[None, None]})
    except GRAPH_ERRORS as cause:
        raise WeightsError(
            f"weights '{label}': {path.name} does not run in ONNX Runtime"
        ) from cause
    plane: NDArray[np.float32] = fused[0, 0]
    return plane

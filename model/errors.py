"""Defines the error tree of the project, which `service/errors.py` continues.

::

    FusionError                         code, message
    ├── ExposureError                   the client can fix it: count, sizes, order
    ├── AlignmentError                  no homography passes the gates
    ├── InferenceError                  the network call failed for this job
    ├── WeightsError                    hash, schema or config mismatch: fails the start
    ├── DeviceError                     the device is not there: fails the start
    └── ServiceError                    (service/errors.py)
"""

from typing import ClassVar


class FusionError(Exception):
    """Base of every error that the project raises on purpose.

    Attributes:
        code: Stable identifier of the class, used in problem documents and metrics.
        message: One sentence that names the expected and the actual value; never a path or
            client bytes.
    """

    code: ClassVar[str] = "fusion-error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ExposureError(FusionError):
    """The images do not form one set of exposures: count, size, type or order."""

    code = "exposure-mismatch"


class AlignmentError(FusionError):
    """No homography between the exposures passes the gates, and the caller required one."""

    code = "alignment-failed"


class InferenceError(FusionError):
    """The network call failed for this job."""

    code = "inference-failed"


class WeightsError(FusionError):
    """Weights whose hash, schema or network config does not match; fails the start."""

    code = "weights-mismatch"


class DeviceError(FusionError, ValueError):
    """The device that a setting names is not there, or what it needs is not installed."""

    code = "device-unavailable"

"""What a made-up camera took: the settings of one file, as they go into its header."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Drive = Literal["single", "continuous", "bracket"]


@dataclass(slots=True)
class Taken:
    """One press of the shutter.

    Attributes:
        began_s: When the exposure began, in seconds since the shoot began, in truth.
        exposure_s: Exposure time.
        f_number: Aperture.
        iso: Sensitivity.
        bias_ev: Exposure compensation that the photographer set.
        step_ev: What bracketing adds to it; 0 without.
        drive: What the camera was set to.
        shot: Number of the frame in its bracket or burst, from 1; 0 for a single one.
        shots: How many frames the bracket has; 0 for none.
        is_manual: Somebody set the exposure by hand.
        focal_length_mm: Focal length.
        orientation: EXIF orientation.
        bracket: Which bracket it truly belongs to; None for none.
        clock_s: What the camera's clock showed; set when all is taken.
        has_clock: The header has the time.
        name: File name; set when all is taken.
        has_raw: The camera wrote a raw file too.
    """

    began_s: float
    exposure_s: float
    f_number: float = 8.0
    iso: int = 100
    bias_ev: float = 0.0
    step_ev: float = 0.0
    drive: Drive = "single"
    shot: int = 0
    shots: int = 0
    is_manual: bool = False
    focal_length_mm: float = 24.0
    orientation: int = 1
    bracket: int | None = None
    clock_s: float = 0.0
    has_clock: bool = True
    name: str = ""
    has_raw: bool = False

    @property
    def ended_s(self) -> float:
        """When the exposure ended."""
        return self.began_s + self.exposure_s

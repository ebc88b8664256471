"""Says what is known of one file of a shoot before its pixels are looked at."""

import math
from dataclasses import dataclass
from typing import Literal

ExposureMode = Literal["auto", "manual"]
FrameKind = Literal["picture", "raw"]


@dataclass(frozen=True, slots=True)
class BracketMark:
    """What the maker's note says about exposure bracketing.

    Attributes:
        is_bracketing: Whether the camera was bracketing the exposure.
        step_ev: How far it went from what it metered, for this frame; None where it does not say.
        shot: Which frame of its bracket it is, from 1; None where it does not say.
        shots: How many frames the bracket has; None where it does not say.
    """

    is_bracketing: bool
    step_ev: float | None = None
    shot: int | None = None
    shots: int | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One file of a shoot, by its header; None, or an empty text, where it says nothing.

    Attributes:
        name: Unique among the frames: its path with `/`, relative to the folder of the shoot.
        kind: A `raw` file of a camera, or a `picture` of any other format.
        taken_s: What the camera's clock showed, in seconds since 1970 as if it showed UTC; in fact
            UTC where the header tells the offset.
        has_fraction: The header tells fractions of the second.
        exposure_s: Exposure time.
        f_number: Aperture.
        iso: Sensitivity.
        bias_ev: Exposure compensation, which most cameras that bracket change with every frame.
        mode: Whether the camera or the photographer chose the exposure.
        mark: What the maker's note says about bracketing.
        focal_length_mm: Focal length.
        width_px: Width as stored; 0 where the header could not be read.
        height_px: Height as stored.
        orientation: EXIF orientation, 1..8.
        make: Maker of the camera.
        model: Model of the camera.
        serial: Serial number of its body.
        fault: Why the file is no picture that can be fused; empty where nothing speaks against it.
    """

    name: str
    kind: FrameKind = "picture"
    taken_s: float | None = None
    has_fraction: bool = False
    exposure_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    bias_ev: float | None = None
    mode: ExposureMode | None = None
    mark: BracketMark | None = None
    focal_length_mm: float | None = None
    width_px: int = 0
    height_px: int = 0
    orientation: int = 1
    make: str = ""
    model: str = ""
    serial: str = ""
    fault: str = ""

    @property
    def light_ev(self) -> float | None:
        r"""Light gathered, :math:`\log_2 (t \cdot ISO / (100 N^2))`; one more is twice as bright.

        An aperture or a sensitivity that the header lacks counts as f/1 or ISO 100. None without
        an exposure time.

        Example:
            >>> Frame("a.jpg", exposure_s=0.5, f_number=2.0, iso=400.0).light_ev
            -1.0
        """
        if self.exposure_s is None:
            return None
        aperture, iso = self.f_number or 1.0, self.iso or 100.0
        # A sum: the product of what a broken header claims may be out of range.
        return math.log2(self.exposure_s) + math.log2(iso / 100.0) - 2.0 * math.log2(aperture)

    @property
    def folder(self) -> str:
        """The folder in which it lies, relative to that of the shoot; empty for the latter."""
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """Its file name without folder and suffix."""
        base = self.name.rpartition("/")[2]
        return base.rpartition(".")[0] or base

    @property
    def is_bracketing(self) -> bool | None:
        """Whether the camera says that it was bracketing; None where it says nothing."""
        return None if self.mark is None else self.mark.is_bracketing

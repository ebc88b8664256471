"""The habits of makers' cameras: names of files, what they write, how they bracket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NoteKind = Literal["canon", "nikon", "sony", "fujifilm", "olympus", "om", "panasonic", "none"]

DOWN_UP = (0, -1, 1, -2, 2, -3, 3, -4, 4)
"""Metered, then under and over, further and further: multiples of the step."""


@dataclass(frozen=True, slots=True)
class Camera:
    """What a model of a camera does.

    Attributes:
        make: As it writes it.
        model: As it writes it.
        note: Form of its maker's note.
        name: Of a file, from its number: `{0:04}`; from its time for phones: `{1}`.
        last_number: After which numbers begin at 1.
        has_fraction: It writes fractions of the second.
        has_offset: It writes the offset of its clock from UTC.
        has_serial: It writes its serial number in EXIF itself.
        stamps_end: Its time is that at which the exposure ended.
        says_bracket: It writes 2, auto bracket, as the exposure mode when it brackets.
        writes_bias: What bracketing adds shows in the exposure compensation.
        is_rising: It takes brackets from dark to bright.
        tells_shot: It numbers the frames of a bracket in its note.
    """

    make: str
    model: str
    note: NoteKind
    name: str
    last_number: int = 9999
    has_fraction: bool = True
    has_offset: bool = False
    has_serial: bool = True
    stamps_end: bool = False
    says_bracket: bool = False
    writes_bias: bool = True
    is_rising: bool = False
    tells_shot: bool = False

    def order_steps(self, shots: int) -> list[int]:
        """Multiples of the step of a bracket, in the order in which it takes them."""
        steps = list(DOWN_UP[:shots])
        return sorted(steps) if self.is_rising else steps


CAMERAS = (
    Camera("Canon", "Canon EOS R5", "canon", "IMG_{0:04}.JPG", has_offset=True, says_bracket=True),
    Camera("Canon", "Canon EOS 80D", "canon", "_MG_{0:04}.JPG", tells_shot=True),
    Camera("NIKON CORPORATION", "NIKON Z 6", "nikon", "DSC_{0:04}.JPG", has_serial=False),
    Camera(
        "NIKON CORPORATION",
        "NIKON D90",
        "nikon",
        "_DSC{0:04}.JPG",
        has_serial=False,
        is_rising=True,
    ),
    Camera(
        "SONY", "ILCE-7M3", "none", "DSC{0:05}.JPG", 99_999, has_serial=False, says_bracket=True
    ),
    Camera(
        "SONY",
        "SLT-A77V",
        "sony",
        "DSC{0:05}.JPG",
        99_999,
        has_fraction=False,
        has_serial=False,
        says_bracket=True,
        tells_shot=True,
    ),
    Camera("FUJIFILM", "X-T4", "fujifilm", "DSCF{0:04}.JPG", has_fraction=False, tells_shot=True),
    Camera(
        "OLYMPUS CORPORATION",
        "E-M1MarkII",
        "olympus",
        "P501{0:04}.JPG",
        has_fraction=False,
        stamps_end=True,
        tells_shot=True,
    ),
    Camera("OM Digital Solutions", "OM-1", "om", "P501{0:04}.JPG", tells_shot=True),
    Camera("Panasonic", "DC-GH5", "panasonic", "P101{0:04}.JPG", tells_shot=True, is_rising=True),
    Camera(
        "Google",
        "Pixel 7",
        "none",
        "PXL_{1}.jpg",
        has_offset=True,
        has_serial=False,
        writes_bias=False,
    ),
)
"""Two models each of the makers that write notes in two ways; a phone."""

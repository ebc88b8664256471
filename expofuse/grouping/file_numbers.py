"""Reads the number that a camera gave a file from the file's name."""

import re
from dataclasses import dataclass
from functools import lru_cache

_LAST_DIGITS = re.compile(r"(\d+)\D*$")
_CAMERA_DIGITS = (4, 5)
_FOLDER_AND_NUMBER_DIGITS = 7
"""Panasonic, Leica and Olympus put the folder's number, or the date, before the four digits."""

_COUNTED_BY_HAND = 10**9
"""Their cycle, which none of them comes to the end of."""


@dataclass(frozen=True, slots=True)
class FileNumber:
    """Number and what stands before it.

    Attributes:
        number: As the camera counted.
        cycle: How many numbers there are before it begins at 1 again.
        prefix: The letters before it, of which a camera always writes the same.
    """

    number: int
    cycle: int
    prefix: str

    @property
    def is_of_camera(self) -> bool:
        """It has as many digits as a camera writes; others may number somebody's selection."""
        return self.cycle < _COUNTED_BY_HAND

    def steps_to(self, other: "FileNumber") -> int:
        """How far the camera had counted on; of two ways round the shorter one.

        Example:
            >>> read_file_number("IMG_9998").steps_to(read_file_number("IMG_0002"))
            3
            >>> read_file_number("IMG_0005").steps_to(read_file_number("IMG_0004"))
            -1
        """
        half = self.cycle // 2
        return (other.number - self.number + half) % self.cycle - half


@lru_cache(maxsize=8192)
def read_file_number(stem: str) -> FileNumber | None:
    """The number in a file name without its suffix; None where it bears none, or a date.

    Example:
        >>> read_file_number("_MG_0123")
        FileNumber(number=123, cycle=9999, prefix='MG')
        >>> read_file_number("P1010042").number, read_file_number("IMG_20240501_101512")
        (42, None)
    """
    found = _LAST_DIGITS.search(stem)
    if found is None:
        return None
    digits = found[1]
    if len(digits) == _FOLDER_AND_NUMBER_DIGITS:
        digits = digits[-4:]
    if len(digits) > max(_CAMERA_DIGITS):
        return None
    # Cameras count from 1: 9999 is followed by 0001.
    cycle = 10 ** len(digits) - 1 if len(digits) in _CAMERA_DIGITS else _COUNTED_BY_HAND
    letters = "".join(one for one in stem[: found.start()] if one.isalpha()).upper()
    return FileNumber(int(digits), cycle, letters[-2:])

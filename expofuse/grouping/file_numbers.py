"""Reads the number that a camera gave a file from the file's name."""

import re
from dataclasses import dataclass
from functools import lru_cache

_LAST_DIGITS = re.compile(r"(\d+)\D*$")
_TEXTS_AND_DIGITS = re.compile(r"(\D*)(\d*)")
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
        prefix: What stands before it: of a camera's number two letters, which it always writes.
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

    A number of few digits behind another one, as in `room12_3`, is none: it begins anew for each
    room, and only the whole name tells the order.

    Example:
        >>> read_file_number("_MG_0123")
        FileNumber(number=123, cycle=9999, prefix='MG')
        >>> read_file_number("P1010042").number, read_file_number("IMG_20240501_101512")
        (42, None)
        >>> read_file_number("kitchen 3").prefix, read_file_number("room12_3")
        ('KITCHEN ', None)
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
    start = stem[: found.start()]
    if len(digits) not in _CAMERA_DIGITS:
        if any(one.isdigit() for one in start):
            return None
        return FileNumber(int(digits), _COUNTED_BY_HAND, start.upper())
    letters = "".join(one for one in start if one.isalpha()).upper()
    return FileNumber(int(digits), 10 ** len(digits) - 1, letters[-2:])


def order_naturally(name: str) -> tuple[tuple[str, int], ...]:
    """A key that sorts names as people count: the numbers in them by their value.

    Example:
        >>> sorted(["room 10-1", "room 9-2", "room 9-10"], key=order_naturally)
        ['room 9-2', 'room 9-10', 'room 10-1']
    """
    return tuple((text, int(digits or 0)) for text, digits in _TEXTS_AND_DIGITS.findall(name))

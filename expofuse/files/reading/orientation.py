"""Reads how a picture is to be turned upright."""

import pyvips


def read_orientation(image: pyvips.Image) -> int:
    """EXIF orientation, 1 to 8; 1 where there is none or an unknown one."""
    if image.get_typeof("orientation") == 0:
        return 1
    orientation = int(image.get("orientation"))
    return orientation if 1 <= orientation <= 8 else 1

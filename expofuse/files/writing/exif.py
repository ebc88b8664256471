"""Makes the EXIF block of an exposure fit to travel with the result."""

import struct

PREFIX = b"Exif\0\0"
MAX_EXIF_BYTES = 65_000
"""A JPEG segment holds 65,533 bytes; the writer adds a few tags of its own."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = 1
_ENTRY_BYTES = 12


def clean_exif(exif: bytes) -> bytes | None:
    """Set the orientation to upright and take the thumbnail's directory out of the chain.

    The pixels have been turned already, and the thumbnail shows another picture. The writer
    rebuilds the block from its directories, so that what is out of the chain is not written.

    Args:
        exif: As stored in a file, with or without the prefix of a JPEG segment; untrusted.

    Returns:
        The changed block with the prefix; None where it is damaged or too large.

    Example:
        >>> tiff = bytes.fromhex("4d4d002a00000008" "0001" "011200030000000100060000" "00000099")
        >>> clean_exif(tiff).hex(" ", 4)
        '45786966 00004d4d 002a0000 00080001 01120003 00000001 00010000 00000000'
    """
    tiff = bytearray(exif.removeprefix(PREFIX))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None or len(tiff) > MAX_EXIF_BYTES:
        return None
    try:
        (position,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, position)
        end = position + 2 + entries * _ENTRY_BYTES
        for entry in range(position + 2, end, _ENTRY_BYTES):
            if struct.unpack_from(f"{order}H", tiff, entry)[0] == _ORIENTATION_TAG:
                struct.pack_into(f"{order}HIHH", tiff, entry + 2, 3, 1, _UPRIGHT, 0)
        struct.pack_into(f"{order}I", tiff, end, 0)
    except struct.error:
        return None
    return PREFIX + bytes(tiff)

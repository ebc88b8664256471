"""Tells which JPEG files are given to a device."""

MIN_PIXELS = 1_000_000
"""Of smaller pictures nvJPEG reads the Huffman codes on the CPU (`hybrid_huffman_threshold` of
nvImageCodec), which is done here already, see `expofuse.files.reading.jpeg.scan`."""

_BASELINE, _TABLES_END = 0xC0, 0xDA
_LUMA_FACTORS = (0x11, 0x21, 0x12, 0x22)
_CHROMA_FACTORS = 0x11
_RGB_IDS = b"RGB"
_ADOBE_IS_YCC = 1


def is_for_device(file: bytes | bytearray, *, min_pixels: int = MIN_PIXELS) -> bool:
    """Whether a JPEG is one that every camera writes, and large enough to gain by a device.

    That is: baseline, YCbCr, in one scan, chroma whole or halved either way. Others are rare, or,
    as the progressive ones, are read on the CPU by nvJPEG too.

    Args:
        file: As `expofuse.files.reading.jpeg.stream.tidy` returns it.
        min_pixels: Pixels below which it is not.
    """
    offset, frame = 2, b""
    while offset + 4 <= len(file):
        marker = file[offset + 1]
        length = int.from_bytes(file[offset + 2 : offset + 4], "big")
        body = bytes(file[offset + 4 : offset + 2 + length])
        if marker == _TABLES_END:
            return _is_ordinary(frame, min_pixels) and body[:1] == b"\3"
        if marker == _BASELINE:
            frame = body
        elif marker == 0xEE and body[:5] == b"Adobe" and body[11:12] != bytes((_ADOBE_IS_YCC,)):
            return False
        offset += 2 + max(length, 2)
    return False


def _is_ordinary(frame: bytes, min_pixels: int) -> bool:
    if len(frame) != 6 + 3 * 3 or frame[5] != 3:
        return False
    height_px, width_px = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    ids, factors = frame[6::3], frame[7::3]
    is_known = factors[0] in _LUMA_FACTORS and set(factors[1:]) == {_CHROMA_FACTORS}
    return is_known and ids != _RGB_IDS and height_px * width_px >= min_pixels

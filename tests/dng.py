"""Raw files of a camera that does not exist: DNG with a Bayer mosaic of a linear scene."""

import io
import struct

import numpy as np
import tifffile

WHITE = 16_383
NEUTRAL = (0.5, 1.0, 0.7)
_XYZ_TO_SRGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def ratios(values):
    return [part for value in values for part in (round(value * 10_000), 10_000)]


def dng(light, *, neutral=NEUTRAL, gain=1.0, orientation=1, maker="Maker", is_grey=False):
    """A file of a scene.

    Args:
        light: Linear sRGB, 0..1. Shape (H, W, 3), sides even.
        neutral: What the sensor shows of white; the camera's white balance undoes it.
        gain: Exposure.
        orientation: EXIF orientation.
        maker: Of the camera.
        is_grey: Its sensor has no colour filters, and sees green alone.
    """
    if is_grey:
        return _grey_dng(np.clip(light[..., 1] * gain, 0, 1), maker)
    sensor = np.clip(light * gain, 0, 1) * np.array(NEUTRAL)
    mosaic = np.empty(sensor.shape[:2])
    mosaic[0::2, 0::2] = sensor[0::2, 0::2, 0]
    mosaic[0::2, 1::2] = sensor[0::2, 1::2, 1]
    mosaic[1::2, 0::2] = sensor[1::2, 0::2, 1]
    mosaic[1::2, 1::2] = sensor[1::2, 1::2, 2]
    matrix = np.diag(NEUTRAL) @ _XYZ_TO_SRGB
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, maker, True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50717, "H", 1, WHITE, True),
        (50714, "H", 1, 0, True),
        (50721, "2i", 9, ratios(matrix.ravel()), True),
        (50728, "2I", 3, ratios(neutral), True),
        (50778, "H", 1, 21, True),
        (274, "H", 1, orientation, True),
        (271, "s", 0, maker, True),
        (272, "s", 0, "Model", True),
    ]
    file = io.BytesIO()
    samples = np.round(mosaic * WHITE).astype(np.uint16)
    tifffile.imwrite(file, samples, photometric=32803, extratags=tags, metadata=None)
    return file.getvalue()


def _grey_dng(sensor, maker):
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, maker, True),
        (50717, "H", 1, WHITE, True),
        (50714, "H", 1, 0, True),
        (271, "s", 0, maker, True),
        (272, "s", 0, "Model", True),
    ]
    file = io.BytesIO()
    samples = np.round(sensor * WHITE).astype(np.uint16)
    tifffile.imwrite(file, samples, photometric="minisblack", extratags=tags, metadata=None)
    # tifffile holds that what is linear has three samples.
    black, linear = (struct.pack("<HHIH", 262, 3, 1, value) for value in (1, 34892))
    data = file.getvalue()
    assert data.count(black) == 1
    return data.replace(black, linear)

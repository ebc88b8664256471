"""A smooth ramp of 16 bits stays smooth, whatever is done with it on its way."""

import io

import cv2
import numpy as np
import pytest
import tifffile

from expofuse import fuse

LEVELS = 4096


def scene(height=360, width=520):
    """A smooth ramp to each side, with enough structure in a corner to align by. 0..1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    ramp = 0.08 + 0.75 * x / width + 0.1 * y / height
    light = np.dstack([ramp, ramp * 0.98 + 0.01, ramp * 0.95 + 0.02])
    rng = np.random.default_rng(7)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 1.5)
    window = np.clip((y - 180) / 40, 0, 1)
    return np.clip(light + 0.25 * (texture * window)[..., None], 0, 1)


def expose(light, gain, shift=(0.0, 0.0)):
    moved = cv2.warpAffine(
        light,
        np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]),
        light.shape[1::-1],
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.round(np.clip(moved * gain, 0, 1) * 65535).astype(np.uint16)


def check_smooth(picture):
    """The ramp's part: many levels, and no step where the ramp makes none."""
    assert picture.dtype == np.uint16
    smooth = picture[20:120, 30:-30].astype(int)
    for channel in range(3):
        plane = smooth[..., channel]
        assert len(np.unique(plane)) > LEVELS
        steps = np.diff(plane, axis=1)
        slope = np.median(steps)
        assert slope > 0
        # No level is held over several pixels and then leapt over, as fewer bits would do it.
        assert np.percentile(np.abs(steps - slope), 99) < max(32, 0.6 * slope)


@pytest.mark.parametrize("gains", [(0.3, 1.0), (0.2, 0.5, 1.0)])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.4, -1.3)])
def test_a_ramp_keeps_its_levels_through_alignment_ghosts_and_fusion(gains, shift):
    light = scene()
    stack = [
        expose(light, gain, shift if index == 0 else (0.0, 0.0)) for index, gain in enumerate(gains)
    ]
    picture, report = fuse(stack, reference=len(stack), return_report=True)
    if shift != (0.0, 0.0):
        assert report.alignment.reports[0].model == "homography"
    check_smooth(picture)


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_a_ramp_keeps_its_levels_from_file_to_file(form):
    light = scene()
    files = []
    for gain in (0.3, 1.0):
        pixels = expose(light, gain)
        if form == "png":
            files.append(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())
        else:
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, pixels, photometric="rgb")
            files.append(buffer.getvalue())
    answer = fuse(files, format=form)
    read = cv2.imdecode(np.frombuffer(answer, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    check_smooth(read)

"""Brackets that the tests photograph themselves: a scene, a camera, a hand that moves, EXIF."""

from datetime import datetime, timedelta

import cv2
import numpy as np
from PIL import ExifTags, Image

from trainer.data.camera import Camera, expose, find_correct_gain

WIDTH, HEIGHT = 400, 300
MARGIN = 40
CAMERA = Camera(full_well=40_000)
NOON = datetime(2026, 5, 1, 12, 0, 0)
F_NUMBER = 8.0


def make_radiance(seed=0, width=WIDTH, height=HEIGHT):
    """Linear radiance with structure at several scales, MARGIN wider on every side."""
    rng = np.random.default_rng(seed)
    size = (height + 2 * MARGIN, width + 2 * MARGIN)
    scene = np.zeros(size)
    for sigma in (2.5, 5.0, 10.0):
        noise = cv2.GaussianBlur(rng.standard_normal(size), (0, 0), sigma)
        scene += noise / noise.std()
    tint = np.array([1.0, 0.9, 0.8])
    return (2.0 ** (0.8 * scene)[..., None] * tint).astype(np.float32)


def photograph(radiance, ev=0.0, homography=None, seed=0):
    """One exposure, `ev` above the correct one, its frame mapped onto the scene's by the map."""
    to_scene = np.array([[1.0, 0.0, MARGIN], [0.0, 1.0, MARGIN], [0.0, 0.0, 1.0]])
    if homography is not None:
        to_scene = to_scene @ homography
    size = (radiance.shape[1] - 2 * MARGIN, radiance.shape[0] - 2 * MARGIN)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    seen = np.maximum(cv2.warpPerspective(radiance, to_scene, size, flags=flags), 0)
    gain = find_correct_gain(radiance, 50.0, CAMERA) * 2.0**ev
    return expose(seen, gain, CAMERA, np.random.default_rng(seed))


def make_exif(
    ev=None,
    *,
    taken_s=None,
    bias_ev=None,
    camera="Camera One",
    orientation=None,
    focal_length_mm=None,
):
    """EXIF of an exposure at `ev` above 1/100 s, begun `taken_s` after noon."""
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    exif[ExifTags.Base.Model] = camera
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    if ev is not None:
        details[ExifTags.Base.ExposureTime] = 2.0**ev / 100
        details[ExifTags.Base.FNumber] = F_NUMBER
        details[ExifTags.Base.ISOSpeedRatings] = 100
    if taken_s is not None:
        taken = NOON + timedelta(seconds=taken_s)
        details[ExifTags.Base.DateTimeOriginal] = taken.strftime("%Y:%m:%d %H:%M:%S")
        details[ExifTags.Base.SubsecTimeOriginal] = f"{taken.microsecond // 1000:03d}"
    if bias_ev is not None:
        details[ExifTags.Base.ExposureBiasValue] = bias_ev
    if focal_length_mm is not None:
        details[ExifTags.Base.FocalLength] = focal_length_mm
    return exif


def save(path, image, exif=None):
    """Write a photograph in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {} if exif is None else {"exif": exif}
    if path.suffix in (".jpg", ".jpeg"):
        options |= {"quality": 95, "subsampling": 0}
    Image.fromarray(image).save(path, **options)
    return path


def save_bracket(
    folder, evs=(-2.0, 0.0, 2.0), *, seed=0, homographies=None, first=1, begin_s=None, size=None
):
    """Write the exposures of one scene, one second apart where `begin_s` says when they began."""
    radiance = make_radiance(seed, *(size or (WIDTH, HEIGHT)))
    for index, ev in enumerate(evs):
        homography = None if homographies is None else homographies[index]
        exif = None if begin_s is None else make_exif(ev, taken_s=begin_s + index)
        save(
            folder / f"IMG_{first + index:04d}.jpg",
            photograph(radiance, ev, homography, seed=index),
            exif,
        )
    return folder


def turn(degrees=0.0, shift=(0.0, 0.0), width=WIDTH, height=HEIGHT):
    """Rotation about the middle and a shift."""
    angle = np.deg2rad(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    middle = np.array([[1.0, 0.0, (width - 1) / 2], [0.0, 1.0, (height - 1) / 2], [0, 0, 1.0]])
    motion = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]], [0, 0, 1.0]])
    return middle @ motion @ np.linalg.inv(middle)

"""What users of other programs for this job reported, posted to this one; see docs/cases.md."""

import io

import cv2
import numpy as np
import pytest
import tifffile

from tests import images
from tests.integration.conftest import problem_of

pytestmark = pytest.mark.e2e


def picture_of(response):
    assert response.status_code == 200, response.text
    read = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    return read[..., 2::-1]


def fuse(client, *exposures, query="?align=off&format=png"):
    files = [
        one if isinstance(one, bytes) else images.encoded("png", pixels=one) for one in exposures
    ]
    return client.post(f"/fuse{query}", files=[("exposures", file) for file in files])


def tiff(pixels, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return file.getvalue()


def form(parts, end=b""):
    body = b"".join(
        b"--edge\r\n" + head + b"\r\n\r\n" + content + b"\r\n" for head, content in parts
    )
    return body + b"--edge--" + end


def file_part(name, content, kind="image/png"):
    head = (
        f'Content-Disposition: form-data; name="{name}"; filename="{name}"\r\nContent-Type: {kind}'
    )
    return head.encode(), content


HEADERS = {"Content-Type": "multipart/form-data; boundary=edge"}


def test_a_megabyte_of_dashes_behind_the_last_boundary_costs_nothing(client, under, over):
    body = form(
        [file_part("under", under), file_part("over", over)], end=b"-" * 1_000_000 + b"\r\n"
    )
    response = client.post("/fuse?align=off", content=body, headers=HEADERS)
    assert response.status_code == 200, response.text
    assert client.get("/healthz").status_code == 200


def test_a_file_that_calls_itself_a_form_is_told_so(client, under, over):
    kind = "multipart/form-data"
    body = form([file_part("under", under, kind), file_part("over", over, kind)], end=b"\r\n")
    response = client.post("/fuse?align=off", content=body, headers=HEADERS)
    assert response.status_code == 415
    assert "multipart" in problem_of(response)["detail"]


def test_sixteen_bits_in_are_sixteen_bits_out(client):
    bright = images.scene(96, 128, dtype=np.uint16)
    picture = picture_of(
        fuse(client, tiff(bright // 4), tiff(bright), query="?align=off&format=tiff")
    )
    assert picture.dtype == np.uint16
    assert len(np.unique(picture[..., 1] % 257)) > 200


def test_the_picture_stays_within_what_the_exposures_show(client):
    exposures = [images.scene(96, 128, gain=gain) for gain in (0.2, 0.55, 1.0)]
    picture = picture_of(fuse(client, *exposures)).astype(int)
    low, high = np.min(exposures, axis=0).astype(int), np.max(exposures, axis=0).astype(int)
    assert (picture >= low - 1).all()
    assert (picture <= high + 1).all()


def test_a_uniform_area_has_no_holes(client):
    """Clipped in one exposure and even in the other: no measure of detail has anything there."""
    dark, bright = np.full((96, 128, 3), 90, np.uint8), np.full((96, 128, 3), 255, np.uint8)
    dark[60:], bright[60:] = images.scene(36, 128, gain=0.3), images.scene(36, 128)
    picture = picture_of(fuse(client, dark, bright))[:50].astype(int)
    assert picture.min() >= 90
    assert picture.max() - picture.min() < 40


def test_a_still_bracket_with_a_repeating_pattern_stays_where_it_is(client):
    y, x = np.mgrid[0:300, 0:400]
    panels = np.where((x % 40 < 2) | (y % 40 < 2), 60, 200).astype(np.float64)
    noise = np.random.default_rng(3).normal(0, 1, (5, 300, 400))
    bracket = [
        np.dstack([np.clip(panels * gain + one, 0, 255)] * 3).astype(np.uint8)
        for gain, one in zip((0.25, 0.45, 0.7, 1.0, 1.25), noise, strict=True)
    ]
    response = fuse(client, *bracket, query="?format=png")
    picture = picture_of(response).astype(int)
    assert "homography" not in response.headers["x-expofuse-alignment"]
    # A line is two pixels wide, and not doubled: it is dark, and beside it is none.
    row = picture[20, :, 1]
    assert (row[2::40][1:] - row[1::40][1:] > 40).all()
    assert np.ptp(row[42:79]) < 30


def test_exposures_a_stop_apart_leave_no_step(client):
    ramp = np.tile(np.linspace(20, 200, 400), (120, 1))
    dark, bright = (np.dstack([np.clip(ramp * gain, 0, 255)] * 3) for gain in (0.62, 1.25))
    picture = picture_of(fuse(client, dark.astype(np.uint8), bright.astype(np.uint8)))
    steps = np.diff(picture[60, :, 1].astype(int))
    assert steps.min() >= -1
    assert steps.max() <= 4


def test_associated_alpha_hides_nothing_but_what_is_transparent(client):
    bright, dark = images.scene(96, 128), images.scene(96, 128, gain=0.4)
    opacity = np.full((96, 128, 1), 255, np.uint8)
    opacity[:, :30] = 0
    premultiplied = (bright * (opacity / 255)).astype(np.uint8)
    data = tiff(np.concatenate([premultiplied, opacity], axis=2), extrasamples=["assocalpha"])
    picture = picture_of(fuse(client, tiff(dark), data)).astype(int)
    whole = picture_of(fuse(client, tiff(dark), tiff(bright))).astype(int)
    assert np.abs(picture - whole).mean() < 1.5


def test_a_profile_of_a_scanner_gives_no_black_picture(client):
    profile = images.icc_profile(images.DISPLAY_P3_PRIMARIES).replace(b"mntr", b"scnr")
    tagged = [
        images.with_icc(profile, pixels=images.scene(96, 128, gain=gain)) for gain in (0.4, 1.0)
    ]
    picture = picture_of(fuse(client, *tagged)).astype(int)
    assert picture.mean() > 60
    plain = [images.scene(96, 128, gain=gain) for gain in (0.4, 1.0)]
    assert np.abs(picture - picture_of(fuse(client, *plain))).mean() < 25


@pytest.mark.parametrize("hue", [(30, 40, 250), (230, 30, 220), (20, 200, 240), (240, 60, 20)])
def test_saturated_colours_keep_their_hue(client, hue):
    light = np.linspace(0.25, 1.0, 128)[None, :, None] * np.array(hue, float) * np.ones((96, 1, 1))
    exposures = [np.clip(light * gain, 0, 255).astype(np.uint8) for gain in (0.4, 1.0)]
    picture = picture_of(fuse(client, *exposures)).astype(float)

    def angle(rgb):
        red, green, blue = np.moveaxis(np.asarray(rgb, float), -1, 0)
        return np.degrees(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue))

    off = (angle(picture) - angle(hue) + 180) % 360 - 180
    assert np.abs(off).max() < 12


def test_frames_of_one_exposure_leave_no_black_and_no_white_pixels(client):
    rng = np.random.default_rng(5)
    clean = np.clip(images.scene(96, 128).astype(float) * 1.6, 0, 255)
    frames = [
        np.clip(clean + rng.normal(0, 0.6, clean.shape), 0, 255).astype(np.uint8) for _ in range(3)
    ]
    response = fuse(client, *frames)
    picture = picture_of(response).astype(int)
    assert "duplicate" in response.headers["x-expofuse-unused"]
    assert np.abs(picture - clean).max() < 6


def test_a_slash_at_the_end_is_no_other_address(client, under, over):
    response = client.post("/fuse/?align=off", files={"under": under, "over": over})
    assert response.status_code == 200, response.text

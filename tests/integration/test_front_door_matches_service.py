"""The front door gives what the service answers: the same bytes, and so the same pixels."""

import httpx
import numpy as np
import pytest

from expofuse import fuse
from expofuse.files.headers import PixelLimits
from expofuse.files.images import decode
from tests import images
from tests.integration.test_evaluation_matches_service import textured

pytestmark = pytest.mark.e2e

SHIFT_PX = 9
LIMITS = PixelLimits(max_pixels=10**6, max_side_px=4096)


def ask(client: httpx.Client, query: str, under: bytes, over: bytes) -> httpx.Response:
    response = client.post(f"/fuse?{query}", files={"under": under, "over": over})
    assert response.status_code == 200, response.text
    return response


@pytest.fixture(scope="module")
def moved() -> tuple[bytes, bytes]:
    """A pair whose exposures differ in format, carry EXIF and do not lie on each other."""
    under = images.with_orientation(6, pixels=textured(0.35, shift_px=SHIFT_PX), quality=95)
    turned = images.with_orientation(6, form="png", pixels=textured(1.2))
    return under, turned


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "tiff"])
def test_files_give_the_bytes_of_the_answer(client, weights, moved, image_format):
    response = ask(client, f"format={image_format}&quality=80", *moved)
    picture, report = fuse(
        *moved, weights=weights, format=image_format, quality=80, device="cpu", return_report=True
    )
    assert picture == response.content
    assert report.describe_alignment() == response.headers["x-expofuse-alignment"]
    assert report.describe_alignment().startswith("homography; ")
    assert report.weights == response.headers["x-expofuse-weights"]


@pytest.mark.parametrize("align", ["auto", "off"])
def test_exposures_in_the_wrong_order_give_the_bytes_of_the_answer(client, weights, moved, align):
    response = ask(client, f"align={align}", *moved[::-1])
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-expofuse-exposure-order"] == "swapped"
    assert fuse(*moved[::-1], weights=weights, align=align, device="cpu") == response.content


def test_arrays_give_the_pixels_of_the_answer(client, weights, moved):
    exposures = [decode(file, limits=LIMITS).pixels for file in moved]
    answer = decode(ask(client, "format=png", *moved).content, limits=LIMITS).pixels
    np.testing.assert_array_equal(fuse(*exposures, weights=weights, device="cpu"), answer)


def test_a_colour_profile_and_16_bits_give_the_answer(client, weights):
    icc = images.icc_profile(images.DISPLAY_P3_PRIMARIES)
    under = images.png16_with_chunks(textured(0.35).astype(np.uint16) * 257, icc=icc)
    over = images.with_icc(icc, pixels=textured(1.2))
    fused = fuse(under, over, weights=weights, device="cpu")
    answer = ask(client, "", under, over).content
    ours, services = (decode(file, limits=LIMITS).pixels for file in (fused, answer))
    assert ours.dtype == services.dtype == np.uint16
    assert np.abs(ours.astype(int) - services).max() <= 1

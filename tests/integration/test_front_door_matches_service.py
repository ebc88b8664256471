"""The front door gives what the service answers: the same bytes, and so the same pixels."""

import cv2
import httpx
import numpy as np
import pytest

from expofuse import fuse
from expofuse.files.headers import PixelLimits
from expofuse.files.reading.decode import decode
from service.console.cli import main
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


@pytest.mark.parametrize(
    "query", ["", "crop=common", "reference=1", "reference=3&crop=common&ghosts=off"]
)
def test_exposures_of_three_sizes_give_the_bytes_of_the_answer(
    client, server, weights, tmp_path, query
):
    sizes = [textured(0.35)[2:], textured(0.7)[:, :-3], cv2.resize(textured(1.2), (630, 450))]
    files = [images.encoded("png", pixels=pixels) for pixels in sizes]
    parts = [("exposures", file) for file in files]
    response = client.post(f"/fuse?{query}", files=parts)
    assert response.status_code == 200, response.text
    options = dict(item.split("=") for item in query.split("&") if item)
    asked = {name: int(value) if name == "reference" else value for name, value in options.items()}
    picture, report = fuse(files, weights=weights, device="cpu", return_report=True, **asked)
    assert picture == response.content
    assert report.describe_alignment() == response.headers["x-expofuse-alignment"]
    assert "resized-from=" in report.describe_alignment()
    assert ",".join(map(str, report.frame)) == response.headers["x-expofuse-frame"]
    assert str(report.reference + 1) == response.headers["x-expofuse-reference"]
    # the command, here and by the service
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, file in zip(paths, files, strict=True):
        path.write_bytes(file)
    command = ["fuse", *map(str, paths), "--weights", weights]
    for name, value in options.items():
        command += [f"--{name}", value]
    for number, where in enumerate(([], ["--url", server.base_url])):
        out = tmp_path / f"fused{number}.png"
        assert main([*command, "-o", str(out), *where]) == 0
        assert out.read_bytes() == response.content


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

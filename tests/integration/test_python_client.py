"""The Python client against the real server: pictures, what is told of them, and every refusal."""

import asyncio
import base64
import io
import pickle
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from PIL import Image

from expofuse import fuse
from expofuse.client import (
    AsyncClient,
    BusyError,
    Client,
    DeadlineError,
    ExposuresError,
    ImageError,
    OptionError,
    RequestError,
    TooLargeError,
)
from expofuse.package_version import package_version
from tests import images
from tests.expofuse.client.conftest import Awaited, Blocking
from tests.integration.conftest import MAX_BODY_BYTES, TIMEOUT_S, server_settings
from tests.server import running_server

pytestmark = pytest.mark.e2e

STAGES = ["receive", "decode", "align", "queue", "fuse", "encode"]


@pytest.fixture(params=[Blocking, Awaited], ids=["sync", "async"])
def asking(request, server):
    """A client of either kind."""
    return request.param(server.base_url, timeout_s=TIMEOUT_S)


@pytest.fixture
def pair(tmp_path, under, over):
    """A pair in two of the ways in which exposures are given."""
    (tmp_path / "under.png").write_bytes(under)
    return [tmp_path / "under.png", over]


def test_a_pair_is_fused(asking, pair, reference, weights):
    fused = asking.fuse(pair)
    assert fused.content == reference
    assert (fused.format, fused.width, fused.height) == ("png", 64, 48)
    assert fused.weights == weights
    assert (fused.order, fused.used, fused.fused, fused.unused) == ((0, 1), (0, 1), (0, 1), {})
    assert fused.reference in (0, 1)
    assert fused.alignment.exposures.keys() == {1 - fused.reference}
    assert fused.frame == (0, 0, 64, 48)
    assert fused.ghosts.mode == "auto"
    assert list(fused.timings_ms) == STAGES
    assert len(fused.request_id) == 32
    pixels = fused.array()
    assert (pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint8)
    assert pixels.std() > 3
    assert pickle.loads(pickle.dumps(fused)) == fused
    assert "content" not in repr(fused)


def test_a_pair_of_16_bits_becomes_an_array_of_16_bits(asking):
    pair = [images.png16(images.scene(dtype=np.uint16, gain=gain)) for gain in (0.3, 1.0)]
    fused = asking.fuse(pair, format="tiff")
    pixels = fused.array()
    assert (pixels.shape, pixels.dtype) == ((48, 64, 3), np.uint16)
    assert (pixels == tifffile.imread(io.BytesIO(fused.content))).all()
    assert (pixels % 257 != 0).any()
    assert asking.fuse(pair, format="avif").array().dtype == np.uint16
    assert asking.fuse(pair, bit_depth=8).array().dtype == np.uint8


def test_a_bracket_is_told_as_the_front_door_tells_it(asking):
    gains = (1.0, 0.25, 0.5, 0.25)
    bracket = [images.encoded(pixels=images.scene(gain=gain)) for gain in gains]
    fused = asking.fuse(bracket, reference=3, ghosts="off")
    content, report = fuse(bracket, reference=3, ghosts="off", return_report=True)
    assert fused.content == content
    assert (fused.order, fused.used, fused.fused) == (report.order, report.used, report.fused)
    assert (fused.reference, fused.frame, fused.weights) == (2, report.frame, report.weights)
    assert fused.unused == {3: "duplicate"}
    assert fused.alignment.text == report.describe_alignment()
    assert fused.alignment.exposures.keys() == {0, 1}


def test_options_reach_the_service(asking, pair):
    options = {"format": "jpeg", "align": "off", "metadata": "strip", "progressive": True}
    small = asking.fuse(pair, quality=5, **options)
    large = asking.fuse(
        pair, quality=95, subsampling="444", profile="keep", crop="common", **options
    )
    assert small.format == large.format == "jpeg"
    assert len(small.content) < len(large.content)
    assert (small.alignment.outcome, small.alignment.exposures) == ("off", {})


def test_a_picture_is_written_as_it_comes(asking, pair, reference, tmp_path):
    report = asking.fuse_to(tmp_path / "out.png", pair)
    sink = io.BytesIO()
    asking.fuse_to(sink, pair)
    assert (tmp_path / "out.png").read_bytes() == sink.getvalue() == reference
    assert report.format == "png"
    fused = asking.fuse(pair)
    fused.save(tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == reference


def test_the_service_tells_about_itself(asking, weights):
    assert asking.health().status == "ok"
    assert asking.ready()
    assert asking.ready().reason == ""
    limits = asking.limits()
    assert (limits.max_body_bytes, limits.min_side_px) == (MAX_BODY_BYTES, 16)
    assert limits.model_extra["max_parts"] == 64
    version = asking.version()
    assert (version.service, version.device) == (package_version(), "cpu")
    assert asking.weights().default == weights
    assert asking.weights().names[weights] == weights


def test_a_client_keeps_its_connections(server, under, over):
    with Client(server.base_url) as client:
        answers = [client.fuse([under, over]).content for _ in range(2)]

    async def together():
        async with AsyncClient(server.base_url) as client:
            return await asyncio.gather(*(client.fuse([under, over]) for _ in range(3)))

    answers += [fused.content for fused in asyncio.run(together())]
    assert len(set(answers)) == 1


def test_headers_are_sent_with_every_request(server, under, over):
    with Client(server.base_url, headers={"X-Request-Id": "shoot-7"}) as client:
        assert client.fuse([under, over]).request_id == "shoot-7"


REFUSALS = {
    "image-damaged": (ImageError, lambda: images.truncated(images.encoded("jpeg")), {}),
    "unsupported-media-type": (ImageError, images.text_renamed, {}),
    "unsupported-image": (ImageError, images.tiff_multi_page, {}),
    "too-many-pixels": (TooLargeError, images.png_bomb, {}),
    "body-too-large": (TooLargeError, lambda: bytes(MAX_BODY_BYTES), {}),
    "exposure-mismatch": (ExposuresError, images.one_pixel, {}),
    "bad-option": (OptionError, images.encoded, {"quality": 500}),
    "not-acceptable": (OptionError, images.encoded, {}),
    "alignment-failed": (ExposuresError, None, {"align": "require"}),
}


@pytest.mark.parametrize("code", REFUSALS)
@pytest.mark.parametrize("kind", [Blocking, Awaited], ids=["sync", "async"])
def test_a_refusal_is_an_error_of_its_family(server, kind, under, code):
    family, make, options = REFUSALS[code]
    flat = [images.encoded(pixels=np.full((64, 64, 3), level, np.uint8)) for level in (90, 200)]
    pair = flat if make is None else [under, make()]
    headers = {"Accept": "text/html"} if code == "not-acceptable" else None
    with pytest.raises(family) as caught:
        kind(server.base_url, headers=headers).fuse(pair, **options)
    error = caught.value
    assert error.code == code
    assert error.type.endswith(code)
    assert 400 < error.status < 500
    assert error.title
    assert "expected" in error.detail
    assert len(error.request_id) == 32
    assert error.retry_after_s is None


def test_a_wrong_path_is_a_problem_of_the_request(server):
    with Client(f"{server.base_url}/elsewhere") as client, pytest.raises(RequestError) as caught:
        client.version()
    assert (caught.value.status, caught.value.title) == (404, "Not Found")


def test_a_service_that_has_no_room_says_when_to_come_again(weights, under, over, tmp_path):
    narrow = server_settings(weights) | {
        "EXPOFUSE_LIMITS__MAX_JOBS": "1",
        "EXPOFUSE_LIMITS__RETRY_AFTER_S": "1",
    }
    bright = images.encoded("jpeg", pixels=images.scene(1500, 2000, gain=1.0))
    # Each another one: equal requests at the same time are one fusion.
    large = [
        [images.encoded("jpeg", pixels=images.scene(1500, 2000, gain=0.3 + number / 50)), bright]
        for number in range(6)
    ]

    async def crowd(url, retries, pairs):
        async with AsyncClient(url, retries=retries, timeout_s=TIMEOUT_S) as client:
            asked = [client.fuse(pair) for pair in pairs]
            return await asyncio.gather(*asked, return_exceptions=True)

    with running_server(narrow, log_path=tmp_path / "log") as server:
        ended = asyncio.run(crowd(server.base_url, 0, large))
        refused = [one for one in ended if isinstance(one, BusyError)]
        assert refused
        assert {(one.status, one.code) for one in refused} == {(503, "queue-full")}
        assert all(1 <= one.retry_after_s <= 60 for one in refused)
        (late,) = asyncio.run(crowd(server.base_url, 5, [[under, over]]))
        assert late.width == 64


def test_a_service_that_does_not_get_done_says_so(weights, under, over, tmp_path):
    hasty = server_settings(weights) | {"EXPOFUSE_LIMITS__DEADLINE_S": "0.01"}
    with running_server(hasty, log_path=tmp_path / "log") as server:
        for kind in (Blocking, Awaited):
            with pytest.raises(DeadlineError) as caught:
                kind(server.base_url).fuse([under, over])
            assert (caught.value.status, caught.value.code) == (504, "deadline-passed")


class Page(HTMLParser):
    """The text of the cells, and the attributes of the pictures."""

    def __init__(self, text):
        super().__init__()
        self.cells, self.pictures, self.open_tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append(dict(attributes))
        else:
            self.open_tags.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        if "td" in self.open_tags:
            self.cells[-1] += data


def test_a_notebook_shows_the_picture_and_what_happened(asking):
    large = [images.png16(images.scene(120, 720, dtype=np.uint16, gain=g)) for g in (0.3, 1.0)]
    fused = asking.fuse([large[1], large[0], large[0]], format="tiff")
    page = Page(fused._repr_html_())
    assert page.open_tags == []
    (picture,) = page.pictures
    kind, _, content = picture["src"].partition(",")
    assert kind == "data:image/jpeg;base64"
    shown = Image.open(io.BytesIO(base64.b64decode(content)))
    assert shown.size == (640, 107)
    assert picture["alt"] == "fused picture, 720 x 120 pixels"
    assert abs(np.asarray(shown).mean() - fused.array().mean() / 257) < 3
    assert page.cells[0].startswith("tiff, 720 x 120, ")
    assert fused.weights in page.cells
    assert "exposure 3: duplicate" in page.cells
    assert fused.alignment.text in page.cells
    assert fused.request_id in page.cells


def test_a_notebook_is_shown_no_markup_of_the_service(asking, pair):
    fused = replace(asking.fuse(pair), weights="<script>alert(1)</script>")
    assert "<script" not in fused._repr_html_()
    assert "&lt;script" in fused._repr_html_()

import pytest

from expofuse.errors import OptionError
from expofuse.files.formats import EncodeOptions
from expofuse.files.headers import ImageHeader
from model.tiling import Rect
from service.errors import NotAcceptableError
from service.fusing.accept import (
    Picture,
    check_result,
    choose_encoding,
    choose_format,
    read_accept,
)
from service.fusing.options import FuseOptions
from service.processes.shared_memory import SharedDescriptor

BROWSER = "image/avif-none,image/webp,image/apng,*/*;q=0.8"
FORM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,image/apng,*/*;q=0.8"
JAVA = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


def choose(accept, first="jpeg", bits=8, side=400, least=None):
    return choose_format(None, accept, Picture(first, bits, side if least is None else least, side))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "jpeg"),
        (" , ,", "jpeg"),
        ("*/*", "jpeg"),
        ("image/*", "jpeg"),
        ("image/webp", "webp"),
        ("IMAGE/TIFF", "tiff"),
        ("image/jpg", "jpeg"),
        ("image/tif;q=0.9, image/x-png", "png"),
        ("image/png;q=0.4, image/webp;q=0.8", "webp"),
        ("image/png; Q=0.4 , image/webp ; q=0.3", "png"),
        ("image/png, image/webp", "png"),
        ("image/webp, image/png", "webp"),
        ("image/*;q=0.5, image/png;q=0.4", "jpeg"),
        ("image/jpeg;q=0.1, */*;q=0.3", "png"),
        ("image/jpeg;q=0, */*", "png"),
        ("image/jpeg;q=0, image/*, */*;q=0.1", "png"),
        ("image/*;q=0.2, */*;q=0", "jpeg"),
        ("image/png;q=7", "png"),
        ("image/png;q=no, image/webp;q=0.001", "webp"),
        ("image/png;q=nan, image/webp;q=1e-3, image/tiff;q=.5", "tiff"),
        ('image/png;level="1,2;q=0";q=0.5, image/webp;q=0.4', "png"),
        ("image/png;charset=x, */*", "png"),
        ("text/html, */*", "jpeg"),
        (FORM, "webp"),
        (BROWSER, "webp"),
        (JAVA, "jpeg"),
    ],
)
def test_the_most_welcome_format_is_taken(accept, expected):
    assert choose(accept) == expected


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "text/html",
        "image/gif, image/bmp",
        "*/*;q=0",
        "image/*;q=0, */*",
        "image/png;q=0",
        "image/png;q=0.0000",
        "image/png;q=no",
    ],
)
def test_where_nothing_is_welcome_the_answer_says_what_there_is(accept):
    with pytest.raises(NotAcceptableError, match="image/png, image/jpeg, image/webp, image/tiff"):
        choose(accept)


@pytest.mark.parametrize(
    ("accept", "first", "expected"),
    [
        ("", "png", "png"),
        ("", "tiff", "tiff"),
        ("*/*", "jpeg", "png"),
        (FORM, "png", "png"),
        (FORM, "tiff", "tiff"),
        (BROWSER, "png", "png"),
        (JAVA, "jpeg", "png"),
        ("image/webp, image/tiff;q=0.1", "png", "tiff"),
        ("image/webp, image/jpeg;q=0.5", "png", "webp"),
        ("image/webp, image/png;q=0, */*;q=0.1", "png", "tiff"),
    ],
)
def test_16_bits_are_kept_where_a_welcome_format_can(accept, first, expected):
    assert choose(accept, first, bits=16) == expected


def test_only_formats_that_hold_the_size_are_taken():
    assert choose(FORM, side=16_383) == "webp"
    assert choose(FORM, side=16_384) == "jpeg"
    assert choose(FORM, "webp", side=16_384) == "jpeg"
    assert choose("", side=65_536) == "png"
    with pytest.raises(NotAcceptableError, match="webp at most 16383 pixels\\), got one of 16384"):
        choose("image/webp, image/png;q=0", side=16_384)


def test_of_several_sizes_a_format_that_holds_all_is_preferred_to_one_that_may_hold_it():
    assert choose("image/webp, image/jpeg;q=0.5", side=16_384, least=300) == "jpeg"
    assert choose("image/webp", side=16_384, least=300) == "webp"


def test_the_option_wins_over_accept():
    assert choose_format("tiff", "image/png, */*;q=0", Picture("jpeg", 8, 4, 4)) == "tiff"


def test_a_long_header_is_read_in_no_time():
    assert len(list(read_accept("a/b;q=0.5," * 3000))) == 3000
    assert len(list(read_accept('"' * 30_000))) == 1
    assert len(list(read_accept('a/b;x="\\' * 5000))) >= 1


SMALL, LARGE = ImageHeader("webp", 3000, 16_000, 8), ImageHeader("png", 16_384, 3000, 8)
"""The second is too wide for a WebP file."""


@pytest.mark.parametrize("reference", [None, 2, 9])
def test_a_format_that_can_hold_the_picture_of_a_reference_is_taken(reference):
    options = FuseOptions(format="webp", reference=reference)
    encoding = choose_encoding(options, "", [LARGE, SMALL])
    assert encoding == EncodeOptions("webp", 90)
    assert choose_encoding(FuseOptions(reference=1), "", [SMALL, LARGE]).format == "webp"
    assert choose_encoding(FuseOptions(), "", [SMALL, LARGE]).format == "jpeg"


@pytest.mark.parametrize(
    ("reference", "headers"), [(None, [LARGE, LARGE]), (1, [LARGE, SMALL]), (2, [SMALL, LARGE])]
)
def test_a_format_that_can_hold_the_picture_in_no_case_is_refused_early(reference, headers):
    options = FuseOptions(format="webp", reference=reference)
    with pytest.raises(OptionError, match="at most 16383 pixels for webp, got 16384x3000"):
        choose_encoding(options, "", headers)
    cropped = FuseOptions(format="webp", reference=reference, crop="common")
    assert choose_encoding(cropped, "", headers).format == "webp"


def test_the_deepest_exposure_decides():
    headers = [ImageHeader("jpeg", 64, 48, 8), ImageHeader("png", 64, 48, 16)]
    assert choose_encoding(FuseOptions(), FORM, headers).format == "png"


def test_the_size_of_the_result_is_judged_once_it_is_known():
    exposure = SharedDescriptor("block", (3000, 16_384, 3), "uint8")
    check_result(EncodeOptions("jpeg"), exposure, None)
    check_result(EncodeOptions("webp"), exposure, Rect(0, 1, 3000, 16_383))
    for frame in (None, Rect(0, 0, 2999, 16_384)):
        with pytest.raises(OptionError, match="at most 16383 pixels for webp"):
            check_result(EncodeOptions("webp"), exposure, frame)


def test_a_slow_format_is_taken_only_where_it_is_preferred():
    picture = Picture("jpeg", 8, 400, 400)
    browser = "image/avif,image/webp,image/apng,*/*;q=0.8"
    assert choose_format(None, browser, picture) == "webp"
    assert choose_format(None, "image/avif, image/webp;q=0.9", picture) == "avif"
    assert choose_format(None, "image/avif", picture) == "avif"


def test_the_depth_asked_for_chooses_among_the_formats():
    headers = [ImageHeader("jpeg", 400, 300, 8)] * 2
    assert choose_encoding(FuseOptions(bits=16), "image/jpeg, image/png", headers).format == "png"
    assert choose_encoding(FuseOptions(bits=8), "image/jpeg, image/png", headers).format == "jpeg"

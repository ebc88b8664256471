import pytest
from starlette.datastructures import QueryParams

from expofuse.errors import OptionError
from expofuse.files.formats import EncodeOptions
from expofuse.files.headers import ImageHeader
from model.tiling import Rect
from service.http.options import (
    FuseOptions,
    check_result,
    choose_encoding,
    choose_format,
    choose_weights,
    parse_options,
)
from service.processes.shared_memory import SharedDescriptor
from service.served_weights import ServedWeights

SERVED = [
    ServedWeights(name, version, "hyperp-mb", "", "over", "float32")
    for name, version in (("b", "1.9.0"), ("a", "2.0.0"), ("b", "1.10.0"), ("b", "1.2.3"))
]


def parse(query="", **fields):
    return parse_options(QueryParams(query), fields)


def test_defaults():
    assert parse() == FuseOptions(format=None, quality=90, align="auto")


def test_options_come_from_the_query_and_from_the_form():
    options = parse("format=png&align=off", quality="7", weights="net")
    assert options == FuseOptions(format="png", quality=7, align="off", weights="net")


@pytest.mark.parametrize(
    ("query", "fields", "sentence"),
    [
        ("bogus=1", {}, "got an unknown one"),
        ("format=gif", {}, "png, jpeg, webp, tiff"),
        ("format=PNG", {}, "png, jpeg, webp, tiff"),
        ("quality=0", {}, "from 1 to 100"),
        ("quality=101", {}, "from 1 to 100"),
        ("quality=4.5", {}, "from 1 to 100"),
        ("quality=", {}, "from 1 to 100"),
        ("quality=٣", {}, "from 1 to 100"),
        ("align=maybe", {}, "auto, off, require"),
        ("crop=some", {}, "none, common"),
        ("align=off&align=off", {}, "'align' once"),
        ("align=off", {"align": "off"}, "'align' once"),
    ],
)
def test_a_wrong_option_is_refused_and_its_value_is_not_repeated(query, fields, sentence):
    with pytest.raises(OptionError, match=sentence) as caught:
        parse(query, **fields)
    for value in ("gif", "maybe", "bogus", "4.5"):
        assert value not in caught.value.message


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "jpeg"),
        ("*/*", "jpeg"),
        ("image/*", "jpeg"),
        ("image/webp", "webp"),
        ("IMAGE/TIFF", "tiff"),
        ("image/png;q=0.4, image/webp;q=0.8", "webp"),
        ("image/png;q=0", "jpeg"),
        ("image/png;q=no", "jpeg"),
        ("image/avif, text/html;level=1", "jpeg"),
        ("image/png;charset=x, */*", "png"),
        ("", "jpeg"),
    ],
)
def test_the_format_follows_accept_and_else_the_under_exposure(accept, expected):
    assert choose_format(FuseOptions(), accept, "jpeg") == expected


def test_the_option_wins_over_accept():
    assert choose_format(FuseOptions(format="tiff"), "image/png", "jpeg") == "tiff"


SMALL, LARGE = ImageHeader("webp", 3000, 16_000, 8), ImageHeader("png", 16_384, 3000, 8)
"""The second is too wide for a WebP file."""


@pytest.mark.parametrize("reference", [None, 2, 9])
def test_a_format_that_can_hold_the_picture_of_a_reference_is_taken(reference):
    options = FuseOptions(format="webp", reference=reference)
    encoding = choose_encoding(options, None, [LARGE, SMALL])
    assert encoding == EncodeOptions("webp", 90)
    assert choose_encoding(FuseOptions(), None, [SMALL, LARGE]) == EncodeOptions("webp", 90)


@pytest.mark.parametrize(
    ("reference", "headers"), [(None, [LARGE, LARGE]), (1, [LARGE, SMALL]), (2, [SMALL, LARGE])]
)
def test_a_format_that_can_hold_the_picture_in_no_case_is_refused_early(reference, headers):
    options = FuseOptions(format="webp", reference=reference)
    with pytest.raises(OptionError, match="at most 16383 pixels for webp, got 16384x3000"):
        choose_encoding(options, None, headers)
    cropped = FuseOptions(format="webp", reference=reference, crop="common")
    assert choose_encoding(cropped, None, headers).format == "webp"


def test_the_size_of_the_result_is_judged_once_it_is_known():
    exposure = SharedDescriptor("block", (3000, 16_384, 3), "uint8")
    check_result(EncodeOptions("jpeg"), exposure, None)
    check_result(EncodeOptions("webp"), exposure, Rect(0, 1, 3000, 16_383))
    for frame in (None, Rect(0, 0, 2999, 16_384)):
        with pytest.raises(OptionError, match="at most 16383 pixels for webp"):
            check_result(EncodeOptions("webp"), exposure, frame)


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (None, "b-1.9.0"),
        ("b", "b-1.10.0"),
        ("b-1.9.0", "b-1.9.0"),
        ("b-1.2.3", "b-1.2.3"),
        ("a", "a-2.0.0"),
        ("a-2.0.0", "a-2.0.0"),
    ],
)
def test_weights_are_a_label_or_a_name_of_which_the_highest_version_is_taken(given, label):
    assert choose_weights(FuseOptions(weights=given), SERVED).label == label


@pytest.mark.parametrize(
    "given", ["", "c", "A", "b-1", "b-1.9", "b-1.9.1", "../a-2.0.0", "a-2.0.0 "]
)
def test_weights_that_are_not_loaded_are_refused_with_those_that_are(given):
    with pytest.raises(OptionError) as caught:
        choose_weights(FuseOptions(weights=given), SERVED)
    assert caught.value.message == (
        "expected weights as one of b-1.9.0, a-2.0.0, b-1.10.0, b-1.2.3, b, a, got another"
    )

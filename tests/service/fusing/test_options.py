import pytest
from starlette.datastructures import QueryParams

from expofuse.errors import OptionError
from expofuse.files.formats import EncodeOptions
from service.fusing.options import (
    FuseOptions,
    choose_weights,
    parse_options,
)
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
        ("bogus=1", {}, "weights, got 'bogus'"),
        ("format=gif", {}, "jpeg, png, webp, tiff, avif"),
        ("quality=0", {}, "from 1 to 100"),
        ("quality=101", {}, "from 1 to 100"),
        ("quality=4.5", {}, "from 1 to 100"),
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
    for value in ("gif", "maybe", "4.5"):
        assert value not in caught.value.message


@pytest.mark.parametrize("value", ["jpeg", "jpg", "JPG", "Jpeg"])
def test_a_format_may_be_spelt_as_files_are_named(value):
    assert parse(f"format={value}").format == "jpeg"
    assert parse(format=value).format == "jpeg"
    assert parse("format=TIF").format == "tiff"


def test_an_empty_value_is_none():
    assert parse("format=&quality=&align=&weights=&reference=&crop=&ghosts=") == FuseOptions()
    assert parse("align=&align=off").align == "off"
    assert parse("align=", align="off").align == "off"


@pytest.mark.parametrize("name", ["Format", "a<b>", "x" * 65, "ä"])
def test_an_unknown_option_is_named_where_its_name_is_harmless(name):
    with pytest.raises(OptionError) as caught:
        parse(f"{name}=1")
    assert caught.value.message.endswith("got 'Format'" if name == "Format" else "an unknown one")


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


def test_how_the_file_is_written_can_be_asked_for():
    query = QueryParams(
        "bit_depth=16&subsampling=420&progressive=true&metadata=no-gps&profile=keep&quality=80"
    )
    encoding = parse_options(query, {}).encode_as("png")
    assert encoding == EncodeOptions("png", 80, 16, "420", True, "no-gps", "keep")
    assert parse_options(QueryParams("bit_depth=auto"), {}).encode_as("jpeg") == EncodeOptions(
        "jpeg"
    )


@pytest.mark.parametrize(
    "query", ["bit_depth=12", "subsampling=411", "progressive=1", "metadata=none", "profile=p3"]
)
def test_a_value_that_an_option_of_the_file_lacks_is_refused(query):
    with pytest.raises(OptionError, match="as one of"):
        parse_options(QueryParams(query), {})

"""Prices: what is dear must not be taken for cheap because it comes in few bytes."""

import pytest

from expofuse.files.formats import OUTPUT_FORMATS, EncodeOptions
from expofuse.files.headers import ImageHeader
from expofuse.files.headers.sniff import READ_FORMATS
from service.fusing.options import FuseOptions
from service.fusing.price import DECODE_MEGAPIXEL_S, ENCODE_MEGAPIXEL_S, price_work


def price(count=2, side=2000, bits=8, form="jpeg", written="jpeg", written_bits=None, **options):
    headers = [ImageHeader(form, side, side, bits)] * count
    encoding = EncodeOptions(written, bits=written_bits)
    return price_work(headers, FuseOptions(**options), encoding)


def total(**what):
    return sum(price(**what).values())


def test_every_format_that_is_read_or_written_has_a_price():
    assert set(ENCODE_MEGAPIXEL_S) == set(OUTPUT_FORMATS)
    assert len(DECODE_MEGAPIXEL_S) >= len(READ_FORMATS)


@pytest.mark.parametrize(
    "dearer",
    [
        {"count": 3},
        {"side": 3000},
        {"bits": 16, "form": "png"},
        {"form": "raw"},
        {"written": "avif"},
        {"written": "jxl"},
        {"written": "png"},
    ],
)
def test_more_work_costs_more(dearer):
    assert total(**dearer) > total()


@pytest.mark.parametrize("cheaper", [{"align": "off"}, {"ghosts": "off"}])
def test_what_is_not_done_costs_nothing(cheaper):
    assert total(**cheaper) < total()
    assert price(align="off", ghosts="off")["align"] == 0.0


def test_deep_files_are_dear_to_write():
    assert price(written="png", written_bits=16)["encode"] > price(written="png")["encode"]
    assert price(bits=16, form="tiff", written="tiff")["encode"] > price(written="tiff")["encode"]


def test_three_tiny_files_of_50_megapixels_are_priced_by_their_pixels():
    bomb, small = total(side=7071, form="webp"), total(side=550, align="off", ghosts="off")
    assert bomb > 20 * small

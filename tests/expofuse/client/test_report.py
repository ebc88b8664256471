"""The client reads of every header what the service writes into it."""

import pytest

from expofuse.client.report import read_alignment, read_report
from model.describe import (
    describe_alignment,
    describe_frame,
    describe_order,
    describe_unused,
    summarise_alignment,
)
from model.exposure import IDENTITY, AlignmentReport, StackAlignment
from model.tiling import Rect

APPLIED = AlignmentReport("homography", IDENTITY, 48, 0.875, 3.25, None)
STILL = AlignmentReport("identity", IDENTITY, 50, 1.0, 0.04, None)
REFUSED = AlignmentReport("identity", IDENTITY, 0, 0.0, 0.0, "few_matches")
RESIZED = AlignmentReport("homography", IDENTITY, 48, 0.875, 3.25, None, own_size=(4000, 3000))


def headers(order=(0, 1), useless=None, alignment=None, frame=None, pairs=False, **others):
    useless = useless or {}
    used = tuple(index for index in order if index not in useless)
    return {
        "content-type": "image/png",
        "x-expofuse-weights": "pyramid-blend-2.1.0",
        "x-expofuse-alignment": describe_alignment(alignment, used),
        "x-expofuse-exposure-order": describe_order(order),
        "x-expofuse-unused": describe_unused(useless, used, is_for_pairs=pairs),
        "x-expofuse-reference": str(used[alignment.reference if alignment else 0] + 1),
        "x-expofuse-frame": describe_frame(frame),
        "x-expofuse-ghosts": "auto; replaced=0.0312",
        "x-expofuse-dropped": "none",
        "server-timing": "receive;dur=1.5, decode;dur=20.0",
        "x-request-id": "id-1",
    } | {f"x-expofuse-{name}": value for name, value in others.items()}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (2, 0, 1), (8, 7, 6, 5, 4, 3, 2, 1, 0)])
def test_the_order_is_read(order):
    report = read_report(headers(order))
    assert report.order == report.used == report.fused == order
    assert (report.unused, report.reference) == ({}, order[0])
    assert (report.alignment.outcome, report.alignment.exposures) == ("off", {})
    assert (report.format, report.weights, report.request_id) == (
        *("png", "pyramid-blend-2.1.0", "id-1"),
    )
    assert report.timings_ms == {"receive": 1.5, "decode": 20.0}
    assert (report.ghosts.mode, report.ghosts.replaced_share) == ("auto", 0.0312)


def test_what_is_left_out_is_read():
    told = headers((4, 3, 0, 1, 2), {4: "blank", 1: "duplicate"}, pairs=True)
    report = read_report(told)
    assert report.unused == {4: "blank", 1: "duplicate", 0: "surplus"}
    assert report.used == (3, 0, 2)
    assert report.fused == (3, 2)


@pytest.mark.parametrize("frame", [None, (3, 2, 17, 8)])
def test_the_frame_is_read(frame):
    rect = frame and Rect(left=frame[0], top=frame[1], width=frame[2], height=frame[3])
    assert read_report(headers(frame=rect)).frame == frame


def test_what_files_held_besides_is_read():
    told = headers(dropped="1=gain-map; 2=gain-map+second-view")
    assert read_report(told).dropped == {0: ("gain-map",), 1: ("gain-map", "second-view")}


@pytest.mark.parametrize("reference", [0, 1])
@pytest.mark.parametrize("one", [APPLIED, STILL, REFUSED, RESIZED])
def test_the_alignment_of_a_pair_is_read(one, reference):
    order = (1, 0)
    reports = (None, one) if reference == 0 else (one, None)
    alignment = StackAlignment(reference, reports)
    found = read_report(headers(order, alignment=alignment)).alignment
    assert found.outcome == summarise_alignment(alignment)
    assert str(found) == found.text == describe_alignment(alignment, order)
    ((index, read),) = found.exposures.items()
    assert index == order[1 - reference]
    assert read.outcome == ("refused" if one.refused else one.model)
    assert (read.reason, read.resized_from) == (one.refused, one.own_size)
    if one.refused is None:
        assert read.figures == {
            "inliers": one.inliers,
            "ratio": one.inlier_ratio,
            "max-corner-shift-px": one.max_corner_shift_px,
        }


def test_the_alignment_of_a_bracket_is_read():
    order = (3, 1, 4, 0, 2)
    alignment = StackAlignment(2, (APPLIED, RESIZED, None, REFUSED, STILL))
    found = read_report(headers(order, alignment=alignment)).alignment
    assert found.outcome == "refused"
    told = {
        index: (one.outcome, one.reason, one.resized_from) for index, one in found.exposures.items()
    }
    assert told == {
        3: ("homography", None, None),
        1: ("homography", None, (4000, 3000)),
        0: ("refused", "few_matches", None),
        2: ("identity", None, None),
    }


def test_one_exposure_that_adds_something_is_aligned_to_none():
    text = describe_alignment(StackAlignment(0, (None,)), (1,))
    found = read_alignment(text, used=(1,), reference=1)
    assert (found.outcome, found.exposures) == ("identity", {})


@pytest.mark.parametrize(
    "change",
    [
        {"content-type": "text/html"},
        {"content-type": "image/gif"},
        {"x-expofuse-exposure-order": "one"},
        {"x-expofuse-frame": "1,2,3"},
        {"x-expofuse-ghosts": "auto"},
    ],
)
def test_a_header_that_says_something_else_is_an_error(change):
    with pytest.raises(ValueError):  # noqa: PT011
        read_report(headers() | change)


def test_every_header_is_needed():
    for name in headers():
        with pytest.raises(KeyError, match=name):
            read_report({key: value for key, value in headers().items() if key != name})

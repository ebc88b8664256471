"""Aligning and fusing on arrays: the three modes, and an alignment that is found elsewhere."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from model.errors import AlignmentError
from model.fuse import align_as_asked, fuse_pair
from model.pipeline import create_pipeline
from model.release.weights import load_weights
from tests.paths import ROOT


@pytest.fixture(scope="module")
def pipeline(blend_weights_dir):
    return create_pipeline(load_weights(blend_weights_dir), device="cpu", threads=1)


class Finder:
    """Gives one report, and remembers what it was asked."""

    def __init__(self, report):
        self.report = report
        self.asked = []

    def __call__(self, pair, *, reference):
        self.asked.append((pair, reference))
        return self.report


@pytest.mark.parametrize("mode", ["auto", "require"])
@pytest.mark.parametrize("reference", ["under", "over"])
def test_what_is_found_is_applied_and_told(pipeline, make_scene, tilted, mode, reference):
    pair, find = make_scene(61, 131), Finder(dataclasses.replace(tilted, reference=reference))
    fusion = fuse_pair(pair, pipeline, align=mode, reference=reference, find_alignment=find)
    assert fusion.alignment is find.report
    assert find.asked == [(pair, reference)]
    np.testing.assert_array_equal(fusion.picture, pipeline.fuse(pair, find.report))


def test_off_does_not_look(pipeline, make_scene, tilted):
    pair, find = make_scene(61, 131), Finder(tilted)
    fusion = fuse_pair(pair, pipeline, align="off", find_alignment=find)
    assert fusion.alignment is None
    assert find.asked == []
    np.testing.assert_array_equal(fusion.picture, pipeline.fuse(pair))


def test_a_refused_alignment_is_an_error_only_where_one_is_required(make_scene, tilted):
    refused = Finder(dataclasses.replace(tilted, model="identity", refused="uncertain"))
    pair = make_scene(20, 30)
    assert align_as_asked(pair, mode="auto", find_alignment=refused) is refused.report
    with pytest.raises(AlignmentError, match="refused for uncertain"):
        align_as_asked(pair, mode="require", find_alignment=refused)


def test_a_report_describes_itself_on_one_line(tilted):
    assert tilted.describe() == (
        "homography; inliers=99; ratio=0.900; max-corner-shift-px=5.00; reference=over"
    )
    refused = dataclasses.replace(tilted, refused="few_matches")
    assert refused.describe() == "refused; reason=few_matches"


def test_aligning_alone_loads_no_torch():
    code = "import sys, model.fuse; assert not {'torch', 'onnxruntime'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

"""Aligning and fusing on arrays: the three modes, and an alignment that is found elsewhere."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from model.describe import describe_alignment, summarise_alignment
from model.errors import AlignmentError, ExposureError
from model.exposure import StackAlignment
from model.fuse import fuse_stack
from model.pipeline import create_pipeline
from model.register import align_as_asked, register
from model.release.weights import load_weights
from model.selection import find_wanted
from tests.paths import ROOT


@pytest.fixture(scope="module")
def pipeline(blend_weights_dir):
    return create_pipeline(load_weights(blend_weights_dir), device="cpu", threads=1)


class Finder:
    """Gives the reports of a pair, and remembers what it was asked."""

    def __init__(self, *reports):
        self.reports = reports
        self.asked = []

    def __call__(self, exposures, reference):
        self.asked.append((exposures, reference))
        return self.reports


@pytest.mark.parametrize("mode", ["auto", "require"])
@pytest.mark.parametrize("reference", [0, 1])
def test_what_is_found_is_told(make_scene, tilt, mode, reference):
    pair = make_scene(61, 131)
    find = Finder(None, tilt) if reference == 0 else Finder(tilt, None)
    found = align_as_asked(pair, mode=mode, reference=reference, find_alignment=find)
    assert found == StackAlignment(reference, find.reports)
    assert find.asked == [(pair.exposures, reference)]


@pytest.mark.parametrize("mode", ["auto", "require"])
@pytest.mark.parametrize("reference", [0, 1])
def test_what_is_found_is_applied_and_told(pipeline, make_scene, tilt, mode, reference):
    pair = make_scene(61, 131)
    reports = (None, tilt) if reference == 0 else (tilt, None)
    fusion = fuse_stack(
        pair,
        pipeline,
        align=mode,
        ghosts="off",
        wanted=reference + 1,
        find_alignment=Finder(*reports),
    )
    registration = fusion.registered.registration
    assert registration.alignment == StackAlignment(reference, reports)
    assert registration.reference == reference
    np.testing.assert_array_equal(
        fusion.picture, pipeline.fuse(pair, fusion.registered.registration)
    )
    assert (fusion.picture != pipeline.fuse(pair)).any()


def test_off_does_not_look(pipeline, make_scene, tilt):
    pair, find = make_scene(61, 131), Finder(tilt, None)
    assert align_as_asked(pair, mode="off", reference=1, find_alignment=find) is None
    assert find.asked == []
    fusion = fuse_stack(pair, pipeline, align="off", ghosts="off", find_alignment=find)
    assert find.asked == []
    assert fusion.registered.registration.alignment is None
    np.testing.assert_array_equal(fusion.picture, pipeline.fuse(pair))


def test_a_refused_alignment_is_an_error_only_where_one_is_required(make_scene, tilt):
    refused = Finder(dataclasses.replace(tilt, model="identity", refused="uncertain"), None)
    pair = make_scene(20, 30)
    found = align_as_asked(pair, mode="auto", reference=1, find_alignment=refused)
    assert found.reports is refused.reports
    assert found.refused == ("uncertain",)
    with pytest.raises(AlignmentError, match="refused for uncertain"):
        align_as_asked(pair, mode="require", reference=1, find_alignment=refused)


def test_one_exposure_of_a_stack_that_is_refused_is_enough_where_alignment_is_required(
    make_stack, tilt
):
    refused = dataclasses.replace(tilt, model="identity", refused="few_matches")
    find, stack = Finder(tilt, None, refused), make_stack(3, 20, 30)
    found = align_as_asked(stack, mode="auto", reference=1, find_alignment=find)
    assert summarise_alignment(found) == "refused"
    with pytest.raises(AlignmentError, match=r"refused for few_matches$"):
        align_as_asked(stack, mode="require", reference=1, find_alignment=find)


def test_the_reference_is_the_one_wanted_as_given(make_stack):
    stack = make_stack(3, 20, 30, order=(2, 0, 1))
    for number, index in ((3, 0), (1, 1), (2, 2)):
        assert find_wanted(stack, number) == index
        found = register(stack, align="off", ghosts="off", wanted=number)
        assert found.registration.reference == index
    assert find_wanted(stack, None) is None


@pytest.mark.parametrize("number", [0, -1, 6])
def test_a_reference_that_is_not_there_is_refused(make_stack, number):
    with pytest.raises(ExposureError, match=f"reference from 1 to 5, got {number}"):
        find_wanted(make_stack(5, 20, 30), number)


def test_an_alignment_describes_itself_on_one_line(tilt, tilted):
    figures = "homography; inliers=99; ratio=0.900; max-corner-shift-px=5.00"
    assert describe_alignment(tilted, (0, 1)) == f"{figures}; reference=over"
    assert describe_alignment(StackAlignment(0, (None, tilt)), (0, 1)) == (
        f"{figures}; reference=under"
    )
    refused = dataclasses.replace(tilt, refused="few_matches")
    one = StackAlignment(1, (refused, None))
    assert describe_alignment(one, (0, 1)) == "refused; reason=few_matches"
    assert describe_alignment(None, (0, 1)) == "off"


def test_an_alignment_of_a_stack_names_its_exposures_as_they_were_given(tilt):
    still = dataclasses.replace(tilt, model="identity")
    refused = dataclasses.replace(still, refused="few_matches")
    found = StackAlignment(1, (tilt, None, still))
    assert describe_alignment(found, (2, 0, 1)) == "homography; 2=identity; 3=homography"
    assert describe_alignment(StackAlignment(1, (refused, None, still)), (2, 0, 1)) == (
        "refused; 2=identity; 3=refused; reason=few_matches"
    )
    assert summarise_alignment(StackAlignment(1, (still, None, still))) == "identity"


@pytest.mark.parametrize("module", ["model.fuse", "service.codec.child"])
def test_aligning_alone_loads_no_torch(module):
    code = f"import sys, {module}; assert not {{'torch', 'onnxruntime'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

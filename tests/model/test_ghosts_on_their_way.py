"""What moved, and what only the reference covers, on its way from the exposures to the picture."""

import dataclasses

import cv2
import numpy as np
import pytest

from model.blend.pipeline import BlendPipeline
from model.exposure import AlignmentReport, ExposureStack, StackAlignment
from model.fuse import fuse_stack
from model.ghosts.packing import pack_ghost, unpack_ghost
from model.register import register
from model.registration import Registration
from tests import images
from tests.model.blend.test_pipeline import BY_WINDOWS, make_maker

SIZE = (240, 320)
TILE_PX = 64


def bracket(count=3, dtype=np.uint8):
    """Exposures of a textured scene, and the same with a disc that moved in the darkest."""
    rng = np.random.default_rng(1)
    texture = cv2.resize(rng.random((60, 80, 3)).astype(np.float32), SIZE[::-1])
    full = np.iinfo(dtype).max
    gains = np.geomspace(0.25, 1.0, count)

    def shoot(radiance, gain):
        return np.rint(np.clip(radiance * gain, 0, 1) ** (1 / 2.2) * full).astype(dtype)

    still = [shoot(0.1 + 0.8 * texture, gain) for gain in gains]
    moved_scene = 0.1 + 0.8 * texture
    disc = np.zeros(SIZE, np.uint8)
    cv2.circle(disc, (200, 120), 40, 1, -1)
    moved_scene[disc > 0] = (0.9, 0.1, 0.1)
    moved = [shoot(moved_scene, gains[0]), *still[1:]]
    return still, moved, disc > 0


@pytest.fixture(params=[*BY_WINDOWS, "fused"])
def pipeline(request, blend_network, host_launcher):
    engine = make_maker(request.param, host_launcher)(blend_network)
    return BlendPipeline(engine, tile_px=TILE_PX)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_moved_is_taken_from_the_reference(pipeline, count, dtype):
    still, moved, region = bracket(count, dtype)
    truth, ghosted, freed = (
        fuse_stack(ExposureStack.from_images(images_), pipeline, align="off", ghosts=mode)
        for images_, mode in ((still, "off"), (moved, "off"), (moved, "auto"))
    )

    def error(fusion):
        off = fusion.picture.astype(float) - truth.picture
        return np.abs(off[region]).mean() / np.iinfo(dtype).max

    assert error(freed) < 0.3 * error(ghosted)
    assert 0 < freed.registered.registration.replaced_share < 0.3
    assert (
        fuse_stack(
            ExposureStack.from_images(still), pipeline, align="off"
        ).registered.registration.replaced_share
        < 0.01
    )


def test_windows_see_the_same_ghosts_as_the_whole(pipeline):
    _, moved, _ = bracket()
    stack = ExposureStack.from_images(moved)
    registration = register(stack, align="off", ghosts="auto").registration
    whole = BlendPipeline(pipeline.engine, tile_px=1024).fuse(stack, registration)
    tiled = pipeline.fuse(stack, registration)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_a_map_crosses_processes_without_loss():
    _, moved, _ = bracket()
    stack = ExposureStack.from_images(moved)
    (ghost,) = (
        one for one in register(stack, align="off", ghosts="auto").registration.ghosts if one
    )
    back = unpack_ghost(pack_ghost(ghost))
    np.testing.assert_array_equal(back.mask, ghost.mask)
    assert dataclasses.replace(back, mask=ghost.mask).curve == ghost.curve
    assert (back.trust, back.share) == (ghost.trust, ghost.share)


@pytest.mark.parametrize("ghosts", ["auto", "off"])
def test_what_only_the_reference_covers_is_taken_from_it(pipeline, ghosts):
    """A shifted exposure leaves an edge uncovered, which must not become streaks."""
    under, over = (images.scene(*SIZE, gain=gain) for gain in (0.3, 1.0))
    shift = (1.0, 0.0, 40.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    report = AlignmentReport("homography", shift, 99, 1.0, 40.0, None)
    moved = np.roll(under, -40, axis=1)
    stack = ExposureStack((moved, over), (0, 1))
    fused = fuse_stack(
        stack, pipeline, ghosts=ghosts, find_alignment=lambda *_: (report, None)
    ).picture
    truth = pipeline.fuse(ExposureStack((under, over), (0, 1)))
    edge = np.abs(fused[:, :36].astype(int) - truth[:, :36]).mean()
    warped = Registration(1, StackAlignment(1, (report, None)))
    streaks = np.abs(pipeline.fuse(stack, warped)[:, :36].astype(int) - truth[:, :36]).mean()
    assert edge < 0.5 * streaks
    assert edge < 6

import cv2
import numpy as np
import pytest

from trainer.data.panorama import View, read_panorama, render_view, sample_view
from trainer.errors import DataError


def direction_panorama(height: int = 256) -> np.ndarray:
    """A panorama whose colour is its direction, shifted to be positive: x, y up, z ahead."""
    rows = (np.arange(height) + 0.5) / height
    columns = (np.arange(2 * height) + 0.5) / (2 * height)
    longitude, latitude = np.meshgrid((columns - 0.5) * 2 * np.pi, (0.5 - rows) * np.pi)
    axes = (
        np.cos(latitude) * np.sin(longitude),
        np.sin(latitude),
        np.cos(latitude) * np.cos(longitude),
    )
    return (np.stack(axes, axis=2) + 1).astype(np.float32)


def centre(view: View) -> np.ndarray:
    return render_view(direction_panorama(), view, 65)[32, 32] - 1


@pytest.mark.parametrize(
    ("yaw", "pitch", "expected"),
    [
        (0.0, 0.0, (0, 0, 1)),
        (np.pi / 2, 0.0, (1, 0, 0)),
        (np.pi, 0.0, (0, 0, -1)),
        (0.0, 0.5, (0, np.sin(0.5), np.cos(0.5))),
    ],
)
def test_the_middle_of_a_view_looks_where_it_is_told(yaw, pitch, expected):
    np.testing.assert_allclose(centre(View(yaw, pitch, 0.0, 1.5)), expected, atol=0.01)


def test_the_edge_of_a_view_lies_half_the_field_of_view_from_its_middle():
    rendered = render_view(direction_panorama(), View(0.0, 0.0, 0.0, np.pi / 2), 257) - 1
    angle = np.arctan2(rendered[128, -1, 0], rendered[128, -1, 2])
    assert angle == pytest.approx(np.pi / 4, abs=0.01)
    assert rendered[0, 128, 1] > 0.6  # the top row looks up
    assert rendered[128, 0, 0] < -0.6  # the left column looks left


def test_the_seam_behind_the_camera_leaves_no_trace():
    rendered = render_view(direction_panorama(), View(np.pi, 0.1, 0.0, 1.2), 65)
    steps = np.abs(np.diff(rendered, axis=1)).max()
    assert steps < 0.05


def test_roll_turns_the_horizon():
    rendered = render_view(direction_panorama(), View(0.0, 0.0, 0.3, 1.5), 65) - 1
    up_left, up_right = rendered[32, 0, 1], rendered[32, -1, 1]
    assert abs(up_left - up_right) > 0.3


def test_views_are_drawn_within_the_asked_field_of_view():
    rng = np.random.default_rng(0)
    views = [sample_view(rng, (80.0, 115.0)) for _ in range(200)]
    fields = np.rad2deg([view.field_of_view for view in views])
    assert 80 <= fields.min() < 84 < 111 < fields.max() <= 115


def test_reading_refuses_what_is_no_panorama(tmp_path):
    path = tmp_path / "square.hdr"
    cv2.imwrite(str(path), np.ones((64, 64, 3), np.float32))
    with pytest.raises(DataError, match="2:1"):
        read_panorama(path)
    with pytest.raises(DataError, match="2:1"):
        read_panorama(tmp_path / "none.hdr")

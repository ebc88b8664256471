import numpy as np
import pytest
import torch

from model.lightness.torch_network import FusionNetwork
from model.tiling import Rect, Window, plan_grid_windows, plan_windows

SIZES = [
    (1, 1),
    (16, 16),
    (16, 300),
    (17, 33),
    (31, 32),
    (32, 32),
    (33, 97),
    (97, 131),
    (300, 19),
    (257, 193),
    (400, 90),
]


@pytest.mark.parametrize("tile_px", [5, 40, 192])
@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("halo_px", [0, 7, 8])
def test_cores_partition_the_picture(height, width, halo_px, tile_px):
    written = np.zeros((height, width), int)
    for window in plan_windows(height, width, halo_px=halo_px, tile_px=tile_px):
        written[window.core.slices] += 1
    assert (written == 1).all()


@pytest.mark.parametrize("tile_px", [8, 40, 192])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_core_has_its_halo_or_the_pictures_border_around_it(height, width, tile_px):
    halo = 8
    picture = Rect(0, 0, height, width)
    for window in plan_windows(height, width, halo_px=halo, tile_px=tile_px):
        assert picture.contains(window.source)
        if window.kind == "interior":
            assert window.source.shrunk(halo).contains(window.core)
            continue
        source, core = window.source, window.core
        assert source.top == 0 or core.top - source.top >= halo
        assert source.left == 0 or core.left - source.left >= halo
        assert source.bottom == height or source.bottom - core.bottom >= halo
        assert source.right == width or source.right - core.right >= halo


@pytest.mark.parametrize(("height", "width"), [(97, 131), (1000, 903), (3000, 4000)])
def test_windows_of_a_picture_have_three_shapes_at_most(height, width):
    windows = plan_windows(height, width, halo_px=8, tile_px=192)
    assert len({window.batch_key for window in windows}) == 3
    assert len({window.batch_key for window in windows if window.kind == "interior"}) == 1


@pytest.mark.parametrize(("height", "width"), [(16, 60000), (60000, 20), (3000, 4000), (193, 5000)])
def test_no_window_reads_more_pixels_than_the_largest_tile(height, width):
    for window in plan_windows(height, width, halo_px=8, tile_px=192):
        assert window.source.height * window.source.width <= (192 + 16) ** 2


def test_only_a_thin_frame_is_a_border():
    windows = plan_windows(1000, 1000, halo_px=8, tile_px=192)
    border = [window for window in windows if window.kind == "border"]
    kept = sum(window.core.height * window.core.width for window in border)
    assert kept == 1000 * 1000 - (1000 - 16) ** 2


def test_a_small_picture_is_one_border_window():
    whole = Rect(0, 0, 31, 40)
    assert plan_windows(31, 40, halo_px=8, tile_px=192) == (Window("border", whole, whole),)


def test_a_plan_without_halo_has_no_border():
    windows = plan_windows(50, 70, halo_px=0, tile_px=32)
    assert {window.kind for window in windows} == {"interior"}


@pytest.mark.parametrize(
    ("height", "width", "halo_px", "tile_px"),
    [(0, 5, 8, 64), (5, 0, 8, 64), (5, 5, -1, 64), (5, 5, 8, 0)],
)
def test_arguments_out_of_range_are_refused(height, width, halo_px, tile_px):
    with pytest.raises(ValueError, match=f"got {width}x{height}, tile {tile_px}, halo {halo_px}"):
        plan_windows(height, width, halo_px=halo_px, tile_px=tile_px)


def fuse_padded(network: FusionNetwork, planes: torch.Tensor, halo_px: int) -> torch.Tensor:
    """Run every window with reflection, so that only the halo keeps the spoiled pixels out."""
    height, width = planes.shape[-2:]
    fused = torch.full((height, width), torch.nan, dtype=planes.dtype)
    for window in plan_windows(height, width, halo_px=halo_px, tile_px=32):
        rows, columns = window.source.slices
        result = network(planes[:1, :, rows, columns], planes[1:, :, rows, columns])[0, 0]
        fused[window.core.slices] = result[window.core.relative_to(window.source).slices]
    return fused


@pytest.mark.parametrize(("height", "width"), [(16, 203), (301, 19), (75, 103)])
def test_tiled_equals_whole_with_the_halo_and_differs_with_one_pixel_less(
    lively_network, height, width
):
    network = FusionNetwork(lively_network.config).double()
    network.load_state_dict(lively_network.state_dict())
    generator = torch.Generator().manual_seed(0)
    planes = 100 * torch.rand(2, 1, height, width, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        whole = network(planes[:1], planes[1:])[0, 0]
        exact = fuse_padded(network, planes, network.halo)
        short = fuse_padded(network, planes, network.halo - 1)
    assert whole.std() > 1
    assert (exact - whole).abs().max() <= 1e-10
    assert (short - whole).abs().max() > 1e-3


@pytest.mark.parametrize("tile_px", [8, 43, 192])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_windows_on_a_grid_partition_the_picture_and_keep_to_the_grid(height, width, tile_px):
    written = np.zeros((height, width), int)
    picture = Rect(0, 0, height, width)
    windows = plan_grid_windows("blend", height, width, grid_px=8, halo_px=24, tile_px=tile_px)
    for window in windows:
        source, core = window.source, window.core
        written[core.slices] += 1
        assert picture.contains(source)
        assert source.contains(core)
        assert max(core.height, core.width) <= tile_px
        assert not any(side % 8 for side in (core.top, core.left, source.top, source.left))
        assert source.top == 0 or core.top - source.top == 24
        assert source.left == 0 or core.left - source.left == 24
        assert source.bottom == height or source.bottom - core.bottom == 24
        assert source.right == width or source.right - core.right == 24
        assert source.bottom == height or source.bottom % 8 == 0
        assert source.right == width or source.right % 8 == 0
    assert (written == 1).all()


def test_windows_of_a_pyramid_share_a_micro_batch_whatever_their_shape():
    windows = plan_grid_windows("reduce", 50, 70, grid_px=8, halo_px=16, tile_px=32)
    assert len({(window.source.height, window.source.width) for window in windows}) > 1
    assert {window.batch_key for window in windows} == {("reduce", 0, 0)}


@pytest.mark.parametrize(
    "changes",
    [{"grid_px": 0}, {"tile_px": 7}, {"halo_px": 12}, {"halo_px": -8}, {"height": 0}],
)
def test_a_grid_that_does_not_fit_is_refused(changes):
    numbers = {"height": 50, "width": 70, "grid_px": 8, "halo_px": 16, "tile_px": 32, **changes}
    with pytest.raises(ValueError, match="a tile of at least the grid and a halo on the grid"):
        plan_grid_windows("reduce", **numbers)


def test_a_rectangle_at_a_coarser_level_covers_what_it_did():
    assert Rect(8, 16, 13, 24).reduced(0) == Rect(8, 16, 13, 24)
    assert Rect(8, 16, 13, 24).reduced(3) == Rect(1, 2, 2, 3)

import numpy as np
import pytest

from model.ghosts.ghost_map import GhostMap
from model.ghosts.packing import pack_ghost, unpack_ghost


@pytest.mark.parametrize("has_lift", [False, True])
def test_a_map_is_packed_without_loss(has_lift: bool) -> None:
    rng = np.random.default_rng(0)
    mask, lift = (rng.integers(0, 256, shape).astype(np.uint8) for shape in ((40, 60), (10, 15, 3)))
    curve = (tuple(range(256)),) * 3
    ghost = GhostMap(mask, curve, (0.5,) * 256, None, 0.25, lift if has_lift else None)

    back = unpack_ghost(pack_ghost(ghost))

    np.testing.assert_array_equal(back.mask, mask)
    assert (back.curve, back.trust, back.neighbour_curve) == (curve, ghost.trust, None)
    assert back.share == 0.25
    if has_lift:
        np.testing.assert_array_equal(back.lift, lift)
    else:
        assert back.lift is None
